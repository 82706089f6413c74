"""Sends CDRs over sockets, on connections that are kept. Knows nothing of retries."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.domain.targets import Targets
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.webhooks.connecting import connect
from pytest_mcn_mock.webhooks.connection import Connection
from pytest_mcn_mock.webhooks.requests import Origin, render

IDLE_S: Final = 15.0
"""How long a connection is kept without a request."""


class HttpSender:
    """To be made, used and closed on one event loop.

    Redirects are not followed, cookies are not kept, and no proxy of the environment is used. A request is sent once: a
    connection that breaks may have carried it. With ``targets`` nothing is connected to but these. ``tls`` is for other
    certificates than those that this machine trusts.
    """

    def __init__(
        self, targets: Targets | None = None, *, tls: ssl.SSLContext | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._targets = targets
        self._tls = tls
        self._idle_s = idle_s
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The endpoint's answer. SendError where it did not arrive within ``timeout_s`` seconds, or at all."""
        origin, data = render(request)
        deadline = self._loop.time() + timeout_s
        connection = self._take(origin)
        if connection is None:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await connect(origin, targets=self._targets, tls=self._tls)
            except TimeoutError:
                raise _late(timeout_s) from None
        timer = self._loop.call_at(deadline, _give_up, connection, timeout_s)
        try:
            return await connection.ask(data, is_head=request.method == "HEAD")
        finally:
            timer.cancel()
            self._put(origin, connection)

    async def close(self) -> None:
        """Close the kept connections."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # in which the sockets are closed

    def _take(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        oldest = self._loop.time() - self._idle_s
        while kept:
            connection = kept.pop()
            if connection.is_idle and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _put(self, origin: Origin, connection: Connection) -> None:
        if not connection.is_idle or self._is_closed:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._close_idle)

    def _close_idle(self) -> None:
        oldest = self._loop.time() - self._idle_s
        kept: dict[Origin, list[Connection]] = {}
        for origin, connections in self._idle.items():
            for connection in connections:
                if connection.is_idle and connection.idle_since > oldest:
                    kept.setdefault(origin, []).append(connection)
                else:
                    connection.close()
        self._idle = kept
        self._sweep = self._loop.call_later(self._idle_s, self._close_idle) if kept else None


def _give_up(connection: Connection, timeout_s: float) -> None:
    connection.fail(_late(timeout_s))


def _late(timeout_s: float) -> SendError:
    return SendError(f"no answer within {timeout_s:g} s")
