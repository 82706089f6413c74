"""Request and response: the values between a server and the application."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType, coroutine
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct, field

from pytest_mcn_mock.flow import go_on_until, step

MAX_BODY: Final = 65_536
"""Bytes of a request's body. The API's own parameters are some dozens of bytes; a larger body is refused unread."""
KEEP_ALIVE: Final = b":\n\n"
"""A comment in a stream of events, so that an idle connection does not look dead."""
KEEP_ALIVE_S: Final = 15.0
STREAM_PACE_S: Final = 0.1
"""Between two messages of a stream."""
LINGER_FORM: Final = "hh" if os.name == "nt" else "ii"
"""The form of SO_LINGER's value for ``struct.pack``: two short integers on Windows."""
MAX_DISCARDED: Final = 1_048_576
"""Bytes that are read and forgotten behind a refused request, so that its answer is not lost to a reset."""
LINGER_S: Final = 2.0
"""How long a client that was refused may take to read its answer and leave."""
JSON_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


class Request(Struct, frozen=True, gc=False):
    """A request as it arrived. Names of headers are lower-case; ``path`` is decoded, ``query`` is not.

    ``body`` is None if it is larger than MAX_BODY: it was not read. ``is_whole`` is False if the connection ended
    before the body did.
    """

    method: str
    path: str
    query: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b""
    is_whole: bool = True


class Closing(StrEnum):
    """How the connection behaves at the end of an answer."""

    WHOLE = "whole"
    RESET = "reset"
    """It is reset before a byte of the answer."""
    CUT_OFF = "cut_off"
    """It ends after half of the body that the headers promise."""


class ResponseFault(Struct, frozen=True):
    """How the server sends an answer that a fault alters: after ``delay_s``, its body over ``drip_s`` seconds."""

    delay_s: float = 0.0
    drip_s: float = 0.0
    closing: Closing = Closing.WHOLE


class Stream(Protocol):
    """A body without an end, for one client."""

    has_ended: bool
    """The server stops: nothing follows."""

    def wake_by(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` when there is something to take, or the stream has ended."""

    async def take(self) -> bytes:
        """Return the bytes to send now; empty if there are none."""
        ...

    def close(self) -> None:
        """End the stream: the client has gone."""


class Response(Struct, frozen=True):
    """An answer. A fault may say how it is sent; ``stream`` stands for a body that goes on for as long as the client
    listens.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = JSON_HEADERS
    fault: ResponseFault | None = None
    stream: Stream | None = None


Flow = Coroutine[Any, None, None]
"""The coroutine of a request: see ``pytest_mcn_mock.flow``. It yields its Response once, so that it is sent, and every
other value that it waits for.
"""
Endpoint = Callable[..., Coroutine[Any, None, Response | None]]
"""Answers a request. An endpoint that returns None has sent its answer and done the work after it."""
Endpoints = Mapping[tuple[str, str], Endpoint]
"""The endpoints by method and path."""


class Held:
    """A request whose answer waits for something to happen. Call ``leave`` if its client goes away meanwhile."""

    __slots__ = ("leave",)

    def __init__(self, leave: Callable[[], object]) -> None:
        self.leave = leave


@coroutine
def hold(leave: Callable[[], object]) -> Generator[Held, None, None]:
    """Let the answer wait from here on, on the event loop, and have ``leave`` called if the client goes away."""
    yield Held(leave)


async def answer_of(
    flow: Flow, waits_for: Any, watch: Callable[[Callable[[], object]], AbstractContextManager[None]]
) -> Response:
    """Run a request that waits for this until it has its answer. To be awaited in a task.

    ``watch`` calls the function that it gets if the client goes away meanwhile.
    """
    yielded: Response | Held = await go_on_until((Response, Held), flow, waits_for)
    if isinstance(yielded, Response):
        return yielded
    with watch(yielded.leave):
        return await go_on_until(Response, flow, step(flow))


@coroutine
def send(response: Response) -> Generator[Response, None, None]:
    """Send the answer; go on when it was sent, or could not be."""
    yield response


def json_response(
    status: int,
    content: Any,
    *,
    headers: Mapping[str, str] | None = None,
    tagged: Any = None,
) -> Response:
    """Return a JSON answer of plain values and Structs, with the entity tag of ``tagged`` if that is given."""
    if tagged is not None:
        headers = {**(headers or {}), "ETag": etag_of(tagged)}
    return Response(status, dump(content), {**JSON_HEADERS, **headers} if headers else JSON_HEADERS)


def etag_of(content: Any) -> str:
    """Return the entity tag of a content (RFC 9110, 8.8.3): the same for the same content."""
    return f'"{blake2b(dump(content), digest_size=12).hexdigest()}"'


def dump(content: Any) -> bytes:
    """Return plain values and Structs as JSON on one line, as ``json.dumps`` writes it.

    A lone surrogate, which UTF-8 cannot write, becomes JSON's own escape of it.
    """
    try:
        return msgspec.json.format(msgspec.json.encode(content), indent=0)  # on one line, as json.dumps writes it
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(content), ensure_ascii=False).encode("utf-8", "backslashreplace")
