"""Answers as bytes: HTTP/1.1 (RFC 9112, 4 to 7)."""

from __future__ import annotations

import time
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from pytest_mcn_mock.web.http import JSON_HEADERS, Response

LAST_CHUNK: Final = b"0\r\n\r\n"
_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_WITHOUT_BODY: Final = frozenset({204, 304})
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_line(seconds: float) -> bytes:
    """The Date header for a time in seconds since the epoch (RFC 9110, 5.6.7), whatever the locale."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    date = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
    return f"Date: {date}\r\n".encode()


def whole_answer(response: Response, date: bytes, *, keeps: bool, says_keep: bool, is_head: bool) -> bytes:
    """The head and the body; to HEAD, and with 204 and 304, there is none. ``says_keep`` where the client asked."""
    head = head_of(response, date, keeps=keeps, says_keep=says_keep, length=len(response.body))
    return head if is_head or response.status in _WITHOUT_BODY else head + response.body


def head_of(
    response: Response,
    date: bytes,
    *,
    keeps: bool,
    says_keep: bool = False,
    length: int | None,
    is_chunked: bool = False,
) -> bytes:
    """The first line and the headers, with the empty line behind. A ``length`` of None is not known; a body that is not
    ``is_chunked`` either ends with the connection.
    """
    if response.headers is JSON_HEADERS:
        start = _json_start(response.status, keeps, says_keep)
    else:
        start = _start(response.status, keeps, says_keep) + b"".join(map(_line, response.headers.items()))
    if is_chunked:
        return b"%b%bTransfer-Encoding: chunked\r\n\r\n" % (start, date)
    if length is None or response.status in _WITHOUT_BODY:
        return b"%b%b\r\n" % (start, date)
    return b"%b%bContent-Length: %d\r\n\r\n" % (start, date, length)


def chunk_of(data: bytes) -> bytes:
    """A part of a body in chunks; it is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@lru_cache(maxsize=256)
def _start(status: int, keeps: bool, says_keep: bool) -> bytes:
    phrase = _PHRASES.get(status, "")
    connection = "Connection: keep-alive\r\n" if says_keep else "" if keeps else "Connection: close\r\n"
    return f"HTTP/1.1 {status} {phrase}\r\n{connection}".encode()


@lru_cache(maxsize=256)
def _json_start(status: int, keeps: bool, says_keep: bool) -> bytes:
    return _start(status, keeps, says_keep) + b"".join(map(_line, JSON_HEADERS.items()))


def _line(header: tuple[str, str]) -> bytes:
    name, value = header
    if "\r" in value or "\n" in value:
        raise ValueError(f"the header {name} would be more than one line")
    return f"{name}: {value}\r\n".encode("latin-1")
