"""Opens connections to endpoints, and none to an address that no webhook may have."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, Final

from pytest_mcn_mock.certificates import make_context
from pytest_mcn_mock.delivery.connection import MAX_RESPONSE, Connection
from pytest_mcn_mock.delivery.reasons import NoConnection, no_connection, why_no_tls, why_not_connected
from pytest_mcn_mock.delivery.requests import Origin, show_address
from pytest_mcn_mock.delivery.resolving import Resolved, look_up
from pytest_mcn_mock.model.webhooks import MACHINE, Targets, is_address, is_literal

STAGGER_S: Final = 0.25
"""How long an address has before the next one is tried beside it (RFC 8305, 5)."""


async def connect(
    origin: Origin,
    timeout_s: float,
    *,
    targets: Targets | None = None,
    tls: ssl.SSLContext | None = None,
    most: int = MAX_RESPONSE,
) -> Connection:
    """Return a connection to the first of the origin's addresses that takes one; ``most`` as for ``Connection``.

    The addresses are tried in the order of RFC 8305: each has 250 ms, or less if there is little time, before the next
    one is tried beside it. One that accepts the connection has its share of the time left for the TLS handshake, before
    the next one is tried. With ``targets``, addresses that they do not allow are left out: the address that is
    connected to is the one that was checked. ``tls`` is in place of the context that trusts this machine's authorities.

    Raises NoConnection, with the reason for each address, if there is none after ``timeout_s`` seconds.
    """
    until = asyncio.get_running_loop().time() + timeout_s
    context = (tls or make_context(MACHINE)) if origin.is_tls else None
    try:
        async with asyncio.timeout_at(until):
            left = _interleaved(await _resolve(origin, targets))
    except TimeoutError:
        raise NoConnection(f"cannot resolve {origin.host[:80]}: its look-up took more than {timeout_s:.3g} s") from None
    stagger_s = min(STAGGER_S, timeout_s / (len(left) + 1))
    failed: dict[Any, str] = {}
    reached: list[Any] = []
    try:
        async with asyncio.timeout_at(until):
            while left and (first := await _first(left, stagger_s, failed)) is not None:
                sock, address = first
                reached.append(address)
                share_s = (until - asyncio.get_running_loop().time()) / len(left)
                try:
                    async with asyncio.timeout(share_s):
                        return await _talk(sock, origin, context, most)
                except TimeoutError:
                    failed[address] = _no_handshake(address, share_s)
                except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot have
                    failed[address] = why_no_tls(error, origin)
                left = [found for found in left if found[4] not in failed]
    except TimeoutError:
        for *_, address in left:
            where = show_address(*address[:2])
            late = f"{where} did not answer within {timeout_s:.3g} s"
            failed.setdefault(address, _no_handshake(address, timeout_s) if address in reached else late)
    raise no_connection(failed.values(), is_reached=bool(reached))


def _no_handshake(address: Any, within_s: float) -> str:
    where = show_address(*address[:2])
    return f"{where} accepted the connection, but the TLS handshake took more than {within_s:.3g} s"


async def _resolve(origin: Origin, targets: Targets | None) -> Sequence[Resolved]:
    host = origin.host
    found: Sequence[Resolved]
    if targets is not None and is_literal(host) and not targets.allows_address(host):
        raise NoConnection(f"{host[:80]} is not among the webhook_targets")
    try:
        if is_address(host):  # no thread is needed
            found = socket.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        else:
            found = await look_up(host, origin.port)
    except OSError as error:
        raise NoConnection(f"cannot resolve {host[:80]}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise NoConnection(f"cannot resolve {host[:80]}: it is not a name that can exist") from error
    if targets is None or targets.allows_name(host):
        return found
    allowed = [result for result in found if targets.allows_address(str(result[4][0]))]
    if not allowed:
        addresses = ", ".join(sorted({str(result[4][0]) for result in found})[:4])
        raise NoConnection(f"{host[:80]} is {addresses}, which is not among the webhook_targets")
    return allowed


def _interleaved(found: Sequence[Resolved]) -> list[Resolved]:
    """Return the addresses with their families in turn, the resolver's first one first (RFC 8305, 4)."""
    families: dict[int, list[Resolved]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


async def _first(
    found: Sequence[Resolved], stagger_s: float, failed: dict[Any, str]
) -> tuple[socket.socket, Any] | None:
    """Return the first connection and its address, None if every address failed. Reasons are added to ``failed``."""
    if len(found) == 1:  # no task is needed
        family, kind, protocol, _, address = found[0]
        try:
            return await _connect(family, kind, protocol, address), address
        except OSError as error:
            failed[address] = why_not_connected(error, address)
            return None
    waiting = deque(found)
    under_way: dict[asyncio.Task[socket.socket], Any] = {}
    try:
        while waiting or under_way:
            if waiting:
                family, kind, protocol, _, address = waiting.popleft()
                under_way[asyncio.create_task(_connect(family, kind, protocol, address))] = address
            done, _ = await asyncio.wait(
                under_way, timeout=stagger_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                address = under_way[task]
                try:
                    sock = task.result()
                except OSError as error:
                    failed[address] = why_not_connected(error, address)
                    del under_way[task]
                else:
                    del under_way[task]
                    return sock, address
        return None
    finally:
        for task in under_way:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Close a connection that came when another one had won."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _talk(sock: socket.socket, origin: Origin, tls: ssl.SSLContext | None, most: int) -> Connection:
    loop = asyncio.get_running_loop()
    name = None if tls is None else origin.host.partition("%")[0].rstrip(".")
    _, connection = await loop.create_connection(
        lambda: Connection(loop, most), sock=sock, ssl=tls, server_hostname=name
    )
    return connection
