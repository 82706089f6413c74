"""``mcn-mock verify`` against the fake itself, with these settings and with others, and against other servers."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from helpers.client import KAZAKH, RUSSIAN
from helpers.command_runs import tool, whom
from helpers.sandbox import MCN_MOCK, running_sandbox
from helpers.vendor_server import ACCOUNT, TOKEN, Asked, Behaviour, Reply, VendorServer, as_json, nowhere

from pytest_mcn_mock import (
    Account,
    Assumptions,
    Dialect,
    ErrorStyle,
    MCNServer,
    NumberFormat,
    PaidMethodsAssumptions,
    Settings,
)
from pytest_mcn_mock.conformance.interview import MOST_UNANSWERED, interview
from pytest_mcn_mock.conformance.questions import HARMLESS, PAID, QUESTIONS, SETS, make_plan
from pytest_mcn_mock.conformance.recording import Answer, Mask, Participants, Recording, Sent
from pytest_mcn_mock.conformance.sending import Trouble
from pytest_mcn_mock.errors import RefusalCode

CONNECTED = "79158888888"
RING = ("--ring", RUSSIAN, "--yes")
SPEND = ("--spend", "1000", *RING)
EVERYTHING = (*SPEND, "--caller-did", CONNECTED)


@pytest.fixture(scope="module")
def server() -> Iterator[MCNServer]:
    with MCNServer() as server:
        yield server


@pytest.fixture
def account(server: MCNServer) -> Iterator[Account]:
    account = server.open_account(token=TOKEN, numbers=[CONNECTED])
    yield account
    account.close()


def at(account: Account) -> list[str]:
    return whom(account.base_url, TOKEN, str(account.account_id))


def test_the_sandbox_is_no_different_from_itself() -> None:
    """As a process, against a process."""
    with running_sandbox() as sandbox:
        command = [MCN_MOCK, "verify", *whom(f"{sandbox.url}/v2/rest", "test-token", 12345678), *EVERYTHING]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        balance = sandbox.admin("accounts/12345678")["balance"]
    assert (done.returncode, done.stderr) == (0, "")
    asked = len(HARMLESS) + len(PAID)
    assert done.stdout.splitlines()[0] == f"{sandbox.url}/v2/rest: {asked} questions asked, no difference"
    assert "spent: 121 kopecks" in done.stdout
    assert balance == "98.79"


BODY = {"ok": False, "word": "$code", "more": ["$message", "$parameter", "$status"]}


@pytest.mark.parametrize(
    "settings,toml,settings_named",
    [
        *(
            ({"error_status": {RefusalCode(code): 418}}, f"error_status = {{ {code} = 418 }}", None)
            for code in ("unauthorized", "missing_parameter", "invalid_parameter", "account_not_found", "not_found",
                         "foreign_number", "method_not_allowed", "payload_too_large")
        ),
        ({"number_format": NumberFormat.PASTED}, 'number_format = "pasted"', None),
        ({"error_style": ErrorStyle.NUMERIC}, 'error_style = "numeric"', None),
        (
            {"error_body": BODY},
            'error_body = { ok = false, word = "$code", more = ["$message", "$parameter", "$status"] }',
            "error_body",
        ),
    ],
)  # fmt: skip
def test_an_assumed_setting_is_named_and_a_fake_that_has_it_is_no_different(
    tmp_path: Path, settings: dict[str, object], toml: str, settings_named: str | None
) -> None:
    with MCNServer(settings=Settings(assumptions=Assumptions(**settings))) as server:  # type: ignore[arg-type] # any
        account = server.open_account(token=TOKEN, numbers=[CONNECTED])
        told = tool("verify", *at(account), *EVERYTHING, "--json")
        assert {difference["setting"] for difference in told.differences()} == {settings_named or toml}
        (tmp_path / "mcn-mock.toml").write_text(f"[assumed]\n{toml}\n", encoding="utf-8")
        again = tool("verify", *at(account), *EVERYTHING, "--config", tmp_path / "mcn-mock.toml")
        assert (again.status, "no difference" in again.out) == (0, True)


def test_the_table_has_one_line_for_a_difference_that_several_questions_show() -> None:
    with MCNServer(settings=Settings(assumptions=Assumptions(error_status={RefusalCode.UNAUTHORIZED: 403}))) as server:
        told = tool("verify", *at(server.open_account(token=TOKEN)))
    head, line, _, last, *_ = told.out.splitlines()
    assert head.split() == ["QUESTIONS", "THE", "SERVER", "THE", "FAKE", "SETTING"]
    names = "no_token, bad_token, basic_authorization, bad_user_hash and 1 more"
    cells = (names, "403 for `unauthorized`", "401", "error_status = { unauthorized = 403 }")
    assert tuple(re.split(r" {2,}", line)) == cells
    assert last.endswith(f"{len(HARMLESS)} questions asked, 1 difference")


@pytest.mark.parametrize("command", [["verify"], ["record", "seen.json"]])
def test_a_token_that_is_refused_is_said_and_nothing_more_is_asked(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*command, *whom(account.base_url, "wr0ng-token", account.account_id), *EVERYTHING]
    told = tool(*words)
    assert (told.status, told.out, told.err.count("\n")) == (2, "", 1)
    assert "the server refused your token (HTTP 401)" in told.err
    assert "wr0ng-token" not in told.err
    assert 0 < len(account.requests) < len(HARMLESS) / 2
    assert account.calls == []
    assert list(tmp_path.iterdir()) == []


def test_an_account_that_is_not_the_tokens_is_said(server: MCNServer, account: Account) -> None:
    other = server.open_account()
    told = tool("verify", *whom(account.base_url, TOKEN, other.account_id))
    assert (told.status, told.out) == (2, "")
    assert f"the server refused your token for account {other.account_id} (HTTP 403)" in told.err
    other.close()


def test_harmless_questions_cost_nothing_and_ring_nobody(account: Account) -> None:
    told = tool("verify", *at(account), "--json")
    assert (told.status, told.document["same"]) == (0, True)
    assert [answer["question"] for answer in told.document["answers"]] == [q.name for q in HARMLESS]
    assert {item["why"] for item in told.document["not_asked"]} == {"may cost money: give --spend and --ring"}
    assert (account.calls, str(account.balance)) == ([], "100.00")


def test_a_harmless_question_has_no_number_that_could_be_rung() -> None:
    for question in HARMLESS:
        sent = question.render(Participants("12345678"))
        is_admitted = sent.credential == "token" and "/12345678/" in sent.path
        given = [*question.query, *question.content.items(), *question.form.items()]
        numbers = [value for name, value in given if name in ("login_did", "caller_did")]
        assert not is_admitted or not any(map(re.compile(r"\d|\$").search, numbers)), question.name


@pytest.mark.parametrize(
    "options,calls,spent",
    [
        (("--spend", 1, "--ring", RUSSIAN), 0, 0),
        (("--spend", 15, "--ring", RUSSIAN), 1, 15),
        (("--spend", 31, "--ring", RUSSIAN), 3, 31),
        (("--spend", 45, "--ring", RUSSIAN), 3, 31),
        (("--spend", 89, "--ring", "421901234567"), 1, 45),
    ],
)
def test_no_more_is_spent_than_was_said(account: Account, options: tuple[object, ...], calls: int, spent: int) -> None:
    told = tool("verify", *at(account), *options, "--caller-did", CONNECTED, "--yes", "--json")
    assert told.status == 0
    assert len(account.calls) == calls
    assert (100 - account.balance) * 100 == spent == told.document["spent_kopecks"]
    assert [item["why"] for item in told.document["not_asked"]][-1] == f"--spend {options[1]} does not cover it"


@pytest.mark.parametrize("spend", range(0, 160, 7))
def test_a_plan_never_costs_more_than_it_may(spend: int) -> None:
    participants = Participants(str(ACCOUNT), RUSSIAN, CONNECTED)
    plan = make_plan(participants, spend)
    assert plan.cost == sum(question.price(participants) for question in plan.questions) <= spend
    assert len(plan.questions) + len(plan.not_asked) == len(HARMLESS) + len(PAID)
    assert plan.questions[: len(HARMLESS)] == HARMLESS


@pytest.mark.parametrize("answer,status,calls", [("y\n", 0, 1), ("n\n", 2, 0), ("\n", 2, 0), ("", 2, 0)])
def test_money_is_spent_only_if_it_is_agreed_to(account: Account, answer: str, status: int, calls: int) -> None:
    told = tool("verify", *at(account), "--spend", "15", "--ring", RUSSIAN, answer=answer)
    assert told.status == status
    assert f"Up to 1 call to {RUSSIAN}, for 15 kopecks at most" in told.err
    assert len(account.calls) == calls


@pytest.mark.parametrize(
    "changes,hint",
    [
        ({"--ring": RUSSIAN}, "--spend and --ring"),
        ({"--spend": "10"}, "--spend and --ring"),
        ({"--caller-did": RUSSIAN}, "--spend and --ring"),
        ({"--spend": "10", "--ring": "+7 915"}, "--ring must be 7 to 15 digits"),
        ({"--spend": "0", "--ring": RUSSIAN}, "--spend"),
        ({"--base-url": "ftp://127.0.0.1"}, "is not an http or https URL"),
        ({"--base-url": "https://me:hunter2@127.0.0.1/v2/rest"}, "is not a base URL"),
        ({"--base-url": "https://127.0.0.1/v2/rest?x=1"}, "is not a base URL"),
        ({"--token": "s3cret token"}, "--token must be visible ASCII"),
        ({"--account": "abc"}, "--account"),
        ({"--cacert": "missing.pem"}, "--cacert 'missing.pem' cannot be read: No such file"),
        ({"--config": "missing.toml"}, "missing.toml"),
        ({"--replay": "missing.json"}, "--replay asks nothing"),
        ({"--timeout": "0"}, "--timeout"),
    ],
)
def test_a_wrong_argument_is_said_and_nothing_asked(account: Account, changes: dict[str, str], hint: str) -> None:
    given = dict(zip(at(account)[::2], at(account)[1::2], strict=True)) | changes
    told = tool("verify", *[word for pair in given.items() for word in pair])
    assert (told.status, told.out, account.requests) == (2, "", [])
    assert hint in told.err
    assert not re.search(r"hunter2|s3cret|Traceback", told.err)


@pytest.mark.parametrize(
    "arguments,status,hint",
    [
        ((), 2, "give the server as --base-url, and its --token and --account"),
        (("--replay", "missing.json"), 2, "missing.json cannot be read"),
        (whom(nowhere().replace("127.0.0.1", "127.0.0.2")), 3, "the token travels unencrypted"),
    ],
)
def test_other_mistakes_are_said_too(arguments: Sequence[str], status: int, hint: str) -> None:
    told = tool("verify", *arguments)
    assert (told.status, told.out) == (status, "")
    assert hint in told.err


def test_it_lists_its_questions_without_a_server() -> None:
    listed = []
    for dialect in Dialect:
        told = tool("verify", "--list", "--dialect", dialect)
        assert told.status == 0
        listed += [line.split()[0] for line in told.out.splitlines()[1:]]
    assert listed == list(QUESTIONS)


PAID_BODY = {"no": "$code", "of": "$parameter", "n": "$status"}


@pytest.mark.parametrize(
    "settings,toml,settings_named",
    [
        ({}, "", None),
        *(
            ({"error_status": {RefusalCode(code): 418}}, f"error_status = {{ {code} = 418 }}", None)
            for code in ("unauthorized", "missing_parameter", "invalid_parameter", "not_found", "foreign_number",
                         "method_not_allowed", "payload_too_large")
        ),
        ({"error_body": PAID_BODY}, 'error_body = { no = "$code", of = "$parameter", n = "$status" }', "error_body"),
    ],
)  # fmt: skip
def test_the_methods_of_paidmethods_are_asked_too(
    tmp_path: Path, settings: dict[str, object], toml: str, settings_named: str | None
) -> None:
    paid = PaidMethodsAssumptions(**settings)  # type: ignore[arg-type] # any of its settings
    with MCNServer(settings=Settings(assumptions=Assumptions(paidmethods=paid))) as server:
        account = server.open_account(token=TOKEN, numbers=[CONNECTED])
        asked = [*whom(account.paid_url, TOKEN, str(account.account_id)), "--dialect", "paidmethods", *EVERYTHING]
        told = tool("verify", *asked, "--json")
        named = {f"paidmethods.{settings_named or toml}"} if settings else set()
        assert told.status == bool(settings)
        assert {difference["setting"] for difference in told.document["differences"]} == named
        harmless, calls = SETS[Dialect.PAIDMETHODS]
        assert len(told.document["answers"]) == len(harmless) + len(calls)
        assert told.document["spent_kopecks"] == (100 - account.balance) * 100 == 15 * 5 + 65 + 1
        (tmp_path / "mcn-mock.toml").write_text(f"[assumed.paidmethods]\n{toml}\n", encoding="utf-8")
        again = tool("verify", *asked, "--config", tmp_path / "mcn-mock.toml")
        assert (again.status, "no difference" in again.out) == (0, True)


def test_a_harmless_question_to_paidmethods_has_no_number_that_could_be_rung() -> None:
    for question in SETS[Dialect.PAIDMETHODS][0]:
        assert not re.search(r"\d{4}|\$", "".join(question.given.values())), question.name
        assert question.price(Participants("12345678", RUSSIAN)) == 0


@pytest.mark.parametrize("ring,kopecks", [(RUSSIAN, 15), (KAZAKH, 65), ("421901234567", 65)])
def test_where_nobody_knows_the_price_of_a_call_the_dearest_is_counted(ring: str, kopecks: int) -> None:
    assert QUESTIONS["paid_no_code"].price(Participants("12345678", ring)) == kopecks


def vendor_like(asked: Asked) -> Reply:
    """Refuses with words and statuses of its own, in an envelope of its own; a gateway in front of it speaks HTML."""

    def refuse(status: int, word: str, text: str) -> Reply:
        return as_json(status, {"success": False, "error": {"type": word, "message": text}, "trace": [status]})

    if not asked.path.startswith("/v2/rest/account/") or asked.path.endswith("mcn_mock_verify"):
        return 404, {"Content-Type": "text/html; charset=utf-8"}, b"<html>nginx<script>alert(1)</script></html>"
    if not asked.has_token:
        return refuse(403, "AUTH_ERROR", f"The token {asked.headers.get('Authorization')} is not valid")
    if f"/{ACCOUNT}/" not in asked.path:
        return refuse(403, "AUTH_ERROR", "Access denied")
    if asked.method != "POST":
        return refuse(400, "BAD_METHOD", "Use POST")
    if not asked.login_did.isdecimal():
        return refuse(422, "VALIDATION", f"login_did {asked.login_did} of {TOKEN[:12]}… is wrong")
    placed = {"login_did": asked.login_did[1:], "code": int(asked.query.get("code", ["7"])[0]), "account_id": ACCOUNT}
    return as_json(200, {"status": "success", "code": 200, "object": {**placed, "verification_call_uuid": "x"}})


def enveloped(status: int, word: str, parameter: str | None = None, *, http: int = 0) -> Reply:
    error = {"code": word, "message": "no", "parameter": parameter}
    return as_json(http or status, {"status": "error", "code": status, "errors": [error]})


def vendor_like_html(asked: Asked) -> Reply:
    status, headers, body = vendor_like(asked)
    return status, {**headers, "Content-Type": "text/html"}, body


def hangs_on_get(asked: Asked) -> Reply | None:
    return None if asked.method == "GET" else vendor_like(asked)


THEIRS = 'has the form `{"error": {"message": text, "type": text}, "success": boolean, "trace": [number]}`'


@pytest.mark.parametrize(
    "behaviour,question,expected",
    [
        (vendor_like, "no_token", {"status": ("403 for `unauthorized`", "error_status = { unauthorized = 403 }"),
                                   "body": (THEIRS, "error_body")}),
        (vendor_like, "get", {"status": ("400 for `method_not_allowed`", "error_status = { method_not_allowed = 400 }"),
                              "body": (THEIRS, "error_body")}),
        (vendor_like, "unknown_path", {"body": ("text/html, not JSON", "error_body")}),
        (vendor_like, "short_code", {"outcome": ("accepts it", None)}),
        (vendor_like, "pasted_number", {
            "status": ("422 for `invalid_parameter`", "error_status = { invalid_parameter = 422 }"),
            "body": (THEIRS, "error_body"),
        }),
        (vendor_like, "code_with_zeros", {
            "object.account_id": (f"`object.account_id` is `{ACCOUNT}`", None),
            "object.code": ("`object.code` is `42`", None),
            "object.login_did": ('`object.login_did` is `"9150000000"`', None),
            "object.verification_call_uuid": ('`object.verification_call_uuid` is `"x"`', None),
        }),
        (vendor_like_html, "no_login_did", {
            "status": ("422 for `missing_parameter`", "error_status = { missing_parameter = 422 }"),
            "media_type": ("Content-Type text/html", None),
            "body": (THEIRS, "error_body"),
        }),
        (lambda asked: enveloped(400 if asked.has_token else 401, "bad"), "no_token",
         {"errors.0.code": ('`errors.0.code` is `"bad"`', None)}),
        (lambda asked: enveloped(400, "missing_parameter", "phone"), "no_login_did",
         {"errors.0.parameter": ('`errors.0.parameter` is `"phone"`', None)}),
        (lambda asked: enveloped(401, "unauthorized", http=200), "no_token", {
            "status": ("200 for `unauthorized`", "error_status = { unauthorized = 200 }"),
            "code": ("`code` is `401`", None),
        }),
        (lambda asked: (302, {"Location": f"https://other.invalid/login?token={TOKEN}"}, b""), "no_token",
         {"redirect": ("redirects with 302 to https://other.invalid/login", None)}),
        (hangs_on_get, "get", {"answer": ("it does not answer in time (see --timeout)", None)}),
        (lambda asked: (400, {}, b""), "no_login_did", {"body": ("no body", "error_body")}),
    ],
)  # fmt: skip
def test_another_server_is_told_difference_by_difference(
    behaviour: Behaviour, question: str, expected: dict[str, tuple[str, str | None]]
) -> None:
    with VendorServer(behaviour) as server:
        told = tool("verify", *whom(server.url), *SPEND, "--timeout", "0.5", "--json")
    found = {d["place"] or d["aspect"]: (d["server"], d["setting"]) for d in told.differences(question=question)}
    assert found == expected
    assert len(told.document["answers"]) >= len(HARMLESS)


@pytest.mark.parametrize("extra", [(), ("--json",), SPEND, (*SPEND, "--json")])
def test_no_secret_and_nothing_that_steers_a_terminal_is_in_the_output(extra: tuple[str, ...]) -> None:
    def evil(asked: Asked) -> Reply:
        if asked.has_token:
            return as_json(400, {f"a\n| <script>\x1b[2J{TOKEN}": "x"}, Location="/")
        return vendor_like(asked)

    for behaviour in (vendor_like, evil):
        with VendorServer(behaviour) as server:
            told = tool("verify", *whom(server.url), *extra)
        assert told.status == 1
        assert not any(TOKEN[n : n + 8] in told.out + told.err for n in range(len(TOKEN) - 7))
        assert RUSSIAN not in told.out
        assert "\x1b" not in told.out


def test_it_stops_at_once_if_a_harmless_question_is_accepted() -> None:
    def lax(asked: Asked) -> Reply:
        if asked.has_token:
            return as_json(200, {"ok": True, "caller_number": "74951230042", "verification_uuid": "1"})
        return as_json(401, {"ok": False})

    with VendorServer(lax) as server:
        told = tool("verify", *whom(server.url), *SPEND, "--json")
        assert sum(asked.has_token for asked in server.asked) == 1
    assert told.document["stopped"].startswith("the server accepted other_account, which a correct server refuses")
    (difference,) = told.differences(question="other_account")
    assert (difference["server"], difference["fake"]) == ("accepts it", "403 `account_not_found`")


def test_it_places_no_further_call_if_one_was_not_answered() -> None:
    def dies_ringing(asked: Asked) -> Reply | None:
        return None if asked.login_did.isdecimal() else vendor_like(asked)

    with VendorServer(dies_ringing) as server:
        told = tool("verify", *whom(server.url), *SPEND, "--timeout", "0.3", "--json")
        assert sum(asked.login_did.isdecimal() for asked in server.asked) == 1
    assert told.document["stopped"] == "no answer to code_with_zeros, which may have been charged"
    assert told.document["spent_kopecks"] == 15
    assert [d["aspect"] for d in told.differences(question="code_with_zeros")] == ["answer"]


def test_an_account_without_money_is_told_as_such(account: Account) -> None:
    account.set_balance("0.14")
    told = tool("verify", *at(account), "--spend", "15", *RING, "--json")
    assert told.document["spent_kopecks"] == 0
    (difference,) = told.differences()
    assert difference["aspect"] == "outcome"
    assert re.match(r"answers 402 with `.*insufficient_funds", difference["server"])


LONG = b"HTTP/1.1 400 Bad Request\r\nX: " + b"x" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "raw,why",
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "its answer is not HTTP"),
        (LONG, "its answer is not HTTP"),
        (b"HTTP/1.1 400\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "its answer is not HTTP"),
        (b"HTTP/1.1 400\r\nContent-Length: 9\r\n\r\n", "it closes the connection"),
        (b"", "it closes the connection"),
        (None, "it does not answer in time"),
    ],
)
def test_a_server_that_answers_nothing_is_unreachable(raw: bytes | None, why: str) -> None:
    with VendorServer(lambda _: None, raw=raw) as server:
        told = tool("verify", *whom(server.url), "--timeout", "5" if raw is not None else "0.2")
        assert len(server.asked) <= 2 * MOST_UNANSWERED
    assert (told.status, told.out) == (3, "")
    assert told.err.startswith(f"mcn-mock: no answer from {server.url}: {why}")


def test_nobody_there_is_unreachable() -> None:
    told = tool("verify", *whom(nowhere()))
    assert (told.status, told.out) == (3, "")
    assert "it cannot be reached" in told.err


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with VendorServer(vendor_like, tls=context) as server:
        told = tool("verify", *whom(server.url))
        assert (told.status, server.asked) == (3, [])
        assert "its certificate is not trusted" in told.err
        assert tool("verify", *whom(server.url), "--cacert", tmp_path / "ca.pem").status == 1
        assert len(server.asked) == len(HARMLESS)


# The order of an interview, without a socket.

REFUSED = Answer(400, {}, json={"status": "error"})
PLACED = Answer(200, {}, json={"status": "success", "object": {}})
Answering = Callable[[Sent], Answer | Trouble]


def run(*answers: Answer | Trouble, spend: int | None = None) -> tuple[Recording, list[str]]:
    """The recording of an interview that is answered so in turn, the last one from then on, and what happened."""
    participants = Participants(str(ACCOUNT), RUSSIAN, CONNECTED)
    left, events = list(answers), list[str]()

    async def ask(sent: Sent) -> Answer | Trouble:
        events.append("ask")
        return left.pop(0) if len(left) > 1 else left[0]

    async def pause() -> None:
        events.append("pause")

    asking = interview(
        ask, participants, make_plan(participants, spend), Mask(TOKEN, participants), base_url="http://x",
        recorded_at="now", pause=pause,
    )  # fmt: skip
    return asyncio.run(asking), events


def test_there_is_a_pause_between_two_questions() -> None:
    assert run(REFUSED)[1] == ["ask", *["pause", "ask"] * (len(HARMLESS) - 1)]


def test_it_gives_up_after_some_questions_in_a_row_without_an_answer() -> None:
    gaps: list[Answer | Trouble] = [REFUSED, *[Trouble.NO_ANSWER] * (MOST_UNANSWERED - 1)]
    seen, _ = run(*gaps, *gaps, REFUSED, Trouble.NO_ANSWER)
    assert len(seen.exchanges) == 2 * len(gaps) + 1 + MOST_UNANSWERED
    assert seen.stopped == f"{MOST_UNANSWERED} questions in a row were not answered"
    assert seen.not_asked[0].question == HARMLESS[len(seen.exchanges)].name


@pytest.mark.parametrize("paid,counted", [((PLACED,), len(PAID)), ((PLACED, REFUSED), 1), ((REFUSED,), 0)])
def test_an_accepted_call_is_counted_and_a_refused_one_is_not(paid: tuple[Answer, ...], counted: int) -> None:
    seen, _ = run(*[REFUSED] * len(HARMLESS), *paid, spend=1000)
    participants = Participants(str(ACCOUNT), RUSSIAN, CONNECTED)
    assert seen.spent_kopecks == sum(question.price(participants) for question in PAID[:counted])
