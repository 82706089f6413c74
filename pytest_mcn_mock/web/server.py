"""The sandbox's HTTP/1.1 server (RFC 9112), on one event loop: connections, their bounds, and the bytes of answers.

An answer that is ready at once is written in the same step in which its request's last byte arrived: no task, no other
thread. That is what makes the server as fast as it is (docs/explanation/performance.md).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from http import HTTPStatus
from ssl import SSLContext
from typing import Any, Final, Protocol, cast

from pytest_mcn_mock.flow import Done, go_on, step
from pytest_mcn_mock.web.http import (
    JSON_HEADERS,
    KEEP_ALIVE,
    KEEP_ALIVE_S,
    LINGER_FORM,
    LINGER_S,
    MAX_DISCARDED,
    STREAM_PACE_S,
    Closing,
    Flow,
    Request,
    Response,
    ResponseFault,
    Stream,
    answer_of,
)
from pytest_mcn_mock.web.reader import RequestReader, Stage, Unreadable

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:  # Windows has neither
    _CAN_ASK_KERNEL = False
else:
    _CAN_ASK_KERNEL = sys.platform == "linux"

LAST_CHUNK: Final = b"0\r\n\r\n"
_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_WITHOUT_BODY: Final = frozenset({204, 304})
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_line(seconds: float) -> bytes:
    """Return the Date header for a time in seconds since the epoch (RFC 9110, 5.6.7), in any locale."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    date = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
    return f"Date: {date}\r\n".encode()


def whole_answer(response: Response, date: bytes, *, keeps: bool, says_keep: bool, is_head: bool) -> bytes:
    """Return head and body; there is no body for HEAD, 204 and 304. ``says_keep``: the client asked for it."""
    head = head_of(response, date, keeps=keeps, says_keep=says_keep, length=len(response.body))
    return head if is_head or response.status in _WITHOUT_BODY else head + response.body


def head_of(
    response: Response,
    date: bytes,
    *,
    keeps: bool,
    says_keep: bool = False,
    length: int | None,
    is_chunked: bool = False,
) -> bytes:
    """Return the first line and the headers, with the empty line behind them. With a ``length`` of None it is not
    known: the body ends with the connection, if it is not ``is_chunked``.
    """
    if response.headers is JSON_HEADERS:
        start = _json_start(response.status, keeps, says_keep)
    else:
        start = _start(response.status, keeps, says_keep) + b"".join(map(_line, response.headers.items()))
    if is_chunked:
        return b"%b%bTransfer-Encoding: chunked\r\n\r\n" % (start, date)
    if length is None or response.status in _WITHOUT_BODY:
        return b"%b%b\r\n" % (start, date)
    return b"%b%bContent-Length: %d\r\n\r\n" % (start, date, length)


def chunk_of(data: bytes) -> bytes:
    """Return a chunk of a body. ``data`` must not be empty, for an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Return how many written bytes the other side's kernel has not acknowledged.

    Linux says how many of them its own kernel holds (SIOCOUTQ, tcp(7)). Elsewhere only the transport's are counted, and
    these become fewer in steps of tens of KiB: a very slow reader then seems to take nothing for a while.
    """
    unsent = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")  # None if TLS has ended
    if _CAN_ASK_KERNEL and connection is not None and connection.fileno() >= 0:
        with suppress(OSError):
            held = ioctl(connection.fileno(), TIOCOUTQ, bytes(4))
            unsent += int.from_bytes(held, sys.byteorder)
    return unsent


@lru_cache(maxsize=256)
def _start(status: int, keeps: bool, says_keep: bool) -> bytes:
    phrase = _PHRASES.get(status, "")
    connection = "Connection: keep-alive\r\n" if says_keep else "" if keeps else "Connection: close\r\n"
    return f"HTTP/1.1 {status} {phrase}\r\n{connection}".encode()


@lru_cache(maxsize=256)
def _json_start(status: int, keeps: bool, says_keep: bool) -> bytes:
    return _start(status, keeps, says_keep) + b"".join(map(_line, JSON_HEADERS.items()))


def _line(header: tuple[str, str]) -> bytes:
    name, value = header
    if "\r" in value or "\n" in value:
        raise ValueError(f"the header {name} would be more than one line")
    return f"{name}: {value}\r\n".encode("latin-1")


_BUFFER: Final = 16_384
"""Bytes that are read at once. So many bytes of requests a client can send before it has its answers."""
BODY_TIMEOUT_S: Final = 30.0
"""How long a request's body may take to arrive, and how long a client may take none of its answer."""

_NEW_S: Final = 0.2
"""How long a server that stops waits for the first byte on a connection that was just made."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = logging.getLogger("mcn_mock")


class ClientConnection(asyncio.BufferedProtocol):
    """Answers a client's requests one after the other. ``deadline`` is when it ends if nothing happens, in the loop's
    time.

    Requests that arrive while another is answered wait, and nothing more is read meanwhile.
    """

    def __init__(self, server: HttpServer, *, is_tls: bool = False) -> None:
        self._server = server
        self._is_tls = is_tls
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(self)
        self._buffer = memoryview(bytearray(_BUFFER))
        self._waiting: deque[tuple[Request | Unreadable, bool, str]] = deque()
        self._is_answering = self._is_choked = self._is_awaited = False
        self._is_last = self._lingers = False
        self._is_new = True
        self._unsent: int | None = None
        self._discarded = 0
        self._ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.has_joined = False
        """Whether the connection was made: TLS may fail before."""
        self.deadline = self._loop.time() + server.head_timeout_s

    @property
    def is_idle(self) -> bool:
        """Return whether every request of which a byte has arrived is answered."""
        return self._reader.stage is Stage.NOTHING and not self._is_answering and not self._waiting

    def expire(self) -> None:
        """End the connection, whose deadline has passed. An answer may take longer if the client goes on reading."""
        if (self._is_answering and not self._is_choked) or self._is_being_taken():
            return
        if self._reader.stage is Stage.BODY:
            self._reader.cut_short()
        else:
            self.abort()

    def _is_being_taken(self) -> bool:
        """Return whether an answer is being sent, and the client has read a part of it since the last call."""
        if self._transport is None or not self._transport.get_write_buffer_size():
            return False
        before, self._unsent = self._unsent, unsent_bytes(self._transport)
        if before is not None and self._unsent >= before:
            return False
        self.deadline = self._loop.time() + BODY_TIMEOUT_S
        return True

    def close(self) -> None:
        """End the connection when everything written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once, and answer nothing more."""
        self._reader.stage = Stage.END
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Answer the request that has begun to arrive, and none after it."""
        self._is_last = True
        if self._is_new:
            self._loop.call_later(_NEW_S, self._finish_idle)
        else:
            self._finish_idle()

    def _finish_idle(self) -> None:
        if self.is_idle:
            self.close()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BufferedProtocol``, here and for the next methods."""
        self._transport = cast("asyncio.Transport", transport)
        self.has_joined = True
        self._server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the client has gone. If half a request has arrived, the journal gets it all the same."""
        self._transport = None
        self._ended.set()
        self._writable.set()
        self._waiting.clear()
        self._reader.cut_short()
        self._reader.end()
        self._server.left(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the place for the next bytes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read the bytes that have arrived."""
        self._is_new = False
        if self._reader.stage is not Stage.END:
            self._reader.feed(self._buffer[:nbytes])
            return
        self._discarded += nbytes
        if self._discarded > MAX_DISCARDED:
            self.abort()

    def eof_received(self) -> bool:
        """Note that the client sends no more. It may wait for an answer, which it cannot get over TLS any more."""
        self._is_last = True
        self._reader.cut_short()
        self._ended.set()
        return (self._is_answering or bool(self._waiting)) and not self._is_tls

    def pause_writing(self) -> None:
        """Answer nothing more until the client reads: it is slow."""
        self._is_choked = True
        self._writable.clear()
        self._unsent = None if self._transport is None else unsent_bytes(self._transport)
        self.deadline = self._loop.time() + BODY_TIMEOUT_S

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._is_choked = False
        self._unsent = None
        self._writable.set()
        self._wait_for_more()
        self._answer_waiting()

    # Called by the reader

    def head_began(self) -> None:
        """See ``reader.Taker``, here and for the next methods."""
        self.deadline = self._loop.time() + self._server.head_timeout_s

    def body_began(self, *, is_awaited: bool) -> None:
        """Give the body its time; tell the client to send it if it waits for that."""
        self.deadline = self._loop.time() + BODY_TIMEOUT_S
        self._is_awaited = is_awaited
        if not self._is_busy():
            self._ask_for_body()

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        """Answer the request, when those before it are answered."""
        if self._is_busy():
            self._waiting.append((what, keeps, self._reader.version))
            if self._transport is not None:
                self._transport.pause_reading()
        else:
            self._answer(what, keeps=keeps, version=self._reader.version)

    def give_up(self, what: Request | Unreadable) -> None:
        """Answer the last request so that the answer arrives, although the client may still be sending."""
        self._lingers = True
        self.take(what, keeps=False)

    def _ask_for_body(self) -> None:
        if self._is_awaited and self._reader.stage is Stage.BODY:
            self._write(_CONTINUE)
        self._is_awaited = False

    def _is_busy(self) -> bool:
        return self._is_answering or self._is_choked or bool(self._waiting)

    # Answers

    def _answer(self, what: Request | Unreadable, *, keeps: bool, version: str) -> None:
        if isinstance(what, Unreadable):
            refusal = self._server.application.refuse_unread(what.status, what.why)
            self._write(whole_answer(refusal, self._server.date, keeps=False, says_keep=False, is_head=what.is_head))
            self._answered(keeps=False)
            return
        flow = self._server.application.serve(what)
        waits_for = step(flow)
        if isinstance(waits_for, Response) and waits_for.fault is None and waits_for.stream is None:
            keeps = keeps and not self._is_at_end()
            self._write(self._whole(what, waits_for, keeps=keeps))
            self._answered(keeps=keeps)
            self._follow(flow)
        else:
            self._is_answering = True
            driving = self._drive(flow, waits_for, what, keeps=keeps, version=version)
            self._server.run(self._loop.create_task(driving))

    def _follow(self, flow: Flow) -> None:
        """Do the work after an answer, as a task if it waits."""
        if not isinstance(rest := step(flow), Done):
            self._server.run(self._loop.create_task(go_on(flow, rest)))

    def _is_at_end(self) -> bool:
        """Return whether nothing follows the present request, because client or server ends the connection."""
        return self._is_last and not self._waiting and self._reader.stage not in {Stage.HEAD, Stage.BODY}

    def _answered(self, *, keeps: bool) -> None:
        if keeps:
            self._wait_for_more()
            return
        # This is the last answer. Requests that were sent behind this one are ignored (RFC 9112, 9.6).
        self._lingers = self._lingers or bool(self._waiting)
        self._waiting.clear()
        self._reader.stage = Stage.END
        self._loop.call_soon(self._leave)  # by then the other bytes of the same read have been handled

    def _wait_for_more(self) -> None:
        if self._reader.stage is Stage.NOTHING and not self._is_choked:
            self._unsent = None
            self.deadline = self._loop.time() + self._server.head_timeout_s

    def _leave(self) -> None:
        """End the connection. A client that may still be sending gets time to read its answer: if the connection were
        closed with unread bytes, it would be reset, and the answer lost (RFC 9112, 9.6).
        """
        if self._transport is None or self._transport.is_closing():
            return
        if self._ended.is_set() or not (self._lingers or self._reader.has_more or self._discarded):
            self.close()
            return
        self.deadline = self._loop.time() + LINGER_S
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError as error:
            _log.debug("a client left without its answer: %s", error)
            self.abort()
        else:
            self._transport.resume_reading()

    def _answer_waiting(self) -> None:
        while self._waiting and not self._is_answering and not self._is_choked:
            what, keeps, version = self._waiting.popleft()
            self._answer(what, keeps=keeps, version=version)
        if not self._waiting and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if not self._is_busy():
            self._ask_for_body()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _whole(self, request: Request, response: Response, *, keeps: bool) -> bytes:
        says_keep = keeps and "connection" in request.headers
        is_head = request.method == "HEAD"
        return whole_answer(response, self._server.date, keeps=keeps, says_keep=says_keep, is_head=is_head)

    async def _drive(self, flow: Flow, waits_for: Any, request: Request, *, keeps: bool, version: str) -> None:
        """Run the rest of a request that waits, until its answer is sent and the work after it is done."""
        try:
            response = await answer_of(flow, waits_for, self._watched)
            try:
                keeps = await self._send(request, response, keeps=keeps and not self._is_at_end(), version=version)
            except ConnectionError:
                keeps = False
            except Exception:
                _log.exception("an answer could not be sent")
                keeps = False
            finally:  # an accepted order is completed, also if the server stops
                self._follow(flow)
        finally:
            self._is_answering = False
        self._answered(keeps=keeps and not self._is_at_end())
        self._answer_waiting()

    @contextmanager
    def _watched(self, leave: Callable[[], object]) -> Iterator[None]:
        """Call ``leave`` if the client goes away meanwhile."""
        ended = self._loop.create_task(self._ended.wait())
        ended.add_done_callback(lambda _: leave())
        try:
            yield
        finally:
            ended.cancel()

    async def _send(self, request: Request, response: Response, *, keeps: bool, version: str) -> bool:
        """Send an answer that may take time; return whether the connection goes on after it."""
        if response.stream is not None:
            if request.method != "HEAD":
                await self._send_stream(response, response.stream, is_chunked=version != "1.0")
                return False
            response.stream.close()
            self._write(head_of(response, self._server.date, keeps=keeps, length=None, is_chunked=version != "1.0"))
            return keeps
        whole = self._whole(request, response, keeps=keeps)
        if response.fault is not None:
            return await self._send_with_fault(whole, response.body, response.fault, keeps=keeps)
        self._write(whole)
        return keeps

    async def _send_stream(self, response: Response, stream: Stream, *, is_chunked: bool) -> None:
        """Send a body without an end, each change when it happens: in chunks (RFC 9112, 7.1), which HTTP/1.0 does not
        have.
        """
        changed = asyncio.Event()
        stream.wake_by(lambda: self._loop.call_soon_threadsafe(changed.set))
        ended = self._loop.create_task(self._ended.wait())
        ended.add_done_callback(lambda _: changed.set())
        try:
            self._write(head_of(response, self._server.date, keeps=False, length=None, is_chunked=is_chunked))
            while not (stream.has_ended or ended.done()):
                changed.clear()
                events = await stream.take() or KEEP_ALIVE
                self._write(chunk_of(events) if is_chunked else events)
                await self._writable.wait()
                try:
                    await asyncio.wait_for(changed.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    continue
                # Many changes at once make one message, each item in it once.
                await asyncio.wait((ended,), timeout=STREAM_PACE_S)
            self._write(LAST_CHUNK if is_chunked else b"")
        finally:
            ended.cancel()
            stream.close()

    async def _send_with_fault(self, whole: bytes, body: bytes, fault: ResponseFault, *, keeps: bool) -> bool:
        """Send the answer as the fault alters it; return whether the connection goes on after it."""
        await asyncio.sleep(fault.delay_s)
        head = len(whole) - len(body)
        if fault.closing is Closing.RESET:
            self._reset()
        elif fault.closing is Closing.CUT_OFF:
            self._write(whole[: head + len(body) // 2])
        elif fault.drip_s and body:
            self._write(whole[:head])
            for byte in body:
                self._write(bytes((byte,)))
                await asyncio.sleep(fault.drip_s / len(body))
            return keeps
        else:
            self._write(whole)
            return keeps
        return False

    def _reset(self) -> None:
        """End the connection with a reset: closing a socket that does not linger does that."""
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER_FORM, 1, 0))
            self._transport.abort()


_SWEEP_S = 1.0
"""How often connections past their deadline are ended, and the Date header is made."""
_NO_DESCRIPTOR_S = 0.1
"""How long the server accepts no connection after it had no file descriptor for one."""
_SAID_S = 60.0
"""How long the log does not repeat that."""
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})
"""Errors of ``accept`` for a connection whose client has left, or which a firewall refuses."""

TLS_SHUTDOWN_S = 1.0
"""How long a client may take to end its TLS. An idle one reads nothing, and never ends it."""

_SEND_BUFFER = 65_536
"""Bytes of answers that the kernel holds for a connection; Linux takes twice as many."""


class Served(Protocol):
    """Answers requests: ``web.application`` and the receiver of ``mcn-mock listen``."""

    def serve(self, request: Request) -> Flow:
        """Serve a request, including the work after its answer."""
        ...

    def refuse_unread(self, status: int, why: str) -> Response:
        """Return the answer to a request that cannot be read."""
        ...


class HttpServer:
    """Serves the application on a listening socket. To be made, started and stopped on one event loop.

    At most ``max_connections`` are served at once; more wait in the kernel's queue until one ends. A request's head may
    take ``head_timeout_s`` seconds to arrive, and a connection may be idle for so long. ``date`` is the line of the
    Date header.
    """

    def __init__(
        self, application: Served, *, max_connections: int, head_timeout_s: float, tls: SSLContext | None = None
    ) -> None:
        self.application = application
        self.head_timeout_s = head_timeout_s
        self.date = b""
        self._tls = tls
        self._room = asyncio.Semaphore(max_connections)
        self._connections: set[ClientConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._listener: socket.socket | None = None
        self._silent_until = 0.0
        self._empty = asyncio.Event()
        self._is_stopping = False

    def start(self, listener: socket.socket) -> None:
        """Serve on this socket, which listens already."""
        listener.setblocking(False)
        # Otherwise the kernel takes megabytes of an answer, and nothing shows whether a slow client goes on reading.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._listener = listener
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))
        self._sweep()

    async def stop(self, timeout_s: float) -> None:
        """Accept no more connections, answer requests that have begun, and end within ``timeout_s`` seconds."""
        self._is_stopping = True
        if self._accepting is not None and self._listener is not None:
            self._accepting.cancel()
            await asyncio.wait((self._accepting,))
            if taken := await self._take_waiting(self._listener):
                await asyncio.wait(taken, timeout=timeout_s)
            self._listener.close()
        for connection in list(self._connections):
            connection.finish()
        if self._connections:
            try:
                await asyncio.wait_for(self._empty.wait(), timeout_s)
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def run(self, answering: asyncio.Task[None]) -> None:
        """Keep a task that answers, until it has ended."""
        self._tasks.add(answering)
        answering.add_done_callback(self._tasks.discard)

    def joined(self, connection: ClientConnection) -> None:
        """Count a connection that has begun."""
        self._connections.add(connection)
        self._empty.clear()
        if self._is_stopping:
            connection.finish()

    def left(self, connection: ClientConnection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        self._room.release()
        if not self._connections:
            self._empty.set()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._room.release()
                if error.errno in _GONE:
                    _log.debug("a connection could not be taken: %s", error)
                else:  # no descriptor, no memory
                    self._say_no_room(error)
                    await asyncio.sleep(_NO_DESCRIPTOR_S)
            except asyncio.CancelledError:
                self._room.release()
                raise
            else:
                self.run(loop.create_task(self._welcome(accepted)))

    async def _take_waiting(self, listener: socket.socket) -> list[asyncio.Task[None]]:
        """Take the connections that wait in the kernel's queue: they would be cut with their requests."""
        taken = []
        while not self._room.locked():
            try:
                accepted, _ = listener.accept()
            except OSError:
                break
            accepted.setblocking(False)
            await self._room.acquire()
            taken.append(asyncio.get_running_loop().create_task(self._welcome(accepted)))
            self.run(taken[-1])
        return taken

    def _say_no_room(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            self._silent_until = now + _SAID_S
            _log.warning("connections cannot be taken now, and wait: %s", error)

    async def _welcome(self, accepted: socket.socket) -> None:
        connection = ClientConnection(self, is_tls=self._tls is not None)
        timeout_s, shutdown_s = (None, None) if self._tls is None else (self.head_timeout_s, TLS_SHUTDOWN_S)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted,
                ssl=self._tls, ssl_handshake_timeout=timeout_s, ssl_shutdown_timeout=shutdown_s,
            )  # fmt: skip
        except OSError:  # no TLS, or not in time
            pass
        finally:
            if not connection.has_joined:
                accepted.close()
                self._room.release()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.date = date_line(time.time())
        now = loop.time()
        for connection in [c for c in self._connections if c.deadline <= now]:
            connection.expire()
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep)
