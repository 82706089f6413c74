"""The commands that ask a sandbox, against a stand-in that answers what a real one might, and what none would."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import trustme
from click.testing import CliRunner, Result
from helpers.sandbox_stub import ACCOUNT, CALL, DELIVERY, WEBHOOK, Answer, Asked, StandIn, listed, refused

from pytest_mcn_mock.cli import client
from pytest_mcn_mock.cli.commands import mcn_mock

UUID = CALL["verification_call_uuid"]
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n\u202e\u2066\x9b31m\x7f\ud800"
"""What clears a screen, names a window, starts a line, turns the writing round, and is no character."""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MCN_MOCK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


def run(stand_in: StandIn | None, *arguments: object, **environment: str) -> Result:
    url = ["--url", stand_in.url] if stand_in else []
    return CliRunner().invoke(mcn_mock, [*map(str, arguments), *url], env=environment, prog_name="mcn-mock")


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def in_json(result: Result) -> Any:
    assert result.stderr == ""
    return json.loads(done(result))


def failed(result: Result, status: int) -> str:
    """The one line that says what to do."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("mcn-mock: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_list_follows_its_cursors_up_to_the_limit(stand_in: StandIn) -> None:
    def page(asked: Asked) -> Answer:
        first = int(asked.query.get("after", 1000))
        size = min(int(asked.query["limit"]), 60)
        return listed(*({**CALL, "seq": first - n} for n in range(1, size + 1)), following=first - size)

    stand_in.answers["calls"] = page
    found = in_json(run(stand_in, "calls", "--limit", 150, "--account", 12345678, "--json"))
    assert [call["seq"] for call in found["items"]] == list(range(999, 849, -1))
    assert found["next"] == 850
    assert {asked.query["order"] for asked in stand_in.asked} == {"newest"}
    assert {asked.query["account_id"] for asked in stand_in.asked} == {"12345678"}
    behind = in_json(run(stand_in, "calls", "--limit", 1, "--after", 850, "--json"))
    assert [call["seq"] for call in behind["items"]] == [849]
    told = run(stand_in, "calls", "list", "--limit", 2)
    assert done(told).count(UUID) == 2
    assert "--after 998" in told.stderr


@pytest.mark.parametrize("words", [["calls", "--state", "ringing"], ["deliveries", "--state", "failed"]])
def test_a_list_is_filtered_and_waited_for_by_the_sandbox(stand_in: StandIn, words: list[str]) -> None:
    path, _, state = words
    stand_in.answers[path] = listed(CALL if path == "calls" else DELIVERY, following=5)
    options = ["--login-did", "79157777777", "--code", "0042", "--account", 5, "--wait", 7.5, "--limit", 2]
    run(stand_in, *words, *options)
    first, second = (asked.query for asked in stand_in.asked)
    assert first == {
        "login_did": "79157777777", "code": "0042", "account_id": "5", "state": state, "wait": "7.5", "limit": "2",
        "order": "newest",
    }  # fmt: skip
    assert "wait" not in second  # something is there
    stand_in.answers[path] = listed()
    assert run(stand_in, *words, "--wait", 1, "--json").exit_code == 1
    assert run(stand_in, *words, "--json").exit_code == 0
    for wrong in (["--state", "nonsense"], ["--wait", 0], ["--wait", 61]):
        assert run(stand_in, path, *wrong).exit_code == 2


def test_a_wait_may_take_longer_than_an_answer(stand_in: StandIn) -> None:
    def answer_late(asked: Asked) -> Answer:
        threading.Event().wait(0.3)
        return listed(CALL)

    stand_in.answers["calls"] = answer_late
    assert "no sandbox answers" not in run(stand_in, "calls", "--timeout", 0.1).stderr
    assert run(stand_in, "calls", "--timeout", 0.1).exit_code == 3
    assert UUID in done(run(stand_in, "calls", "--timeout", 0.1, "--wait", 60))


def test_a_list_without_items_says_so(stand_in: StandIn) -> None:
    for words in (["calls"], ["deliveries"], ["accounts"]):
        stand_in.answers[words[0]] = listed()
        result = run(stand_in, *words)
        assert done(result) == ""
        assert result.stderr == f"no {words[0]}\n"
        assert in_json(run(stand_in, *words, "--json")) == {"items": [], "next": None}


def test_a_call_is_shown_with_why_it_is_so_and_every_attempt(stand_in: StandIn) -> None:
    stand_in.answers |= {f"calls/{UUID}": (200, CALL), "deliveries": listed(DELIVERY)}
    shown = done(run(stand_in, "calls", "show", UUID))
    for text in (
        *CALL["explanation"].values(), "busy 17, NO ANSWER", DELIVERY["url"], "HTTP 503, not acknowledged",
        "no answer within 10 s", "2026-01-01 12:00:09 UTC", "0042",
    ):  # fmt: skip
        assert text in shown
    assert stand_in.asked[-1].query["verification_call_uuid"] == UUID
    assert in_json(run(stand_in, "calls", "show", UUID, "--json")) == {**CALL, "deliveries": [DELIVERY]}


def test_a_delivery_is_shown_with_its_request_and_answers(stand_in: StandIn) -> None:
    stand_in.answers["deliveries/7"] = (200, DELIVERY)
    shown = done(run(stand_in, "deliveries", "show", 7))
    for text in ("POST http://localhost:8000/webhooks/mcn", "X-Key: ***", '{"q931_status": 17}', "try later"):
        assert text in shown
    assert in_json(run(stand_in, "deliveries", "show", 7, "--json")) == DELIVERY


def test_no_password_of_a_webhook_is_shown(stand_in: StandIn) -> None:
    url = "http://user:s3cret@localhost:8000/hook"
    delivery = {**DELIVERY, "url": url, "request": {**DELIVERY["request"], "url": url}, "state": "failed"}
    webhook = {**WEBHOOK, "url": url}
    stand_in.answers |= {
        "deliveries": listed(delivery),
        "deliveries/7": (200, delivery),
        "deliveries/7/resend": (200, delivery),
        "accounts/12345678": (200, {**ACCOUNT, "webhooks": [webhook]}),
        "accounts/12345678/ledger": listed(),
        "accounts/12345678/webhooks/1": (200, {**webhook, "enabled": True}),
    }
    for command in (
        ["deliveries", "list"],
        ["deliveries", "show", 7],
        ["resend", 7],
        ["accounts", "show", 12345678],
        ["webhooks", "enable", 12345678, 1],
    ):
        shown = run(stand_in, *command).output
        assert "localhost:8000/hook" in shown, shown
        assert "s3cret" not in shown


def test_the_filter_of_a_webhook_is_read_and_shown_in_the_same_way(stand_in: StandIn) -> None:
    conditions = [
        {"variable": "q931_status", "operator": "in", "value": ["16", "17"], "not": False},
        {"variable": "final_status", "operator": "in", "value": ["NO ANSWER"], "not": True},
        {"variable": "did", "operator": "equals", "value": "7=8", "not": True},
    ]
    written = ["q931_status in 16, 17", "final_status not in NO ANSWER", "did!=7=8"]
    stand_in.answers |= {
        "accounts/5/webhooks": (200, {**WEBHOOK, "filter": conditions}),
        "accounts/5": (200, {**ACCOUNT, "webhooks": [{**WEBHOOK, "filter": conditions}]}),
        "accounts/5/ledger": listed(),
    }
    given = [word for condition in written for word in ("--filter", condition)]
    done(run(stand_in, "webhooks", "add", 5, "http://localhost:8000/", *given))
    assert stand_in.asked[-1].content["filter"] == conditions
    shown = done(run(stand_in, "accounts", "show", 5))
    assert "q931_status in 16,17 and final_status not in NO ANSWER and did!=7=8" in shown


@pytest.mark.parametrize(
    "arguments,said",
    [
        (("--filter", "q931_status"), "'q931_status' is not a condition; write NAME=VALUE"),
        (("--filter", "in 16"), "'in 16' is not a condition"),
        (("--body", "did", "--all-variables"), "leave it out with --all-variables"),
        (("--header", "s3cret"), "a --header has no colon"),
        (("--header", "X-Key: s3cret", "--header", "X-Key: other"), "--header 'X-Key' is given twice; leave one out"),
        (("--query", "a=s3cret", "--query", "a=1"), "--query 'a' is given twice"),
        (("--constant", "a=s3cret", "--constant", "a=1"), "--constant 'a' is given twice"),
        (("--data-type", "xml"), "'xml' is not one of"),
    ],
)
def test_a_webhook_that_is_written_wrong_is_not_added(stand_in: StandIn, arguments: tuple[str, ...], said: str) -> None:
    failed_run = run(stand_in, "webhooks", "add", 5, "http://localhost:8000/", *arguments)
    assert (failed_run.exit_code, stand_in.asked) == (2, [])
    assert said in failed_run.stderr
    assert "s3cret" not in failed_run.stderr


RULES: list[dict[str, Any]] = [
    {"login_did": "7916*", "outcome": "busy", "q931_status": 17, "delay_s": 2.0},
    {"login_did": "*", "outcome": "unavailable", "q931_status": 27, "delay_s": None},
]
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "times": 2, "probability": 1.0},
    {"kind": "reset", "times": None, "probability": 0.5},
]


class _Edited:
    """A list of the admin API with an ETag. ``meanwhile`` is how often somebody else changes it first."""

    def __init__(self, items: list[dict[str, Any]], meanwhile: int = 0) -> None:
        self.items = items
        self.meanwhile = meanwhile

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "PUT":
            if self.meanwhile:
                self.meanwhile -= 1
                return refused("precondition_failed", "it was changed since it was read")
            self.items = asked.content["items"]
        return listed(*self.items)


@pytest.mark.parametrize(
    "command,items,expected",
    [
        ("outcomes set 5 --outcome answered", RULES, [{"login_did": "*", "outcome": "answered"}, RULES[0]]),
        (
            "outcomes set 5 --login-did 7915* --q931-status 31 --delay 1.5",
            RULES,
            [{"login_did": "7915*", "q931_status": 31, "delay_s": 1.5}, *RULES],
        ),
        ("outcomes remove 5 1", RULES, RULES[1:]),
        ("outcomes clear 5", RULES, []),
        ("faults add 5 cdr_lost", FAULTS, [*FAULTS, {"kind": "cdr_lost", "times": 1, "accepted": True}]),
        (
            "faults add 5 status --times always --probability 0.1 --status 500 --delay 1 --jitter 2 --rejected",
            [],
            [
                {
                    "kind": "status", "times": None, "probability": 0.1, "status": 500, "delay_s": 1.0, "jitter_s": 2.0,
                    "accepted": False,
                }
            ],
        ),
        ("faults remove 5 2", FAULTS, FAULTS[:1]),
        ("faults clear 5", FAULTS, []),
    ],
)  # fmt: skip
def test_a_list_is_edited_although_others_edit_it_too(
    stand_in: StandIn, command: str, items: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    """Nobody's change is lost: each attempt reads the list again."""
    edited = stand_in.answers[f"accounts/5/{command.split(maxsplit=1)[0]}"] = _Edited(items, meanwhile=1)
    assert in_json(run(stand_in, *command.split(), "--json"))["items"] == expected
    assert edited.items == expected
    assert [asked.method for asked in stand_in.asked] == ["GET", "PUT", "GET", "PUT"]


def test_a_list_that_others_never_cease_to_edit_is_left_alone(stand_in: StandIn) -> None:
    stand_in.answers["accounts/5/faults"] = _Edited(FAULTS, meanwhile=100)
    assert "precondition_failed" in failed(run(stand_in, "faults", "clear", 5), 1)


def test_an_item_is_removed_by_the_number_that_the_list_shows(stand_in: StandIn) -> None:
    stand_in.answers |= {"accounts/5/outcomes": _Edited(RULES), "accounts/5/faults": _Edited(FAULTS)}
    lines = done(run(stand_in, "outcomes", "list", 5)).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1", "7916*", "busy", "17", "2.0"],
        ["2", "*", "unavailable", "27"],
    ]
    lines = done(run(stand_in, "faults", "list", 5)).splitlines()
    assert [line.split() for line in lines[1:]] == [["1", "status", "2", "1.0"], ["2", "reset", "always", "0.5"]]
    assert "there is no fault 3; there are 2" in failed(run(stand_in, "faults", "remove", 5, 3), 2)


@pytest.mark.parametrize(
    "command,said",
    [
        ("outcomes set 5", "give --outcome or --q931-status"),
        ("outcomes set 5 --outcome busy --q931-status 17", "not both"),
        ("faults add 5 nonsense", "'nonsense' is not one of"),
        ("faults add 5 reset --times 0", "'0' is not a whole number from 1 to"),
        ("faults add 5 reset --times often", "'often' is not a whole number"),
        ("webhooks edit 5 1", "nothing to change"),
        ("webhooks edit 5 1 --header X:s3cret --clear headers", "given and cleared"),
    ],
)
def test_a_change_that_is_written_wrong_asks_nothing(stand_in: StandIn, command: str, said: str) -> None:
    result = run(stand_in, *command.split())
    assert (result.exit_code, stand_in.asked) == (2, [])
    assert said in result.stderr
    assert "s3cret" not in result.stderr


def test_a_webhook_is_shown_with_all_its_settings_and_without_secrets(stand_in: StandIn) -> None:
    webhook = {
        **WEBHOOK, "url": "http://u:s3cret@x/?k=s3cret", "headers": {"X-Key": "***"}, "query": {"key": "s3cret"},
        "constants": {"shop": "main"}, "retry": False, "ignore_response": True, "insecure": True, "cacert": None,
        "failed_in_a_row": 3,
    }  # fmt: skip
    stand_in.answers |= {"accounts/5/webhooks/1": (200, webhook), "accounts/5/webhooks": listed(webhook)}
    shown = done(run(stand_in, "webhooks", "show", 5, 1))
    for text in ("http://***@x/?***", "X-Key=***", "key=***", "shop=main", "ignored", "any", "3"):
        assert text in shown
    assert "s3cret" not in shown + done(run(stand_in, "webhooks", "list", 5))


def test_whether_calls_are_held_is_read(stand_in: StandIn) -> None:
    stand_in.answers["accounts/5"] = (200, {**ACCOUNT, "id": 5, "calls_held": True})
    assert done(run(stand_in, "hold", "show", 5)) == "account 5: new calls ring until they are completed\n"
    assert in_json(run(stand_in, "hold", "show", 5, "--json")) == {"id": 5, "calls_held": True}


def test_the_mistakes_of_an_account_make_the_command_fail(stand_in: StandIn) -> None:
    mistake = {
        "code": "refused", "message": "a request was refused: \x1b[2J", "request": 1, "refusal": "invalid_parameter",
        "delivery": None, "verification_call_uuid": None,
    }  # fmt: skip
    stand_in.answers["accounts/5/mistakes"] = listed(mistake)
    options = ["--expect-refusal", "not_found", "--expect-refusal", "conflict", "--expect-undelivered", "--wait", 2]
    result = run(stand_in, "accounts", "mistakes", 5, *options)
    assert result.exit_code == 1
    assert r"a request was refused: \x1b[2J" in result.stdout
    assert stand_in.asked[-1].query == {
        "expect_refusal": "not_found,conflict", "expect_undelivered": "true", "fidelity": "assumed", "wait": "2.0",
    }  # fmt: skip
    stand_in.answers["accounts/5/mistakes"] = listed()
    assert in_json(run(stand_in, "accounts", "mistakes", 5, "--fidelity", "documented", "--json"))["items"] == []
    assert stand_in.asked[-1].query == {"fidelity": "documented"}
    assert run(stand_in, "accounts", "mistakes", 5, "--expect-refusal", "nonsense").exit_code == 2


def test_an_unlimited_balance_is_in_the_list_of_accounts(stand_in: StandIn) -> None:
    stand_in.answers["accounts"] = listed({**ACCOUNT, "unlimited": True})
    assert " unlimited " in done(run(stand_in, "accounts"))


def test_amounts_are_text_from_end_to_end(stand_in: StandIn) -> None:
    """A float would make 90071992547409.93 roubles of it, or .92."""
    stand_in.answers |= {"accounts": listed(ACCOUNT), "accounts/12345678/top_up": (200, ACCOUNT)}
    assert "90071992547409.93" in done(run(stand_in, "accounts"))
    assert "90071992547409.93" in done(run(stand_in, "accounts", "top-up", 12345678, "9007199254740.9"))
    assert stand_in.asked[-1].content == {"amount": "9007199254740.90"}
    assert in_json(run(stand_in, "accounts", "top-up", 12345678, "1", "--json"))["balance"] == "90071992547409.93"
    for amount in ("0.001", "1e9999", "ten", "NaN"):
        assert "amount" in failed(run(stand_in, "accounts", "top-up", 12345678, amount), 2)


ENDED = {**DELIVERY, **CALL, "now": "2026-01-01T12:00:30.000+00:00", "status": "ok"}
HOOK = {**WEBHOOK, "n": 2, "url": "http://localhost:8000/\x1b[2J"}
HELD, FREE = {"id": 5, "calls_held": True}, {"id": 5, "calls_held": False}
ADDED = {"retry": True, "ignore_response": False, "filter": []}
FORM = {"method": "POST", "all_variables": False, "data_type": "json", "template": None, "values": "typed"}
NO_FIELDS: dict[str, dict[str, str]] = {"headers": {}, "query": {}, "constants": {}}


@pytest.mark.parametrize(
    "command,asked,answer,said",
    [
        (f"complete {UUID}", ("POST", f"calls/{UUID}/complete", {}), ENDED, "busy 17"),
        (f"complete {UUID} --outcome busy", ("POST", f"calls/{UUID}/complete", {"outcome": "busy"}), ENDED, UUID),
        (f"complete {UUID} --q931-status 27", ("POST", f"calls/{UUID}/complete", {"q931_status": 27}), ENDED, UUID),
        ("advance 1.5", ("POST", "clock/advance", {"seconds": 1.5}), ENDED, "says 2026-01-01 12:00:30 UTC"),
        ("reset", ("POST", "reset", {}), ENDED, "as it was configured"),
        (
            "webhooks enable 5 2",
            ("PATCH", "accounts/5/webhooks/2", {"enabled": True}),
            HOOK,
            "webhook 2 of account 5, http://localhost:8000/\\x1b[2J, is enabled\n",
        ),
        (
            "webhooks disable 5 2",
            ("PATCH", "accounts/5/webhooks/2", {"enabled": False}),
            HOOK,
            "webhook 2 of account 5, http://localhost:8000/\\x1b[2J, is disabled\n",
        ),
        ("webhooks remove 5 2", ("DELETE", "accounts/5/webhooks/2", None), {"status": "ok"}, "webhook 2 of account 5"),
        (
            "webhooks edit 5 2 --webhook-url http://x/ --no-retry --clear headers --clear filter",
            ("PATCH", "accounts/5/webhooks/2", {"url": "http://x/", "retry": False, "headers": {}, "filter": []}),
            HOOK,
            "webhook 2 of account 5 is http://localhost:8000/",
        ),
        (
            "webhooks edit 5 2 --body did --query a=b --heed-response --webhook-cacert /a.pem",
            (
                "PATCH",
                "accounts/5/webhooks/2",
                {
                    "all_variables": False,
                    "data_type": "json",
                    "body": ["did"],
                    "query": {"a": "b"},
                    "ignore_response": False,
                    "cacert": "/a.pem",
                    "insecure": False,
                },
            ),
            HOOK,
            "webhook 2 of account 5",
        ),
        ("hold on 5", ("PATCH", "accounts/5", {"calls_held": True}), HELD, "account 5: new calls ring until"),
        ("hold off 5", ("PATCH", "accounts/5", {"calls_held": False}), FREE, "account 5: new calls end as planned\n"),
        (
            "webhooks add 5 http://localhost:8000/",
            ("POST", "accounts/5/webhooks", {"url": "http://localhost:8000/", **FORM, **NO_FIELDS, **ADDED}),
            HOOK,
            "webhook 2 of account 5 is http://localhost:8000/\\x1b[2J: verification_call_uuid, q931_status\n",
        ),
        (
            (
                "webhooks add 5 http://x/ --all-variables --no-retry --ignore-response --webhook-insecure --query a=b=c"
                " --filter q931_status=17 --filter did!=7"
            ),
            (
                "POST",
                "accounts/5/webhooks",
                {
                    "url": "http://x/",
                    **FORM,
                    "all_variables": True,
                    **NO_FIELDS,
                    "query": {"a": "b=c"},
                    "retry": False,
                    "ignore_response": True,
                    "filter": [
                        {"variable": "q931_status", "operator": "equals", "value": "17", "not": False},
                        {"variable": "did", "operator": "equals", "value": "7", "not": True},
                    ],
                    "insecure": True,
                },
            ),
            {**HOOK, "all_variables": True},
            ": the whole event\n",
        ),
        (
            "webhooks add 5 http://x/ --data-type text --template ${{number}}",
            (
                "POST",
                "accounts/5/webhooks",
                {"url": "http://x/", **FORM, "data_type": "text", "template": "${{number}}", **NO_FIELDS, **ADDED},
            ),
            {**HOOK, "data_type": "text", "template": "${{number}}"},
            ": text: ${{number}}\n",
        ),
        (
            "webhooks add 5 http://x/ --body did,q931_status --values text --header X:a --constant n:=5 --method get",
            (
                "POST",
                "accounts/5/webhooks",
                {
                    "url": "http://x/",
                    **FORM,
                    "method": "GET",
                    "values": "text",
                    "headers": {"X": "a"},
                    "query": {},
                    "constants": {"n": 5},
                    "body": ["did", "q931_status"],
                    **ADDED,
                },
            ),
            {**HOOK, "body": ["did", "q931_status"], "values": "text"},
            ": did, q931_status, as text\n",
        ),
        ("accounts close 5", ("DELETE", "accounts/5", None), {"status": "ok"}, "account 5 is closed"),
        (
            "accounts open --number 79158888888 --webhook http://localhost:8000/a --balance 10 --id 5",
            (
                "POST",
                "accounts",
                {
                    "id": 5,
                    "balance": "10.00",
                    "credit": "0.00",
                    "numbers": ["79158888888"],
                    "webhooks": [{"url": "http://localhost:8000/a"}],
                },
            ),
            {**ACCOUNT, "token": "mcn-drawn"},
            "mcn-drawn",
        ),
        (
            "accounts open --token mine --seed 3",
            (
                "POST",
                "accounts",
                {"token": "mine", "seed": 3, "balance": "100.00", "credit": "0.00", "numbers": [], "webhooks": []},
            ),
            ACCOUNT,
            "90071992547409.93 roubles",
        ),
        (
            "accounts open --balance unlimited --credit 5",
            ("POST", "accounts", {"balance": "unlimited", "credit": "5.00", "numbers": [], "webhooks": []}),
            {**ACCOUNT, "unlimited": True},
            "90071992547409.93 roubles, unlimited",
        ),
        (
            "accounts edit 5 --credit 0.5",
            ("PATCH", "accounts/5", {"credit": "0.50"}),
            {**ACCOUNT, "credit": "0.50"},
            "0.50 roubles",
        ),
        ("accounts edit 5 --balance 1", ("PATCH", "accounts/5", {"balance": "1.00"}), ACCOUNT, "roubles\n"),
        (
            "accounts edit 5 --balance unlimited",
            ("PATCH", "accounts/5", {"balance": "unlimited"}),
            ACCOUNT,
            "roubles",
        ),
    ],
)
def test_an_action_asks_for_it_and_shows_what_came_of_it(
    stand_in: StandIn, command: str, asked: tuple[str, str, Any], answer: Any, said: str
) -> None:
    method, path, content = asked
    stand_in.answers[path] = (204, b"") if method == "DELETE" else (200, answer)
    assert said in done(run(stand_in, *command.split()))
    assert (stand_in.asked[-1].method, stand_in.asked[-1].path) == (method, f"/__admin/{path}")
    assert stand_in.asked[-1].content == content
    assert in_json(run(stand_in, *command.split(), "--json")) == answer


@pytest.mark.parametrize(
    "later,status,said",
    [
        ({"status": 204, "error": None}, 0, "HTTP 204, acknowledged"),
        ({"status": 500, "error": "HTTP 500, not acknowledged"}, 1, "HTTP 500, not acknowledged; it is sent again at"),
        ({"status": None, "error": "connection refused by ::1"}, 1, "connection refused by ::1"),
    ],
)
def test_a_resend_says_what_its_own_attempt_got(
    stand_in: StandIn, later: dict[str, Any], status: int, said: str
) -> None:
    """Three earlier attempts are there, the last of them still under way when it is sent again."""
    new = {**DELIVERY["attempts"][0], **later, "number": 4, "at": "2026-01-01T12:00:10.000+00:00"}
    straggler = {**DELIVERY["attempts"][0], "number": 3, "error": None, "at": "2026-01-01T12:00:05.000+00:00"}
    attempts = [*DELIVERY["attempts"], straggler, new]
    state = "delivered" if status == 0 else "pending"
    due_at = None if status == 0 else "2026-01-01T12:00:11.000+00:00"

    def grow(asked: Asked) -> Answer:
        shown = min(len(attempts), len(stand_in.asked))
        done = {"state": state, "due_at": due_at} if shown == len(attempts) else {}
        return 200, {**DELIVERY, **done, "attempts": attempts[:shown]}

    stand_in.answers |= {"deliveries/7/resend": (200, DELIVERY), "deliveries/7": grow}
    result = run(stand_in, "resend", 7)
    assert (result.exit_code, result.stderr) == (status, "")
    assert result.stdout.startswith(f"delivery 7 to {DELIVERY['url']}: {said}")
    assert result.stdout.count("\n") == 1
    assert (stand_in.asked[0].method, stand_in.asked[0].content) == ("POST", {})
    assert json.loads(run(stand_in, "resend", 7, "--json").stdout)["attempts"] == attempts


def test_a_resend_that_is_not_tried_says_why(stand_in: StandIn) -> None:
    failed = {**DELIVERY, "state": "failed", "due_at": None, "note": "the webhook was removed"}
    stand_in.answers |= {"deliveries/7/resend": (200, DELIVERY), "deliveries/7": (200, failed)}
    result = run(stand_in, "resend", 7)
    assert (result.exit_code, "the webhook was removed" in result.stdout) == (1, True)


def test_a_uuid_stays_one_step_of_the_path(stand_in: StandIn) -> None:
    failed(run(stand_in, "complete", "../../reset?x"), 1)
    assert stand_in.asked[-1].path == "/__admin/calls/..%2F..%2Freset%3Fx/complete"


def test_a_call_is_placed_through_the_vendors_api(stand_in: StandIn) -> None:
    answer = {"status": "success", "code": 200, "object": {**CALL, "account_id": "12345678"}}
    stand_in.answers["/v2/rest/account/12345678/flash_call"] = (200, answer)
    stand_in.answers["/v2/rest/account/5/call_for_2fa"] = (200, answer)
    assert UUID in done(run(stand_in, "call", "79157777777", "--code", "0042", "--country-id", "643"))
    assert stand_in.asked[-1].query == {"login_did": "79157777777", "code": "0042", "country_id": "643"}
    assert stand_in.asked[-1].headers["Authorization"] == "Bearer test-token"
    given = ["call", "79157777777", "--caller-did", "79158888888", "--account", "5", "--json"]
    assert in_json(run(stand_in, *given, MCN_MOCK_TOKEN="mine")) == answer
    assert stand_in.asked[-1].headers["Authorization"] == "Bearer mine"
    assert run(stand_in, *given, "--code", "0042").exit_code == 2
    stand_in.answers["/v2/rest/account/12345678/flash_call"] = (402, {"fehler": "kein Geld"})
    assert "402" in failed(run(stand_in, "call", "79157777777"), 1)
    numeric = {"status": "error", "code": 403, "errors": {"code": 583, "message": "the token has no access"}}
    stand_in.answers["/v2/rest/account/12345678/flash_call"] = (403, numeric)
    assert "583: the token has no access" in failed(run(stand_in, "call", "79157777777"), 1)


def test_a_call_is_placed_in_the_other_dialect(stand_in: StandIn) -> None:
    path = "/api/protected/api/auth/flashcall"
    answer = {"ok": True, "result": {**CALL, "account_id": 12345678}}
    stand_in.answers[path] = (200, answer)
    given = ["call", "77012345678", "--dialect", "paidmethods"]
    assert UUID in done(run(stand_in, *given, "--code", "0042"))
    assert (stand_in.asked[-1].content, stand_in.asked[-1].query) == ({"login_did": "77012345678", "code": "0042"}, {})
    assert in_json(run(stand_in, *given, "--json")) == answer
    stand_in.answers[path] = (400, {"ok": False, "error": "invalid_parameter", "name": "login_did"})
    assert "invalid_parameter: login_did" in failed(run(stand_in, *given), 1)
    stand_in.answers["/api/protected/api/auth/call_2fa"] = (200, {"success": 1})
    assert "accepted: call_for_2fa to 77012345678" in done(run(stand_in, *given, "--caller-did", "79158888888"))


def test_nothing_from_the_sandbox_steers_the_terminal(stand_in: StandIn) -> None:
    def made_hostile(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: made_hostile(item) for name, item in value.items()}
        if isinstance(value, list):
            return [made_hostile(item) for item in value]
        return f"{value}{HOSTILE}" if isinstance(value, str) and "T12:" not in value else value

    webhook = {**WEBHOOK, "template": "x"}
    rule = {"login_did": "7*", "outcome": "busy", "q931_status": 17, "delay_s": None}
    account = made_hostile({**ACCOUNT, "token": "t", "webhooks": [webhook], "outcomes": [rule]})
    entry = {"kind": "charge", "amount": "-0.15", "balance": "1", "at": "then", "verification_call_uuid": UUID}
    call, delivery = made_hostile(CALL), made_hostile(DELIVERY)
    stand_in.answers |= {
        "accounts": listed(account, following=HOSTILE),
        "accounts/5": (200, account),
        "accounts/5/ledger": listed(made_hostile(entry)),
        "accounts/5/top_up": (200, account),
        "calls": listed(call),
        f"calls/{UUID}": (200, call),
        f"calls/{UUID}/complete": (200, call),
        "deliveries": listed(delivery),
        "deliveries/7": (200, delivery),
        "deliveries/7/resend": (200, {**delivery, "attempts": [], "due_at": DELIVERY["attempts"][0]["at"]}),
        "clock/advance": (200, {"now": HOSTILE}),
        "reset": refused("conflict", HOSTILE),
        "/v2/rest/account/12345678/flash_call": (200, {"object": call}),
    }
    for words in (
        "accounts", "accounts show 5", "accounts top-up 5 1", "calls", f"calls show {UUID}", f"complete {UUID}",
        "deliveries", "deliveries show 7", "resend 7", "advance 1", "reset", "call 79157777777",
    ):  # fmt: skip
        for arguments in (words.split(), [*words.split(), "--json"]):
            result = run(stand_in, *arguments, "--limit", "1") if words == "accounts" else run(stand_in, *arguments)
            assert result.exit_code == (1 if words in ("reset", "resend 7") else 0), (words, result.output)
            text = result.stdout + result.stderr
            assert text
            assert text.isascii(), (words, text)
            assert all(c.isprintable() for line in text.split("\n") for c in line), (words, text)


def test_a_refusal_is_a_line_on_standard_error_and_status_1(stand_in: StandIn) -> None:
    stand_in.answers[f"calls/{UUID}/complete"] = refused("conflict", "the call has ended")
    assert failed(run(stand_in, "complete", UUID, "--json"), 1) == "mcn-mock: conflict: the call has ended\n"
    assert "not_found" in failed(run(stand_in, "calls", "show", "nobody"), 1)


def test_the_admin_token_is_sent_and_asked_for(stand_in: StandIn) -> None:
    def guarded(asked: Asked) -> Answer:
        known = asked.headers.get("Authorization") == "Bearer secret-1"
        return listed() if known else refused("unauthorized", "the admin API demands its token")

    stand_in.answers["calls"] = guarded
    assert "MCN_MOCK_ADMIN_TOKEN" in failed(run(stand_in, "calls"), 1)
    done(run(stand_in, "calls", "--admin-token", "secret-1"))
    done(run(stand_in, "calls", MCN_MOCK_ADMIN_TOKEN="secret-1"))
    told = failed(run(stand_in, "calls", "--admin-token", "secret-1\r\nX: y"), 2)
    assert "secret-1" not in told


def test_where_nobody_answers_the_line_says_what_to_start() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for words in ("calls", "accounts show 1", "tail", "reset --json", "call 79157777777"):
            line = failed(run(None, *words.split(), "--url", url), 3)
            assert "mcn-mock serve" in line
            assert url in line
            assert failed(run(None, *words.split(), MCN_MOCK_URL=url), 3) == line


def test_one_that_keeps_silent_is_failed_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = failed(run(None, "calls", "--timeout", "0.1", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}"), 3)
    assert "within 0.1 s" in line


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (200, b""),
        (404, b"nothing here"),
        (200, {"things": []}),
        (200, {"items": 5, "next": None}),
        (302, b""),
        (500, {"errors": "many"}),
        (200, b"[" * 100_000),
    ],
)
def test_another_server_is_told_from_a_sandbox(stand_in: StandIn, answer: tuple[int, Any]) -> None:
    stand_in.answers["calls"] = answer
    assert "no mcn-mock sandbox answers at " in failed(run(stand_in, "calls"), 3)


def test_an_item_of_another_form_is_told_too(stand_in: StandIn) -> None:
    stand_in.answers["calls"] = listed({"name": "other"})
    assert "another form" in failed(run(stand_in, "calls"), 3)


def test_an_endless_answer_is_not_read_to_its_end(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER", 100_000)
    stand_in.answers["calls"] = (200, b'"' + b"x" * 200_000 + b'"')
    assert "over 100000 bytes" in failed(run(stand_in, "calls"), 3)


def test_a_certificate_is_checked_and_its_authority_can_be_given(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    with StandIn({"calls": listed(CALL)}, tls=context) as secured:
        assert "--cacert" in failed(run(secured, "calls"), 3)
        assert UUID in done(run(secured, "calls", "--cacert", file))
        assert UUID in done(run(secured, "calls", MCN_MOCK_CACERT=str(file)))


@pytest.mark.parametrize("path", ["", "/", "/v2/rest", "/v2/rest/", "/__admin", "/__admin/"])
def test_the_url_may_be_one_that_the_sandbox_prints(stand_in: StandIn, path: str) -> None:
    stand_in.answers["calls"] = listed(CALL)
    assert UUID in done(run(None, "calls", "--url", stand_in.url + path))
    assert stand_in.asked[-1].path == "/__admin/calls"


@pytest.mark.parametrize(
    "words",
    [
        ["calls", "--url", "localhost:8643"],
        ["calls", "--url", "http://user:secret@localhost"],
        ["calls", "--url", "http://localhost:99999"],
        ["calls", "--url", "https://localhost", "--cacert", "/nonexistent"],
        ["calls", "--limit", "0"],
        ["calls", "shwo"],
        ["calls", "--account", "abc"],
        ["complete"],
        ["complete", UUID, "--outcome", "busy", "--q931-status", "17"],
        ["complete", UUID, "--outcome", "bussy"],
        ["complete", UUID, "--q931-status", "128"],
        ["advance", "--", "-1"],
        ["nothing"],
    ],
)
def test_a_wrong_word_is_status_2_and_nothing_is_asked(stand_in: StandIn, words: list[str]) -> None:
    result = run(None, *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    assert "secret" not in result.stderr


def complete(words: str, **environment: str) -> list[str]:
    """What a shell is offered after the words, the last of which is incomplete."""
    given = {"_MCN_MOCK_COMPLETE": "bash_complete", "COMP_WORDS": f"mcn-mock {words}", **environment}
    given["COMP_CWORD"] = str(len(words.split(" ")))
    result = CliRunner().invoke(mcn_mock, [], env=given, prog_name="mcn-mock", complete_var="_MCN_MOCK_COMPLETE")
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def test_a_shell_completes_commands_outcomes_and_what_the_sandbox_has(stand_in: StandIn) -> None:
    stand_in.answers |= {
        "accounts": listed(ACCOUNT, {**ACCOUNT, "id": 5}),
        "calls": listed(CALL, {**CALL, "verification_call_uuid": "$(reboot)"}),
        "deliveries": listed(DELIVERY),
    }
    there = {"MCN_MOCK_URL": stand_in.url}
    assert complete("comp") == ["complete"]
    assert set(complete("accounts ")) == {"list", "show", "mistakes", "open", "edit", "top-up", "close"}
    assert complete("complete x --outcome b") == ["busy"]
    assert complete("complete x --q931-status 3") == ["3", "31", "34", "38"]
    assert complete("accounts show ", **there) == ["12345678", "5"]
    assert complete("accounts close 1", **there) == ["12345678"]
    assert complete("complete 1", **there) == [UUID]
    assert complete("complete $", **there) == []
    assert complete(f"calls show --url {stand_in.url} ") == [UUID]
    assert complete("resend ", **there) == ["7"]
    assert complete("tail --account 5", **there) == ["5"]


def test_a_shell_is_offered_nothing_where_no_sandbox_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert complete("complete ", MCN_MOCK_URL=f"http://127.0.0.1:{unused.getsockname()[1]}") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_click_has_the_script_for_each_shell_that_is_documented(shell: str) -> None:
    given = {"_MCN_MOCK_COMPLETE": f"{shell}_source"}
    result = CliRunner().invoke(mcn_mock, [], env=given, prog_name="mcn-mock", complete_var="_MCN_MOCK_COMPLETE")
    assert "_MCN_MOCK_COMPLETE" in result.stdout


def test_every_command_helps() -> None:
    def walk(group: click.Group, words: list[str]) -> Iterator[list[str]]:
        yield words
        ctx = click.Context(group)
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            if isinstance(command, click.Group):
                yield from walk(command, [*words, name])
            else:
                yield [*words, name]

    commands = list(walk(mcn_mock, []))
    assert len(commands) > 15
    for words in commands:
        helped = done(run(None, *words, "--help"))
        assert helped.startswith("Usage: mcn-mock")
        assert max(map(len, helped.splitlines())) <= 80
