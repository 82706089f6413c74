"""The sandbox's server: takes connections on the event loop, and bounds how many and for how long."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.connection import Connection
from pytest_mcn_mock.web.messages import date_line

if TYPE_CHECKING:
    from ssl import SSLContext

_SWEEP_S = 1.0
"""How often it is looked for connections that are to be failed, and what the Date header says."""
_NO_DESCRIPTOR_S = 0.1
"""How long no connection is taken after there was no file descriptor for one."""
_SAID_S = 60.0
"""How long the log says nothing more of that."""
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})
"""What ``accept`` says of a connection whose client has left, or which a firewall refuses."""

TLS_SHUTDOWN_S = 1.0
"""How long a client may take to end its TLS. One that is idle reads nothing, and never ends it."""

_SEND_BUFFER = 65_536
"""Bytes of answers that the kernel holds for a connection; Linux takes twice as many."""

_log = logging.getLogger("mcn_mock")


class HttpServer:
    """Serves the application on a listening socket. To be made, started and stopped on one event loop.

    At most ``max_connections`` are served at once; more wait in the kernel's queue until one ends. A request's head may
    take ``head_timeout_s`` seconds to arrive, and a connection may be idle for so long. Implements ``connection.Host``.
    """

    def __init__(
        self, application: Application, *, max_connections: int, head_timeout_s: float, tls: SSLContext | None = None
    ) -> None:
        self.application = application
        self.head_timeout_s = head_timeout_s
        self.date = b""
        self._tls = tls
        self._room = asyncio.Semaphore(max_connections)
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._listener: socket.socket | None = None
        self._silent_until = 0.0
        self._empty = asyncio.Event()
        self._is_stopping = False
        self._awaited: tuple[Future[Any], asyncio.Future[None]] | None = None

    def start(self, listener: socket.socket) -> None:
        """Serve on this socket, which listens already."""
        listener.setblocking(False)
        # The kernel would take megabytes of an answer, and it would not be seen whether a slow client goes on reading.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._listener = listener
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))
        self._sweep()

    async def stop(self, timeout_s: float) -> None:
        """Take no more connections, answer what has begun to arrive, and end, after ``timeout_s`` seconds at most."""
        self._is_stopping = True
        if self._accepting is not None and self._listener is not None:
            self._accepting.cancel()
            await asyncio.wait((self._accepting,))
            self._listener.close()
        for connection in list(self._connections):
            connection.finish()
        if self._connections:
            try:
                await asyncio.wait_for(self._empty.wait(), timeout_s)
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def done(self, future: Future[Any]) -> asyncio.Future[None]:
        """Done when the future is. What many requests wait for, such as a commit, wakes the loop once for all."""
        if self._awaited is None or self._awaited[0] is not future:
            loop = asyncio.get_running_loop()
            done = loop.create_future()

            def wake(_: Future[Any]) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(done.set_result, None)

            future.add_done_callback(wake)
            self._awaited = future, done
        return self._awaited[1]

    def run(self, answering: asyncio.Task[None]) -> None:
        """Look after the task until it has ended."""
        self._tasks.add(answering)
        answering.add_done_callback(self._tasks.discard)

    def joined(self, connection: Connection) -> None:
        """The connection has begun."""
        self._connections.add(connection)
        self._empty.clear()
        if self._is_stopping:
            connection.finish()

    def left(self, connection: Connection) -> None:
        """The connection has ended."""
        self._connections.discard(connection)
        self._room.release()
        if not self._connections:
            self._empty.set()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._room.release()
                if error.errno in _GONE:
                    _log.debug("a connection could not be taken: %s", error)
                else:  # no descriptor, no memory
                    self._say_no_room(error)
                    await asyncio.sleep(_NO_DESCRIPTOR_S)
            except asyncio.CancelledError:
                self._room.release()
                raise
            else:
                self.run(loop.create_task(self._welcome(accepted)))

    def _say_no_room(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            self._silent_until = now + _SAID_S
            _log.warning("connections cannot be taken now, and wait: %s", error)

    async def _welcome(self, accepted: socket.socket) -> None:
        connection = Connection(self, is_tls=self._tls is not None)
        timeout_s, shutdown_s = (None, None) if self._tls is None else (self.head_timeout_s, TLS_SHUTDOWN_S)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted,
                ssl=self._tls, ssl_handshake_timeout=timeout_s, ssl_shutdown_timeout=shutdown_s,
            )  # fmt: skip
        except OSError:  # no TLS, or not in time
            pass
        finally:
            if not connection.has_joined:
                accepted.close()
                self._room.release()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.date = date_line(time.time())
        now = loop.time()
        for connection in [c for c in self._connections if c.deadline <= now]:
            connection.expire()
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep)
