"""Requests out of a client's bytes: HTTP/1.1 (RFC 9112) as httptools parses it, within bounds."""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from pytest_mcn_mock.web.http import MAX_BODY, Request

MAX_HEADERS: Final = 100
MAX_HEAD: Final = 65_536
"""Bytes of a request's first line and headers."""

_log = logging.getLogger("mcn_mock")


class Stage(Enum):
    """What the next byte belongs to."""

    NOTHING = auto()
    """No request has begun."""
    HEAD = auto()
    BODY = auto()
    END = auto()
    """Nothing: the client is not listened to any more."""


class Unreadable(NamedTuple):
    """What is no request that can be answered: the status that says so, and why."""

    status: int
    why: str


class Taker(Protocol):
    """Where requests go."""

    def head_began(self) -> None:
        """The first byte of a request has arrived."""

    def body_began(self, *, is_awaited: bool) -> None:
        """The head has arrived, and a body follows it; ``is_awaited`` where the client wants to be told to send it."""

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        """A request, or what is none. ``keeps`` where the client may send another."""

    def give_up(self, what: Request | Unreadable) -> None:
        """The same, of a client that may be sending on, to nobody."""


_TOO_LARGE: Final = Unreadable(
    431, f"a request has at most {MAX_HEADERS} headers, and {MAX_HEAD} bytes before its body"
)


class _Enough(Exception):
    """Raised in a callback of the parser to end it: what follows is not looked at."""


class RequestReader:
    """Reads the requests of one connection, and tells ``taker`` of each with its last byte.

    What is no HTTP, or too much of it, ends the reading: so nobody can take one request for another (RFC 9112, 6.3).
    """

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._parser = HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._lines = self._head_size = 0
        self._body = bytearray()
        self.stage = Stage.NOTHING

    def feed(self, data: memoryview) -> None:
        """Some bytes more."""
        was_in_head = self.stage is Stage.HEAD
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # to what we do not speak; the request was taken as any other
            self.stage = Stage.END
        except HttpParserError as error:
            self._not_parsed(error)
        if was_in_head and self.stage is Stage.HEAD:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._give_up(_TOO_LARGE)

    def cut_short(self) -> None:
        """Nothing more comes. A request whose body has begun is one that is not whole."""
        if self.stage is Stage.BODY:
            self._give_up(self._request(b"", is_whole=False))
        self.stage = Stage.END

    def end(self) -> None:
        """Let go of the parser and the taker, which hold the reader as it holds them."""
        self.stage = Stage.END
        del self._parser, self._taker

    def speaks_chunks(self) -> bool:
        """Whether the client knows a body in chunks, as all do but those of HTTP/1.0."""
        return bool(self._parser.get_http_version() != "1.0")

    # What the parser calls

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.stage = Stage.HEAD
        self._url, self._headers, self._lines, self._head_size = b"", {}, 0, 0
        self._taker.head_began()

    def on_url(self, url: bytes) -> None:
        """A part of the target, most often the whole."""
        self._url += url
        self._head_size += len(url)

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """A header; one behind a chunked body says nothing to us."""
        if self.stage is not Stage.HEAD:
            return
        self._lines += 1
        self._head_size += len(raw_name) + len(raw_value) + 4
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        headers = self._headers
        headers[name] = f"{headers[name]}, {value}" if name in headers else value

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self._lines > MAX_HEADERS or self._head_size > MAX_HEAD:
            self._give_up(_TOO_LARGE)
            raise _Enough
        length = self._headers.get("content-length", "0")
        if length == "0" and "transfer-encoding" not in self._headers:
            return
        self.stage = Stage.BODY
        self._body.clear()
        if len(length) > 12 or int(length) > MAX_BODY:  # the parser has seen that it is a number
            self._too_large()
        self._taker.body_began(is_awaited=self._headers.get("expect", "").lower() == "100-continue")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if len(self._body) + len(body) > MAX_BODY:
            self._too_large()
        self._body += body

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        parser = self._parser
        request = self._request(bytes(self._body) if self.stage is Stage.BODY else b"")
        keeps = parser.should_keep_alive() and not parser.should_upgrade()
        self.stage = Stage.NOTHING if keeps else Stage.END
        self._taker.take(request, keeps=keeps)

    def _request(self, body: bytes | None, *, is_whole: bool = True) -> Request:
        url = self._url
        if not url.startswith(b"/"):
            url = _origin_form(url)
        raw_path, _, query = url.partition(b"?")
        if b"%" in raw_path:
            raw_path = unquote_to_bytes(raw_path)
        method, path = self._parser.get_method().decode(), raw_path.decode("utf-8", "replace")
        return Request(method, path, query, self._headers, body, is_whole)

    def _too_large(self) -> None:
        self._give_up(self._request(None))
        raise _Enough

    def _give_up(self, what: Request | Unreadable) -> None:
        self.stage = Stage.END
        self._taker.give_up(what)

    def _not_parsed(self, error: HttpParserError) -> None:
        if isinstance(error, HttpParserCallbackError) and not isinstance(error.__context__, _Enough):
            _log.error("a request could not be read", exc_info=error)
            self._give_up(Unreadable(500, "the mock failed; its log says why"))
        elif self.stage is Stage.BODY:
            self.cut_short()
        elif self.stage is not Stage.END:
            self._give_up(Unreadable(400, f"the request is no HTTP/1.1: {error}"))


def _origin_form(url: bytes) -> bytes:
    """The path and the query of a target in another form than theirs (RFC 9112, 3.2)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return b"/"
    if not parts.netloc:
        return url
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
