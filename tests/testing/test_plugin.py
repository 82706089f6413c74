"""The plugin in a project that is not this one, run by a pytest of its own."""

from __future__ import annotations

import pytest
from helpers.inner_pytest import run

ISOLATED = """
import pathlib

@pytest.mark.parametrize("n", range(20))
def test_each_test_has_an_account_of_its_own(mcn, n):
    assert mcn.calls == [] and mcn.deliveries == [] and mcn.requests == []
    assert str(mcn.balance) == "100.00"
    assert flash_call(mcn).status_code == 200
    with pathlib.Path("seen.txt").open("a") as seen:
        seen.write(f"{n} {mcn.account_id} {mcn.calls[0].verification_call_uuid}\\n")
"""


def test_tests_are_isolated_and_each_draws_the_same_in_every_run_and_in_every_order(project: pytest.Pytester) -> None:
    seen = []
    for arguments in ((), ("-p", "xdist", "-n", "2")):
        run(project, ISOLATED, *arguments).assert_outcomes(passed=20)
        seen.append(sorted((project.path / "seen.txt").read_text().splitlines()))
        (project.path / "seen.txt").unlink()
        assert len({line.split()[1] for line in seen[-1]}) == 20
    assert seen[0] == seen[1]


def test_the_marker_sets_up_the_account(project: pytest.Pytester) -> None:
    run(
        project,
        """
pytestmark = pytest.mark.mcn(balance="1.00", outcome="busy")

@pytest.mark.mcn(balance="0.14", tariff={"flash_call": {643: "0.07"}}, seed=7)
def test_it(mcn):
    assert [flash_call(mcn).status_code for _ in range(3)] == [200, 200, 402]
    assert (mcn.seed, mcn.calls[0].outcome) == (7, "busy")

@pytest.mark.mcn(balance="0.00", credit="0.30")
def test_with_a_credit(mcn):
    assert [flash_call(mcn).status_code for _ in range(3)] == [200, 200, 402]
    assert (str(mcn.balance), str(mcn.credit)) == ("-0.30", "0.30")

@pytest.mark.mcn(balance="unlimited")
def test_without_a_limit(mcn):
    assert [flash_call(mcn).status_code for _ in range(3)] == [200, 200, 200]
    assert (str(mcn.balance), str(mcn.credit)) == ("-0.45", "0.00")
    mcn.assert_ledger_balanced()

def test_the_modules(mcn):
    assert str(mcn.balance) == "1.00"
""",
    ).assert_outcomes(passed=4)


def test_the_marker_gives_id_token_and_numbers(project: pytest.Pytester) -> None:
    run(
        project,
        """
@pytest.mark.mcn(account_id=71800001, token="of-my-own", numbers=["+7 915 888-88-88"], credit="0.30", balance="0")
class TestThem:
    def test_one(self, mcn):
        assert (mcn.account_id, mcn.token) == ("71800001", "of-my-own")
        response = requests.post(
            f"{mcn.base_url}/account/71800001/call_for_2fa",
            params={"login_did": "79157777777", "caller_did": "79158888888"},
            headers={"Authorization": "Bearer of-my-own"},
        )
        assert response.status_code == 200
        assert str(mcn.balance) == "-0.01"

    def test_the_next_one_has_them_too_and_nothing_else_of_it(self, mcn):
        assert (mcn.account_id, mcn.token) == ("71800001", "of-my-own")
        assert (mcn.calls, mcn.requests, str(mcn.balance)) == ([], [], "0.00")
        assert mcn.clock.now == 1_653_655_800.0
""",
    ).assert_outcomes(passed=2)


SHARED = """
@pytest.fixture(scope="session")
def operator(mcn_server):
    return mcn_server.open_account(account_id="71800002", token="t", balance="1.00", numbers=["79158888888"])

@pytest.fixture(autouse=True)
def fresh(operator):
    operator.reset()

def use(operator, mcn_server):
    assert (operator.account_id, operator.token, str(operator.balance)) == ("71800002", "t", "1.00")
    assert (operator.calls, operator.deliveries, operator.requests) == ([], [], [])
    assert [str(entry.amount) for entry in operator.ledger] == ["1.00"]
    now = operator.clock.now
    mcn_server.expect_request("/hook").respond_with_data(status=204)
    operator.subscribe(mcn_server.url_for("/hook"))
    operator.connect_number("79150000000")
    assert flash_call(operator).status_code == 200
    assert operator.wait_for_call().login_did == "79157777777"
    assert operator.wait_for_cdr().status == 204
    assert operator.calls[0].outcome == "answered"
    with open("seen.txt", "a") as seen:
        print(operator.calls[0].verification_call_uuid, now, file=seen)
    operator.set_outcome("busy")
    operator.fail_next(times=None)
    operator.top_up(5)
    operator.clock.advance(30)

def test_one(operator, mcn_server):
    use(operator, mcn_server)

def test_other(operator, mcn_server):
    use(operator, mcn_server)
"""


def test_an_account_of_a_session_is_reset_between_tests(project: pytest.Pytester) -> None:
    seen = []
    for arguments in ((), ("-p", "xdist", "-n", "2"), ("-k", "other")):
        run(project, SHARED, *arguments).assert_outcomes(passed=1 if "-k" in arguments else 2)
        seen.append(sorted((project.path / "seen.txt").read_text().splitlines()))
        (project.path / "seen.txt").unlink()
    assert seen[0] == seen[1], "each test draws the same in every run"
    assert len({line.split()[0] for line in seen[0]}) == 2
    assert seen[2][0] in seen[0]


WRONG_MARKERS = {
    "balanse='1'": "no argument 'balanse'; did you mean 'balance'?",
    "'1.00'": "only keyword arguments",
    "balance=1.5": "invalid balance 1.5",
    "credit='-1'": "invalid credit -1.00: a credit is not negative",
    "outcome='bussy'": "did you mean 'busy'?",
    "tariff={'flash_cal': 1}": "did you mean 'flash_call'?",
    "seed=-1": "seed -1",
    "strict='no'": "UsageError: strict is 'no'; use True or False",
    "strict=0": "UsageError: strict is 0; use True or False",
    "strict=None": "UsageError: strict is None; use True or False",
}


def test_a_wrong_marker_is_an_error_that_says_what_is_wrong(project: pytest.Pytester) -> None:
    tests = [f"@pytest.mark.mcn({marker})\ndef test_{n}(mcn): pass\n" for n, marker in enumerate(WRONG_MARKERS)]
    result = run(project, "\n".join(tests))
    result.assert_outcomes(errors=len(WRONG_MARKERS))
    for n, message in enumerate(WRONG_MARKERS.values()):
        result.stdout.fnmatch_lines([f"*ERROR at setup of test_{n} *", f"*{message}*"])


PAID = "mcn.paid_url + '/api/protected/api/auth/flashcall'"
MISTAKES = {
    "flash_call(mcn, 'abc')": "*refused: POST */flash_call login_did=abc -> 400 invalid_parameter:*",
    "requests.post(mcn.base_url + '/nope')": "*refused: POST /v2/rest/nope -> 404 not_found:*",
    "requests.get(mcn.base_url.replace('/v2/rest', '/v3'))": "*refused: GET /v3 -> 404 not_found:*",
    "requests.get(f'{mcn.base_url}/account/{mcn.account_id}/flash_call')": "* -> 405 method_not_allowed:*",
    "requests.post(f'{mcn.base_url}/account/{mcn.account_id}/flash_call')": "* -> 401 unauthorized:*",
    "requests.post(f'{mcn.base_url}/account/1/flash_call', headers=mcn.headers)": "* -> 403 account_not_found:*",
    f"requests.post({PAID}, json={{'login_did': 'abc'}}, headers=mcn.headers)": "*/flashcall login_did=abc -> 400 *",
    f"requests.post({PAID}, json={{'login_did': '79157777777'}})": "*/flashcall -> 401 unauthorized:*",
    f"requests.get({PAID}, headers=mcn.headers)": "*/flashcall -> 404 method_not_allowed:*",
    f"requests.post({PAID} + 's', headers=mcn.headers)": "*/flashcalls -> 404 not_found:*",
    "mcn.subscribe(mcn_server.url + '/none', retry=False); flash_call(mcn)": "*failed: the CDR of call *404*",
    "mcn.subscribe(mcn_server.url + '/none'); flash_call(mcn)": "*not acknowledged: the CDR of call *404*",
    "mcn.subscribe('http://127.0.0.1:1/nobody'); flash_call(mcn)": "*not acknowledged: the CDR of call *attempt 1:*",
    "mcn.expect_refusal('unauthorized')": "*expected a refusal unauthorized, got none*",
}


def one_test_for_each(mistakes: list[str], marker: str = "") -> str:
    """A test for each mistake."""
    return "\n\n".join(f"{marker}def test_{n}(mcn, mcn_server): {mistake}" for n, mistake in enumerate(mistakes))


def test_what_went_wrong_fails_a_test_that_passed(project: pytest.Pytester) -> None:
    result = run(project, one_test_for_each(list(MISTAKES)) + "\n\ndef test_next(mcn): pass\n")
    result.assert_outcomes(passed=len(MISTAKES) + 1, errors=len(MISTAKES))
    said = "*the test passed, but this went wrong on its account or server:*"
    for n, message in enumerate(MISTAKES.values()):
        result.stdout.fnmatch_lines([f"*ERROR at teardown of test_{n} *", said, message])


def test_everything_that_went_wrong_is_told_at_once(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def test_it(mcn, mcn_server):
    def fail(request): raise ZeroDivisionError("in the handler")
    mcn_server.expect_request("/hook").respond_with_handler(fail)
    requests.get(mcn_server.url_for("/hook"))
    flash_call(mcn, "abc")
    requests.post(mcn.base_url + "/nope")
""",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*ZeroDivisionError: in the handler*", "*a handler raised*", "*invalid_parameter*", "*not_found*"]
    )


@pytest.mark.parametrize(
    "marker,arguments", [("@pytest.mark.mcn(strict=False)\n", ()), ("", ("-o", "mcn_strict=false"))]
)
def test_a_test_can_be_made_not_strict(project: pytest.Pytester, marker: str, arguments: tuple[str, ...]) -> None:
    mistakes = [mistake for mistake in MISTAKES if "expect" not in mistake]
    run(project, one_test_for_each(mistakes, marker), *arguments).assert_outcomes(passed=len(mistakes))


def test_scenarios_are_no_mistakes(project: pytest.Pytester) -> None:
    run(
        project,
        """
def test_too_little_money(mcn):
    mcn.set_balance("0")
    assert flash_call(mcn).status_code == 402

def test_a_body_that_is_too_large(mcn):
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"
    assert requests.post(url, data=b"x" * 100_000, headers=mcn.headers).status_code == 413

def test_a_fault(mcn):
    mcn.fail_next()
    assert flash_call(mcn).status_code == 503

def test_a_cdr_not_yet_due_and_one_that_is_held(mcn, mcn_server):
    mcn.subscribe(mcn_server.url + "/none")
    mcn.set_outcome(Outcome.BUSY, delay_s=3600)
    flash_call(mcn)
    mcn.hold_cdrs()
    flash_call(mcn)

def test_it_says_so(mcn, mcn_server):
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn, "abc")
    mcn.expect_undelivered()
    mcn_server.expect_request("/hook").respond_with_data(status=500)
    mcn.subscribe(mcn_server.url_for("/hook"), retry=False)
    flash_call(mcn)

def test_it_says_so_of_one_that_is_still_pending(mcn, mcn_server):
    mcn.expect_undelivered()
    mcn.subscribe(mcn_server.url + "/none")
    flash_call(mcn)
    mcn.expect_refusal("not_found")

def test_a_fault_asked_for_it(mcn):
    mcn.subscribe("http://127.0.0.1:1/nobody")
    mcn.inject("cdr_unknown_uuid")
    flash_call(mcn)

def test_it_is_acknowledged_at_last(mcn, mcn_server):
    mcn_server.expect_oneshot_request("/hook").respond_with_data(status=500)
    mcn_server.expect_request("/hook").respond_with_data()
    mcn.subscribe(mcn_server.url_for("/hook"))
    flash_call(mcn)
    mcn.clock.advance(2)
""",
    ).assert_outcomes(passed=8)


@pytest.mark.parametrize("strict", ["true", "false"])
def test_what_a_handler_raises_neither_kills_the_server_nor_gets_lost(project: pytest.Pytester, strict: str) -> None:
    result = run(
        project,
        """
def fail(): pytest.fail("in the handler")
def claim(): assert False, "in the handler"
def divide(): 1/0
def skip(): pytest.skip("x")

@pytest.mark.parametrize("raise_", [fail, claim, divide, skip])
def test_it(mcn, mcn_server, raise_):
    mcn_server.expect_request("/hook").respond_with_handler(lambda request: raise_())
    assert requests.get(mcn_server.url_for("/hook")).status_code == 500
    assert flash_call(mcn).status_code == 200

def test_next(mcn):
    assert flash_call(mcn).status_code == 200
""",
        "-o",
        f"mcn_strict={strict}",
    )
    result.assert_outcomes(passed=5, errors=4)
    result.stdout.fnmatch_lines(["*a handler raised*"] * 4)


def test_a_test_with_the_server_alone_hears_of_its_handlers_too(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def test_it(mcn_server):
    mcn_server.expect_request("/hook").respond_with_handler(lambda request: 1 / 0)
    assert requests.get(mcn_server.url_for("/hook")).status_code == 500

def test_next(mcn_server):
    assert requests.get(mcn_server.url_for("/hook")).status_code == 404
""",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*a handler raised ZeroDivisionError*", "*ERROR *test_it*"])


def test_a_late_request_of_an_earlier_test_is_not_the_next_ones(project: pytest.Pytester) -> None:
    run(
        project,
        """
old = []

def test_one(mcn):
    old.append(f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777")
    old.append(mcn.headers)

def test_two(mcn):
    assert requests.post(old[0], headers=old[1]).status_code == 401
    assert mcn.requests == [] and mcn.calls == []
""",
    ).assert_outcomes(passed=2)


def test_registered_handlers_come_first_and_are_gone_in_the_next_test(project: pytest.Pytester) -> None:
    run(
        project,
        """
def test_one(mcn, mcn_server):
    path = f"/v2/rest/account/{mcn.account_id}/flash_call"
    mcn_server.expect_oneshot_request(path, method="POST").respond_with_json({"mine": True})
    assert flash_call(mcn).json() == {"mine": True}
    assert flash_call(mcn).json()["status"] == "success"
    mcn_server.expect_ordered_request("/first").respond_with_data("1")
    assert flash_call(mcn).status_code == 200
    assert requests.get(mcn_server.url_for("/first")).text == "1"
    mcn_server.expect_request("/hook").respond_with_data("kept")

def test_two(mcn, mcn_server):
    mcn.expect_refusal("not_found")
    assert requests.get(mcn_server.url_for("/hook")).status_code == 404
    assert mcn_server.log[-1][1].status_code == 404
""",
    ).assert_outcomes(passed=2)


def test_the_settings_can_be_overridden(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest
        from pytest_mcn_mock import Assumptions, NumberFormat, Settings

        @pytest.fixture(scope="session")
        def mcn_settings():
            return Settings(assumptions=Assumptions(number_format=NumberFormat.PASTED))
        """
    )
    run(project, "def test_it(mcn): assert flash_call(mcn, '+7 (915) 777-77-77').status_code == 200\n").assert_outcomes(
        passed=1
    )


def test_without_the_extra_the_interception_says_what_to_install(project: pytest.Pytester) -> None:
    project.makeconftest("import sys; sys.modules['trustme'] = None")
    result = run(project, "def test_it(mcn_intercept): pass\n", apart=True)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'pytest-mcn-mock?intercept?'*"])


def test_unittest_style_classes_work(project: pytest.Pytester) -> None:
    run(
        project,
        """
import unittest

class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _account(self, mcn): self.mcn = mcn

    def test_a_call(self):
        self.assertEqual(flash_call(self.mcn).status_code, 200)

class TestFailing(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _account(self, mcn): self.mcn = mcn

    def test_that_fails(self):
        flash_call(self.mcn)
        self.fail()
""",
    ).assert_outcomes(passed=1, failed=1)


def test_the_fixtures_and_the_marker_are_described(project: pytest.Pytester) -> None:
    assert "mcn_intercept" in project.runpytest_inprocess("--fixtures").stdout.str()
    project.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.mcn(strict=*"])
    project.runpytest_inprocess("--help").stdout.fnmatch_lines(["*mcn_strict (bool)*"])


def test_a_server_can_be_stopped_and_started_again(project: pytest.Pytester) -> None:
    run(
        project,
        """
from pytest_mcn_mock import MCNServer

def test_it():
    server = MCNServer()
    for _ in range(2):
        with server:
            server.expect_request("/hook").respond_with_data("")
            account = server.open_account()
            account.subscribe(server.url_for("/hook"))
            flash_call(account)
            assert account.wait_for_cdr().status == 200
        assert not server.is_running()
""",
    ).assert_outcomes(passed=1)


def test_the_server_can_be_overridden(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest
        from pytest_mcn_mock import MCNServer

        @pytest.fixture(scope="session")
        def mcn_server(mcn_settings):
            with MCNServer(settings=mcn_settings) as server:
                yield server
        """
    )
    result = run(
        project,
        """
def test_that_fails(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_data("")
    raise ZeroDivisionError

@pytest.mark.mcn(strict=False)
def test_that_follows(mcn, mcn_server):
    assert requests.get(mcn_server.url_for("/hook")).status_code == 404
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*- mcn-mock -*"])
