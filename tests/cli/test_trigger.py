"""``mcn-mock trigger``: a CDR to an endpoint, with no sandbox at all."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from helpers.client import RUSSIAN
from helpers.sandbox import running_sandbox, with_webhook
from helpers.sandbox_stub import StandIn
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.model.cdr import VARIABLES

UUID = "fa278be48dc2_117793"
OF_THE_TIME = {
    "start_time", "stop_time", "linkedid", "uniqueid", "sip_call_hash_id", "last_linked_id", "call4raw", "did"
}  # fmt: skip
"""The variables that depend on the time of the call, or on the caller's number."""


def trigger(*arguments: object) -> Result:
    return CliRunner().invoke(mcn_mock, ["trigger", *map(str, arguments)], prog_name="mcn-mock")


@pytest.mark.parametrize(
    "arguments,ended",
    [
        ([], {"q931_status": 16, "final_status": "ANSWERED"}),
        (["--outcome", "busy"], {"q931_status": 17, "final_status": "NO ANSWER"}),
        (["--outcome", "no_answer"], {"q931_status": 16, "final_status": "NO ANSWER"}),
        (["--outcome", "rejected"], {"q931_status": 31}),
        (["--outcome", "unavailable"], {"q931_status": 18}),
        (["--q931-status", "17"], {"q931_status": 17, "final_status": "NO ANSWER"}),
        (["--q931-status", "127"], {"q931_status": 127}),
    ],
)
def test_the_cdr_says_what_the_article_has_for_the_outcome(
    receiver: Receiver, arguments: list[str], ended: dict[str, Any]
) -> None:
    result = trigger(receiver.url, "--uuid", UUID, *arguments)
    assert result.exit_code == 0, result.output
    assert receiver.received == [{"verification_call_uuid": UUID, **ended}]
    assert receiver.url in result.stdout
    assert "HTTP 204, acknowledged" in result.stdout


def test_it_is_the_request_that_a_sandbox_sends(receiver: Receiver) -> None:
    """Variables, constants, query, headers: but for the time and the caller's number, the two are one."""
    variables = [name for name in VARIABLES if name not in OF_THE_TIME]
    more = f"""
        body = {variables}
        headers = {{ X-Key = "sesame", X-Call = "${{{{verification_call_uuid}}}}" }}
        query = {{ to = "${{{{number}}}}" }}
        constants = {{ shop = "a", n = 5, test = true, of = "call ${{{{verification_call_uuid}}}}" }}
        [[account.outcome]]
        q931_status = 27
    """
    with running_sandbox(config=with_webhook(f"{receiver.url}?a=1") + more) as sandbox:
        uuid = sandbox.flash_call()["verification_call_uuid"]
        sandbox.stop()
    given = ["--constant", "shop=a", "--constant", "n:=5", "--constant", "test:=true", "--header", "X-Key: sesame"]
    given += ["--constant", "of=call ${{verification_call_uuid}}", "--header", "X-Call: ${{verification_call_uuid}}"]
    given += ["--query", "to=${{number}}"]
    cause = ["--q931-status", 27, "--login-did", RUSSIAN]
    assert trigger(f"{receiver.url}?a=1", "--uuid", uuid, "--body", ",".join(variables), *cause, *given).exit_code == 0
    assert receiver.received[0] == receiver.received[1]
    assert list(receiver.received[0]) == list(receiver.received[1])
    assert receiver.headers[0] == receiver.headers[1]
    assert receiver.paths[0] == receiver.paths[1]
    assert receiver.paths[0].endswith(f"?a=1&to={RUSSIAN}")
    assert receiver.headers[0]["X-Call"] == uuid
    assert receiver.received[0]["of"] == f"call {uuid}"


def test_the_whole_event_is_sent_in_its_envelope(receiver: Receiver) -> None:
    result = trigger(receiver.url, "--all-variables", "--uuid", UUID, "--outcome", "busy")
    assert result.exit_code == 0, result.output
    (event,) = receiver.received
    assert list(event) == ["account_id", "event_type", "created_at", "idempotencyKey", "data"]
    assert (event["account_id"], event["event_type"]) == (117793, "FlashCall")
    data = event["data"]
    assert (data["verification_call_uuid"], data["q931_status"], data["final_status"]) == (UUID, 17, "NO ANSWER")
    assert datetime.fromisoformat(data["stop_time"]) - datetime.fromisoformat(data["start_time"]) == timedelta(
        seconds=5
    )
    assert receiver.headers[0]["Content-Type"] == "application/json"


def test_a_text_has_the_variables_in_it() -> None:
    with StandIn({"/hook": (204, b"")}) as endpoint:
        template = "${{verification_call_uuid}} to ${{number}}: ${{q931_status}} ${{final_status}}."
        result = trigger(
            f"{endpoint.url}/hook", "--data-type", "text", "--template", template, "--uuid", UUID, "--json"
        )
    request = json.loads(result.stdout)["request"]
    assert request["body"] == f"{UUID} to {RUSSIAN}: 16 ANSWERED."
    assert request["headers"]["Content-Type"] == "text/plain; charset=utf-8"


def test_values_can_all_be_text(receiver: Receiver) -> None:
    assert trigger(receiver.url, "--values", "text", "--uuid", UUID, "--constant", "n:=5").exit_code == 0
    assert receiver.received == [
        {"verification_call_uuid": UUID, "q931_status": "16", "final_status": "ANSWERED", "n": "5"}
    ]


def test_by_get_the_variables_are_in_the_query(receiver: Receiver) -> None:
    assert trigger(receiver.url, "--method", "get", "--uuid", UUID, "--outcome", "busy").exit_code == 0
    assert receiver.methods == ["GET"]
    assert receiver.paths[0].endswith(f"?verification_call_uuid={UUID}&q931_status=17&final_status=NO+ANSWER")


def test_without_a_uuid_one_of_the_articles_form_is_drawn(receiver: Receiver) -> None:
    for _ in range(2):
        assert trigger(receiver.url, "--body", "verification_call_uuid, accountId").exit_code == 0
    first, second = receiver.received
    assert first["verification_call_uuid"] != second["verification_call_uuid"]
    assert len(first["verification_call_uuid"].partition("_")[0]) == 12
    assert str(first["accountId"]) == first["verification_call_uuid"].partition("_")[2]


def test_what_is_not_acknowledged_is_status_1(receiver: Receiver) -> None:
    receiver.statuses = [302]
    result = trigger(receiver.url)
    assert (result.exit_code, len(receiver.received)) == (1, 1)
    assert "HTTP 302, not acknowledged" in result.stdout
    result = trigger("http://127.0.0.1:1/", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["acknowledged"], told["status"], told["response"]) == (False, None, None)
    assert told["error"]
    assert result.stderr == ""


def test_the_json_document_has_the_request_and_the_answer_and_no_secret(receiver: Receiver) -> None:
    arguments = [receiver.url, "--uuid", UUID, "--header", "X-Key: sesame", "--json"]
    result = trigger(*arguments)
    told = json.loads(result.stdout)
    assert (told["acknowledged"], told["status"], told["error"]) == (True, 204, None)
    assert told["request"]["method"] == "POST"
    assert told["request"]["url"] == receiver.url
    assert told["request"]["headers"]["X-Key"] == "***"
    assert json.loads(told["request"]["body"])["verification_call_uuid"] == UUID
    assert told["response"]["headers"]["Content-Length"] == "0"
    assert receiver.headers[0]["X-Key"] == "sesame"
    assert "sesame" not in result.stdout + trigger(*arguments[:-1]).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://user:sesame@127.0.0.1:1/"],
        ["http://user:sesame@127.0.0.1:1/", "--json"],
        ["http://user:sesame/2@host:x"],
        ["user:sesame@host/"],
        ["http://host /?key=sesame"],
        ["http://127.0.0.1:1/", "--header", "X-Key:", "sesame"],
        ["http://127.0.0.1:1/", "--header", "sesame"],
        ["http://127.0.0.1:1/", "--header", "X Key: sesame"],
        ["http://127.0.0.1:1/", "--header", "X-Key: sesame\nX: y"],
        ["http://127.0.0.1:1/", "--header", "Content-Length: sesame"],
        ["http://127.0.0.1:1/", "--constant", "sesame"],
        ["http://127.0.0.1:1/", "--constant", "key:=sesame"],
    ],
)
@pytest.mark.parametrize("command", ["trigger", "check"])
def test_no_message_has_a_secret(command: str, arguments: list[str]) -> None:
    if command == "check" and {"--constant", "--json"} & set(arguments):
        return
    result = CliRunner().invoke(mcn_mock, [command, *arguments], prog_name="mcn-mock")
    assert result.exit_code in (1, 2, 3)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    told = result.stdout + result.stderr
    assert told
    assert "sesame" not in told


def test_an_answer_does_not_steer_the_terminal() -> None:
    with StandIn({"/hook": (200, "\x1b[2J\x9b\u202eзвонок\r\n".encode() + b"\xff" * 3000)}) as endpoint:
        shown = trigger(f"{endpoint.url}/hook")
    assert shown.exit_code == 0
    assert "\\x1b[2J\\x9b\\u202eзвонок" in shown.stdout
    assert all(c.isprintable() for line in shown.stdout.split("\n") for c in line)
    assert "characters more" in shown.stdout


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["localhost:8000"], "url"),
        (["{}", "--body", "q931_satus"], "q931_status"),
        (["{}", "--header", "X-Key"], "colon"),
        (["{}", "--header", "X Key: a"], "token"),
        (["{}", "--constant", "shop"], "NAME=VALUE"),
        (["{}", "--constant", "n:=1.5"], "whole number"),
        (["{}", "--constant", "n:=x"], "whole number"),
        (["{}", "--uuid", "a b"], "--uuid"),
        (["{}", "--login-did", "12"], "login_did"),
        (["{}", "--method", "PUT"], "PUT"),
        (["{}", "--query", "=x"], "NAME=VALUE"),
        (["{}", "--constant", "a${{{{did}}}}=x"], "variable in a key"),
        (["{}", "--query", "a=${{{{numbr}}}}"], "'number'"),
        (["{}", "--template", "x"], "template is for"),
        (["{}", "--data-type", "text"], "template is missing"),
        (["{}", "--data-type", "text", "--template", "x", "--body", "did"], "leave it out"),
        (["{}", "--all-variables", "--body", "did"], "leave it out"),
        (["{}", "--all-variables", "--method", "GET"], "all_variables"),
        (["{}", "--all-variables", "--constant", "a=b"], "constants"),
        (["{}", "--values", "number"], "number"),
        (["{}", "--outcome", "busy", "--q931-status", "17"], "not both"),
        (["{}", "--timeout", "0"], "--timeout"),
        ([], "URL"),
    ],
)
def test_a_wrong_word_is_status_2_and_nothing_is_sent(receiver: Receiver, arguments: list[str], said: str) -> None:
    result = trigger(*(word.format(receiver.url) for word in arguments))
    assert (result.exit_code, receiver.received) == (2, [])
    assert said in result.stderr
