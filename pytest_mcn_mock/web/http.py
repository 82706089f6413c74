"""The two values between a server and the application."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

MAX_BODY: Final = 65_536
"""Bytes of a request's body. The API's own parameters are some dozens of bytes; what is larger is refused unread."""
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


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. The server waits for ``ready``, sends it, and calls ``after`` once it was sent, or could not be."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_HEADERS)
    after: Callable[[], None] | None = None
    ready: Future[None] | None = None
    spoilt: Spoilt | None = None


def json_response(
    status: int, content: Any, *, headers: Mapping[str, str] | None = None, after: Callable[[], None] | None = None
) -> Response:
    """A JSON answer."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Response(status, body, {**JSON_HEADERS, **headers} if headers else JSON_HEADERS, after)
