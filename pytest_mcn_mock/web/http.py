"""The two values between a server and the application."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from pytest_mcn_mock.errors import Refusal

MAX_BODY: Final = 65_536
"""Bytes of a request's body. The API's own parameters are some dozens of bytes; what is larger is refused unread."""
_T = TypeVar("_T")
KEEP_ALIVE: Final = b":\n\n"
"""A comment in a stream of events, so that a connection on which nothing happens is not taken for dead."""
KEEP_ALIVE_S: Final = 15.0
STREAM_PACE_S: Final = 0.1
"""Between two messages of a stream."""
LINGER_FORM: Final = "hh" if os.name == "nt" else "ii"
"""The form of SO_LINGER's value for ``struct.pack``: two short integers on Windows."""
JSON_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. Names of headers are lower-case; ``path`` is decoded, ``query`` is not.

    ``body`` is None where it is larger than MAX_BODY: it was not read then. ``is_whole`` is False where the connection
    ended before the body did.
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


@dataclass(frozen=True, slots=True)
class Spoilt:
    """How the server has to send an answer that a fault spoils: after ``delay_s``, its body over ``drip_s`` seconds."""

    delay_s: float = 0.0
    drip_s: float = 0.0
    closing: Closing = Closing.WHOLE


class Stream(Protocol):
    """A body without an end, for one client."""

    has_ended: bool
    """The server stops: nothing follows."""

    def wake_by(self, wake: Callable[[], object]) -> None:
        """Call this, from any thread, when there is something to take, or the stream has ended."""

    def take(self) -> bytes:
        """What there is to send now; empty where there is nothing."""
        ...

    def close(self) -> None:
        """The client has gone."""


@dataclass(slots=True)
class Response:
    """An answer, made for one request. The server waits for ``ready``, sends it, and calls ``after`` once it was sent,
    or could not be.

    Before all that it waits for ``kept``, when what the answer says outlives the process. If either raises a Refusal,
    what ``otherwise`` makes of it is the answer in place of this one.

    Where there is ``later``, this is no answer yet: the server waits for the one that is in it, and goes on with that.
    Where the client goes meanwhile, it waits no more and calls this one's ``after``.

    ``stream`` stands for a body that goes on for as long as the client listens.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_HEADERS)
    after: Callable[[], None] | None = None
    ready: Future[None] | None = None
    spoilt: Spoilt | None = None
    stream: Stream | None = None
    kept: Future[None] | None = None
    otherwise: Callable[[Refusal], Response] | None = None
    later: Future[Response] | None = None


Endpoints = Mapping[tuple[str, str], Callable[..., Response]]
"""What answers, by the method and the path."""


def json_response(
    status: int,
    content: Any,
    *,
    headers: Mapping[str, str] | None = None,
    after: Callable[[], None] | None = None,
    tagged: Any = None,
) -> Response:
    """A JSON answer, with the entity tag of ``tagged`` if that is given."""
    if tagged is not None:
        headers = {**(headers or {}), "ETag": etag_of(tagged)}
    return Response(status, _dump(content), {**JSON_HEADERS, **headers} if headers else JSON_HEADERS, after)


def show_page(
    found: Sequence[_T], limit: int, show: Callable[[_T], dict[str, Any]], cursor: Callable[[_T], int]
) -> Response:
    """A list of at most ``limit`` items, with the cursor behind the last where ``found`` has one more."""
    page = found[:limit]
    more = len(found) > limit and page
    return json_response(200, {"items": [show(item) for item in page], "next": cursor(page[-1]) if more else None})


def etag_of(content: Any) -> str:
    """The entity tag of a content (RFC 9110, 8.8.3): the same for the same content."""
    return f'"{blake2b(_dump(content), digest_size=12).hexdigest()}"'


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder each time


def _dump(content: Any) -> bytes:
    return utf8(_encode(content))


def utf8(text: str) -> bytes:
    """JSON text as bytes. A lone surrogate, which UTF-8 cannot write, becomes JSON's own escape of it."""
    return text.encode("utf-8", "backslashreplace")
