"""The HTTP client that sends CDRs: it writes requests, connects, and reads answers.

A request is sent once, with one exception: see ``HttpSender``.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 - every look-up needs it; Python would import it in an attempt, when files may be short
import os
import re
import select
import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple, cast
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec.structs import replace

from pytest_mcn_mock.certificates import make_context
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.flow import on_loop
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import MACHINE, Targets, Trust, is_address, is_literal
from pytest_mcn_mock.text import show_address

_PATH: Final = "!$&'()*+,;=:@/%"
"""Characters that a path may have besides letters and digits (RFC 3986, 3.3), and ``%``, which begins a byte."""
_LONE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_VISIBLE: Final = re.compile("[!-~]+")
_BREAK: Final = re.compile("[\r\n\0]")
_WITH_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests state their length even if it is 0 (RFC 9110, 8.6)."""


class Unsendable(SendError):
    """The request cannot be written as HTTP. The message contains no part of its URL and headers."""


class Origin(NamedTuple):
    """The endpoint of a connection. ``host`` is an ASCII name, or an address without brackets."""

    is_tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        return show_address(self.host, self.port)


def render(request: CdrRequest) -> tuple[Origin, bytes]:
    """Return the origin and the bytes of a request. Raise Unsendable if the URL or a header cannot be written."""
    origin, head = _head(request.method, request.url, tuple(request.headers.items()))
    body = request.body
    if body or request.method in _WITH_A_BODY:
        return origin, b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    return origin, head + b"\r\n\r\n"


@lru_cache(maxsize=1024)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Return the head without the end of its last line. Every request to a webhook has the same one, unless its URL or
    its headers have variables.
    """
    try:
        parts = urlsplit(url)
        origin, target = _origin(parts), _target(parts)
    except ValueError:  # its text may contain the URL
        raise Unsendable("the request cannot be sent: its URL is not valid") from None
    lines = [f"{method} {target} HTTP/1.1"]
    given = {name.lower() for name, _ in headers}
    if "host" not in given:
        lines.append(f"Host: {_host_header(origin)}")
    lines += [f"{name}: {value}" for name, value in headers]
    userinfo = parts.netloc.rpartition("@")[0]
    if userinfo and "authorization" not in given:
        user, _, password = userinfo.partition(":")
        credentials = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        lines.append(f"Authorization: Basic {b64encode(credentials).decode()}")
    if any(map(_BREAK.search, lines)):
        raise Unsendable("the request cannot be sent: its head contains a line break")
    try:
        return origin, "\r\n".join(lines).encode()
    except UnicodeEncodeError:
        raise Unsendable("the request cannot be sent: its head contains a lone surrogate") from None


def _origin(parts: SplitResult) -> Origin:
    host = parts.hostname or ""
    if ":" in host:
        host = host.replace("%25", "%")  # before a zone (RFC 6874, 2)
    elif not host.isascii():
        host = host.encode("idna").decode()
    if parts.scheme not in ("http", "https") or not _VISIBLE.fullmatch(host):
        raise ValueError
    is_tls = parts.scheme == "https"
    return Origin(is_tls, host, (443 if is_tls else 80) if parts.port is None else parts.port)


def _target(parts: SplitResult) -> str:
    target = quote(parts.path or "/", safe=_PATH)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PATH + "?")
    return _LONE_PERCENT.sub("%25", target)


def _host_header(origin: Origin) -> str:
    host = origin.host.partition("%")[0] if ":" in origin.host else origin.host  # a zone is this machine's own
    if origin.port == (443 if origin.is_tls else 80):
        return f"[{host}]" if ":" in host else host
    return show_address(host, origin.port)


MAX_REASON = 300
"""Characters of a reason."""


class NoConnection(SendError):
    """The connection, or TLS on it, failed."""


def no_connection(reasons: Iterable[str], *, is_reached: bool) -> NoConnection:
    """Return the error with a reason for each address. ``is_reached`` if one of them accepted a connection."""
    listed = "; ".join(dict.fromkeys(reasons))
    return NoConnection((listed if is_reached else f"could not connect: {listed}")[:MAX_REASON])


def why_not_connected(error: OSError, address: Any) -> str:
    """Return the reason why the address accepted no connection. ``address`` is as in ``socket.getaddrinfo``."""
    where = show_address(*address[:2])
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {where}"
    return f"{where}: {os.strerror(error.errno) if error.errno else error}"


def why_no_tls(error: OSError | ValueError, origin: Origin) -> str:
    """Return why the TLS handshake with the origin failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {origin} is not trusted: {error.verify_message}"
    if isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
    ):  # asyncio's own errors have no text
        how = "reset" if isinstance(error, ConnectionError) and error.errno else "closed"
        return f"the connection was {how} by {origin} during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        if alert := _alert(error):
            return f"{origin} refused the TLS handshake: {alert}"
        return f"{origin} does not answer with valid TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.errno:
        return f"{origin}: {os.strerror(error.errno)} during the TLS handshake"
    return f"{origin}: {error}"  # a name that TLS cannot have


def why_closed(error: BaseException | None) -> str:
    """Return how a connection ended: closed, reset, or by TLS, with the endpoint's reason."""
    if isinstance(error, ssl.SSLError):
        return f"closed by TLS ({_alert(error) or error.reason or error})"
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        return f"lost ({os.strerror(error.errno)})"
    return "closed"


def _alert(error: ssl.SSLError) -> str:
    """Return the alert of the other side in words (RFC 8446, 6), empty if it sent none."""
    name = error.reason or ""
    if "_ALERT_" not in name and name != "TLSV1_UNRECOGNIZED_NAME":
        return ""
    words = name.split("_", 1)[1].removeprefix("ALERT_").replace("_", " ").lower()
    if words == "certificate required":
        return "certificate required: it wants a client's certificate, which webhooks do not have"
    if words == "handshake failure":
        return "handshake failure; perhaps it wants a client's certificate, or another cipher"
    return words


Resolved = tuple[int, int, int, str, Any]
"""An address as ``socket.getaddrinfo`` returns it."""
MAX_LOOKUPS: Final = 256
"""Names that are looked up at once, each on a thread of its own; the attempts at one more name fail."""

_under_way: dict[str, Future[Sequence[Resolved]]] = {}
_lock = threading.Lock()


async def look_up(host: str, port: int) -> Sequence[Resolved]:
    """Return the addresses of a name. There is one look-up of a name at a time, which several callers may share.

    The threads are daemons: a look-up takes as long as the resolver likes, and nobody waits for it at the end. The
    event loop's own pool has few threads, and the loop waits for them when it ends.

    Raises OSError or UnicodeError as ``socket.getaddrinfo`` does.
    """
    with _lock:
        found = _under_way.get(host)
        if found is None:
            found = _under_way[host] = _begin(host)
    addresses = await asyncio.wrap_future(found)
    return [(*rest, (where[0], where[1] or port, *where[2:])) for *rest, where in addresses]  # type: ignore[misc]


def _begin(host: str) -> Future[Sequence[Resolved]]:
    if len(_under_way) >= MAX_LOOKUPS:
        raise OSError(f"{MAX_LOOKUPS} names are being looked up already")
    found: Future[Sequence[Resolved]] = Future()
    found.set_running_or_notify_cancel()  # a caller that is cancelled does not cancel it for the others
    try:
        threading.Thread(target=_run, args=(host, found), daemon=True, name="mcn-mock-dns").start()
    except RuntimeError as error:  # the process has as many threads as it may have
        raise OSError(str(error)) from error
    return found


def _run(host: str, found: Future[Sequence[Resolved]]) -> None:
    addresses: Sequence[Resolved] = ()
    failure: BaseException | None = None
    try:
        addresses = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except BaseException as error:  # every waiting caller must get it
        failure = error
    with _lock:
        del _under_way[host]
    if failure is None:
        found.set_result(addresses)
    else:
        found.set_exception(failure)


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
    """The answer is not HTTP."""


class Late(SendError):
    """The owner of the connection ended the wait."""


class Connection(asyncio.BufferedProtocol):
    """Carries one request at a time; ``most`` bytes of an answer's body are kept.

    The connection is closed if it is not certain where the next answer would begin.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = MAX_RESPONSE) -> None:
        self.idle_since = 0.0
        """When its last answer came, for the owner that keeps it."""
        self.peer: Any = None
        """The address that it leads to, as ``socket.getpeername`` has it."""
        self.is_answered = False
        """Whether an answer has come on it."""
        self.broken: SendError | None = None
        """Why the body of the last answer is not whole, if it is not, and was not too long either."""
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
        self._last: CdrResponse | None = None
        self._last_bytes = b""
        """The bytes of the last answer if they came at once, otherwise none."""

    @property
    def is_idle(self) -> bool:
        """Return whether a request can be sent on it."""
        return self._transport is not None and self._waiter is None

    @property
    def is_silent(self) -> bool:
        """Return whether no byte has come since the last request was sent."""
        return not self._received

    def is_accepted(self) -> bool:
        """Return whether the endpoint's system has confirmed all sent bytes; True on systems other than Linux.

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
        """Return whether it is idle, and the endpoint has not closed it. The event loop may not know that yet."""
        transport = self._transport
        if transport is None or self._waiter is not None:
            return False
        if self._is_readable is None:
            self._is_readable = _watch(transport.get_extra_info("socket").fileno())
        return not self._is_readable()

    @property
    def response(self) -> CdrResponse | None:
        """Return the last request's answer as far as it has come; None before its status and headers have."""
        if self._status is None:
            return None
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._headers:
            name, value = raw_name.decode("utf-8", "replace"), raw_value.rstrip().decode("utf-8", "replace")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return CdrResponse(self._status, headers, bytes(self._body))

    def ask(self, request: bytes, *, is_head: bool = False) -> asyncio.Future[CdrResponse]:
        """Send a request on the idle connection. Raise Closed or MalformedResponse if there is no valid answer.

        An answer to the method HEAD has no body, whatever its headers say. If the body breaks off, it is an answer: see
        ``broken``.
        """
        transport = self._transport
        self._received = 0
        if transport is None:
            raise Closed("the connection was closed before an answer")
        waiter = self._waiter = self._loop.create_future()
        self.broken = None
        self._is_for_head = is_head
        self._status = None
        transport.write(request)
        return waiter

    def fail(self, error: SendError) -> None:
        """Close the connection, and let the request in flight fail with this error."""
        waiter, self._waiter = self._waiter, None
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def give_up(self, error: SendError) -> None:
        """Close the connection. If the status has arrived, it is the answer; otherwise the request fails."""
        if self._status is None:
            self.fail(error)
            return
        if self._waiter is not None and not self._ends_with_connection():
            self.broken = error
        self._finish(is_kept=False)

    def be_late(self) -> None:
        """End the wait with Late."""
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
        data = bytes(self._buffer[:nbytes])
        is_first = not self._received
        self._received += nbytes
        if is_first and data == self._last_bytes and not self._is_for_head:
            # Most endpoints repeat one answer. An answer that was not whole, or after which it is not certain where the
            # next one begins, has closed the connection. So these bytes were a whole answer, and are one again.
            response = cast(CdrResponse, self._last)
            self._status = response.status
            self._tell(response)
            return
        if self._status is None:
            self._head += data
        self._feed(data)
        self._last_bytes = data if is_first else b""
        if self._received > MAX_HEAD and self._status is None:
            self.fail(MalformedResponse(f"the answer is not HTTP: its head has more than {MAX_HEAD // 1024} KiB"))
        elif self._received > MAX_HEAD + 8 * self._most:  # more than a whole body in chunks of one byte
            self._finish(is_kept=False)

    def _make_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # Accept some mistakes of servers that are unambiguous, such as bare line feeds. aiohttp does so too.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        return parser

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.close()
        except HttpParserError as error:
            if self._status is None and "Content-Length" in str(error) and self._read_equal_lengths():
                return
            is_tls = self._status is None and bytes(self._head[:2]) in _TLS_RECORD
            why = "it is TLS; begin the URL with https:" if is_tls else error
            self.give_up(MalformedResponse(f"the answer is not HTTP: {why}"[:300]))

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
        del self._parser  # it refers to this connection, and so keeps its buffers

    def on_message_begin(self) -> None:
        """Close if no request waits for an answer. The parser calls this and the next methods."""
        if self._waiter is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a field of the head; drop one of the trailer."""
        if self._status is None:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note the status: the head is complete."""
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
        """Add a part of the body."""
        if self._waiter is None:
            return
        self._body += data
        if len(self._body) >= self._most:
            del self._body[self._most :]
            self._finish(is_kept=False)

    def on_message_complete(self) -> None:
        """Report the answer, which is complete."""
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
        if not is_kept:
            self.close()
        if self._waiter is not None:
            self._last = cast(CdrResponse, self.response)
            self._headers, self._body, self._head = [], bytearray(), bytearray()
            self._tell(self._last)

    def _tell(self, response: CdrResponse) -> None:
        waiter, self._waiter = self._waiter, None
        self.is_answered = True
        if waiter is not None and not waiter.done():
            waiter.set_result(response)


def _watch(descriptor: int) -> Callable[[], object]:
    """Return a function that says whether a socket has something to read: its end, if nothing was asked."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows, where descriptors may have any value


STAGGER_S: Final = 0.25
"""How long an address has before the next one is tried beside it (RFC 8305, 5)."""


async def connect(
    origin: Origin,
    timeout_s: float,
    *,
    targets: Targets | None = None,
    tls: ssl.SSLContext | None = None,
    most: int = MAX_RESPONSE,
) -> Connection:
    """Return a connection to the first of the origin's addresses that accepts one; ``most`` as for ``Connection``.

    The addresses are tried in the order of RFC 8305: each has 250 ms, or less if there is little time, before the next
    one is tried beside it. One that accepts the connection has its share of the time left for the TLS handshake, before
    the next one is tried. With ``targets``, addresses that they do not allow are left out: the address that is
    connected to is the one that was checked. ``tls`` is in place of the context that trusts this machine's authorities.

    Raises NoConnection, with the reason for each address, if there is none after ``timeout_s`` seconds.
    """
    until = asyncio.get_running_loop().time() + timeout_s
    context = (tls or make_context(MACHINE)) if origin.is_tls else None
    try:
        async with asyncio.timeout_at(until):
            left = _interleaved(await _resolve(origin, targets))
    except TimeoutError:
        raise NoConnection(f"cannot resolve {origin.host[:80]}: its look-up took more than {timeout_s:.3g} s") from None
    stagger_s = min(STAGGER_S, timeout_s / (len(left) + 1))
    failed: dict[Any, str] = {}
    reached: list[Any] = []
    try:
        async with asyncio.timeout_at(until):
            while left and (first := await _first(left, stagger_s, failed)) is not None:
                sock, address = first
                reached.append(address)
                share_s = (until - asyncio.get_running_loop().time()) / len(left)
                try:
                    async with asyncio.timeout(share_s):
                        return await _talk(sock, origin, context, most)
                except TimeoutError:
                    failed[address] = _no_handshake(address, share_s)
                except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot have
                    failed[address] = why_no_tls(error, origin)
                left = [found for found in left if found[4] not in failed]
    except TimeoutError:
        for *_, address in left:
            where = show_address(*address[:2])
            late = f"{where} did not answer within {timeout_s:.3g} s"
            failed.setdefault(address, _no_handshake(address, timeout_s) if address in reached else late)
    raise no_connection(failed.values(), is_reached=bool(reached))


def _no_handshake(address: Any, within_s: float) -> str:
    where = show_address(*address[:2])
    return f"{where} accepted the connection, but the TLS handshake took more than {within_s:.3g} s"


async def _resolve(origin: Origin, targets: Targets | None) -> Sequence[Resolved]:
    host = origin.host
    found: Sequence[Resolved]
    if targets is not None and is_literal(host) and not targets.allows_address(host):
        raise NoConnection(f"{host[:80]} is not among the webhook_targets")
    try:
        if is_address(host):  # no thread is needed
            found = socket.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        else:
            found = await look_up(host, origin.port)
    except OSError as error:
        raise NoConnection(f"cannot resolve {host[:80]}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise NoConnection(f"cannot resolve {host[:80]}: it is not a name that can exist") from error
    if targets is None or targets.allows_name(host):
        return found
    allowed = [result for result in found if targets.allows_address(str(result[4][0]))]
    if not allowed:
        addresses = ", ".join(sorted({str(result[4][0]) for result in found})[:4])
        raise NoConnection(f"{host[:80]} is {addresses}, which is not among the webhook_targets")
    return allowed


def _interleaved(found: Sequence[Resolved]) -> list[Resolved]:
    """Return the addresses with their families in turn, the resolver's first one first (RFC 8305, 4)."""
    families: dict[int, list[Resolved]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


async def _first(
    found: Sequence[Resolved], stagger_s: float, failed: dict[Any, str]
) -> tuple[socket.socket, Any] | None:
    """Return the first connection and its address, None if every address failed. Reasons are added to ``failed``."""
    if len(found) == 1:  # no task is needed
        family, kind, protocol, _, address = found[0]
        try:
            return await _connect(family, kind, protocol, address), address
        except OSError as error:
            failed[address] = why_not_connected(error, address)
            return None
    waiting = deque(found)
    under_way: dict[asyncio.Task[socket.socket], Any] = {}
    try:
        while waiting or under_way:
            if waiting:
                family, kind, protocol, _, address = waiting.popleft()
                under_way[asyncio.create_task(_connect(family, kind, protocol, address))] = address
            done, _ = await asyncio.wait(
                under_way, timeout=stagger_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                address = under_way[task]
                try:
                    sock = task.result()
                except OSError as error:
                    failed[address] = why_not_connected(error, address)
                    del under_way[task]
                else:
                    del under_way[task]
                    return sock, address
        return None
    finally:
        for task in under_way:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Close a connection that came when another one had won."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _talk(sock: socket.socket, origin: Origin, tls: ssl.SSLContext | None, most: int) -> Connection:
    loop = asyncio.get_running_loop()
    name = None if tls is None else origin.host.partition("%")[0].rstrip(".")
    _, connection = await loop.create_connection(
        lambda: Connection(loop, most), sock=sock, ssl=tls, server_hostname=name
    )
    return connection


IDLE_S: Final = 0.1
"""How long a connection is kept without a request. An endpoint with one thread serves no other client meanwhile."""
STARVING_S: Final = 1.0
"""How long a new connection waits for its first answer before others to the same address are closed after theirs."""
_Key = tuple[Origin, Trust | None]


class HttpSender:
    """To be made, used and closed on one event loop.

    Redirects are not followed, cookies are not kept, and no proxy of the environment is used. With ``targets`` nothing
    else is connected to. ``tls`` is the context for requests that ask for no trust of their own, by default the one
    that trusts this machine's authorities.

    A connection is used again while requests follow each other. An endpoint that serves one connection at a time, as
    ``http.server.HTTPServer`` does, would serve none of the others while one is kept: that is why an idle one is closed
    soon, and each one after its answer if another one to the same address waits too long for its first.

    A request is sent once, with one exception: if a connection that was used before ends without a byte of an answer,
    the endpoint most probably closed it before the request came (RFC 9112, 9.3.1). Then it is sent on a new connection,
    and the answer has ``sent_twice``.
    """

    def __init__(
        self, targets: Targets | None = None, *, tls: ssl.SSLContext | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._targets = targets
        self._tls = tls
        self._idle_s = idle_s
        self._idle: dict[_Key, list[Connection]] = {}
        self._unanswered: defaultdict[Any, dict[Connection, float]] = defaultdict(dict)
        self._deadlines: dict[Connection, float] = {}
        """When the time of each request in flight is up."""
        self._timer: asyncio.TimerHandle | None = None
        """For the first of the deadlines. An answer leaves it: a timer for each request would cost more."""
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """Return the endpoint's answer. Raises SendError if none arrives within ``timeout_s`` seconds, or at all.

        An answer whose body has not ended by then counts: the status has arrived.
        """
        origin, data = render(request)
        key = origin, request.trust if origin.is_tls else None
        began = self._loop.time()
        deadline = began + timeout_s
        is_head = request.method == "HEAD"
        connection = self._take(key, idle_after=began - self._idle_s)
        left_s = timeout_s
        is_again = False
        try:
            if connection is not None:
                try:
                    return await self._ask(key, connection, data, deadline, is_head=is_head)
                except Closed:
                    if not connection.is_silent:
                        raise
                    left_s = max(0.0, deadline - self._loop.time())
                    is_again = True
            await on_loop()
            connection = await connect(origin, left_s, targets=self._targets, tls=self._context(key))
            response = await self._ask(key, connection, data, deadline, is_head=is_head)
            return replace(response, sent_twice=True) if is_again else response
        except Late:
            raise SendError(f"no answer within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Close the kept connections."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.end()
        self._idle.clear()
        await asyncio.sleep(0)  # in which the sockets are closed

    def _context(self, key: _Key) -> ssl.SSLContext | None:
        _, trust = key
        if trust is None:
            return None
        return self._tls if self._tls is not None and trust == MACHINE else make_context(trust)

    async def _ask(
        self, key: _Key, connection: Connection, data: bytes, deadline: float, *, is_head: bool
    ) -> CdrResponse:
        is_first = not connection.is_answered
        if is_first:
            self._unanswered[connection.peer][connection] = self._loop.time()
        self._deadlines[connection] = deadline
        if self._timer is None or deadline < self._timer.when():
            self._set_timer(deadline)
        try:
            return await connection.ask(data, is_head=is_head)
        finally:
            del self._deadlines[connection]
            if is_first:
                waiting = self._unanswered[connection.peer]
                del waiting[connection]
                if not waiting:
                    del self._unanswered[connection.peer]
            self._put(key, connection)

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._end_late)

    def _end_late(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
        if len(late) < len(self._deadlines):
            self._set_timer(min(deadline for deadline in self._deadlines.values() if deadline > now))
        for connection in late:
            connection.be_late()

    def _take(self, key: _Key, *, idle_after: float) -> Connection | None:
        kept = self._idle.get(key)
        while kept:
            connection = kept.pop()
            if connection.idle_since > idle_after and connection.is_reusable():
                return connection
            connection.end()
        return None

    def _put(self, key: _Key, connection: Connection) -> None:
        if not connection.is_idle:
            connection.close()
            return
        if self._is_closed or (self._unanswered and self._is_another_starving(connection)):
            connection.end()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(key, []).append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._close_idle)

    def _is_another_starving(self, connection: Connection) -> bool:
        waiting = self._unanswered.get(connection.peer)
        return waiting is not None and self._loop.time() - next(iter(waiting.values())) > STARVING_S

    def _close_idle(self) -> None:
        oldest = self._loop.time() - self._idle_s
        kept: dict[_Key, list[Connection]] = {}
        first = float("inf")
        for key, connections in self._idle.items():
            for connection in connections:
                if connection.is_idle and connection.idle_since > oldest:
                    kept.setdefault(key, []).append(connection)
                    first = min(first, connection.idle_since)
                else:
                    connection.end()
        self._idle = kept
        self._sweep = self._loop.call_at(first + self._idle_s, self._close_idle) if kept else None
