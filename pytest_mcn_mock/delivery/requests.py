"""The bytes of a request, and where they go (RFC 9112, 3). Resolves and opens nothing."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - every look-up needs it; Python would import it in an attempt, when files may be short
import re
from base64 import b64encode
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrRequest

_PATH: Final = "!$&'()*+,;=:@/%"
"""What stands for itself in a path besides letters and digits (RFC 3986, 3.3), and what begins an encoded byte."""
_LONE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_VISIBLE: Final = re.compile("[!-~]+")
_BREAK: Final = re.compile("[\r\n\0]")
_WITH_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests tell their length even where it is 0 (RFC 9110, 8.6)."""


class Unsendable(SendError):
    """The request cannot be written as HTTP. The message has nothing of its URL and headers in it."""


class Origin(NamedTuple):
    """What a connection leads to. ``host`` is an ASCII name, or an address without brackets."""

    is_tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        return show_address(self.host, self.port)


def render(request: CdrRequest) -> tuple[Origin, bytes]:
    """Where the request goes, and its bytes. Unsendable for a URL or a header that cannot be written."""
    origin, head = _head(request.method, request.url, tuple(request.headers.items()))
    body = request.body
    if body or request.method in _WITH_A_BODY:
        return origin, b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    return origin, head + b"\r\n\r\n"


def show_address(host: str, port: int) -> str:
    """``127.0.0.1:80`` or ``[::1]:80``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(maxsize=1024)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """The head as far as it is the same for every request to a webhook, without the end of its last line."""
    try:
        parts = urlsplit(url)
        origin, target = _origin(parts), _target(parts)
    except ValueError:  # its text can have the URL in it
        raise Unsendable("the request cannot be sent: the URL is none that can be connected to") from None
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
        raise Unsendable("the request cannot be sent: there is a line break in its head")
    try:
        return origin, "\r\n".join(lines).encode()
    except UnicodeEncodeError:
        raise Unsendable("the request cannot be sent: there is half a character in its head") from None


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
