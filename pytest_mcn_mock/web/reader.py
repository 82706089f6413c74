"""Requests from a client's bytes: HTTP/1.1 (RFC 9112) as httptools parses it, within bounds. Both servers use it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from msgspec import Struct

from pytest_mcn_mock.web.dialects import API_MCN
from pytest_mcn_mock.web.http import MAX_BODY, Request

MAX_HEADERS: Final = 100
"""Headers of a request, and trailer fields behind a body in chunks."""
MAX_HEAD: Final = 65_536
"""Bytes of a request's first line and headers, and of everything in a body in chunks that is not its content."""
_FIRST_LINE: Final = len("POST  HTTP/1.1\r\n\r\n")
"""Bytes of a head beside its target and its headers."""
_FRAMING: Final = 8
"""Bytes that a body in chunks may take for each byte of its content, beside MAX_HEAD: the smallest chunk takes six."""

_HOST = re.compile(
    r"(?:\[[0-9a-f:.]+(?:%[\w.~%-]+)?\]|\[v[0-9a-f]+\.[\w.~!$&'()*+,;=:-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})*)"
    r"(?::[0-9]*)?",
    re.ASCII | re.IGNORECASE,
)
"""A Host header: ``uri-host [ ":" port ]`` (RFC 9110, 7.2; RFC 3986, 3.2.2), and empty."""
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)
"""A target in absolute form (RFC 9112, 3.2.2): the authority, and the path with the query."""
_ORDINARY = re.compile(rb"(/[\w./~-]*)(?:\?([\w.~%&=+-]*))?", re.ASCII)
"""A target that has one reading: a path and a query, of characters that need no escape and of a query's escapes. It has
no space and no line break, so that it cannot hide another request.
"""
_METHOD = re.compile(rb"[\r\n]*[\w!#$%&'*+.^`|~-]+ ")
_LONGEST_METHOD: Final = 64
_log = logging.getLogger("mcn_mock")


class Stage(Enum):
    """The part of a request to which the next byte belongs."""

    NOTHING = auto()
    """No request has begun."""
    HEAD = auto()
    BODY = auto()
    END = auto()
    """Nothing more is read from the client."""


class Unreadable(Struct, frozen=True):
    """A request that cannot be read: the status that says so, and why. ``is_head``: the answer has no body."""

    status: int
    why: str
    is_head: bool = False


class Taker(Protocol):
    """Gets the requests."""

    def head_began(self) -> None:
        """Note that the first byte of a request has arrived."""

    def body_began(self, *, is_awaited: bool) -> None:
        """Note that the head has arrived and a body follows. ``is_awaited``: the client waits for ``100 Continue``."""

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        """Take a request, or one that cannot be read. ``keeps``: the client may send another one."""

    def give_up(self, what: Request | Unreadable) -> None:
        """Take the last request of a client that may go on sending; nothing more of it is read."""


class _Enough(Exception):
    """Raised in a callback of the parser to end it: the bytes that follow are not read."""


class RequestReader:
    """Reads the requests of one connection, and reports each to ``taker`` with its last byte.

    ``max_body`` returns how many bytes the body of a request to a path may have; without it that is MAX_BODY. A request
    that is not HTTP, or too large, ends the reading, so that nobody can take one request for another (RFC 9112, 6.3).

    A client that keeps its connection sends the same bytes again and again, with another target. If they have no body,
    the parser would read them as before, because it starts afresh after each request. So it is not asked, which saves
    two thirds of the time. Such requests share their headers, which nobody changes.
    """

    def __init__(self, taker: Taker, max_body: Callable[[str], int] | None = None) -> None:
        self._taker = taker
        self._max_body = max_body
        self._limit = MAX_BODY
        self._parser = HttpRequestParser(self)
        self.target = b""
        """The target of the request that is being read: the path and the query, percent-encoded."""
        self.version = "1.1"
        """The version of HTTP of the last request whose head has arrived: 1.0 or 1.1."""
        self._method = ""
        self._headers: dict[str, str] = {}
        self._lines = self._head_size = 0
        self._size = self._raw = 0
        self._body = bytearray()
        self._host = ""
        self._upgrades = self._goes_on = self._closes = False
        self._completed, self._has_body = 0, False
        self._around_target: tuple[bytes, bytes] | None = None
        """The bytes before and behind the last request's target, if a request with the same bytes needs no parser."""
        self.stage = Stage.NOTHING
        self.has_more = False
        """Whether the client has sent something behind its last request."""

    def feed(self, data: memoryview) -> None:
        """Read some more bytes."""
        if self._around_target is not None and self._read_similar(bytes(data), *self._around_target):
            return
        is_between = self.stage is Stage.NOTHING
        self._completed, self._has_body, self._around_target = 0, False, None
        self._parse(data)
        if is_between and self.stage is Stage.NOTHING and self._completed == 1 and not self._has_body:
            self._note_similar(bytes(data))

    def _note_similar(self, data: bytes) -> None:
        """Note the bytes of which the parser has made one request without a body, and nothing else."""
        before, _, behind = data.partition(self.target)
        if before == f"{self._method} ".encode():  # a target in absolute form has something before its path
            self._around_target = before, behind

    def _read_similar(self, data: bytes, before: bytes, behind: bytes) -> bool:
        """Read a request that differs from the last one only in its target. Return whether it was one."""
        if not (data.startswith(before) and data.endswith(behind)) or len(data) > MAX_HEAD // 2:
            return False
        target = _ORDINARY.fullmatch(data, len(before), len(data) - len(behind))
        if target is None or self.stage is not Stage.NOTHING:
            return False
        path, query = target.groups(b"")
        self.target = target[0]
        try:
            self._taker.take(Request(self._method, path.decode(), query, self._headers), keeps=True)
        except Exception as error:
            self._fail(error)
        return True

    def _parse(self, data: memoryview) -> None:
        self._size = len(data)
        rest = data
        while True:
            try:
                self._parser.feed_data(rest)
            except HttpParserUpgrade as upgrade:
                if self._upgrades:
                    rest = self._without_upgrade(rest[upgrade.args[0] :])
                    continue
            except HttpParserError as error:
                self._not_parsed(error, rest)
            break
        if self.stage is Stage.HEAD or self.stage is Stage.BODY:
            self._raw += self._size
            if self._raw - _FRAMING * len(self._body) > MAX_HEAD:
                self._give_up(self._too_much())

    def cut_short(self) -> None:
        """End the reading. A request whose body has begun is reported as not whole."""
        if self.stage is Stage.BODY:
            self._give_up(self._request(b"", is_whole=False))
        self.stage = Stage.END

    def end(self) -> None:
        """Let go of the parser and the taker, which hold the reader as it holds them."""
        self.stage = Stage.END
        del self._parser, self._taker

    # Called by the parser

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._goes_on:
            return
        if self.stage is Stage.END:
            self.has_more = True
            raise _Enough
        self.stage = Stage.HEAD
        self.target, self._headers, self._lines, self._head_size = b"", {}, 0, 0
        self._raw = -self._size  # how much of these bytes is the head's is not known
        self._body.clear()
        self._taker.head_began()

    def on_url(self, url: bytes) -> None:
        """Add a part of the target, which is most often the whole."""
        if self._goes_on:
            return
        self.target += url
        self._head_size += len(url)
        if self._head_size > MAX_HEAD:
            self._refuse(self._too_much())

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """Add a header. One behind a body in chunks is only counted."""
        if self._goes_on:
            return
        self._lines += 1
        self._head_size += len(raw_name) + len(raw_value) + 4
        if self.stage is not Stage.HEAD:
            if self._lines > MAX_HEADERS:
                self._refuse(self._too_much())
            return
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        headers = self._headers
        headers[name] = f"{headers[name]}, {value}" if name in headers else value

    def on_headers_complete(self) -> None:
        """Check the head, which is complete."""
        headers = self._headers
        if self._goes_on:
            self._goes_on = False
        else:
            self._check_head()
            self._method = self._parser.get_method().decode()
            if "upgrade" in headers and self._parser.should_upgrade() and self._method != "CONNECT":
                self._upgrades = True
                return
        length = headers.get("content-length", "0")
        if length == "0" and "transfer-encoding" not in headers:
            return
        self.stage, self._has_body = Stage.BODY, True
        self._raw, self._lines = -self._size, 0
        self._limit = MAX_BODY if self._max_body is None else self._max_body(self._request(b"").path)
        length = length.lstrip("0") or "0"  # the parser has seen that it is a number
        if len(length) > 18 or int(length) > self._limit:
            self._too_large()
        is_awaited = headers.get("expect", "").lower() == "100-continue" and self.version != "1.0"
        self._taker.body_began(is_awaited=is_awaited)

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        if len(self._body) + len(body) > self._limit:
            self._too_large()
        self._body += body

    def on_message_complete(self) -> None:
        """Report the request, which is complete."""
        if self._upgrades:
            return
        self._completed += 1
        parser = self._parser
        request = self._request(bytes(self._body) if self.stage is Stage.BODY else b"")
        keeps = parser.should_keep_alive() and not parser.should_upgrade() and not self._closes
        self.stage = Stage.NOTHING if keeps else Stage.END
        self._taker.take(request, keeps=keeps)

    # The rules for a head

    def _check_head(self) -> None:
        if self._lines > MAX_HEADERS or self._head_size + _FIRST_LINE > MAX_HEAD:
            self._refuse(self._too_much())
        self.version = version = str(self._parser.get_http_version())
        headers = self._headers
        if version not in {"1.1", "1.0"}:
            is_newer = version > "1.1"
            self._refuse(self._unreadable(505 if is_newer else 400, f"HTTP/{version} is not supported; use HTTP/1.1"))
        host = headers.get("host")
        if host is None:
            if version == "1.1":
                self._refuse(self._unreadable(400, "a request of HTTP/1.1 must have a Host header"))
        elif host != self._host:
            if not _HOST.fullmatch(host):
                self._refuse(self._unreadable(400, f"invalid Host {host[:80]!r}: send one header, a name and a port"))
            self._host = host
        coding = headers.get("transfer-encoding")
        # A body in chunks of HTTP/1.0 may have another end than its sender meant (RFC 9112, 6.1).
        self._closes = coding is not None and version == "1.0"
        if coding is not None and coding.lower() != "chunked":
            *others, last = (part.strip() for part in coding.lower().split(","))
            status = 400 if last != "chunked" or last in others else 501
            self._refuse(self._unreadable(status, f"invalid Transfer-Encoding {coding[:80]!r}: send chunked"))
        if not self.target.startswith(b"/"):
            self._read_target()

    def _read_target(self) -> None:
        """Read a target that is not a path and a query (RFC 9112, 3.2)."""
        method = self._parser.get_method()
        if method == b"CONNECT" or (method == b"OPTIONS" and self.target == b"*"):
            return
        parts = _ABSOLUTE.fullmatch(self.target.partition(b"#")[0])
        host = "" if parts is None else parts[1].decode("latin-1")
        if parts is None or not _HOST.fullmatch(host) or host.startswith(":"):
            self._refuse(
                self._unreadable(400, f"invalid target {self.target[:80]!r}: send a path, such as {API_MCN.root}")
            )
        else:
            self._headers["host"] = host  # the target's host counts, not Host
            path = parts[2]
            self.target = path if path.startswith(b"/") else b"/" + path

    def _without_upgrade(self, rest: memoryview) -> memoryview:
        """Return the bytes for a new parser, instead of ``rest`` behind a head that asks for another protocol.

        The server ignores that, because it has no other protocol (RFC 9110, 7.8). The parser would skip the body.
        """
        lines = [f"{self._method} / HTTP/{self.version}"]
        self._parser = HttpRequestParser(self)
        self._upgrades, self._goes_on = False, True
        options = {option.strip().lower() for option in self._headers.get("connection", "").split(",")}
        lines += [f"Connection: {option}" for option in ("close", "keep-alive") if option in options]
        framing = ("content-length", "transfer-encoding")
        lines += [f"{name}: {self._headers[name]}" for name in framing if name in self._headers]
        return memoryview("\r\n".join([*lines, "", ""]).encode("latin-1") + bytes(rest))

    def _request(self, body: bytes | None, *, is_whole: bool = True) -> Request:
        raw_path, _, query = self.target.partition(b"#")[0].partition(b"?")
        if b"%" in raw_path:
            raw_path = unquote_to_bytes(raw_path)
        return Request(self._method, raw_path.decode("utf-8", "replace"), query, self._headers, body, is_whole)

    # Requests that cannot be read

    def _too_large(self) -> None:
        self._refuse(self._request(None))

    def _too_much(self) -> Unreadable:
        """Return the refusal of a head or a trailer that is too large."""
        if len(self.target) > MAX_HEAD // 2:
            return self._unreadable(
                414, f"a request has at most {MAX_HEAD} bytes before its body; its target is too long"
            )
        return self._unreadable(
            431, f"a request has at most {MAX_HEADERS} headers, and {MAX_HEAD} bytes beside its body's content"
        )

    def _unreadable(self, status: int, why: str) -> Unreadable:
        return Unreadable(status, why, self.target != b"" and self._parser.get_method() == b"HEAD")

    def _refuse(self, what: Request | Unreadable) -> None:
        self._give_up(what)
        raise _Enough

    def _give_up(self, what: Request | Unreadable) -> None:
        self.stage = Stage.END
        self._taker.give_up(what)

    def _not_parsed(self, error: HttpParserError, data: memoryview) -> None:
        if isinstance(error, HttpParserCallbackError) and not isinstance(error.__context__, _Enough):
            self._fail(error)
        elif self.stage is Stage.BODY:
            self.cut_short()
        elif self.stage is Stage.END:
            self.has_more = True
        elif isinstance(error, HttpParserInvalidMethodError) and _METHOD.match(data[:_LONGEST_METHOD]):
            self._give_up(Unreadable(501, "the request's method is not known; the API uses POST"))
        else:
            self._give_up(self._unreadable(400, f"the request is not HTTP/1.1: {error}"))

    def _fail(self, error: Exception) -> None:
        _log.error("a request could not be read", exc_info=error)
        self._give_up(Unreadable(500, "the mock failed; its log says why"))
