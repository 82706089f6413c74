"""The sandbox's server, as HTTP/1.1 has it: what clients send that no library of ours does."""

from __future__ import annotations

import json
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.systems import needs_proc

HEALTH = b"GET /__admin/health HTTP/1.1\r\nHost: localhost\r\n"
PATH = "/v2/rest/account/12345678/flash_call"
CALL = f"POST {PATH}?login_did={RUSSIAN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token\r\n".encode()
NUMBER = f'{{"login_did": "{RUSSIAN}"}}'.encode()


class Wire:
    """A connection on which answers are read one by one."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.socket = sandbox.connect()
        self.read = self.socket.makefile("rb")

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """The next answer: its status, its headers by their lower-case names, and its body."""
        status = int(self.read.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self.read.readline().rstrip()) != b"":
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers, self.read.read(int(headers.get("content-length", 0)) if has_body else 0)

    def rest(self) -> bytes:
        """What comes until the server ends the connection."""
        return self.read.read()

    def close(self) -> None:
        self.read.close()
        self.socket.close()


@pytest.fixture
def wire(shared: Sandbox) -> Iterator[Wire]:
    with closing(Wire(shared)) as wire:
        yield wire


def content(answer: tuple[int, dict[str, str], bytes]) -> Any:
    return json.loads(answer[2])


def add_fault(sandbox: Sandbox, **fault: Any) -> None:
    """Switch a fault on for the next request."""
    sandbox.admin("accounts/12345678/faults", "PUT", [{**fault, "times": 1}])


def test_requests_sent_at_once_are_answered_in_their_order(wire: Wire) -> None:
    wire.send(b"".join(CALL.replace(b" HTTP", b"&code=%04d HTTP" % n) + b"\r\n" for n in range(50)))
    assert [content(wire.answer())["object"]["code"] for _ in range(50)] == [f"{n:04}" for n in range(50)]


def test_a_request_waits_for_the_one_before_it_on_its_connection_alone(shared: Sandbox, wire: Wire) -> None:
    add_fault(shared, kind="delay", delay_s=0.2)
    wire.send(CALL + b"\r\n" + HEALTH + b"\r\n" + CALL + b"Connection: close\r\n\r\n" + HEALTH + b"\r\n")
    assert shared.admin("health")  # somebody else's is answered meanwhile
    assert "object" in content(wire.answer())
    assert content(wire.answer())["status"] == "ok"
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert wire.rest() == b""  # what follows the request that was to be the last is none


def test_a_head_in_pieces_is_one(shared: Sandbox, wire: Wire) -> None:
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in CALL:
        wire.send(bytes((byte,)))
    assert wire.send(b"\r\n").answer()[0] == 200


def test_every_answer_has_its_date(wire: Wire) -> None:
    _, headers, _ = wire.send(HEALTH + b"\r\n").answer()
    assert parsedate_to_datetime(headers["date"]).tzinfo is not None
    assert headers["date"].endswith(" GMT")


def test_head_is_answered_without_a_body_and_its_length_told(wire: Wire) -> None:
    head = HEALTH.replace(b"GET", b"HEAD") + b"\r\n"
    status, headers, _ = wire.send(head).answer(has_body=False)
    assert status == 200
    assert int(headers["content-length"]) == len(wire.send(HEALTH + b"\r\n").answer()[2])


def test_head_of_a_stream_ends(wire: Wire) -> None:
    status, headers, _ = wire.send(b"HEAD /__admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n").answer(has_body=False)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert wire.send(HEALTH + b"\r\n").answer()[0] == 200


def test_a_deletion_is_answered_without_a_body(shared: Sandbox, wire: Wire) -> None:
    opened = requests.post(f"{shared.url}/__admin/accounts", json={}, timeout=30).json()
    wire.send(b"DELETE /__admin/accounts/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % opened["id"])
    status, headers, _ = wire.answer()
    assert (status, "content-length" in headers) == (204, False)  # RFC 9110, 8.6
    assert wire.send(HEALTH + b"\r\n").answer()[0] == 200


@pytest.mark.parametrize(
    "head,connection,ends",
    [
        (HEALTH, None, False),
        (HEALTH + b"Connection: close\r\n", "close", True),
        (HEALTH + b"Connection: keep-alive\r\n", "keep-alive", False),
        (HEALTH.replace(b"1.1", b"1.0"), "close", True),
        (HEALTH.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n", "keep-alive", False),
    ],
)
def test_a_connection_is_kept_as_the_client_has_it(wire: Wire, head: bytes, connection: str | None, ends: bool) -> None:
    status, headers, _ = wire.send(head + b"\r\n").answer()
    assert (status, headers.get("connection")) == (200, connection)
    if ends:
        assert wire.rest() == b""
    else:
        assert wire.send(HEALTH + b"\r\n").answer()[0] == 200


@pytest.mark.parametrize(
    "target,path",
    [
        (b"http://api.mcn.ru/v2/rest/account/1/flash%5fcall?a=b", "/v2/rest/account/1/flash_call"),
        (b"/v2/rest/account/%d0%bb%d1%81/flash_call", "/v2/rest/account/лс/flash_call"),
        (b"/%ff", "/\ufffd"),
        (b"http://api.mcn.ru", "/"),
        (b"//double//slashes", "//double//slashes"),
        (b"/a/../b", "/a/../b"),
    ],
)
def test_a_target_is_read_in_every_form(shared: Sandbox, wire: Wire, target: bytes, path: str) -> None:
    assert wire.send(b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] in {401, 404}
    newest = shared.admin("requests?order=newest&limit=1")["items"][0]
    assert newest["path"] == path


def test_options_of_the_server_and_a_tunnel_are_refused(shared: Sandbox) -> None:
    for head in (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT api.mcn.ru:443 HTTP/1.1\r\nHost: x\r\n\r\n"):
        with closing(Wire(shared)) as wire:
            assert wire.send(head).answer()[0] in {404, 405}


def test_a_body_in_chunks_with_trailers_is_read(wire: Wire) -> None:
    lines = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"5;x=y\r\n" + NUMBER[:5] + b"\r\n%x\r\n" % len(NUMBER[5:]) + NUMBER[5:] + b"\r\n"
    wire.send(CALL.replace(b"?login_did=79157777777", b"") + lines + chunks + b"0\r\nAuthorization: Bearer x\r\n\r\n")
    assert wire.answer()[0] == 200
    assert wire.send(HEALTH + b"\r\n").answer()[0] == 200


def test_a_client_that_asks_whether_to_send_too_much_is_told_not_to(wire: Wire) -> None:
    assert wire.send(CALL + b"Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n").answer()[0] == 413
    assert wire.rest() == b""


@pytest.mark.parametrize("lines", [b"Content-Length: 900000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_refusal_reaches_a_client_that_goes_on_sending(wire: Wire, lines: bytes) -> None:
    """Closed with bytes unread, the connection would be reset, and the answer lost."""
    body = b" " * 900_000 if b"Length" in lines else b"dbba0\r\n" + b" " * 900_000 + b"\r\n0\r\n\r\n"
    status, headers, sent = wire.send(CALL + lines + b"\r\n" + body).answer()
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(sent)["errors"][0]["code"] == "payload_too_large"
    assert wire.rest() == b""


def test_a_client_that_does_not_end_is_left(wire: Wire) -> None:
    wire.send(CALL + b"Content-Length: 70000\r\n\r\n")
    with pytest.raises(ConnectionError):
        wire.send(b" " * 50_000_000)


def test_a_client_that_sends_no_more_gets_its_answer(wire: Wire) -> None:
    wire.send(CALL + b"\r\n").socket.shutdown(socket.SHUT_WR)
    assert wire.answer()[0] == 200
    assert wire.rest() == b""


def test_a_client_that_sends_no_more_gets_an_answer_that_is_late(shared: Sandbox, wire: Wire) -> None:
    add_fault(shared, kind="delay", delay_s=0.2)
    wire.send(CALL + b"\r\n").socket.shutdown(socket.SHUT_WR)
    assert wire.answer()[0] == 200
    assert wire.rest() == b""


def test_half_a_request_of_a_client_that_has_gone_is_in_the_journal(shared: Sandbox) -> None:
    path = "/v2/rest/account/12345678/left_alone"
    with closing(Wire(shared)) as wire:
        wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: path in {item["path"] for item in shared.admin("requests?order=newest")["items"]})


def test_faults_end_the_connection_as_they_are_to(shared: Sandbox) -> None:
    with closing(Wire(shared)) as wire:
        add_fault(shared, kind="reset")
        with pytest.raises(ConnectionResetError):
            wire.send(CALL + b"\r\n").socket.recv(1)
    with closing(Wire(shared)) as wire:
        add_fault(shared, kind="cut_off")
        head, _, body = wire.send(CALL + b"\r\n").rest().partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        assert len(body) == length // 2
    with closing(Wire(shared)) as wire:
        add_fault(shared, kind="drip", delay_s=0.1)
        assert "object" in content(wire.send(CALL + b"\r\n").answer())
        assert wire.send(HEALTH + b"\r\n").answer()[0] == 200


@needs_proc
def test_a_client_that_takes_no_answer_is_answered_no_more_before_it_does(shared: Sandbox, wire: Wire) -> None:
    """Else the answers to what one write asks for would fill the memory."""
    schema = b"GET /__admin/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    before = shared.admin("health")
    wire.send(schema * 3_000)
    assert shared.admin("health") == before
    whole = wire.answer()
    assert whole[0] == 200
    resident = int(_status(shared.process.pid)["VmRSS"].split()[0])
    assert resident < 200_000, "KiB"
    assert {wire.answer()[2] for _ in range(200)} == {whole[2]}


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123 - it is no file
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def test_events_reach_a_client_that_speaks_http_1_0(shared: Sandbox, wire: Wire) -> None:
    """As nginx does to what is behind it, if it is told nothing else."""
    wire.send(b"GET /__admin/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    status, headers, _ = wire.answer()
    assert (status, headers["connection"], "transfer-encoding" in headers) == (200, "close", False)
    shared.flash_call()
    read = b""
    while b'"ended_at"' not in read:
        read += wire.read.readline()
    assert b"event: call" in read


def test_connections_that_come_and_go_leave_room_for_others() -> None:
    small = "import pytest_mcn_mock.cli.server as server; server.MAX_CONNECTIONS = 2"
    with running_sandbox(before=small) as sandbox:
        for _ in range(20):
            with closing(Wire(sandbox)) as wire:
                assert wire.send(HEALTH + b"\r\n").answer()[0] == 200
        with ExitStack() as stack:
            wires = [stack.enter_context(closing(Wire(sandbox))) for _ in range(2)]
            assert [wire.send(HEALTH + b"\r\n").answer()[0] for wire in wires] == [200, 200]
        sandbox.process.send_signal(signal.SIGTERM)
        assert sandbox.stop()[0] == 0
