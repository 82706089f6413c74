"""Makes https://api.mcn.ru itself reach the fake, for this process and for as long as a test asks for it.

Three things are replaced, and put back: the resolution of the two host names, the connection to the address that stands
for them, and the TLS context of a connection to them, which trusts a throw-away authority in place of the world's.
Everything else is passed on untouched.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final
from unittest.mock import patch

import trustme

from pytest_mcn_mock.testing.server import MCNServer
from pytest_mcn_mock.web.application import BASE_PATH

HOSTS: Final = ("api.mcn.ru", "api.mcntele.com")
"""Where the vendor serves the API: in Russia, and outside it."""
ADDRESS: Final = "127.77.67.78"
"""Stands for the two hosts. All of 127.0.0.0/8 is this machine (RFC 1122, 3.2.1.3); nothing else uses this one."""
HTTPS: Final = 443

_lock = threading.Lock()


@contextmanager
def intercepted(server: MCNServer) -> Iterator[str]:
    """The vendor's base URL, which reaches the server from this process meanwhile."""
    with _lock, ExitStack() as stack:
        authority = _authority()
        tls_port = server.listen_tls(_server_context())
        ports = {HTTPS: tls_port, 80: server.port}
        trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        stack.enter_context(patch.object(socket, "getaddrinfo", _resolving(socket.getaddrinfo)))
        for method in ("connect", "connect_ex"):
            original = getattr(socket.socket, method)
            stack.enter_context(patch.object(socket.socket, method, _connecting(original, server.host, ports)))
        for method in ("wrap_socket", "wrap_bio"):
            original = getattr(ssl.SSLContext, method)
            stack.enter_context(patch.object(ssl.SSLContext, method, _trusting(original, trusting)))
        yield f"https://{HOSTS[0]}{BASE_PATH}"


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


def _resolving(original: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_ours(host):
            return original(host, port, *args, **kwargs)
        number = socket.getservbyname(port) if isinstance(port, str) and not port.isdecimal() else int(port or 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ADDRESS, number))]

    return getaddrinfo


def _connecting(original: Callable[..., Any], host: str, ports: dict[int, int]) -> Callable[..., Any]:
    def connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and address[0] == ADDRESS and address[1] in ports:
            address = (host, ports[address[1]])
        return original(self, address)

    return connect


def _trusting(original: Callable[..., Any], trusting: ssl.SSLContext) -> Callable[..., Any]:
    def wrap(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> Any:
        return original(trusting if _is_ours(kwargs.get("server_hostname")) else self, *args, **kwargs)

    return wrap
