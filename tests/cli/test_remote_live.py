"""The commands as processes of their own, beside a running sandbox."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from helpers.client import RUSSIAN
from helpers.sandbox import MCN_MOCK, Sandbox, running_sandbox
from helpers.sandbox_stub import CALL, DELIVERY, StandIn, listed
from helpers.systems import unmeasured
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.cli.commands import mcn_mock

CONFIG = """
[[account]]
id = 12345678
token = "test-token"
balance = "100.00"
numbers = ["79158888888"]
[[account.webhook]]
url = "{}"
[[account.outcome]]
login_did = "7916*"
outcome = "answered"
delay_s = 3600
"""


OVERLOADED = b'61\r\n\r\n{"errors": [{"code": "overloaded", "message": "one moment"}]}'


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Receiver]:
    with Receiver() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def config(endpoint: Receiver) -> str:
    return CONFIG.format(endpoint.url)


@pytest.fixture(scope="module")
def started(config: str) -> Iterator[Sandbox]:
    with running_sandbox(config=config) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(started: Sandbox, endpoint: Receiver) -> Sandbox:
    asked(started, "reset")
    endpoint.received.clear()
    return started


def asked(sandbox: Sandbox, words: str) -> Any:
    """What a command prints with --json, in this process."""
    arguments = [*words.split(), "--json", "--url", sandbox.url]
    result = CliRunner().invoke(mcn_mock, arguments, prog_name="mcn-mock")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return json.loads(result.stdout)


def test_a_day_at_the_command_line(sandbox: Sandbox, endpoint: Receiver) -> None:
    def mcn(words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([MCN_MOCK, *words.split()], capture_output=True, text=True, env=env, check=False)

    env = {**os.environ, "MCN_MOCK_URL": sandbox.url}
    uuid = mcn("call 79160000001 --code 0042").stdout.partition(":")[0]
    assert re.search(rf"{uuid} .* 79160000001 +0042 +0\.15  ringing\n", mcn("calls").stdout)
    assert asked(sandbox, f"complete {uuid} --outcome busy")["q931_status"] == 17

    asked(sandbox, "advance 0")  # answered once the CDR has been tried
    (delivery,) = asked(sandbox, "deliveries")["items"]
    assert (delivery["verification_call_uuid"], delivery["state"]) == (uuid, "delivered")
    again = asked(sandbox, f"resend {delivery['id']}")
    assert (again["state"], len(again["attempts"])) == ("delivered", 2)
    received = [cdr for cdr in endpoint.received if cdr["verification_call_uuid"] == uuid]
    assert [cdr["q931_status"] for cdr in received] == [17, 17]
    shown = asked(sandbox, f"calls show {uuid}")
    assert len(shown["deliveries"]) == 1
    assert "completed manually" in str(shown["explanation"])

    assert asked(sandbox, "accounts top-up 12345678 10")["balance"] == "109.85"
    opened = asked(sandbox, "accounts open --balance 1 --number 79150000000 --name team")
    assert [account["name"] for account in asked(sandbox, "accounts")["items"]] == ["", "team"]
    account, token = opened["id"], opened["token"]
    changed = asked(sandbox, f"accounts edit {account} --balance 0 --credit 0.01 --name other")
    assert (changed["balance"], changed["credit"], changed["name"]) == ("0.00", "0.01", "other")
    words = f"call {RUSSIAN} --caller-did 79150000000 --account {account} --token {token}"
    assert asked(sandbox, words)["status"] == "success"
    assert asked(sandbox, f"accounts show {account}")["ledger"][0]["amount"] == "-0.01"
    assert len(asked(sandbox, "calls")["items"]) == 2
    assert len(asked(sandbox, f"calls --account {account}")["items"]) == 1
    added = asked(sandbox, f"webhooks add {account} {endpoint.url} --all-variables --filter final_status=ANSWERED")
    assert (added["n"], added["all_variables"], added["filter"][0]["value"]) == (1, True, "ANSWERED")
    assert asked(sandbox, f"accounts close {account}") == {"status": "ok"}
    assert [item["id"] for item in asked(sandbox, "accounts")["items"]] == [12345678]
    now, later = (asked(sandbox, f"advance {seconds}")["now"] for seconds in (0, 3600))
    assert now[:10] <= later[:10]
    asked(sandbox, "reset")
    assert asked(sandbox, "calls")["items"] == []
    assert asked(sandbox, "accounts show 12345678")["balance"] == "100.00"

    refused = mcn(f"complete {uuid}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "not_found" in refused.stderr


@contextmanager
def tailing(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [MCN_MOCK, "tail", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        watchdog = threading.Timer(60, process.kill)  # a wait for a line that never comes ends too
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()


def until(stream: IO[str] | None, word: str) -> str:
    """The next line with the word."""
    assert stream is not None
    for line in stream:
        if word in line:
            return line
    raise AssertionError(f"the stream ended without {word!r}")


def test_a_tail_outlives_its_sandbox_and_ends_with_ctrl_c(config: str) -> None:
    with running_sandbox(config=config) as sandbox, tailing("--url", sandbox.url) as process:
        port = str(urlsplit(sandbox.url).port)
        until(process.stderr, "listens to")
        uuid = sandbox.flash_call()["verification_call_uuid"]
        assert f"{uuid}  answered 16, ANSWERED" in until(process.stdout, " call ")
        assert f"{uuid}  delivered, HTTP 204" in until(process.stdout, " delivered")
        sandbox.process.kill()
        sandbox.process.wait()
        assert "waiting for it" in until(process.stderr, "has gone")
        with socket.create_server(("127.0.0.1", int(port))) as starting:
            starting.settimeout(60)
            for answer in (b"", b"HTTP/1.1 503 Busy\r\nContent-Length: " + OVERLOADED):
                connection, _ = starting.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)
        with running_sandbox("--port", port, config=config) as again:
            until(process.stderr, "is back")
            assert again.flash_call()["verification_call_uuid"] in until(process.stdout, " call ")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert (process.returncode, err) == (0, "")


def test_a_tail_in_json_is_json_lines_of_one_account_and_nothing_else(sandbox: Sandbox) -> None:
    other = asked(sandbox, "accounts open --balance 1 --token other")["id"]
    with tailing("--url", sandbox.url, "--json", "--account", "12345678") as process:
        until(process.stderr, "listens to")
        sandbox.flash_call(account_id=str(other), token="other")
        uuid = sandbox.flash_call()["verification_call_uuid"]
        asked(sandbox, "advance 0")
        asked(sandbox, "reset")
        assert process.stdout is not None
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] != "reset":
            events.append(json.loads(process.stdout.readline()))
        assert {event["event"] for event in events} == {"call", "delivery", "account", "request", "reset"}
        calls = [event["data"] for event in events if event["event"] == "call"]
        assert {call["verification_call_uuid"] for call in calls} == {uuid}
        assert str(other) not in json.dumps(events)


def test_a_tail_ends_with_its_reader_although_nothing_happens(sandbox: Sandbox) -> None:
    with tailing("--url", sandbox.url) as process:
        until(process.stderr, "listens to")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def in_terminal(columns: int, *arguments: str, **environment: str) -> str:
    """What a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment}
    with subprocess.Popen([MCN_MOCK, *arguments], stdout=theirs, stderr=subprocess.STDOUT, env=env) as process:
        os.close(theirs)
        written = bytearray()
        try:
            while chunk := os.read(ours, 65_536):
                written += chunk
        except OSError:
            pass  # how a terminal says that nobody is at its other end
        assert process.wait(timeout=30) == 0
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def test_a_table_fits_the_terminal_and_is_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    long = {**CALL, "account_id": 123456789012345, "verification_call_uuid": "119214e015ed_123456789012345"}
    url = "http://staging.example.com/" + "webhooks/" * 20
    with StandIn({"calls": listed(long), "deliveries": listed({**DELIVERY, "url": url})}) as stand_in:
        shown = in_terminal(80, "calls", "--url", stand_in.url)
        assert "\x1b[1m" in shown
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(map(len, plain.splitlines())) <= 80
        assert long["verification_call_uuid"] in plain
        assert long["caller_did"] not in plain
        wide = in_terminal(200, "calls", "--url", stand_in.url, NO_COLOR="1")
        assert "\x1b" not in wide
        assert long["caller_did"] in wide
        folded = in_terminal(80, "deliveries", "--url", stand_in.url, NO_COLOR="1")
        assert max(map(len, folded.splitlines())) <= 80
        assert "".join(line[-25:].strip() for line in folded.splitlines()[1:]).endswith(url[-40:])
        for path, whole in (("calls", long["caller_did"]), ("deliveries", url)):
            monkeypatch.setenv("FORCE_COLOR", "1")
            monkeypatch.setenv("COLUMNS", "40")
            piped = CliRunner().invoke(mcn_mock, [path, "--url", stand_in.url]).stdout
            assert "\x1b" not in piped
            assert whole in piped
            assert piped.count("\n") == 2


@unmeasured
@pytest.mark.parametrize(
    "words,absent",
    [
        (["--help"], ["rich", "httptools", "jsonschema", "phonenumbers"]),
        (["calls", "--json", "--url", "{}"], ["rich", "httptools", "jsonschema", "phonenumbers"]),
        (["calls", "--url", "{}"], ["rich.table", "httptools", "jsonschema", "phonenumbers"]),
        (["serve", "--config", "/nonexistent"], ["rich", "jsonschema", "phonenumbers"]),
    ],
)
def test_a_command_loads_what_it_needs(words: list[str], absent: list[str]) -> None:
    program = (
        "import sys\nfrom pytest_mcn_mock.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {absent} if m in sys.modules], file=sys.stderr)"
    )
    with StandIn({"calls": listed(CALL)}) as stand_in:
        command = [sys.executable, "-c", program, *(word.format(stand_in.url) for word in words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
