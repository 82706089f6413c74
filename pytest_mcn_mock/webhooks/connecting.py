"""Opens connections to endpoints, and to none that no webhook may have."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from functools import cache
from typing import Any

from pytest_mcn_mock.domain.targets import Targets, is_address, is_literal
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.webhooks.connection import MAX_RESPONSE, Connection
from pytest_mcn_mock.webhooks.requests import Origin, show_address

Resolved = tuple[int, int, int, str, Any]
"""An address as ``socket.getaddrinfo`` tells it."""


class NoConnection(SendError):
    """There is no connection, or no TLS on it."""


async def connect(
    origin: Origin, *, targets: Targets | None = None, tls: ssl.SSLContext | None = None, most: int = MAX_RESPONSE
) -> Connection:
    """A connection to one of the origin's addresses, tried in turn; ``most`` as for ``Connection``.

    With ``targets``, what they do not allow is left out: the address that is connected to is the one that was looked
    at. ``tls`` is in place of ``default_tls()``. NoConnection, with the reasons, where there is none.
    """
    context = (tls or default_tls()) if origin.is_tls else None
    reasons: list[str] = []
    for family, kind, protocol, _, address in await _resolve(origin, targets):
        try:
            return await _open(socket.socket(family, kind, protocol), address, origin, context, most)
        except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot have
            reasons.append(_reason(error, origin, address))
    raise NoConnection("; ".join(dict.fromkeys(reasons))[:300])


@cache
def default_tls() -> ssl.SSLContext:
    """The context for certificates that this machine trusts. Made once: that takes tens of milliseconds."""
    return ssl.create_default_context()


async def _resolve(origin: Origin, targets: Targets | None) -> Sequence[Resolved]:
    host = origin.host
    found: Sequence[Resolved]
    if targets is not None and is_literal(host) and not targets.allows_address(host):
        raise NoConnection(f"{host[:80]} is not among the webhook_targets")
    try:
        if is_address(host):  # no thread is needed
            found = socket.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        else:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
    except OSError as error:
        raise NoConnection(f"cannot resolve {host[:80]}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise NoConnection(f"cannot resolve {host[:80]}: it is no name that there can be") from error
    if targets is None or targets.allows_name(host):
        return found
    allowed = [result for result in found if targets.allows_address(str(result[4][0]))]
    if not allowed:
        addresses = ", ".join(sorted({str(result[4][0]) for result in found})[:4])
        raise NoConnection(f"{host[:80]} is {addresses}, which is not among the webhook_targets")
    return allowed


async def _open(sock: socket.socket, address: Any, origin: Origin, tls: ssl.SSLContext | None, most: int) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    name = None if tls is None else origin.host.partition("%")[0].rstrip(".")
    _, connection = await loop.create_connection(
        lambda: Connection(loop, most), sock=sock, ssl=tls, server_hostname=name
    )
    return connection


def _reason(error: OSError | ValueError, origin: Origin, address: Any) -> str:
    where = show_address(*address[:2])
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {origin} is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"{origin} speaks no TLS that can be understood: {error.reason}"
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {where}"
    number = error.errno if isinstance(error, OSError) else None
    return f"cannot connect to {where}: {os.strerror(number) if number else error}"
