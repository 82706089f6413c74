"""Sends CDRs over sockets. Knows nothing of retries."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from typing import Any, Final

from msgspec.structs import replace

from pytest_mcn_mock.certificates import make_context
from pytest_mcn_mock.delivery.connecting import connect
from pytest_mcn_mock.delivery.connection import Closed, Connection, Late
from pytest_mcn_mock.delivery.requests import Origin, render
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import MACHINE, Targets, Trust

IDLE_S: Final = 0.1
"""How long a connection is kept without a request. An endpoint with one thread serves nobody else in that time."""
STARVING_S: Final = 1.0
"""How long a new connection waits for its first answer before others to the same address are closed after theirs."""
_Key = tuple[Origin, Trust | None]


class HttpSender:
    """To be made, used and closed on one event loop.

    Redirects are not followed, cookies are not kept, and no proxy of the environment is used. With ``targets`` nothing
    else is connected to. ``tls`` is the context for requests that ask for no trust of their own, by default the one
    that trusts this machine's authorities.

    A connection is used again while requests follow each other. An endpoint that serves one connection at a time, as
    ``http.server.HTTPServer`` does, would serve none of the others while one is kept: that is why an idle one is closed
    soon, and each one after its answer if another one to the same address waits too long for its first.

    A request is sent once, but for one case: if a connection that was used before ends without a byte of an answer, the
    endpoint most probably closed it before the request came (RFC 9112, 9.3.1). Then it is sent on a new connection, and
    the answer has ``sent_twice``.
    """

    def __init__(
        self, targets: Targets | None = None, *, tls: ssl.SSLContext | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._targets = targets
        self._tls = tls
        self._idle_s = idle_s
        self._idle: dict[_Key, list[Connection]] = {}
        self._unanswered: defaultdict[Any, dict[Connection, float]] = defaultdict(dict)
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """Return the endpoint's answer. Raises SendError if none arrives within ``timeout_s`` seconds, or at all.

        An answer whose body has not ended by then counts: the status has arrived.
        """
        origin, data = render(request)
        key = origin, request.trust if origin.is_tls else None
        deadline = self._loop.time() + timeout_s
        is_head = request.method == "HEAD"
        connection = self._take(key)
        left_s = timeout_s
        is_again = False
        try:
            if connection is not None:
                try:
                    return await self._ask(key, connection, data, deadline, is_head=is_head)
                except Closed:
                    if not connection.is_silent:
                        raise
                    left_s = max(0.0, deadline - self._loop.time())
                    is_again = True
            connection = await connect(origin, left_s, targets=self._targets, tls=self._context(key))
            response = await self._ask(key, connection, data, deadline, is_head=is_head)
            return replace(response, sent_twice=True) if is_again else response
        except Late:
            raise SendError(f"no answer within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Close the kept connections."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.end()
        self._idle.clear()
        await asyncio.sleep(0)  # in which the sockets are closed

    def _context(self, key: _Key) -> ssl.SSLContext | None:
        _, trust = key
        if trust is None:
            return None
        return self._tls if self._tls is not None and trust == MACHINE else make_context(trust)

    async def _ask(
        self, key: _Key, connection: Connection, data: bytes, deadline: float, *, is_head: bool
    ) -> CdrResponse:
        is_first = not connection.is_answered
        if is_first:
            self._unanswered[connection.peer][connection] = self._loop.time()
        timer = self._loop.call_at(deadline, connection.be_late)
        try:
            return await connection.ask(data, is_head=is_head)
        finally:
            timer.cancel()
            if is_first:
                waiting = self._unanswered[connection.peer]
                del waiting[connection]
                if not waiting:
                    del self._unanswered[connection.peer]
            self._put(key, connection)

    def _take(self, key: _Key) -> Connection | None:
        kept = self._idle.get(key)
        oldest = self._loop.time() - self._idle_s
        while kept:
            connection = kept.pop()
            if connection.idle_since > oldest and connection.is_reusable():
                return connection
            connection.end()
        return None

    def _put(self, key: _Key, connection: Connection) -> None:
        if not connection.is_idle:
            connection.close()
            return
        if self._is_closed or (self._unanswered and self._is_another_starving(connection)):
            connection.end()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(key, []).append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._close_idle)

    def _is_another_starving(self, connection: Connection) -> bool:
        waiting = self._unanswered.get(connection.peer)
        return waiting is not None and self._loop.time() - next(iter(waiting.values())) > STARVING_S

    def _close_idle(self) -> None:
        oldest = self._loop.time() - self._idle_s
        kept: dict[_Key, list[Connection]] = {}
        first = float("inf")
        for key, connections in self._idle.items():
            for connection in connections:
                if connection.is_idle and connection.idle_since > oldest:
                    kept.setdefault(key, []).append(connection)
                    first = min(first, connection.idle_since)
                else:
                    connection.end()
        self._idle = kept
        self._sweep = self._loop.call_at(first + self._idle_s, self._close_idle) if kept else None
