"""Looks up the addresses of names, so that a name whose look-up is slow delays no other name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

Resolved = tuple[int, int, int, str, Any]
"""An address as ``socket.getaddrinfo`` returns it."""
MAX_LOOKUPS: Final = 256
"""Names that are looked up at once, each on a thread of its own; the attempts at one more name fail."""

_under_way: dict[str, Future[Sequence[Resolved]]] = {}
_lock = threading.Lock()


async def look_up(host: str, port: int) -> Sequence[Resolved]:
    """Return the addresses of a name. One look-up of a name is under way at a time: who asks meanwhile shares it.

    The threads are daemons: a look-up takes as long as the resolver likes, and nobody waits for it at the end. The
    event loop's own pool has few threads, and the loop waits for them when it ends.

    Raises OSError or UnicodeError as ``socket.getaddrinfo`` does.
    """
    with _lock:
        found = _under_way.get(host)
        if found is None:
            found = _under_way[host] = _begin(host)
    addresses = await asyncio.wrap_future(found)
    return [(*rest, (where[0], where[1] or port, *where[2:])) for *rest, where in addresses]  # type: ignore[misc]


def _begin(host: str) -> Future[Sequence[Resolved]]:
    if len(_under_way) >= MAX_LOOKUPS:
        raise OSError(f"{MAX_LOOKUPS} names are being looked up already")
    found: Future[Sequence[Resolved]] = Future()
    found.set_running_or_notify_cancel()  # one who gives up does not cancel it for the others
    try:
        threading.Thread(target=_run, args=(host, found), daemon=True, name="mcn-mock-dns").start()
    except RuntimeError as error:  # the process has as many threads as it may have
        raise OSError(str(error)) from error
    return found


def _run(host: str, found: Future[Sequence[Resolved]]) -> None:
    addresses: Sequence[Resolved] = ()
    failure: BaseException | None = None
    try:
        addresses = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except BaseException as error:  # whatever it is, those who wait are told
        failure = error
    with _lock:
        del _under_way[host]
    if failure is None:
        found.set_result(addresses)
    else:
        found.set_exception(failure)
