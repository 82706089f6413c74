"""One connection to an endpoint: a request's bytes go out, its answer comes back (RFC 9112)."""

from __future__ import annotations

import asyncio
import re
import select
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pytest_mcn_mock.delivery.reasons import why_closed
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrResponse

MAX_RESPONSE: Final = 65_536
"""Bytes of an answer's body that are kept; the rest is not read."""
MAX_HEAD: Final = 65_536
"""Bytes of an answer's head, with those of the interim answers before it, as they are read."""
_BUFFER: Final = 16_384
"""Bytes that are read at once. A protocol without a buffer of its own has 256 KiB allocated for each answer."""
SWITCHING_PROTOCOLS: Final = 101
_UNACKED_AT: Final = 24
"""Where ``struct tcp_info`` of linux/tcp.h has ``tcpi_unacked``: segments that were sent and are not confirmed."""
_TLS_RECORD: Final = (b"\x15\x03", b"\x16\x03")
"""How a TLS alert and a TLS handshake begin (RFC 8446, 5.1)."""
_INTERIM = re.compile(rb"(?:HTTP/1\.[01] 1(?!01)[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n)*")
_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"^content-length[ \t]*:([^\r\n]*)\r?\n", re.IGNORECASE | re.MULTILINE)


class Closed(SendError):
    """The connection ended before an answer."""


class MalformedResponse(SendError):
    """What came is no HTTP."""


class Late(SendError):
    """The owner of the connection said that the time is up."""


class Connection(asyncio.BufferedProtocol):
    """Carries one request at a time; ``most`` bytes of an answer's body are kept.

    After anything that leaves in doubt where the next answer would begin, it is closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = MAX_RESPONSE) -> None:
        self.idle_since = 0.0
        """When its last answer came, for the owner that keeps it."""
        self.peer: Any = None
        """The address that it leads to, as ``socket.getpeername`` has it."""
        self.is_answered = False
        """Whether an answer has come on it."""
        self.broken: SendError | None = None
        """Why the body of the last answer is not whole, where it is not, and was not too long either."""
        self._loop = loop
        self._most = most
        self._parser = self._make_parser()
        self._head = bytearray()
        """What has come of the answer, as long as its head is not whole."""
        self._buffer = memoryview(bytearray(_BUFFER))
        self._transport: asyncio.Transport | None = None
        self._is_readable: Callable[[], object] | None = None
        self._waiter: asyncio.Future[CdrResponse] | None = None
        self._is_for_head = False
        self._received = 0
        self._status: int | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether a request can be sent on it."""
        return self._transport is not None and self._waiter is None

    @property
    def is_silent(self) -> bool:
        """Whether not a byte has come since the last request was sent."""
        return not self._received

    def is_accepted(self) -> bool:
        """Whether the endpoint's system has confirmed all that was sent; True where only Linux could tell.

        A system whose backlog is full confirms nothing, although the connection seems to stand on this side.
        """
        transport = self._transport
        if transport is None or not hasattr(socket, "TCP_INFO"):
            return True
        try:
            state = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_AT + 4)
        except OSError:  # not a TCP socket
            return True
        return len(state) < _UNACKED_AT + 4 or struct.unpack_from("I", state, _UNACKED_AT)[0] == 0

    def is_reusable(self) -> bool:
        """Whether it is idle, and the endpoint has not closed it. The event loop may not have read the end yet."""
        transport = self._transport
        if transport is None or self._waiter is not None:
            return False
        if self._is_readable is None:
            self._is_readable = _watch(transport.get_extra_info("socket").fileno())
        return not self._is_readable()

    @property
    def response(self) -> CdrResponse | None:
        """The last request's answer as far as it has come; None before its status and headers have."""
        if self._status is None:
            return None
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._headers:
            name, value = raw_name.decode("utf-8", "replace"), raw_value.rstrip().decode("utf-8", "replace")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return CdrResponse(self._status, headers, bytes(self._body))

    def ask(self, request: bytes, *, is_head: bool = False) -> asyncio.Future[CdrResponse]:
        """Send a request on the idle connection; Closed or MalformedResponse where its answer does not come.

        An answer to the method HEAD has no body, whatever it says. One whose body breaks off is an answer: see
        ``broken``.
        """
        transport = self._transport
        self._received = 0
        if transport is None:
            raise Closed("the connection was closed before an answer")
        waiter = self._waiter = self._loop.create_future()
        self.broken = None
        self._head.clear()
        self._is_for_head = is_head
        self._status = None
        self._headers = []
        self._body = bytearray()
        transport.write(request)
        return waiter

    def fail(self, error: SendError) -> None:
        """Close it, and let the request that is under way fail so."""
        waiter, self._waiter = self._waiter, None
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def give_up(self, error: SendError) -> None:
        """Close it. The request under way fails so, unless the status has arrived: then that is its answer."""
        if self._status is None:
            self.fail(error)
            return
        if self._waiter is not None and not self._ends_with_connection():
            self.broken = error
        self._finish(is_kept=False)

    def be_late(self) -> None:
        """Give up with Late."""
        self.give_up(Late("the time is up"))

    def close(self) -> None:
        """Close it at once."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def end(self) -> None:
        """Close it while it is idle. TLS is closed too, so that the endpoint does not log a connection that was cut."""
        if self._transport is not None:
            self._transport.close()
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Implements ``asyncio.BufferedProtocol``."""
        self._transport = cast(asyncio.Transport, transport)
        self.peer = transport.get_extra_info("peername")

    def get_buffer(self, _: int) -> memoryview:
        """Implements ``asyncio.BufferedProtocol``."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Implements ``asyncio.BufferedProtocol``."""
        if self._waiter is None:
            self.close()  # nothing was asked
            return
        self._received += nbytes
        data = self._buffer[:nbytes]
        if self._status is None:
            self._head += data
        self._feed(data)
        if self._received > MAX_HEAD and self._status is None:
            self.fail(MalformedResponse(f"the answer is no HTTP: its head has more than {MAX_HEAD // 1024} KiB"))
        elif self._received > MAX_HEAD + 8 * self._most:  # more than a whole body in chunks of one byte
            self._finish(is_kept=False)

    def _make_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # What is clear enough is read, though a server should not send it: bare line feeds, say. So does aiohttp.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        return parser

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.close()
        except HttpParserError as error:
            if self._status is None and "Content-Length" in str(error) and self._read_equal_lengths():
                return
            is_tls = self._status is None and bytes(self._head[:2]) in _TLS_RECORD
            why = "it is TLS; the URL has to begin with https:" if is_tls else error
            self.give_up(MalformedResponse(f"the answer is no HTTP: {why}"[:300]))

    def _read_equal_lengths(self) -> bool:
        """Take several lengths that are equal for one (RFC 9110, 8.6), which the parser does not.

        Return whether that is what they are, or the rest of the head has still to come.
        """
        answer = _INTERIM.sub(b"", bytes(self._head), count=1)
        if (end := _HEAD_END.search(answer)) is None:
            return True  # the parser raises the same error again for what follows
        head, rest = answer[: end.start() + 1], answer[end.start() + 1 :]
        given = b",".join(_LENGTH.findall(head)).split(b",")
        lengths = {length.strip() for length in given}
        if len(given) == 1 or len(lengths) > 1:
            return False
        self._head[:] = _LENGTH.sub(b"", head) + b"Content-Length: %b\r\n" % lengths.pop() + rest
        self._headers.clear()
        self._parser = self._make_parser()
        self._feed(bytes(self._head))
        return True

    def eof_received(self) -> None:
        """Implements ``asyncio.BufferedProtocol``."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Implements ``asyncio.BufferedProtocol``."""
        self._end(exc)
        del self._parser  # which holds this, so that nobody else would let go of its buffers

    def on_message_begin(self) -> None:
        """Called by the parser, as what follows."""
        if self._waiter is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; one of the trailer is dropped."""
        if self._status is None:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The end of a head."""
        if self._status is not None:
            return  # of an answer to nothing
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != SWITCHING_PROTOCOLS:
            self._headers.clear()  # of an interim answer (RFC 9110, 15.2)
            return
        self._status = status
        if self._is_for_head:
            self._finish(is_kept=False)

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self._waiter is None:
            return
        self._body += data
        if len(self._body) >= self._most:
            del self._body[self._most :]
            self._finish(is_kept=False)

    def on_message_complete(self) -> None:
        """The end of an answer."""
        if self._status is not None:
            self._finish(is_kept=self._parser.should_keep_alive() and self._status != SWITCHING_PROTOCOLS)

    def _end(self, error: Exception | None) -> None:
        before = "an answer" if self._status is None else "its end"
        self.give_up(Closed(f"the connection was {why_closed(error)} before {before}"[:300]))

    def _ends_with_connection(self) -> bool:
        return not any(
            name.lower() == b"content-length" or (name.lower() == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self._headers
        )

    def _finish(self, *, is_kept: bool) -> None:
        waiter, self._waiter = self._waiter, None
        self.is_answered = True
        if not is_kept:
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(cast(CdrResponse, self.response))
            self._headers, self._body = [], bytearray()  # it may be kept for long


def _watch(descriptor: int) -> Callable[[], object]:
    """Return a function that says whether a socket has something to read: its end, if nothing was asked."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows, where descriptors may have any value
