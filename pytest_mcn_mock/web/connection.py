"""One client's connection to the sandbox: HTTP/1.1 (RFC 9112), answered by the application.

An answer that is ready at once is written in the same step in which its request's last byte arrived: no task, no other
thread. That is what makes the server as fast as it is (docs/explanation/performance.md).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from concurrent.futures import Future
from typing import Any, Final, Protocol, cast

from pytest_mcn_mock.flow import Turn, finish
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.http import (
    KEEP_ALIVE,
    KEEP_ALIVE_S,
    LINGER_FORM,
    STREAM_PACE_S,
    Closing,
    Flow,
    Request,
    Response,
    ResponseFault,
    Step,
    Stream,
)
from pytest_mcn_mock.web.messages import LAST_CHUNK, chunk_of, head_of, whole_answer
from pytest_mcn_mock.web.reader import RequestReader, Stage, Unreadable

_BUFFER: Final = 16_384
"""Bytes that are read at once, and so of the requests that a client can send ahead of their answers."""
MAX_DISCARDED: Final = 1_048_576
"""Bytes that are read and forgotten behind a refused request, so that its answer is not lost to a reset."""
BODY_TIMEOUT_S = 30.0
"""How long a request's body may take to arrive, and how long a client may take none of its answer."""
LINGER_S: Final = 2.0
"""How long a client that was refused may take to hear of it and leave."""
PROBE_S: Final = 1.0
"""How often it is tried whether a client that sends no more, and whose call waits for its turn, is still there."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = logging.getLogger("mcn_mock")


class Host(Protocol):
    """What a connection needs of its server. ``date`` is the line of the Date header."""

    application: Application
    head_timeout_s: float
    date: bytes

    def done(self, future: Future[Any]) -> asyncio.Future[None]:
        """Done when the future is."""
        ...

    def run(self, answering: asyncio.Task[None]) -> None:
        """Look after the task until it has ended."""

    def joined(self, connection: Connection) -> None:
        """The connection has begun."""

    def left(self, connection: Connection) -> None:
        """The connection has ended."""


class Connection(asyncio.BufferedProtocol):
    """Answers a client's requests one after the other. ``deadline`` is when it is to be failed, in the loop's time.

    Requests that arrive while another is answered wait, and nothing more is read meanwhile.
    """

    def __init__(self, host: Host, *, is_tls: bool = False) -> None:
        self._host = host
        self._is_tls = is_tls
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(self)
        self._buffer = memoryview(bytearray(_BUFFER))
        self._waiting: deque[tuple[Request | Unreadable, bool, str]] = deque()
        self._is_answering = self._is_choked = self._is_awaited = False
        self._is_last = self._lingers = False
        self._unsent: int | None = None
        self._discarded = 0
        self._ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.has_joined = False
        """Whether it was a connection at any time: TLS may fail before."""
        self.deadline = self._loop.time() + host.head_timeout_s

    @property
    def is_idle(self) -> bool:
        """Whether no byte of a request has arrived that is not answered."""
        return self._reader.stage is Stage.NOTHING and not self._is_answering and not self._waiting

    def expire(self) -> None:
        """The deadline has passed. An answer may take longer, if the client takes what there is of it."""
        if (self._is_answering and not self._is_choked) or self._is_being_taken():
            return
        if self._reader.stage is Stage.BODY:
            self._reader.cut_short()
        else:
            self.abort()

    def _is_being_taken(self) -> bool:
        """Whether an answer is under way, and the client has taken a part of it since this was last asked."""
        if self._transport is None or not (unsent := self._transport.get_write_buffer_size()):
            return False
        before, self._unsent = self._unsent, unsent
        if before is not None and unsent >= before:
            return False
        self.deadline = self._loop.time() + BODY_TIMEOUT_S
        return True

    def close(self) -> None:
        """End the connection once what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once, and do nothing about what has arrived."""
        self._reader.stage = Stage.END
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Answer what has begun to arrive, and nothing after it."""
        if self.is_idle:
            self.close()
        self._is_last = True

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BufferedProtocol``, as for the next ones."""
        self._transport = cast("asyncio.Transport", transport)
        self.has_joined = True
        self._host.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; half a request of it is in the journal all the same."""
        self._transport = None
        self._ended.set()
        self._writable.set()
        self._waiting.clear()
        self._reader.cut_short()
        self._reader.end()
        self._host.left(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Some bytes of requests have arrived."""
        if self._reader.stage is not Stage.END:
            self._reader.feed(self._buffer[:nbytes])
            return
        self._discarded += nbytes
        if self._discarded > MAX_DISCARDED:
            self.abort()

    def eof_received(self) -> bool:
        """The client sends no more. It may wait for an answer, which over TLS it cannot get any more."""
        self._is_last = True
        self._reader.cut_short()
        self._ended.set()
        return (self._is_answering or bool(self._waiting)) and not self._is_tls

    def pause_writing(self) -> None:
        """The client takes nothing: no more is answered before it does."""
        self._is_choked = True
        self._writable.clear()
        self._unsent = None if self._transport is None else self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + BODY_TIMEOUT_S

    def resume_writing(self) -> None:
        """It does."""
        self._is_choked = False
        self._unsent = None
        self._writable.set()
        self._wait_for_more()
        self._answer_waiting()

    # What the reader calls

    def head_began(self) -> None:
        """See ``reader.Taker``, as for the next ones."""
        self.deadline = self._loop.time() + self._host.head_timeout_s

    def body_began(self, *, is_awaited: bool) -> None:
        """A body follows."""
        self.deadline = self._loop.time() + BODY_TIMEOUT_S
        self._is_awaited = is_awaited
        if not self._is_busy():
            self._ask_for_body()

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        """Answer it, when those before it are answered."""
        if self._is_busy():
            self._waiting.append((what, keeps, self._reader.version))
            if self._transport is not None:
                self._transport.pause_reading()
        else:
            self._answer(what, keeps=keeps, version=self._reader.version)

    def give_up(self, what: Request | Unreadable) -> None:
        """Answer it so that the answer arrives, although the client may be sending."""
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
            refusal = self._host.application.refuse_unread(what.status, what.why)
            self._write(whole_answer(refusal, self._host.date, keeps=False, says_keep=False, is_head=what.is_head))
            self._answered(keeps=False)
            return
        flow = self._host.application.serve(what)
        step = flow.send(None)
        if isinstance(step, Response) and step.fault is None and step.stream is None:
            keeps = keeps and not self._is_at_end()
            self._write(self._whole(what, step, keeps=keeps))
            finish(flow)
            self._answered(keeps=keeps)
        else:
            self._is_answering = True
            driving = self._drive(flow, step, what, keeps=keeps, version=version)
            self._host.run(self._loop.create_task(driving))

    def _is_at_end(self) -> bool:
        """Whether nothing follows the request that is answered, because one of the two sides ends."""
        return self._is_last and not self._waiting and self._reader.stage not in {Stage.HEAD, Stage.BODY}

    def _answered(self, *, keeps: bool) -> None:
        if keeps and not self._is_at_end():
            self._wait_for_more()
            return
        # Nothing follows this answer, and nothing is done of what was sent behind its request (RFC 9112, 9.6).
        self._lingers = self._lingers or bool(self._waiting)
        self._waiting.clear()
        self._reader.stage = Stage.END
        self._loop.call_soon(self._leave)  # by then what else was read with the request has been seen

    def _wait_for_more(self) -> None:
        if self._reader.stage is Stage.NOTHING and not self._is_choked:
            self._unsent = None
            self.deadline = self._loop.time() + self._host.head_timeout_s

    def _leave(self) -> None:
        """End the connection. A client that may be sending is told that nothing follows, and gets the time to read it:
        closed with unread bytes, the connection would be reset, and the answer lost (RFC 9112, 9.6).
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
        return whole_answer(response, self._host.date, keeps=keeps, says_keep=says_keep, is_head=is_head)

    async def _drive(self, flow: Flow, step: Step, request: Request, *, keeps: bool, version: str) -> None:
        """Take a request from a step that takes time to its end."""
        try:
            while isinstance(step, Future):
                await self._wait(step, version)
                step = flow.send(None)
            try:
                keeps = await self._send(request, step, keeps=keeps and not self._is_at_end(), version=version)
            except ConnectionError:
                keeps = False
            except Exception:
                _log.exception("an answer could not be sent")
                keeps = False
            finally:  # what was accepted takes its course, also if the server stops
                finish(flow)
        finally:
            flow.close()
            self._is_answering = False
        self._answered(keeps=keeps)
        self._answer_waiting()

    async def _wait(self, future: Future[Any], version: str) -> None:
        """Wait for what the request waits for. If the client leaves, it waits for its turn no more.

        A client that sends no more may wait for its answer, or may have closed the connection. TCP tells the two apart
        only when something is written: a client that has gone resets the connection. An interim answer is what every
        client of HTTP/1.1 has to skip (RFC 9110, 15.2); one of HTTP/1.0 must not get any.
        """
        done = self._host.done(future)
        if not isinstance(future, Turn):
            await asyncio.wait((done,))
            return
        ended = self._loop.create_task(self._ended.wait())
        try:
            await asyncio.wait((done, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        while not done.done() and self._transport is not None and not self._is_tls:
            await asyncio.wait((done,), timeout=PROBE_S)
            if not done.done() and version != "1.0":
                self._write(_CONTINUE)
        future.cancel()

    async def _send(self, request: Request, response: Response, *, keeps: bool, version: str) -> bool:
        """Send an answer that takes time, or may; return whether the connection goes on after it."""
        if response.stream is not None:
            if request.method != "HEAD":
                await self._send_stream(response, response.stream, is_chunked=version != "1.0")
                return False
            response.stream.close()
            self._write(head_of(response, self._host.date, keeps=keeps, length=None, is_chunked=version != "1.0"))
            return keeps
        whole = self._whole(request, response, keeps=keeps)
        if response.fault is not None:
            return await self._send_with_fault(whole, response.body, response.fault, keeps=keeps)
        self._write(whole)
        return keeps

    async def _send_stream(self, response: Response, stream: Stream, *, is_chunked: bool) -> None:
        """A body without an end, each change when it happens: in chunks (RFC 9112, 7.1), which HTTP/1.0 has not."""
        changed = asyncio.Event()
        stream.wake_by(lambda: self._loop.call_soon_threadsafe(changed.set))
        ended = self._loop.create_task(self._ended.wait())
        ended.add_done_callback(lambda _: changed.set())
        try:
            self._write(head_of(response, self._host.date, keeps=False, length=None, is_chunked=is_chunked))
            while not (stream.has_ended or ended.done()):
                changed.clear()
                events = stream.take() or KEEP_ALIVE
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
        """The answer as a fault has it; whether the connection goes on after it."""
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
        """End the connection with a reset: with nothing to linger for, that is what closing the socket does."""
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER_FORM, 1, 0))
            self._transport.abort()
