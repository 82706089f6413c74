"""``mcn-mock verify`` against the fake itself, with these settings and with others."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.client import RUSSIAN
from helpers.command_runs import Tool, whom
from helpers.sandbox import MCN_MOCK, running_sandbox
from helpers.vendor_server import ACCOUNT, TOKEN

from pytest_mcn_mock import Account, Assumptions, MCNServer, NumberFormat, Settings
from pytest_mcn_mock.drift import questions
from pytest_mcn_mock.drift.questions import HARMLESS, PAID, QUESTIONS, Party
from pytest_mcn_mock.errors import RefusalCode

CONNECTED = "79158888888"
EVERYTHING = ("--spend", "1000", "--ring", RUSSIAN, "--caller-did", CONNECTED, "--yes")


def open_account(server: MCNServer) -> Account:
    return server.open_account(account_id=str(ACCOUNT), token=TOKEN, numbers=[CONNECTED])


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


@pytest.mark.parametrize("command", ["verify", "record"])
def test_a_token_that_is_refused_is_said_and_nothing_more_is_asked(
    tool: Tool, account: Account, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "seen.json"
    words = [
        command,
        *([file] if command == "record" else []),
        *whom(account.base_url, "wr0ng-token", account.account_id),
    ]
    told = tool(*words)
    assert (told.status, told.out, told.err.count("\n")) == (2, "", 1)
    assert "your token was refused (HTTP 401)" in told.err
    assert "wr0ng-token" not in told.err
    asked = len(account.requests)
    assert 0 < asked < len(HARMLESS) / 2
    assert tool(*words, *EVERYTHING).status == 2
    assert len(account.requests) == 2 * asked
    assert account.calls == []
    assert not file.exists()


def test_an_account_that_is_not_the_tokens_is_said(tool: Tool, server: MCNServer, account: Account) -> None:
    other = server.open_account()
    told = tool("verify", *whom(account.base_url, TOKEN, other.account_id))
    assert (told.status, told.out) == (2, "")
    assert f"your token was refused for account {other.account_id} (HTTP 403)" in told.err
    other.close()


def test_harmless_questions_cost_nothing_and_ring_nobody(tool: Tool, account: Account) -> None:
    told = tool("verify", *at(account), "--json")
    assert told.status == 0
    assert told.document["same"] is True
    assert [answer["question"] for answer in told.document["answers"]] == [q.name for q in HARMLESS]
    assert {item["why"] for item in told.document["not_asked"]} == {"may cost money: give --spend and --ring"}
    assert account.calls == []
    assert str(account.balance) == "100.00"


def test_a_harmless_question_has_no_number_that_could_be_rung() -> None:
    party = Party("12345678")
    for question in HARMLESS:
        sent = question.render(party)
        is_admitted = sent.credential == "token" and "/12345678/" in sent.path
        given = [*question.query, *question.content.items(), *question.form.items()]
        numbers = [value for name, value in given if name in ("login_did", "caller_did")]
        assert not is_admitted or not any(map(re.compile(r"\d|\$").search, numbers)), question.name


def test_every_assumed_setting_is_found_and_nothing_else(tool: Tool, tmp_path: Path) -> None:
    """The table that it prints, put into a file, makes the fake the same."""
    body = {"ok": False, "error": {"word": "$code", "text": "$message", "of": "$parameter", "http": ["$status"]}}
    status = {RefusalCode.UNAUTHORIZED: 403, RefusalCode.INVALID_PARAMETER: 422, RefusalCode.NOT_FOUND: 200}
    assumed = Assumptions(error_status=status, error_body=body, number_format=NumberFormat.PASTED)
    with MCNServer(settings=Settings(assumptions=assumed)) as server:
        account = open_account(server)
        told = tool("verify", *at(account), *EVERYTHING, "--json")
        assert told.status == 1
        found = told.document
        table = tomllib.loads(found["assumed"])["assumed"]
        assert table == {
            "number_format": "pasted",
            "error_status": {"unauthorized": 403, "invalid_parameter": 422, "not_found": 200},
            "error_body": body,
        }
        assert all(difference["setting"] for difference in found["differences"])
        kinds = {(d["aspect"], d["setting"].partition(" = ")[0]) for d in found["differences"]}
        assert kinds == {("status", "error_status"), ("body", "error_body"), ("outcome", "number_format")}

        (tmp_path / "mcn-mock.toml").write_text(found["assumed"], encoding="utf-8")
        again = tool("verify", *at(account), *EVERYTHING, "--config", tmp_path / "mcn-mock.toml", "--json")
        assert (again.status, again.document["differences"]) == (0, [])


@pytest.mark.parametrize("code", ["missing_parameter", "account_not_found", "method_not_allowed", "payload_too_large"])
def test_one_other_status_is_one_line_of_the_table(tool: Tool, code: str) -> None:
    with MCNServer(settings=Settings(assumptions=Assumptions(error_status={RefusalCode(code): 418}))) as server:
        told = tool("verify", *at(open_account(server)))
    assert told.status == 1
    (line,) = [line for line in told.out.splitlines() if line.startswith("| Refusals")]
    assert f"418 for `{code}`" in line
    assert line.endswith(f"| `error_status = {{ {code} = 418 }}` |")
    assert "1 difference, 1 settled by settings" in told.out


def test_the_table_has_the_columns_of_the_page_and_its_rows(tool: Tool) -> None:
    """Every row that a difference can concern begins a row of docs/fidelity.md, with its level."""
    page = (Path(__file__).parents[2] / "docs/fidelity.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    levels = {behaviour.removeprefix("| "): level for behaviour, level, *_ in rows}
    for row in [value for value in vars(questions).values() if isinstance(value, questions.Row)]:
        assert [level for behaviour, level in levels.items() if behaviour.startswith(row.behaviour)] == [row.level], row
    with MCNServer(settings=Settings(assumptions=Assumptions(error_status={RefusalCode.NOT_FOUND: 410}))) as server:
        head, rule, line, *_ = tool("verify", *at(open_account(server))).out.splitlines()
    assert head == "| behaviour | level now | what the server did | setting that makes the fake do so |"
    assert rule == "| --- | --- | --- | --- |"
    assert line.startswith("| Refusals: 400 `missing_parameter` and `invalid_parameter`")


@pytest.mark.parametrize("spend,calls,spent", [(1, 0, 0), (15, 1, 15), (31, 3, 31), (45, 3, 31)])
def test_no_more_is_spent_than_was_said(tool: Tool, account: Account, spend: int, calls: int, spent: int) -> None:
    told = tool(
        "verify", *at(account), "--spend", spend, "--ring", RUSSIAN, "--caller-did", CONNECTED, "--yes", "--json"
    )
    assert told.status == 0
    assert len(account.calls) == calls
    assert (100 - account.balance) * 100 == spent == told.document["spent_kopecks"]
    assert [q["why"] for q in told.document["not_asked"]][-1] == f"--spend {spend} does not pay for it"


def test_a_number_of_another_country_is_counted_at_its_price(tool: Tool, account: Account) -> None:
    told = tool("verify", *at(account), "--spend", "89", "--ring", "421901234567", "--yes", "--json")
    assert told.document["spent_kopecks"] == 45
    assert len(account.calls) == 1


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_asked_where_the_price_is_not_agreed_to(tool: Tool, account: Account, answer: str) -> None:
    told = tool("verify", *at(account), "--spend", "100", "--ring", RUSSIAN, answer=answer)
    assert (told.status, told.out) == (2, "")
    assert f"Up to 7 calls to {RUSSIAN}, for 91 kopecks at most" in told.err
    assert account.calls == []


def test_money_is_spent_where_it_is_agreed_to(tool: Tool, account: Account) -> None:
    told = tool("verify", *at(account), "--spend", "15", "--ring", RUSSIAN, answer="y\n")
    assert told.status == 0
    assert len(account.calls) == 1


@pytest.mark.parametrize(
    "changes,hint",
    [
        ({"--ring": RUSSIAN}, "--spend and --ring"),
        ({"--spend": "10"}, "--spend and --ring"),
        ({"--caller-did": RUSSIAN}, "--spend and --ring"),
        ({"--spend": "10", "--ring": "+7 915"}, "--ring must be 7 to 15 digits"),
        ({"--spend": "0", "--ring": RUSSIAN}, "--spend"),
        ({"--base-url": "ftp://127.0.0.1"}, "no base URL"),
        ({"--base-url": "https://me:hunter2@127.0.0.1/v2/rest"}, "no base URL"),
        ({"--base-url": "https://127.0.0.1/v2/rest?x=1"}, "no base URL"),
        ({"--token": "s3cret token"}, "--token must be visible ASCII"),
        ({"--account": "abc"}, "--account"),
        ({"--cacert": "missing.pem"}, "--cacert 'missing.pem' cannot be read: No such file"),
        ({"--config": "missing.toml"}, "missing.toml"),
        ({"--replay": "missing.json"}, "--replay asks nothing"),
        ({"--timeout": "0"}, "--timeout"),
    ],
)
def test_a_wrong_argument_is_said_and_nothing_asked(
    tool: Tool, account: Account, changes: dict[str, str], hint: str
) -> None:
    given = dict(zip(at(account)[::2], at(account)[1::2], strict=True)) | changes
    told = tool("verify", *[word for pair in given.items() for word in pair])
    assert (told.status, told.out) == (2, "")
    assert hint in told.err
    assert not re.search(r"hunter2|s3cret|Traceback", told.err)


def test_it_lists_its_questions_without_a_server(tool: Tool) -> None:
    told = tool("verify", "--list")
    assert told.status == 0
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == list(QUESTIONS)


def test_the_token_may_come_from_the_environment(tool: Tool, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCN_MOCK_TOKEN", TOKEN)
    arguments: list[Any] = at(account)
    del arguments[2:4]
    assert tool("verify", *arguments).status == 0


def test_an_account_without_money_is_told_as_such(tool: Tool, account: Account) -> None:
    account.set_balance("0.14")
    told = tool("verify", *at(account), "--spend", "15", "--ring", RUSSIAN, "--yes", "--json")
    assert told.status == 1
    assert told.document["spent_kopecks"] == 0
    (difference,) = told.document["differences"]
    assert (difference["aspect"], difference["server"]) == ("outcome", '402 `"insufficient_funds"`')
