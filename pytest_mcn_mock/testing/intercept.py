"""Make the vendor's own URLs reach the fake, for this process and for as long as a test asks for it.

Three things are replaced, and put back: the resolution of the vendor's host names, the connection to the address that
stands for them, and the TLS context of a connection to them, which trusts a throw-away authority in place of the
world's. Everything else is passed on untouched.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, Final

import trustme

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.testing.proxies import bypassed
from pytest_mcn_mock.testing.server import MCNServer
from pytest_mcn_mock.web.dialects import API_MCN, HOSTS

ADDRESS: Final = "127.77.67.78"
"""The address of the vendor's hosts. All of 127.0.0.0/8 is this machine (RFC 1122, 3.2.1.3). Nothing else uses it."""
HTTP: Final = 80
HTTPS: Final = 443
# gevent and eventlet have a create_connection of their own, which resolves names in its own module.
_CONNECTING: Final = sys.modules[socket.create_connection.__module__]
_REPLACED: Final = (
    (socket, "getaddrinfo"),
    *([(_CONNECTING, "getaddrinfo")] if _CONNECTING is not socket and hasattr(_CONNECTING, "getaddrinfo") else []),
    (socket.socket, "connect"),
    (socket.socket, "connect_ex"),
    (ssl.SSLContext, "wrap_socket"),
    (ssl.SSLContext, "wrap_bio"),
)

_lock = threading.Lock()
_Function = Callable[..., Any]


class _Interception:
    """The functions that one ``intercepted`` has replaced. Several may be nested: the last one that began is active."""

    def __init__(self, server: MCNServer) -> None:
        self.is_over = False
        self._server = server
        self._trusting = ssl.create_default_context(cadata=_authority().cert_pem.bytes().decode())
        with _lock:
            server.listen_tls(_server_context())
            makers = {
                "getaddrinfo": self._resolving,
                "connect": self._connecting,
                "connect_ex": self._connecting,
                "wrap_socket": self._wrapping,
                "wrap_bio": self._wrapping,
            }
            for owner, name in _REPLACED:
                self._replace(owner, name, makers[name])

    def end(self) -> None:
        """Restore the originals. A function that was replaced again by others stays, and has no effect from now on."""
        with _lock:
            self.is_over = True
            for owner, name in _REPLACED:
                while (current := _replacement(owner, name)) is not None and current.interception.is_over:
                    if current.is_inherited:
                        delattr(owner, name)
                    else:
                        setattr(owner, name, current.original)

    def _replace(self, owner: Any, name: str, make: Callable[[_Function], _Function]) -> None:
        original = getattr(owner, name)
        replaced = make(original)

        @wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return (original if self.is_over else replaced)(*args, **kwargs)

        replacement.mcn_mock = _Replacement(self, original, name not in vars(owner))  # type: ignore[attr-defined]
        setattr(owner, name, replacement)

    def _resolving(self, original: _Function) -> _Function:
        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if not _is_ours(host):
                return original(host, port, *args, **kwargs)
            number = socket.getservbyname(port) if isinstance(port, str) and not port.isdecimal() else int(port or 0)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ADDRESS, number))]

        return getaddrinfo

    def _connecting(self, original: _Function) -> _Function:
        def connect(connection: socket.socket, address: Any) -> Any:
            if isinstance(address, tuple) and address[0] == ADDRESS:
                # A server that was stopped and started again may be on other ports.
                port = {HTTPS: self._server.tls_port, HTTP: self._server.port}.get(address[1])
                address = address if port is None else (self._server.host, port)
            return original(connection, address)

        return connect

    def _wrapping(self, original: _Function) -> _Function:
        def wrap(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> Any:
            return original(self._trusting if _is_ours(kwargs.get("server_hostname")) else context, *args, **kwargs)

        return wrap


@dataclass(frozen=True)
class _Replacement:
    interception: _Interception
    original: _Function
    is_inherited: bool


def _replacement(owner: Any, name: str) -> _Replacement | None:
    return getattr(getattr(owner, name), "mcn_mock", None)


@contextmanager
def intercepted(server: MCNServer) -> Iterator[str]:
    """The vendor's base URL, which reaches the server from this process meanwhile.

    Raises UsageError if a proxy of this machine would get the requests.
    """
    with bypassed(HOSTS):
        for host in HOSTS:
            if urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
                raise UsageError(
                    f"mcn_intercept cannot hold: this machine is set up to send requests for {host} to a proxy; "
                    f"set NO_PROXY={','.join(HOSTS)} in the environment in which pytest starts"
                )
        interception = _Interception(server)
        try:
            yield API_MCN.vendor_url
        finally:
            interception.end()


def certificate_files() -> list[str]:
    """Return the paths at which clients look for the authorities that they trust."""
    named = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")]
    if (certifi := sys.modules.get("certifi")) is not None:
        named.append(f"{str(certifi.__file__).removesuffix('__init__.py')}cacert.pem")
    return [path for path in named if path]


@cache
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="pytest-mcn-mock, a throw-away authority")


@cache
def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(*HOSTS).configure_cert(context)
    return context


def _is_ours(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    return isinstance(name, str) and name.lower().rstrip(".") in HOSTS
