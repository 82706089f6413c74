"""An event loop whose time can be put forward, so that no test depends on how fast the machine is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import closing
from ssl import SSLContext
from typing import Any

from helpers.in_process import make_fake, open_account
from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.web.server import HttpServer

HEAD_TIMEOUT_S = 10.0


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its time is the machine's and what was put forward."""

    put_forward_s = 0.0

    def time(self) -> float:
        return super().time() + self.put_forward_s

    async def leap(self, seconds: float) -> None:
        """Put the time forward, and do what is due then."""
        self.put_forward_s += seconds
        for _ in range(3):
            await asyncio.sleep(0)


class Served:
    """A fake on a socket, with the account 1, and a client's connections to it. All are on the same loop."""

    def __init__(self, loop: LeapingLoop, fake: Fake, server: HttpServer, port: int) -> None:
        self.loop, self.fake, self.server, self.port = loop, fake, server, port

    async def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        """A connection, whose client's kernel may take little ahead of its program."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await self.loop.sock_connect(connection, ("127.0.0.1", self.port))
        return connection

    async def balance(self) -> int:
        """What the account has, in kopecks."""
        return (await self.fake.service.storage.account("1")).balance

    async def read_all(self, connection: socket.socket) -> bytes:
        """What comes until the server ends the connection."""
        received = b""
        while chunk := await self.loop.sock_recv(connection, 65_536):
            received += chunk
        return received


def serving(
    see: Callable[[Served], Coroutine[Any, Any, None]], *, max_connections: int = 9, tls: SSLContext | None = None
) -> None:
    """Serve while ``see`` runs."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        fake = make_fake()
        open_account(fake)
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            server = HttpServer(
                fake.application, max_connections=max_connections, head_timeout_s=HEAD_TIMEOUT_S, tls=tls
            )
            server.start(listener)
            try:
                await see(Served(loop, fake, server, listener.getsockname()[1]))
            finally:
                await server.stop(0)

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(asyncio.wait_for(serve(), 600))
