"""HTTP/1.1 for the fixture's server: werkzeug's request handler, which reads requests as the sandbox does."""

from __future__ import annotations

import io
import socket
import sys
from contextlib import suppress
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import WSGIRequestHandler

from pytest_mcn_mock.real_time import monotonic
from pytest_mcn_mock.testing.wsgi import READ, is_own_path
from pytest_mcn_mock.web.http import MAX_BODY, Request
from pytest_mcn_mock.web.reader import RequestReader, Stage, Unreadable
from pytest_mcn_mock.web.server import LINGER_S, MAX_DISCARDED

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BUFFER: Final = 16_384


class RequestHandler(WSGIRequestHandler):
    """Answers one request of a connection, and closes it. The application finds what was read at ``READ``."""

    def setup(self) -> None:
        """Prepare the connection."""
        super().setup()
        self.rfile.close()
        self.rfile = _Rest(self.connection)

    def handle_one_request(self) -> None:
        """Read a request by the sandbox's rules, and answer it."""
        first = _FirstRequest(self.connection)
        first.read()
        if first.what is None:
            return
        self._read = first.what
        if first.version == "1.0":
            self.protocol_version = "HTTP/1.0"  # so that no answer to it is in chunks
        self.request_version = self.protocol_version
        self.headers = HTTPMessage()
        self._target = "/"
        if isinstance(first.what, Unreadable):
            self.command = "HEAD" if first.what.is_head else "GET"
        else:
            self.command, self._target = first.what.method, first.target
            for name, value in first.what.headers.items():
                if name != "expect":  # it has been answered
                    self.headers[name] = value
        self.path = "/" + self._target.lstrip("/")  # two slashes would be taken for a host
        self.run_wsgi()
        if first.lingers:
            self.rfile.read()

    def make_environ(self) -> WSGIEnvironment:
        """The WSGI environment of the request that was read."""
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


class _FirstRequest:
    """The first request of a connection. Implements ``reader.Taker``.

    ``what`` is None if the client left before the head of one had arrived.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = RequestReader(self, _max_body)
        self.what: Request | Unreadable | None = None
        self.target, self.version = "/", "1.1"
        self.lingers = False

    def read(self) -> None:
        """Read until there is one, or the client has left."""
        while self.what is None:
            try:
                data = self._connection.recv(_BUFFER)
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
                self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        """Keep the request; what follows it is not read."""
        self.what = what
        self.target, self.version = self._reader.target.decode("latin-1"), self._reader.version
        self._reader.stage = Stage.END

    def give_up(self, what: Request | Unreadable) -> None:
        """The same, and the client may be sending."""
        self.lingers = True
        self.take(what, keeps=False)


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


def _max_body(path: str) -> int:
    """What a user's own handlers answer may be larger."""
    return MAX_BODY if is_own_path(path) else sys.maxsize
