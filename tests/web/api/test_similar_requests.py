"""Requests of one connection that are like the one before: they are read as if each byte had arrived by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mcn_mock.web.http import Request
from pytest_mcn_mock.web.reader import MAX_HEAD, MAX_HEADERS, RequestReader, Stage, Unreadable

HEADERS = b"Host: localhost\r\nAuthorization: Bearer a\r\nContent-Length: 0\r\n"


@dataclass
class Taker:
    """Notes what a reader reports of a connection."""

    taken: list[tuple[Request | Unreadable, bool, str, bytes]] = field(default_factory=list)
    bodies: list[bool] = field(default_factory=list)
    refused: list[Request | Unreadable] = field(default_factory=list)
    stage: Stage = Stage.NOTHING

    def head_began(self) -> None:
        pass

    def body_began(self, *, is_awaited: bool) -> None:
        self.bodies.append(is_awaited)

    def take(self, what: Request | Unreadable, *, keeps: bool) -> None:
        self.taken.append((what, keeps, self.reader.version, self.reader.target))

    def give_up(self, what: Request | Unreadable) -> None:
        self.refused.append(what)

    def __post_init__(self) -> None:
        self.reader = RequestReader(self)


def read(*pieces: bytes) -> Taker:
    """What a reader reports of bytes that arrive in these pieces."""
    taker = Taker()
    for piece in pieces:
        if taker.reader.stage is not Stage.END:
            taker.reader.feed(memoryview(piece))
    taker.stage = taker.reader.stage
    return taker


def read_bytewise(*pieces: bytes) -> Taker:
    return read(*(bytes((byte,)) for piece in pieces for byte in piece))


def request(
    target: bytes = b"/a?b=1",
    headers: bytes = HEADERS,
    *,
    method: bytes = b"POST",
    version: bytes = b"HTTP/1.1",
    body: bytes = b"",
) -> bytes:
    return b"%b %b %b\r\n%b\r\n%b" % (method, target, version, headers, body)


def long_target(size: int, headers: bytes = HEADERS) -> bytes:
    """A target with which a head has this size."""
    return b"/" + b"a" * (size - len(request(b"/", headers)))


MANY = b"".join(b"X%d:y\r\n" % n for n in range(MAX_HEADERS - 1))

PIECES = {
    "another target": request(b"/c?d=%31+2"),
    "no query": request(b"/"),
    "two question marks": request(b"/a?b?c"),
    "a fragment": request(b"/a?b=1#c"),
    "a fragment in the path": request(b"/a#?b=1"),
    "an escaped path": request(b"/%61%00%ff?b=1"),
    "an absolute target": request(b"http://elsewhere.test/a"),
    "a host for a target": request(b"//elsewhere.test/a"),
    "a host that is its path too": request(b"http://a/a"),
    "another such host": request(b"http://b/a"),
    "an asterisk": request(b"*"),
    "no target": request(b""),
    "no slash": request(b"a"),
    "two spaces": request(b"/a b"),
    "a space before the version": request(b"/a "),
    "a version in the target": request(b"/a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b"),
    "a line break in the target": request(b"/a\r\n"),
    "a tab in the target": request(b"/a\tb"),
    "no ASCII": request("/\u043d?b=\u043d".encode()),
    "a control character": request(b"/a\x00b"),
    "another method": request(method=b"GET"),
    "HEAD": request(method=b"HEAD"),
    "OPTIONS": request(b"*", method=b"OPTIONS"),
    "CONNECT": request(b"localhost:80", method=b"CONNECT"),
    "no method": request(method=b""),
    "HTTP/1.0": request(version=b"HTTP/1.0"),
    "HTTP/1.0 kept": request(headers=b"Connection: keep-alive\r\n", version=b"HTTP/1.0"),
    "HTTP/2.0": request(version=b"HTTP/2.0"),
    "close": request(headers=HEADERS + b"Connection: close\r\n"),
    "kept": request(headers=HEADERS + b"Connection: keep-alive\r\n"),
    "another header": request(headers=HEADERS.replace(b"Bearer a", b"Bearer b")),
    "no header": request(headers=b""),
    "a header twice": request(headers=HEADERS + b"Authorization: Bearer b\r\n"),
    "a folded header": request(headers=HEADERS + b" more\r\n"),
    "an upgrade": request(headers=HEADERS + b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
    "an upgrade with a body": request(
        headers=b"Host: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n", body=b"{}"
    ),
    "expecting nothing": request(headers=HEADERS + b"Expect: 100-continue\r\n"),
    "a body": request(headers=b"Host: x\r\nContent-Length: 2\r\n", body=b"{}"),
    "an awaited body": request(headers=b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n", body=b"{}"),
    "no chunk": request(headers=b"Host: x\r\nTransfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"),
    "chunks": request(headers=b"Host: x\r\nTransfer-Encoding: chunked\r\n", body=b"2\r\n{}\r\n0\r\nA: b\r\n\r\n"),
    "a length and chunks": request(headers=HEADERS + b"Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"),
    "too large a body": request(headers=b"Host: x\r\nContent-Length: 99999999\r\n"),
    "two requests": request(b"/c") + request(b"/d"),
    "the same request twice": request() + request(),
    "two requests with line feeds": b"POST /c HTTP/1.1\nHost: localhost\n\n" + request(b"/d"),
    "a request and a half": request(b"/c") + request(b"/d")[:30],
    "half a request": request(b"/c")[:30],
    "the other half": request(b"/c")[30:],
    "only the end": request()[len("POST /a?b=1") :],
    "the end and the beginning overlap": b"POST  HTTP/1.1\r\n" + HEADERS + b"\r\n",
    "what is not HTTP": b"\x00\x01\x02\r\n\r\n",
    "a request and a blank line": request(b"/c") + b"\r\n",
    "a blank line": b"\r\n",
    "a carriage return": b"\r",
    "a blank line and a request": b"\r\n" + request(b"/c"),
    "a head of the greatest size": request(long_target(MAX_HEAD)),
    "a head above the greatest size": request(long_target(MAX_HEAD + 1)),
    "headers without spaces": request(long_target(MAX_HEAD - 90, b"Host:x\r\n" + MANY), b"Host:x\r\n" + MANY),
    "as many headers as there may be": request(headers=b"Host: x\r\n" + MANY),
    "too many headers": request(headers=b"Host: x\r\nY: z\r\n" + MANY),
}  # fmt: skip
"""What may arrive at once, by what is special about it."""

FIRST = [request(), *map(PIECES.__getitem__, ("kept", "HEAD", "expecting nothing", "a host that is its path too"))]


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("then", PIECES.values(), ids=PIECES.keys())
def test_a_request_after_a_similar_one_is_read_as_if_bytes_came_one_by_one(first: bytes, then: bytes) -> None:
    pieces = (first, first, then, then, request())
    assert read(*pieces) == read_bytewise(*pieces)


@settings(max_examples=100)
@given(st.lists(st.sampled_from([piece for piece in PIECES.values() if len(piece) < 300]), max_size=6))
def test_requests_in_any_order_are_read_as_if_bytes_came_one_by_one(pieces: list[bytes]) -> None:
    assert read(*pieces) == read_bytewise(*pieces)


@settings(max_examples=100)
@given(st.lists(st.text("ab/?#%&=+:@ .~-_\r\n\x00\u00ff", max_size=12), min_size=2, max_size=6))
def test_any_target_is_read_as_if_bytes_came_one_by_one(targets: list[str]) -> None:
    pieces = [request(f"/{target}".encode("latin-1")) for target in targets]
    assert read(*pieces) == read_bytewise(*pieces)


def test_a_similar_request_has_its_own_target_and_the_same_headers() -> None:
    first, second = (what for what, *_ in read(request(b"/a?b=1"), request(b"/c?d=%20")).taken)
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert (second.path, second.query, second.body) == ("/c", b"d=%20", b"")
    assert second.headers is first.headers, "the parser was asked"
