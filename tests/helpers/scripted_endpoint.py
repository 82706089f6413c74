"""A webhook endpoint on a real socket that answers whatever bytes a test gives it, and the sender against it."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pytest_mcn_mock.delivery.client import HttpSender
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = "the connection was closed before an answer"
KIB = 1024
T = TypeVar("T")


class Endpoint:
    """Gives its answers in turn, and the last one from then on; None is none, on a connection that stays open.

    With ``closes`` a connection ends after its first answer, and with ``bytewise`` every byte comes alone.
    """

    def __init__(self, *answers: bytes | None, closes: bool = False, bytewise: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.ended: asyncio.Queue[None] = asyncio.Queue()
        self.url = ""
        self.port = 0
        self._answers = answers
        self._closes = closes
        self._bytewise = bytewise

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Endpoint]:
        server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        shown = f"[{host}]" if ":" in host else host
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if tls else ''}://{shown}:{self.port}/hook"
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not reader.at_eof():
                request = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", request)
                request += await reader.readexactly(int(length[1])) if length else b""
                answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
                self.requests.append(request)
                self.asked.put_nowait(writer)
                if answer is not None:
                    await self._write(writer, answer)
                    if self._closes:
                        break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.ended.put_nowait(None)

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        for piece in [answer[n : n + 1] for n in range(len(answer))] if self._bytewise else [answer]:
            writer.write(piece)
            await writer.drain()
            if self._bytewise:
                await asyncio.sleep(0)  # in which it is read


@asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[HttpSender]:
    """A sender; nothing that a server does may get as far as the loop."""
    astray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: astray.append(context))
    sender = HttpSender(**options)
    try:
        yield sender
    finally:
        await sender.close()
    assert astray == []


async def post(sender: HttpSender, url: str, timeout_s: float = 20, method: str = "POST") -> CdrResponse | str:
    """The answer, or why there is none."""
    try:
        return await sender.send(CdrRequest(method, url, {"X": "y"}, b"{}" if method == "POST" else b""), timeout_s)
    except SendError as error:
        return str(error)


async def soon(awaited: Coroutine[Any, Any, T]) -> T:
    """What is awaited; where it does not come the test fails, and does not hang."""
    return await asyncio.wait_for(awaited, 20)


async def turn() -> None:
    """Let everything that has arrived be read."""
    for _ in range(5):
        await asyncio.sleep(0)
