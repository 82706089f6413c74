"""What the network can make the sandbox hold is bounded: sockets that send too much, too slowly, or nothing."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from helpers.client import RUSSIAN, flash_call, refusal
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import MCNServer, Settings

HEAD = b"GET /__admin/health HTTP/1.1\r\nHost: localhost\r\n"
SMALL = (
    "import pytest_mcn_mock.cli.server as server; server.MAX_CONNECTIONS = 3; server.HEAD_TIMEOUT_S = 60; "
    "server.STOP_S = 5"
)


def status(sandbox: Sandbox, sent: bytes) -> int:
    """The status of the answer; 0 where the connection ended without one."""
    with sandbox.connect() as connection:
        try:
            connection.sendall(sent)
            answer = connection.recv(65_536)
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize(
    "more,expected",
    [
        (b"".join(b"X-%d: y\r\n" % n for n in range(98)), 200),
        (b"".join(b"X-%d: y\r\n" % n for n in range(100)), 431),
        (b"X: " + b"y" * 20_000 + b"\r\n", 200),
        (b"X: " + b"y" * 65_400 + b"\r\n", 200),
        (b"X: " + b"y" * 65_600 + b"\r\n", 431),
        (b"X: " + b"y" * 80_000 + b"\r\n", 431),
        (b"".join(b"X-%d: %s\r\n" % (n, b"y" * 2_000) for n in range(90)), 431),
    ],
    ids=["98 headers", "100 headers", "20 kB", "less than 64 KiB", "more", "80 kB", "180 kB in 90 headers"],
)
def test_a_head_is_bounded_in_number_and_size(shared: Sandbox, more: bytes, expected: int) -> None:
    assert status(shared, HEAD + more + b"\r\n") == expected


def test_a_request_line_is_bounded(shared: Sandbox) -> None:
    line = b"GET /__admin/health?%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert status(shared, line % (b"y" * 20_000)) == 200
    assert status(shared, line % (b"y" * 60_000)) == 200
    assert status(shared, line % (b"y" * 80_000)) == 414  # RFC 9112, 3


def test_more_connections_than_are_served_wait_for_one_to_end() -> None:
    with running_sandbox(before=SMALL) as sandbox, ExitStack() as stack:
        held = [stack.enter_context(sandbox.connect()) for _ in range(3)]
        for connection in held[:2]:
            connection.sendall(HEAD)  # and no end of it
        served = held[2]
        waiting = stack.enter_context(sandbox.connect())
        waiting.sendall(HEAD + b"\r\n")
        for _ in range(20):  # the server has time for it, were it to be served
            served.sendall(HEAD + b"\r\n")
            assert served.recv(65_536).startswith(b"HTTP/1.1 200")
        waiting.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)
        waiting.setblocking(True)
        held[0].close()
        assert waiting.recv(65_536).startswith(b"HTTP/1.1 200")


PAYING_FOR_SIX = """
[server]
max_pending = 2
[[account]]
id = 12345678
token = "test-token"
balance = "1.00"
numbers = ["79158888888"]
[[account.webhook]]
url = "{}"
"""


@pytest.mark.parametrize("is_kept", [False, True], ids=["memory", "state"])
def test_a_call_that_would_owe_one_cdr_too_many_is_refused_and_nothing_accepted_is_lost(
    tmp_path: Path, is_kept: bool
) -> None:
    state = ["--state", f"sqlite:///{tmp_path / 'state.db'}"] if is_kept else []
    with Receiver() as receiver:
        release = receiver.hold()
        with running_sandbox(*state, config=PAYING_FOR_SIX.format(receiver.url)) as sandbox:
            accepted = [sandbox.flash_call()["verification_call_uuid"] for _ in range(2)]
            refused = sandbox.order()
            assert (refusal(refused), refused.headers["Retry-After"]) == ((429, "overloaded", None), "1")
            last = sandbox.admin("requests")["items"][-1]
            assert (last["status"], last["refusal"]["code"]) == (429, "overloaded")
            asked = {"method": "flash_call", "login_did": RUSSIAN}
            by_tester = requests.post(f"{sandbox.url}/__admin/accounts/12345678/calls", json=asked, timeout=30)
            assert refusal(by_tester) == (429, "overloaded", None)
            assert sandbox.order("call_for_2fa", caller_did="79158888888").status_code == 200
            assert sandbox.admin("accounts/12345678")["balance"] == "0.69"
            ready = requests.get(f"{sandbox.url}/__admin/health/ready", timeout=30)
            assert (ready.status_code, ready.json()["reasons"]) == (503, ["overloaded"])
            assert sandbox.admin("health")["ready"] is False
            assert requests.get(f"{sandbox.url}/__admin/health/live", timeout=30).status_code == 200
            release()
            wait_until(lambda: bool(sandbox.admin("health")["ready"]))
            assert sandbox.order().status_code == 200
            assert sandbox.stop()[:2] == (0, "mcn-mock stopped; no CDR is pending\n")
        assert {cdr["verification_call_uuid"] for cdr in receiver.received} > set(accepted)


def test_the_last_place_is_taken_once() -> None:
    with MCNServer(settings=Settings(max_pending=5)) as server:
        account = server.open_account()
        account.subscribe("http://127.0.0.1:1/")
        account.hold_cdrs()
        with ThreadPoolExecutor(8) as clients:
            statuses = list(clients.map(lambda _: flash_call(account).status_code, range(20)))
        assert sorted(statuses) == [200] * 5 + [429] * 15
        assert len(account.calls) == 5
        account.calls[0].complete("busy")
        account.settle()
        assert flash_call(account).status_code == 429  # not acknowledged, so that it is pending still
        account.clock.advance(86_400)
        assert flash_call(account).status_code == 200


def test_ready_ends_before_the_server_does() -> None:
    with running_sandbox() as sandbox, sandbox.connect() as connection:
        connection.sendall(b"GET /__admin/health/ready HTTP/1.1\r\nHost: localhost\r\n")
        assert sandbox.admin("health/ready") == {"status": "ok", "ready": True, "reasons": []}
        sandbox.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(sandbox))
        connection.sendall(b"\r\n")
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"reasons": ["stopping"]' in answer
        assert sandbox.stop()[0] == 0


def listens(sandbox: Sandbox) -> bool:
    try:
        sandbox.connect().close()
    except ConnectionError:
        return False
    return True


def test_a_ringing_call_that_is_listed_no_more_is_shown_once_it_is_completed() -> None:
    with MCNServer(settings=Settings(journal_size=2)) as server:
        account = server.open_account()
        account.hold_cdrs()
        flash_call(account)
        flash_call(account)
        first, second = account.calls
        flash_call(account)
        flash_call(account)
        ended = requests.post(
            f"{server.url}/__admin/calls/{first.verification_call_uuid}/complete", json={"outcome": "busy"}, timeout=30
        )
        assert (ended.status_code, ended.json()["outcome"]) == (200, "busy")
        assert second.complete("answered") is None
        assert (second.state, second.final_status) == ("completed", "ANSWERED")
