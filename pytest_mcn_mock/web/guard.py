"""The guard: checks each request before anything answers it, so that no foreign web page can use a browser to ask.

A web page from elsewhere can send requests to this machine (CSRF), and can make its own name resolve to it (DNS
rebinding). Both show in headers that a page cannot choose: Origin, Sec-Fetch-Site and Host.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.webhooks import is_address
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.web.dialects import HOSTS
from pytest_mcn_mock.web.http import Request

ADMIN_PATH: Final = "/__admin"
COOKIE: Final = "mcn_mock_session"
_PAGE: Final = frozenset({ADMIN_PATH, f"{ADMIN_PATH}/"})
_OPEN: Final = frozenset({*_PAGE, *(f"{ADMIN_PATH}/health{part}" for part in ("", "/live", "/ready"))})
"""Paths that are answered without a token: they show nothing of any account."""
_STATIC: Final = f"{ADMIN_PATH}/static/"
_SESSION: Final = f"{ADMIN_PATH}/session"
_READS: Final = frozenset({"GET", "HEAD"})
_VENDORS: Final = frozenset(".".join(host.split(".")[-2:]) for host in HOSTS)
"""The vendor's domains. His own pages ask his API, and so does a request that was copied from one of them."""


class Guard:
    """Refuses foreign web pages, and requests without a token if one is demanded.

    ``allowed_hosts`` are names, beside those of this machine, under which the server is reached. With ``admin_token``
    everything under ``/__admin`` demands it. Without one, ``/__admin`` demands a Host that is this machine's.
    """

    def __init__(
        self, *, allowed_hosts: Iterable[str] = (), admin_token: str | None = None, is_tls: bool = False
    ) -> None:
        self.allow(allowed_hosts)
        self._token = None if admin_token is None else admin_token.encode()
        self._is_tls = is_tls
        self.set_session_key(secrets.token_bytes(32))
        self.refused: Counter[str] = Counter()
        """How many requests were refused, by code."""

    def allow(self, hosts: Iterable[str]) -> None:
        """Let the server be reached under these names, and no others, beside those of this machine."""
        self._allowed = frozenset(host.lower().strip("[]") for host in hosts)

    def check(self, request: Request, *, is_admin: bool) -> None:
        """Let the request pass, or raise the Refusal: ``forbidden`` for a foreign page, ``unauthorized`` without token.

        The Host of the vendor's API is not looked at: an application knows the server by any name.
        """
        headers = request.headers
        try:
            if ("origin" in headers or "sec-fetch-site" in headers) and not self._is_visit(request):
                self._check_origin(request, is_admin=is_admin)
            if is_admin:
                self._check_admin(request)
        except Refusal as refusal:
            self.refused[refusal.code] += 1
            raise

    def _check_admin(self, request: Request) -> None:
        headers = request.headers
        if self._token is None:
            host = _host_of(headers.get("host", ""))
            if not self._is_ours(host):
                raise Refusal(
                    RefusalCode.FORBIDDEN,
                    Reason("foreign_host", {"host": repr(host[:80])}),
                )
        elif not self._is_open(request) and not self._has_token(request):
            raise Refusal(
                RefusalCode.UNAUTHORIZED,
                Reason("not_admin_token") if _bearer(headers) else Reason("admin_token_required"),
            )

    def set_session_key(self, key: bytes) -> None:
        """Let a session hold at every server that has this key and this token. By default it ends with this process."""
        self._session = hmac.new(key, self._token or b"", hashlib.sha256).hexdigest()  # not the token

    def open_session(self, token: str) -> dict[str, str]:
        """Return the header that gives a browser a session. Raises Refusal ``unauthorized`` for a wrong token."""
        if self._token is None or not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            raise Refusal(RefusalCode.UNAUTHORIZED, Reason("wrong_admin_token"), "token")
        return {"Set-Cookie": self._cookie(self._session)}

    def close_session(self) -> dict[str, str]:
        """Return the header that takes a browser's session away."""
        return {"Set-Cookie": f"{self._cookie('')}; Max-Age=0"}

    def _cookie(self, value: str) -> str:
        # Without Path it holds below the address that the browser knows: a proxy may add a prefix (RFC 6265, 5.1.4).
        secure = "; Secure" if self._is_tls else ""
        return f"{COOKIE}={value}; HttpOnly; SameSite=Strict{secure}"

    def _is_visit(self, request: Request) -> bool:
        """Return whether it is a navigation by a link to the page, which is the same for everybody and not framed."""
        headers = request.headers
        return (
            request.method in _READS
            and request.path in _PAGE
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest", "document") == "document"
            and "origin" not in headers
        )

    def _check_origin(self, request: Request, *, is_admin: bool) -> None:
        headers = request.headers
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "").lower() == "cross-site":
            raise Refusal(RefusalCode.FORBIDDEN, Reason("foreign_page"))
        if origin is None:
            return
        host = _host_of_origin(origin)
        if self._is_ours(host) or (not is_admin and _is_vendors(host)):
            return
        # A page of this server's own. Under a name it proves nothing, as anybody's name can resolve to this address;
        # an address cannot be had like that, and a token cannot either.
        is_own = host != "" and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        if not is_own or not (is_address(host) or (is_admin and self._token is not None)):
            raise Refusal(
                RefusalCode.FORBIDDEN,
                Reason("foreign_origin", {"origin": repr(origin[:80])}),
            )

    def _is_ours(self, host: str) -> bool:
        return host in self._allowed or is_loopback(host)

    def _is_open(self, request: Request) -> bool:
        if request.path == _SESSION:
            return True
        return request.method in _READS and (request.path in _OPEN or request.path.startswith(_STATIC))

    def _has_token(self, request: Request) -> bool:
        if self._token is None:
            return False
        if hmac.compare_digest(_raw(_bearer(request.headers)), self._token):
            return True
        # Not by http.cookies: our value is never quoted, and that takes quadratic time for some hostile ones.
        cookies = (cookie.strip().partition("=") for cookie in request.headers.get("cookie", "").split(";"))
        return any(
            name == COOKIE and hmac.compare_digest(_raw(value), self._session.encode()) for name, _, value in cookies
        )


def _bearer(headers: Mapping[str, str]) -> str:
    """Return the token of ``Authorization: Bearer``; empty if there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def is_admin_path(path: str) -> bool:
    """Return whether the path is the admin API's or the page's."""
    return path == ADMIN_PATH or path.startswith(f"{ADMIN_PATH}/")


def _is_vendors(host: str) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in _VENDORS)


def is_loopback(host: str) -> bool:
    """Return whether the host is a name or an address of this machine (RFC 6761, 6.3; RFC 1122, 3.2.1.3; ::1)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host_of(netloc: str) -> str:
    """Return the host of ``host:port``, in lower case; empty if there is none, or if it is malformed."""
    if any(character in netloc for character in "@/?#\\, "):
        return ""
    try:
        parts = urlsplit(f"//{netloc}")
        parts.port  # noqa: B018 - raises if it is not a number
    except ValueError:
        return ""
    return (parts.hostname or "").removesuffix(".")


def _host_of_origin(origin: str) -> str:
    scheme, separator, netloc = origin.partition("://")
    return _host_of(netloc) if separator and scheme.lower() in {"http", "https"} else ""


def _raw(text: str) -> bytes:
    """Return the bytes of a header, which was decoded as Latin-1."""
    return text.encode("latin-1", "replace")
