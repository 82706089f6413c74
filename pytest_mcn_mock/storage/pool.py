"""Connections to PostgreSQL that are kept open. An order never waits for a connection to a server that is away."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import psycopg

from pytest_mcn_mock.errors import StorageFailed

WAIT_S: Final = 5.0
"""How long a step waits for a connection while all are in use."""

Connection = psycopg.AsyncConnection[Any]


class Pool:
    """At most ``size`` connections. ``connect`` opens one."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._size = size
        self._open = 0
        """Connections that are idle, in use, or being opened."""
        self._idle: list[Connection] = []
        self._taken: dict[Connection, float] = {}
        """Those in use, and when each was taken, on the monotonic clock."""
        self._stale: set[Connection] = set()
        """Those in use that are not kept afterwards."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> Connection:
        """Return a connection that is alive. Give it back afterwards.

        Raises psycopg.Error if none can be opened, StorageFailed if all are in use for WAIT_S seconds.
        """
        is_refused = False
        while True:
            if self._idle:
                connection = self._idle.pop()
                if _is_alive(connection):
                    break
                self._drop(connection)
            elif self._open < self._size and not is_refused:
                self._open += 1
                try:
                    connection = await self._connect()
                    break
                except psycopg.Error:
                    self._open -= 1
                    # If the server has no room for one more, one of our own gets free. If it is away, they fail too.
                    is_refused = self._open > 0
                    if not is_refused:
                        self._wake()
                        raise
                except BaseException:
                    self._open -= 1
                    self._wake()
                    raise
            else:
                await self._wait()
                is_refused = False
        self._taken[connection] = time.monotonic()
        return connection

    def give_back(self, connection: Connection) -> None:
        """Let others have the connection. One that is broken is replaced."""
        del self._taken[connection]
        is_idle = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if connection in self._stale or connection.closed or not is_idle:
            self._stale.discard(connection)
            self._drop(connection)
        else:
            self._idle.append(connection)
        self._wake()

    def renew(self, why: StorageFailed) -> None:
        """Drop all connections, because each may be dead or read-only, and end all waits for one."""
        while self._idle:
            self._drop(self._idle.pop())
        self._stale.update(self._taken)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(StorageFailed(why.message))

    def cut(self, older_than_s: float) -> None:
        """Cut the connections that were taken so long ago: the server does not answer."""
        for connection, taken_at in self._taken.items():
            if time.monotonic() - taken_at > older_than_s and not connection.closed:
                # Its step waits for the socket, which must stay open until the step has noticed that.
                with suppress(OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as same:
                    same.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Close the connections."""
        for connection in (*self._idle, *self._taken):
            await connection.close()
        self._idle.clear()
        self._open = len(self._taken)

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(WAIT_S):
                await waiter
        except TimeoutError:
            raise StorageFailed(f"the state cannot be written: no connection was free for {WAIT_S:g} s") from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _drop(self, connection: Connection) -> None:
        self._open -= 1
        connection.pgconn.finish()


def _is_alive(connection: Connection) -> bool:
    """Return whether the server has not ended an idle connection."""
    try:
        connection.pgconn.consume_input()
        connection.pgconn.consume_input()  # the first one may get the server's last words
    except psycopg.Error:
        return False
    return True
