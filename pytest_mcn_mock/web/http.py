"""The two values between a server and the application."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

MAX_BODY: Final = 65_536
"""Bytes of a request's body. The API's own parameters are some dozens of bytes; what is larger is refused unread."""
JSON_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. Names of headers are lower-case; ``path`` is decoded, ``query`` is not.

    ``body`` is None where it is larger than MAX_BODY: it was not read then.
    """

    method: str
    path: str
    query: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. The server calls ``after`` once the answer was sent, or could not be."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_HEADERS)
    after: Callable[[], None] | None = None


def json_response(
    status: int, content: Any, *, headers: Mapping[str, str] | None = None, after: Callable[[], None] | None = None
) -> Response:
    """A JSON answer."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Response(status, body, {**JSON_HEADERS, **headers} if headers else JSON_HEADERS, after)
