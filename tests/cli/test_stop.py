"""How the sandbox ends: in bounded time whoever hangs on, with status 0, and saying what it leaves undone."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox, with_webhook
from helpers.webhook_endpoints import Gated

IMPATIENT = "import pytest_mcn_mock.cli.server as server; server.STOP_S = 0.3"
QUIET = ("--log-level", "warning")


@contextmanager
def connected(sandbox: Sandbox, sent: bytes) -> Iterator[socket.socket]:
    """A client that has sent so much, and sends no more. The server has read it when this begins."""
    with sandbox.connect() as connection:
        connection.sendall(sent)
        assert sandbox.admin("health")
        yield connection


HANGING = (
    b"",
    b"POST /v2/rest/account/123",
    b"POST /v2/rest/account/12345678/flash_call HTTP/1.1\r\nHost: x\r\nAuthor",
    b"POST /v2/rest/account/1/flash_call HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    b"GET /__admin/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
)
"""Nothing, half a line, half a head, half a body, and a whole request."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_client_that_hangs_on_keeps_it_from_ending(number: int) -> None:
    with running_sandbox(before=IMPATIENT) as sandbox, ExitStack() as clients:
        for sent in HANGING:
            clients.enter_context(connected(sandbox, sent))
        assert sandbox.stop(number) == (0, "mcn-mock stopped; no CDR is pending\n", "")


@pytest.mark.parametrize("first,second", [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_signal_that_comes_late_does_not_kill_it(first: int, second: int) -> None:
    """It comes as the modules are taken down, when Python has taken back the handlers that are functions."""
    kill = f"lambda _, kill=os.kill, pid=os.getpid(): kill(pid, {second:d})"
    again = f"import os, sys; sys.last = type('Last', (), {{'__del__': {kill}}})()"
    with running_sandbox(before=again) as sandbox:
        assert sandbox.stop(first) == (0, "mcn-mock stopped; no CDR is pending\n", "")


def test_an_endpoint_that_hangs_has_a_bounded_time_and_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        with running_sandbox(*QUIET, config=with_webhook(url), before=IMPATIENT) as sandbox:
            uuids = [sandbox.flash_call()["verification_call_uuid"] for _ in range(22)]
            status, out, err = sandbox.stop()
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mcn-mock stopped; 22 CDRs still pending:"
    assert lines[1:21] == [f"  {uuid} to {url}; no answer yet" for uuid in uuids[:20]]
    assert lines[21:] == ["  and 2 more"]


def test_a_cdr_that_is_due_later_is_tried_once_and_named() -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{refusing.getsockname()[1]}/hook"
        rule = '[[account.outcome]]\noutcome = "busy"\ndelay_s = 3600\n'
        with running_sandbox(config=with_webhook(url) + rule) as sandbox:
            uuid = sandbox.flash_call()["verification_call_uuid"]
            assert sandbox.admin("deliveries")["items"][0]["attempts"] == []
            status, out, _ = sandbox.stop()
    assert status == 0
    assert out.startswith(f"mcn-mock stopped; 1 CDR still pending:\n  {uuid} to {url}; attempt 1: ")
    assert "attempt 2" not in out


def test_a_second_signal_changes_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        with running_sandbox(*QUIET, config=with_webhook(url), before=IMPATIENT) as sandbox:
            sandbox.flash_call()
            sandbox.process.send_signal(signal.SIGINT)
            status, out, err = sandbox.stop(signal.SIGINT)
    assert (status, err) == (0, "")
    assert "1 CDR still pending" in out


def test_an_end_is_never_an_abort() -> None:
    """Threads of the server that outlive Python abort the process: seldom, so that it takes some ends to see it."""

    def end(_: int) -> tuple[int, str, str]:
        with running_sandbox("--log-level", "warning") as sandbox:
            requests.post(f"{sandbox.url}/v2/rest/account/1/flash_call?login_did={RUSSIAN}", timeout=60)
            return sandbox.stop()

    with ThreadPoolExecutor(4) as starters:
        ends = set(starters.map(end, range(8)))
    assert ends == {(0, "mcn-mock stopped; no CDR is pending\n", "")}


def test_clients_that_wait_for_the_time_or_for_a_cdr_are_answered_at_once() -> None:
    """Though the webhook never answers, and the stop may take its ten seconds."""
    with (
        Gated() as webhook,
        ThreadPoolExecutor(1) as clients,
        running_sandbox(config=with_webhook(webhook.url)) as sandbox,
    ):
        sandbox.flash_call()
        webhook.wait_for(1)
        sandbox.admin("accounts/12345678/faults", "PUT", [{"kind": "cdr_early"}])
        early = clients.submit(sandbox.flash_call)
        webhook.wait_for(2)
        head = b"POST /__admin/clock/advance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n\r\n"
        with connected(sandbox, head + b'{"seconds": 1}') as connection:
            sandbox.process.send_signal(signal.SIGTERM)
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"service_unavailable" in answer
        assert early.result(timeout=60)["verification_call_uuid"]
        assert len(webhook.received) == 2
        webhook.open()
        sandbox.process.communicate(timeout=60)
