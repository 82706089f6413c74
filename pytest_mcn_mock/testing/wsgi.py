"""HTTP for the fixture's server: a werkzeug server that waits for no client, reads requests as the sandbox does, and
answers them by the application.
"""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.testing.door import Door, Workers
from pytest_mcn_mock.text import printable, printable_lines
from pytest_mcn_mock.web.application import Application, one_slash
from pytest_mcn_mock.web.dialects import DIALECTS
from pytest_mcn_mock.web.guard import ADMIN_PATH
from pytest_mcn_mock.web.http import (
    KEEP_ALIVE,
    KEEP_ALIVE_S,
    LINGER_FORM,
    LINGER_S,
    MAX_BODY,
    MAX_DISCARDED,
    Closing,
    Flow,
    Request,
    Response,
    ResponseFault,
    Stream,
)
from pytest_mcn_mock.web.reader import RequestReader, Stage, Unreadable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

READ: Final = "mcn_mock.request"
"""Where a WSGI environment has the Request, or the Unreadable, that the server has read."""
_BUFFER: Final = 16_384
_OWN: Final = (*(f"{dialect.root}/" for dialect in DIALECTS), f"{ADMIN_PATH}/")
_POLL_S: Final = 0.02
"""How often the server's thread checks whether to stop. werkzeug's stop() is slow because it checks every 0.5 s."""
_PARAMETER: Final = r"([^?&=\s'\"]+)=([^&\s'\"]*)"

_log = logging.getLogger("werkzeug")


def is_own_path(path: str) -> bool:
    """Return whether the path belongs to the application, also if it has no such route."""
    return one_slash(path).startswith(_OWN)


def refuse_unread(application: Application, unread: Unreadable) -> WerkzeugResponse:
    """Return the application's answer to a request that could not be read."""
    response = application.refuse_unread(unread.status, unread.why)
    return WerkzeugResponse(response.body, status=response.status, headers=response.headers)


def answer(application: Application, request: WerkzeugRequest, door: Door) -> WerkzeugResponse:
    """Return the application's answer to a request that its server has read."""
    flow = application.serve(request.environ[READ])
    response = door.answer(flow, partial(_watched, request.environ["werkzeug.socket"]))
    after = _After(door, flow, response.stream)
    if response.stream is not None:
        body = _streamed(response.stream, after, door)
        answered = WerkzeugResponse(body, status=response.status, headers=response.headers)
    else:
        headers = {**response.headers, "Content-Length": str(len(response.body))}
        body = _sent(response, request.environ, after)
        answered = WerkzeugResponse(body, status=response.status, headers=headers)
    answered.call_on_close(after)  # to HEAD, and with 204, no body is sent, and _sent is never begun
    return answered


class _After:
    """Does what follows an answer, once: when the server has written all, or could not write it."""

    def __init__(self, door: Door, flow: Flow, stream: Stream | None) -> None:
        self._door = door
        self._flow: Flow | None = flow
        self._stream = stream

    def __call__(self) -> None:
        flow, self._flow = self._flow, None
        if flow is None:
            return
        if self._stream is not None:
            self._door.run(_close(self._stream))
        self._door.finish(flow)


@contextmanager
def _watched(connection: socket.socket, leave: Callable[[], object]) -> Iterator[None]:
    """Call ``leave`` if the client goes away meanwhile. To be entered on the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()

    def look() -> None:
        loop.remove_reader(connection)
        try:
            # Not SSLSocket's own, which would read from the TLS of the connection's thread. Over TLS the client has
            # nothing more to send than the end.
            has_left = not socket.socket.recv(connection, 1, socket.MSG_PEEK) or isinstance(connection, ssl.SSLSocket)
        except OSError:
            has_left = True
        if has_left:
            leave()

    loop.add_reader(connection, look)
    try:
        yield
    finally:
        loop.remove_reader(connection)


def _sent(response: Response, environ: Mapping[str, Any], after: _After) -> Iterator[bytes]:
    """Yield the body as the fault alters it. ``after`` is called when the server asks for more: it has written all
    then.
    """
    try:
        if response.fault is None:
            yield response.body
        else:
            yield from _faulty_body(response.body, response.fault, environ)
    finally:
        after()


async def _close(stream: Stream) -> None:
    stream.close()


def _streamed(stream: Stream, after: _After, door: Door) -> Iterator[bytes]:
    changed = threading.Event()
    stream.wake_by(changed.set)
    try:
        while not stream.has_ended:
            changed.clear()
            yield door.run(stream.take()) or KEEP_ALIVE
            changed.wait(KEEP_ALIVE_S)
    finally:
        after()


def _faulty_body(body: bytes, fault: ResponseFault, environ: Mapping[str, Any]) -> Iterator[bytes]:
    time.sleep(fault.delay_s)  # the fault itself: nothing happens that could be waited for
    if fault.closing is Closing.RESET:
        _reset(environ["werkzeug.socket"])
        raise ConnectionAbortedError("the connection is reset by a fault")
    if fault.closing is Closing.CUT_OFF:
        yield body[: len(body) // 2]
    elif fault.drip_s:
        for byte in body:
            yield bytes((byte,))
            time.sleep(fault.drip_s / len(body))
    else:
        yield body


def _reset(connection: socket.socket) -> None:
    """Reset the connection, and leave the server a descriptor that it can go on to close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER_FORM, 1, 0))
    ours, stand_in = socket.socketpair()
    with ours, stand_in:
        # The connection's last descriptor goes with this, and with nothing to linger for that sends a reset.
        os.dup2(stand_in.fileno(), connection.fileno())


class RequestHandler(WSGIRequestHandler):
    """Answers one request of a connection, and closes it. The application finds what was read at ``READ``.

    Logs each request at ``debug``, and never logs a token. Leaves the level and the handlers of the logger ``werkzeug``
    alone: a test may have a server of its own.
    """

    _headers_buffer: list[bytes]

    def setup(self) -> None:
        """Prepare the connection."""
        super().setup()
        self.rfile.close()
        self.rfile = _Rest(self.connection)
        self.wfile.close()
        self.wfile = self._answer = _Answer(self.connection)
        self._reader = RequestReader(self, _max_body)
        self._read: Request | Unreadable | None = None
        self._target = "/"
        self._lingers = False

    def handle_one_request(self) -> None:
        """Read a request by the sandbox's rules, and answer it."""
        self._receive()
        if self._read is None:
            return
        self.request_version = self.protocol_version
        headers: Mapping[str, str] = {}
        if isinstance(self._read, Unreadable):
            self._target = "/"
            self.command = "HEAD" if self._read.is_head else "GET"
        else:
            self.command, headers = self._read.method, self._read.headers
        # werkzeug asks for no more than a mapping has. The header Expect has been answered.
        self.headers = {name: value for name, value in headers.items() if name != "expect"}  # type: ignore[assignment]
        self.path = "/" + self._target.lstrip("/")  # two slashes would be taken for a host
        self.run_wsgi()
        if self._lingers:
            self.rfile.read()

    def _receive(self) -> None:
        """Read until there is a request, or the client has left before the head of one had arrived."""
        while self._read is None:
            try:
                data = self.connection.recv(_BUFFER)
            except OSError:
                data = b""
            if not data:
                self._reader.cut_short()
                break
            self._reader.feed(memoryview(data))
        self._reader.end()

    def head_began(self) -> None:
        """See ``reader.Taker``, as for the next ones."""

    def body_began(self, *, is_awaited: bool) -> None:
        """A body follows."""
        if is_awaited:
            with suppress(OSError):
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        """Keep the request; what follows it is not read."""
        self._read = what
        self._target = self._reader.target.decode("latin-1")
        if self._reader.version == "1.0":
            self.protocol_version = "HTTP/1.0"  # so that no answer to it is in chunks
        self._reader.stage = Stage.END

    def give_up(self, what: Request | Unreadable) -> None:
        """The same, and the client may be sending."""
        self._lingers = True
        self.take(what, keeps=False)

    def flush_headers(self) -> None:
        """Send the head with the first bytes of the body: the client wakes once."""
        self._answer.hold(b"".join(self._headers_buffer))
        self._headers_buffer = []

    def make_environ(self) -> WSGIEnvironment:
        """Return the WSGI environment of the request that was read."""
        environ = super().make_environ()
        environ[READ] = self._read
        environ["REQUEST_URI"] = environ["RAW_URI"] = self._target
        environ["wsgi.input_terminated"] = True
        environ["wsgi.input"] = io.BytesIO((isinstance(self._read, Request) and self._read.body) or b"")
        if isinstance(self._read, Request) and "expect" in self._read.headers:
            environ["HTTP_EXPECT"] = self._read.headers["expect"]
        return environ

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request and the status of its answer, without colours; one that cannot be read is not quoted."""
        line = "-" if isinstance(self._read, Unreadable) else f"{self.command} {self._target} {self.request_version}"
        self.log("debug", '"%s" %s %s', line, getattr(code, "value", code), size)

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it
        """Log a line about a request that is not HTTP. A failed TLS handshake is its client's to report."""
        self.log("debug" if format.startswith("SSL error") else "error", format, *args)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name for it
        """Log a line, without the value of ``user_hash``, also if the line quotes a request that is not HTTP."""
        level = logging.getLevelNamesMapping()[type.upper()]
        if _log.isEnabledFor(level):
            line = re.sub(_PARAMETER, _without_token, message % args if args else message)
            _log.log(level, "%s - - %s", self.address_string(), printable(line))


def _without_token(parameter: re.Match[str]) -> str:
    name = parameter[1]
    return f"{name}=***" if unquote_plus(name).lower() == "user_hash" else parameter[0]


class _Rest(io.BufferedIOBase):
    """The bytes behind a request. Closed with them unread, a connection would be reset and its answer lost."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, size: Any = -1) -> bytes:
        """Tell the client that nothing follows, and forget what it sends, within bounds."""
        deadline, forgotten = monotonic() + LINGER_S, 0
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            while forgotten <= MAX_DISCARDED and (left := deadline - monotonic()) > 0:
                self._connection.settimeout(left)
                if not (data := self._connection.recv(_BUFFER)):
                    break
                forgotten += len(data)
        return b""


class _Answer(io.BufferedIOBase):
    """The bytes of an answer. What is held is sent with the next ones, or by a flush."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._held = b""

    def hold(self, data: bytes) -> None:
        """Hold bytes until there are more."""
        self._held += data

    def write(self, data: Any) -> int:
        """Send what is held, and the data."""
        held, self._held = self._held, b""
        self._connection.sendall(held + data)
        return len(data)

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            self.write(b"")


def _max_body(path: str) -> int:
    """Return the size limit of a body. It does not apply to paths of the user's own handlers."""
    return MAX_BODY if is_own_path(path) else sys.maxsize


def _log_safely(kind: str, message: str, *args: object) -> None:
    """Log for werkzeug's server, which quotes exceptions of handlers. Indent their lines, so they forge no log line."""
    text = printable_lines(message % args if args else message).replace("\n", "\n    ")
    _log.log(logging.getLevelNamesMapping()[kind.upper()], "%s", text)


class Acceptor:
    """A werkzeug server that never waits for a client: neither to accept the next one, nor to end."""

    def __init__(self, server: BaseWSGIServer) -> None:
        self._server = server
        self._workers: Workers | None = None
        self._open: set[socket.socket] = set()
        self._has_ended = False
        server.RequestHandlerClass = RequestHandler
        if isinstance(server.socket, ssl.SSLSocket):
            # The thread of the connection does the handshake, with its first read, not the thread that accepts.
            server.socket.do_handshake_on_connect = False  # type: ignore[attr-defined] # typeshed lacks it
        if isinstance(server, ThreadedWSGIServer):
            # What is being answered is answered to its end.
            self._how = socket.SHUT_RD
            self._work = server.process_request_thread
            self._workers = Workers(self._answer)
        else:
            self._how = socket.SHUT_RDWR
            self._work = server.process_request
        # HTTPServer makes the server itself, and of a class of werkzeug's.
        server.process_request = self._begin  # type: ignore[assignment,method-assign]
        server.log = _log_safely  # type: ignore[assignment,method-assign]

    def serve(self) -> None:
        """Serve until ``stop``."""
        try:
            self._server.serve_forever(poll_interval=_POLL_S)
        finally:
            if self._workers is not None:
                self._workers.stop()

    def stop(self) -> None:
        """Stop reading from all connections, also from later ones. Call the server's ``shutdown`` afterwards."""
        self._has_ended = True
        for connection in self._open.copy():
            self._shut(connection)

    def _begin(self, connection: Any, address: Any) -> None:
        self._open.add(connection)
        if self._has_ended:  # ``stop`` may have looked before the connection was added
            self._shut(connection)
        if self._workers is None:
            self._answer(connection, address)
        else:
            self._workers.start(connection, address)

    def _answer(self, connection: Any, address: Any) -> None:
        try:
            self._work(connection, address)
        finally:
            self._open.discard(connection)

    def _shut(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the client has closed it
            # Not SSLSocket's own, which would take TLS away from the thread that uses it.
            socket.socket.shutdown(connection, self._how)
