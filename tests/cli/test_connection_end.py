"""How the sandbox's connections end: no answer is corrupt or lost, and no client that leaves is worth a word."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox

PATH = "/v2/rest/account/12345678/flash_call"
CALL = f"POST {PATH}?login_did={RUSSIAN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token\r\n".encode()
HEALTH = b"GET /__admin/health HTTP/1.1\r\nHost: localhost\r\n"
EVENTS = b"GET /__admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox("--log-level", "debug") as sandbox:
        yield sandbox


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def add_fault(sandbox: Sandbox, **fault: object) -> None:
    """Switch a fault on for the next request."""
    sandbox.admin("accounts/12345678/faults", "PUT", [{**fault, "times": 1}])


def placed(sandbox: Sandbox) -> int:
    return len(sandbox.admin("calls?limit=1000")["items"])


def test_a_client_that_leaves_without_reading_is_worth_no_traceback(sandbox: Sandbox) -> None:
    for sent in (
        CALL + b"Content-Length: 900000\r\n\r\n" + b" " * 300_000,  # 413, while it still sends
        CALL + b"Content-Length: 900000\r\n\r\n",  # 413
        HEALTH + b"X: y\r\n" * 200 + b"\r\n",  # 431
        b"GET /" + b"a" * 100_000,  # 414
        CALL + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 200_000,  # a trailer
        CALL + b"\r\n" + b"nonsense",  # 400
        CALL + b"Connection: close\r\n\r\n" + CALL + b"\r\n",
        EVENTS,
    ):
        for resets in (False, True):
            for _ in range(10):
                with sandbox.connect() as connection:
                    if resets:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    with suppress(OSError):  # it may have hung up already
                        connection.sendall(sent)
        assert sandbox.admin("health")["status"] == "ok"
    status, _, err = sandbox.stop()
    assert status == 0
    assert "Traceback" not in err
    assert not [line for line in err.splitlines() if "ERROR" in line.upper() and "error_" not in line]


def test_nothing_follows_a_stream(sandbox: Sandbox) -> None:
    before = placed(sandbox)
    with sandbox.connect() as connection:
        connection.sendall(EVENTS + CALL + b"\r\n" + CALL + b"\r\n")
        received = b""
        while b":\n\n" not in received:
            received += connection.recv(65_536)
        sandbox.process.send_signal(signal.SIGTERM)
        received += rest(connection)
    assert received.endswith(b"0\r\n\r\n")
    assert received.count(b"HTTP/1.1") == 1
    assert before == 0
    assert sandbox.stop()[1].startswith("mcn-mock stopped; no CDR is pending")


def test_an_answer_reaches_a_client_that_has_sent_more_behind_its_last_request(sandbox: Sandbox) -> None:
    """Closed with unread bytes, the connection would be reset, and the answer lost."""
    for more in (CALL + b"\r\n", b"x" * 200_000, b"\0"):
        with sandbox.connect() as connection:
            connection.sendall(CALL + b"Connection: close\r\n\r\n" + more)
            answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"HTTP/1.1") == 1
    assert placed(sandbox) == 3


def test_a_stream_has_the_form_of_its_own_requests_version(sandbox: Sandbox) -> None:
    """Not that of the last request that was read."""
    for version, other, is_chunked in ((b"1.0", b"1.1", False), (b"1.1", b"1.0", True)):
        add_fault(sandbox, kind="delay", delay_s=0.1)
        with sandbox.connect() as connection:
            ask = EVENTS.replace(b"1.1\r\n", version + b"\r\nConnection: keep-alive\r\n")
            connection.sendall(CALL + b"\r\n" + ask + HEALTH.replace(b"1.1", other) + b"\r\n")
            received = b""
            while b":\n\n" not in received:
                received += connection.recv(65_536)
        assert (b"Transfer-Encoding: chunked" in received) == is_chunked


def test_a_body_that_is_awaited_behind_another_request_is_asked_for_in_its_turn(sandbox: Sandbox) -> None:
    """RFC 9110, 10.1.1."""
    add_fault(sandbox, kind="delay", delay_s=0.2)
    lines = b"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    with sandbox.connect() as connection:
        connection.sendall(CALL + b"\r\n" + CALL + lines)
        received = b""
        while b"100 Continue\r\n\r\n" not in received:
            received += connection.recv(65_536)
        assert received.index(b"HTTP/1.1 200") < received.index(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert b"HTTP/1.1 200" in connection.recv(65_536)
