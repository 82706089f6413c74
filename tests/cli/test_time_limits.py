"""How long a client may be silent, and that one that is only slow, or is answered slowly, is served to the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

import pytest
import trustme
from helpers.client import RUSSIAN
from helpers.leaping_loop import HEAD_TIMEOUT_S, Served, serving
from helpers.systems import needs_proc

from pytest_mcn_mock.model.accounts import replace_faults
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.web.server import BODY_TIMEOUT_S

HEAD = b"GET /__admin/openapi.json HTTP/1.1\r\nHost: localhost\r\n"
PATH = "/v2/rest/account/1/flash_call"
CALL = f"POST {PATH}?login_did={RUSSIAN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t1\r\n".encode()
MANY = 200_000
"""Bytes of answers: more than the two kernels hold."""


async def whole_answer(served: Served) -> bytes:
    connection = await served.connect()
    with connection:
        await served.loop.sock_sendall(connection, HEAD + b"Connection: close\r\n\r\n")
        return (await served.read_all(connection)).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_a_slow_reader_that_goes_on_reading_gets_the_whole_answer(last: bytes) -> None:
    """At 4 KiB each seven seconds the 30 seconds are over long before the kernel asks for more of the answer."""

    async def see(served: Served) -> None:
        whole = await whole_answer(served)
        count = MANY // len(whole) + 1
        began, received = served.loop.time(), b""
        with await served.connect(receive_buffer=4_096) as connection:
            await served.loop.sock_sendall(connection, (HEAD + b"\r\n") * (count - 1) + HEAD + last + b"\r\n")
            while received.count(whole) < count:
                chunk = await served.loop.sock_recv(connection, 4_096)
                assert chunk, f"cut off after {len(received)} bytes"
                received += chunk
                await served.loop.leap(7)
        assert served.loop.time() - began > 5 * BODY_TIMEOUT_S

    serving(see)


@needs_proc
def test_a_reader_that_takes_nothing_is_left() -> None:
    async def see(served: Served) -> None:
        count = MANY // len(await whole_answer(served)) + 1
        with await served.connect(receive_buffer=4_096) as connection:
            await served.loop.sock_sendall(connection, (HEAD + b"\r\n") * count)  # within what one read brings
            while not begins_to_arrive(connection):
                await served.loop.leap(0)
            await served.loop.leap(BODY_TIMEOUT_S - 5)
            assert is_connected(served, connection)
            for _ in range(2):  # at the first the kernels may have passed some of it on
                await served.loop.leap(BODY_TIMEOUT_S)
            assert not is_connected(served, connection)

    serving(see)


def begins_to_arrive(connection: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return bool(connection.recv(1, socket.MSG_PEEK))
    return False


def is_connected(served: Served, connection: socket.socket) -> bool:
    """Whether the server's end of a connection is open."""
    remote = connection.getsockname()[1]
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 - it is not a file
        ends = [line.split()[1:4] for line in table.readlines()[1:]]
    return any(
        a.endswith(f":{served.port:04X}") and b.endswith(f":{remote:04X}") and state == "01" for a, b, state in ends
    )


@pytest.mark.parametrize("sent", [b"", b"GET /__ad", HEAD], ids=["nothing", "half a line", "no end"])
def test_a_head_that_does_not_arrive_ends_the_connection(sent: bytes) -> None:
    async def see(served: Served) -> None:
        with await served.connect() as connection:
            await served.loop.sock_sendall(connection, sent)
            await whole_answer(served)  # by then it has read the other's
            await served.loop.leap(HEAD_TIMEOUT_S - 5)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
            await served.loop.leap(HEAD_TIMEOUT_S)
            assert await served.read_all(connection) == b""

    serving(see)


def test_a_body_that_does_not_arrive_is_refused_in_the_end() -> None:
    async def see(served: Served) -> None:
        before = await served.balance()
        with await served.connect() as connection:
            lines = b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            await served.loop.sock_sendall(connection, CALL + lines)
            await whole_answer(served)  # by then it has read the other's
            await served.loop.leap(BODY_TIMEOUT_S - 5)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
            await served.loop.leap(BODY_TIMEOUT_S)
            assert (await served.read_all(connection)).startswith(b"HTTP/1.1 400")
        assert await served.balance() == before

    serving(see)


def test_requests_that_wait_when_the_server_stops_are_answered_and_only_the_last_says_so() -> None:
    """RFC 9112, 9.6: nothing may follow an answer that says ``Connection: close``."""

    async def see(served: Served) -> None:
        late = [Fault(FaultKind.DELAY, delay_s=5.0)]
        await served.fake.service.accounts.change("1", lambda account: replace_faults(account, late))
        with await served.connect() as connection:
            await served.loop.sock_sendall(connection, (CALL + b"\r\n") * 3)
            await whole_answer(served)  # by then it has read the calls
            stopping = asyncio.ensure_future(served.server.stop(30))
            await served.loop.leap(4)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
            await served.loop.leap(1)
            answers = await served.read_all(connection)
        await stopping
        assert answers.count(b"HTTP/1.1 200") == 3
        assert answers.lower().count(b"connection: close") == 1
        assert b"connection: close" in answers.lower()[answers.rindex(b"HTTP/1.1") :]

    serving(see)


def test_clients_that_speak_no_tls_leave_room_for_others() -> None:
    authority = trustme.CA()
    tls, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(trusting)

    async def see(served: Served) -> None:
        silent = [await served.connect() for _ in range(2)]
        for _ in range(5):
            with await served.connect() as connection:
                await served.loop.sock_sendall(connection, HEAD + b"\r\n")
                await served.loop.leap(HEAD_TIMEOUT_S)
                assert b"200" not in await served.read_all(connection)
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=trusting)
            writer.write(HEAD + b"Connection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            await writer.wait_closed()
        for connection in silent:
            connection.close()

    serving(see, max_connections=2, tls=tls)
