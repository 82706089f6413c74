"""What a failing test's report tells, in a project that is not this one."""

from __future__ import annotations

import pytest
from helpers.client import flash_call
from helpers.inner_pytest import run

from pytest_mcn_mock import Account, MCNServer, WaitTimeout

FAILING = """
def test_it(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_data(status=500)
    mcn.subscribe(mcn_server.url_for("/hook"))
    flash_call(mcn, code="0042", user_hash=mcn.token)
    mcn.settle()
    assert len(mcn.calls) == 2
"""


def test_the_report_of_a_failing_test_tells_the_accounts_story(project: pytest.Pytester) -> None:
    result = run(project, FAILING + "\ndef test_that_passes(mcn): flash_call(mcn)\n")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- mcn-mock -*",
            "account *: balance 99.85 roubles, seed *",
            "subscription 1: POST http://127.0.0.1:*/hook",
            "requests:",
            "  POST /v2/rest/account/*/flash_call login_did=79157777777 code=0042 -> 200 *",
            "ledger:",
            "  charge -0.15 for *",
            "calls:",
            "  * flash_call 749*0042 -> 79157777777, 0.15 roubles, answered (q931_status 16)",
            "    number: Russian number, ends in the requested code 0042",
            "    CDR to http://127.0.0.1:*/hook: pending, due in 2 s",
            "      attempt 1: HTTP 500, not acknowledged, after * ms",
        ]
    )
    assert result.stdout.str().count("- mcn-mock -") == 1


def test_what_a_strict_test_is_failed_by_is_told_with_the_story_and_nothing_of_ours(project: pytest.Pytester) -> None:
    result = run(project, "def test_it(mcn): flash_call(mcn, '7915')\n")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "E *MistakesError: the test passed, but this went wrong on its account or server:",
            "*refused: POST *flash_call login_did=7915 -> 400 invalid_parameter: *",
            "*- mcn-mock -*",
            "account *: balance 100.00 roubles, seed *",
            "  POST /v2/rest/account/*/flash_call login_did=7915 -> 400 *",
        ]
    )
    result.stdout.no_fnmatch_line("*plugin.py*")
    result.stdout.no_fnmatch_line("*session.py*")


@pytest.mark.parametrize("fixtures", ["mcn, broken", "broken, mcn"])
def test_what_fails_when_the_test_has_ended_is_told_with_the_story(project: pytest.Pytester, fixtures: str) -> None:
    result = run(
        project,
        f"""
@pytest.fixture
def broken():
    yield
    raise ZeroDivisionError

def test_it({fixtures}): flash_call(mcn)
""",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E *ZeroDivisionError", "*- mcn-mock -*", "account *: balance 99.85 roubles, seed *"])


def test_the_story_is_told_once(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@pytest.fixture
def broken(mcn):
    yield
    raise ZeroDivisionError

def test_it(mcn, broken): raise AssertionError
""",
    )
    result.assert_outcomes(failed=1, errors=1)
    assert result.stdout.str().count("- mcn-mock -") == 1


def test_what_a_handler_raised_is_in_the_report_of_a_test_that_failed_by_itself(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def test_it(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_handler(lambda request: 1 / 0)
    requests.get(mcn_server.url_for("/hook")).raise_for_status()
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- mcn-mock -*", "a handler raised ZeroDivisionError*"])


def test_no_token_is_in_a_failing_tests_output(project: pytest.Pytester) -> None:
    result = run(project, FAILING.replace("assert len", "print('token', mcn.token); assert len"), "--showlocals")
    token = next(line.split()[1] for line in result.outlines if line.startswith("token "))
    assert result.stdout.str().count(token) == 1


def test_a_test_that_is_run_again_starts_anew(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                for report in runtestprotocol(item, nextitem=nextitem, log=False):
                    item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    result = run(
        project,
        """
runs = []

def test_it(mcn):
    runs.append(1)
    assert len(runs) > 1
    flash_call(mcn, "7915")
""",
    )
    result.assert_outcomes(passed=1, failed=1, errors=1)
    assert result.stdout.str().count("- mcn-mock -") == 2


def test_a_request_with_the_accounts_token_and_another_id_is_told(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def test_story(mcn, mcn_server):
    other = mcn_server.open_account()
    for account_id in ("999", other.account_id):
        requests.post(f"{mcn.base_url}/account/{account_id}/flash_call?login_did=79157777777", headers=mcn.headers)
        requests.post(f"{mcn.base_url}/account/{account_id}/flash_call?login_did=1&user_hash={mcn.token}")
    other.close()
    print("token", mcn.token)
    mcn.wait_for_call(timeout=0.01)

def test_assertion(mcn):
    requests.post(f"{mcn.base_url}/account/999/flash_call?login_did=79157777777", headers=mcn.headers)
    mcn.assert_called()

def test_strict(mcn, mcn_server):
    other = mcn_server.open_account()
    requests.post(f"{mcn.base_url}/account/{other.account_id}/flash_call", headers=mcn.headers)
    other.close()
""",
    )
    result.assert_outcomes(failed=2, passed=1, errors=1)
    wrong = "POST /v2/rest/account/*/flash_call -> 403 account_not_found: *(the token is that of account *)"
    out = result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "*WaitTimeout: no call was placed within 0.01 s*",
            f"*not accepted: {wrong}",
            f"*not accepted: {wrong}",
            f"*not accepted: {wrong}",
            f"*not accepted: {wrong}",
            "*- mcn-mock -*",
            "requests:",
            f"  {wrong}",
        ]
    )
    result.stdout.fnmatch_lines([f"*refused: {wrong}"])
    assert "no request arrived at all" not in out
    token = next(line.split()[1] for line in result.outlines if line.startswith("token "))
    assert out.count(token) == 1


def test_what_an_endpoint_answered_is_told_with_its_status(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def place(mcn, mcn_server, body):
    mcn_server.expect_request("/hook").respond_with_data(body, status=500)
    mcn.subscribe(mcn_server.url_for("/hook"))
    flash_call(mcn)
    mcn.settle()

def test_text(mcn, mcn_server):
    place(mcn, mcn_server, "<h1>KeyError:\\n'final_status'</h1>\\x1b[2J ошибка " + "x" * 100_000)
    assert False

def test_bytes(mcn, mcn_server):
    place(mcn, mcn_server, b"\\xff\\x00")
    mcn.wait_for_cdr(timeout=0.01)
""",
    )
    result.assert_outcomes(failed=2)
    out = result.stdout.str()
    told = "attempt 1: HTTP 500, not acknowledged: "
    assert told + r""""<h1>KeyError:\n'final_status'</h1>\x1b[2J ошибка xxx""" in out
    assert f"{told}'\ufffd\\x00'" in out
    assert "x" * 190 not in out


def test_calls_before_the_first_subscription_are_told(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def place(mcn, mcn_server, before):
    mcn_server.expect_request("/hook").respond_with_data()
    for _ in range(before):
        flash_call(mcn)
    mcn.subscribe(mcn_server.url_for("/hook"))

def test_wait(mcn, mcn_server):
    place(mcn, mcn_server, 1)
    mcn.wait_for_cdr(timeout=0.01)

def test_wait_for_one(mcn, mcn_server):
    place(mcn, mcn_server, 2)
    flash_call(mcn)
    mcn.wait_for_cdr(mcn.calls[0], timeout=0.01)

def test_story(mcn, mcn_server):
    place(mcn, mcn_server, 1)
    flash_call(mcn)
    assert "before the first subscription" not in mcn.story()

def test_none(mcn, mcn_server):
    place(mcn, mcn_server, 0)
    flash_call(mcn)
    assert "before the first subscription" not in mcn.story()
""",
    )
    result.assert_outcomes(failed=3, passed=1)
    one, two = (
        "* 1 call was placed before the first subscription*",
        "* 2 calls were placed before the first subscription*",
    )
    result.stdout.fnmatch_lines([f"E{one}", f"E{two}"])
    result.stdout.fnmatch_lines(["1 call was placed before the first subscription: no CDR is sent for it"])


def test_a_call_without_a_cdr_says_which_filter_did_not_let_it_through(mcn: Account) -> None:
    mcn.subscribe("http://127.0.0.1:1/hook", filter=[{"variable": "q931_status", "value": 17}])
    flash_call(mcn)
    why = "webhook 1 does not let the call through: q931_status is 16, and the filter says: q931_status is 17"
    with pytest.raises(WaitTimeout) as waited:
        mcn.wait_for_cdr(timeout=0.01)
    for text in (str(waited.value), mcn.story()):
        assert why in text
        assert "before the first subscription" not in text


RAISING = """
def look(): raise KeyError("final_status")  # the line
def fail(): pytest.fail("of the webhook")  # the line
def claim(): assert None == "of the webhook"  # the line
def wait(): raise TimeoutError("of a database")  # the line

def subscribe(mcn, mcn_server, how, raise_):
    def app(environ, start_response): raise_()
    async def asgi(scope, receive, send): raise_()
    if how == "handler":
        mcn_server.expect_request("/hook").respond_with_handler(lambda request: raise_())
        mcn.subscribe(mcn_server.url_for("/hook"))
    else:
        mcn.subscribe(asgi if "asgi" in how else app, path="/hook", on_test_thread="thread" in how)

@pytest.mark.parametrize("raise_", [look, fail, claim, wait])
@pytest.mark.parametrize("how", ["handler", "wsgi", "asgi", "wsgi on the test's thread", "asgi on the test's thread"])
def test_it(mcn, mcn_server, how, raise_):
    subscribe(mcn, mcn_server, how, raise_)
    {place}

def test_next(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_data()
    mcn.subscribe(mcn_server.url_for("/hook"))
    flash_call(mcn)
    assert mcn.wait_for_cdr().status == 200
"""
RAISED = [
    "KeyError: 'final_status'",
    "Failed: of the webhook",
    "AssertionError: assert None == 'of the webhook'",
    "TimeoutError: of a database",
]


@pytest.mark.parametrize(
    "place",
    [
        "flash_call(mcn); mcn.wait_for_cdr(timeout=300)",
        "mcn.hold_cdrs(); flash_call(mcn); mcn.calls[0].complete()",
    ],
)
def test_a_wait_for_a_cdr_ends_with_what_the_application_raised(project: pytest.Pytester, place: str) -> None:
    result = run(project, RAISING.format(place=place))
    result.assert_outcomes(failed=20, passed=1)
    out = result.stdout.str()
    assert out.count("WebhookRaised: the application raised") >= 20
    for name in RAISED:
        assert len([line for line in result.outlines if line.startswith("E ") and name in line]) >= 5
    assert out.count("# the line") >= 20
    assert out.count("direct cause of the following exception") >= 20


def test_what_the_application_raised_fails_the_test_also_if_the_wait_does_not(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def app(environ, start_response):
    raise ZeroDivisionError  # the line

def test_swallowed(mcn):
    mcn.subscribe(app)
    flash_call(mcn)
    with pytest.raises(AssertionError):
        mcn.wait_for_cdr()

def test_without_a_wait(mcn):
    mcn.subscribe(app)
    flash_call(mcn)

def test_that_fails_by_itself(mcn):
    mcn.subscribe(app)
    flash_call(mcn)
    mcn.settle()
    assert False

async def asynchronous(mcn):
    mcn.subscribe(app)
    mcn.hold_cdrs()
    flash_call(mcn)
    await mcn.aio.complete(mcn.calls[0])

def test_aio(mcn):
    import asyncio
    asyncio.run(asynchronous(mcn))
""",
    )
    result.assert_outcomes(passed=2, failed=2, errors=2)
    assert result.stdout.str().count("# the line") >= 4
    result.stdout.fnmatch_lines(["*- mcn-mock -*", "*# the line", "ZeroDivisionError"])


STRANGE = """
def url(mcn): return f"{mcn.base_url}/account/{mcn.account_id}/flash_call"

def as_form(mcn, body):
    headers = {**mcn.headers, "Content-Type": "application/x-www-form-urlencoded"}
    return requests.post(url(mcn), data=body, headers=headers)

def as_json(mcn, body):
    return requests.post(url(mcn), data=body, headers={**mcn.headers, "Content-Type": "application/json"})

SENT = {
    "query": lambda mcn: requests.post(url(mcn) + "?login_did=%FF%1B[2J", headers=mcn.headers),
    "direction": lambda mcn: requests.post(url(mcn) + "?login_did=%E2%80%AE7915%E2%80%A8", headers=mcn.headers),
    "line": lambda mcn: requests.post(url(mcn) + "?login_did=7%0A%0Dcalls: none", headers=mcn.headers),
    "form": lambda mcn: as_form(mcn, b"login_did=%ED%A0%80%1B"),
    "json": lambda mcn: as_json(mcn, b'{"login_did": "\\\\ud83d\\\\u001b"}'),
    "name": lambda mcn: as_json(mcn, b'{"login_did": "79157777777", "\\\\ud83d\\\\u001b[2J": "x"}'),
    "path": lambda mcn: requests.post(url(mcn) + "/%FF%1B[2J%0A", headers=mcn.headers),
    "part": lambda mcn: requests.post(url(mcn), files={"login_did": (None, b"\\xff\\x1b")}, headers=mcn.headers),
    "header": lambda mcn: requests.post(url(mcn), headers={**mcn.headers, b"Accept": b"\\xff\\x9b2J"}),
}

@pytest.mark.parametrize("how", SENT)
def test_fails_by_strictness(mcn, how):
    SENT[how](mcn)
    flash_call(mcn, "7915")

@pytest.mark.parametrize("how", SENT)
def test_fails_by_itself(mcn, how):
    SENT[how](mcn)
    mcn.assert_called(login_did="7915")

@pytest.mark.parametrize("how", SENT)
def test_waits_in_vain(mcn, how):
    SENT[how](mcn)
    mcn.wait_for_cdr(timeout=0.01)

def raising(environ, start_response): raise ValueError("\\ud83d\\x1b[2J\\nforged")

def refusing(environ, start_response):
    start_response("500 \\x85\\x9b2J", [])
    return [b"\\x1b[2J\\nforged\\xed\\xa0\\x80"]

@pytest.mark.parametrize("application", [raising, refusing])
def test_application(mcn, application):
    mcn.subscribe(application, retry=False)
    flash_call(mcn)
    mcn.assert_cdr_delivered()

def test_handler(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_handler(lambda request: raising(None, None))
    requests.get(mcn_server.url_for("/hook"))

def test_log(mcn, caplog):
    import logging
    logging.getLogger().warning("a log line %s", "\\ud83d")
    assert not mcn

@pytest.mark.parametrize("end", [pytest.skip, pytest.xfail, pytest.fail])
def test_reason(mcn, end): end("\\ud83d")
"""


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "1")])
def test_no_text_from_outside_spoils_a_report(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    result = run(project, STRANGE, "--color=no", *arguments, apart=True)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["skipped"], outcomes["xfailed"]) == (9 + 9 + 2 + 1 + 1, 1, 1)
    assert outcomes["errors"] == 9 + 1
    result.stdout.fnmatch_lines(["account *: balance *"])  # a line of its own
    assert [line for line in result.outlines if not line.isprintable()] == []
    assert "forged" not in result.outlines
    assert "calls: none" in result.outlines


@pytest.mark.parametrize(
    "money,told",
    [
        ({"balance": "1.00"}, "balance 1.00 roubles, seed 7"),
        ({"balance": "-1.00", "credit": "5.00"}, "balance -1.00 roubles, credit 5.00, seed 7"),
        ({"balance": "unlimited"}, "balance 0.00 roubles, unlimited, seed 7"),
    ],
)
def test_a_story_begins_with_the_money(mcn_server: MCNServer, money: dict[str, str], told: str) -> None:
    account = mcn_server.open_account(seed=7, **money)  # type: ignore[arg-type]  # both are Roubles
    assert account.story().splitlines()[0].endswith(told)
    account.close()


OPENED = """
def test_passes_and_is_wrong(mcn_server):
    account = mcn_server.open_account(name="second")
    flash_call(account, "x")

def test_closes_it(mcn_server):
    account = mcn_server.open_account()
    flash_call(account, "x")
    account.close()

def test_beside_mcn(mcn, mcn_server):
    flash_call(mcn_server.open_account(), "x")

def test_fails(mcn_server):
    account = mcn_server.open_account(name="third")
    flash_call(account)
    assert not account.calls

@pytest.fixture(scope="module")
def operator(mcn_server):
    return mcn_server.open_account(account_id="71900077", name="operator")

def test_of_the_module(operator):
    flash_call(operator, "x")

def test_of_the_module_again(operator):
    flash_call(operator)

def test_expects_it(operator):
    operator.expect_refusal("invalid_parameter")
    flash_call(operator, "x")

def test_expects_it_no_more(operator):
    flash_call(operator, "x")

def test_expects_what_does_not_come(operator):
    operator.expect_refusal("unauthorized")

def test_asks_nobody(operator):
    requests.get(f"{operator.base_url}/nowhere")

def test_fails_with_it(operator):
    operator.set_outcome("busy")
    assert operator.calls == []

def test_without_any(mcn_server):
    requests.get(f"{mcn_server.base_url}/nowhere")

@pytest.mark.mcn(strict=False)
def test_that_does_not_care(operator):
    flash_call(operator, "x")

def test_an_account_that_does_not_care(mcn_server):
    flash_call(mcn_server.open_account(strict=False), "x")

@pytest.mark.mcn(fidelity="documented")
def test_of_fidelity(operator):
    flash_call(operator)
"""


def test_accounts_that_tests_open_have_report_and_strictness_as_mcn_has(project: pytest.Pytester) -> None:
    result = run(project, OPENED, "-rA")
    said = {line.split("::")[-1].split()[0]: line.split()[0] for line in result.outlines if "::test_" in line}
    wrong = {
        "test_passes_and_is_wrong", "test_closes_it", "test_beside_mcn", "test_of_the_module",
        "test_expects_it_no_more", "test_expects_what_does_not_come", "test_asks_nobody", "test_of_fidelity",
    }  # fmt: skip
    failed = {"test_fails", "test_fails_with_it"}
    assert {name for name, outcome in said.items() if outcome == "ERROR"} == wrong
    assert {name for name, outcome in said.items() if outcome == "FAILED"} == failed
    text = result.stdout.str()
    assert "(third): balance 99.85 roubles" in text
    assert "account 71900077 (operator): balance" in text
    assert "expected a refusal unauthorized, got none" in text
