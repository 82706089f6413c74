"""Delivery over sockets: a connection of its own for each message, so that no case feels what another did to one."""

from __future__ import annotations

import asyncio
import io
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from pytest_mcn_mock.contract.exchanges import Exchange, Trouble, printable
from pytest_mcn_mock.contract.messages import Message
from pytest_mcn_mock.domain.deliveries import CdrResponse
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.testing.background import BackgroundLoop, cancel_all

MAX_RESPONSE = 65_536
"""Bytes of an answer that are read."""


class SocketTransport:
    """Sends over HTTP and TLS. Redirects are not followed, cookies are not kept, no proxy is used.

    ``is_checked`` False takes any certificate; ``cafile`` is a file of authorities to trust in place of the public
    ones. UsageError for a file that is none.
    """

    def __init__(self, *, is_checked: bool = True, cafile: Path | None = None) -> None:
        self._loop = BackgroundLoop()
        self._tls: ssl.SSLContext | bool = True  # aiohttp has one that it keeps; making one takes long
        if not is_checked:
            self._tls = False
        elif cafile is not None:
            try:
                self._tls = ssl.create_default_context(cafile=cafile)
            except (OSError, ssl.SSLError) as error:
                raise UsageError(f"{cafile} holds no certificates: {error.strerror or error}") from error

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Implements ``contract.exchanges.Transport``."""
        send = self._in_turn if in_turn else self._at_once
        return self._loop.run(send(messages, timeout_s)).result()

    def close(self) -> None:
        """Implements ``contract.exchanges.Transport``."""
        self._loop.stop(cancel_all)

    async def _at_once(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]:
        async def alone(message: Message) -> Exchange:
            async with self._session() as session:
                return await _Exchanging(session, message).run(timeout_s)

        return await asyncio.gather(*map(alone, messages))

    async def _in_turn(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]:
        async with self._session() as session:
            return [await _Exchanging(session, message).run(timeout_s) for message in messages]

    def _session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_note_connection)
        trace.on_connection_reuseconn.append(_note_connection)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[trace],
        )


async def _note_connection(_: object, context: object, __: object) -> None:
    context.trace_request_ctx.is_connected = True  # type: ignore[attr-defined]


class _Exchanging:
    """One message on its way: how far it came."""

    def __init__(self, session: aiohttp.ClientSession, message: Message) -> None:
        self._session = session
        self._message = message
        self._response: CdrResponse | None = None
        self.is_connected = False

    async def run(self, timeout_s: float) -> Exchange:
        began = time.monotonic()
        trouble: Trouble | None = None
        detail = ""
        try:
            async with asyncio.timeout(timeout_s):
                await self._send()
        except TimeoutError:
            if not self.is_connected:
                trouble, detail = Trouble.UNREACHABLE, "no connection within the time-out"
            else:
                trouble = Trouble.UNFINISHED if self._response else Trouble.NO_ANSWER
        except aiohttp.ClientConnectorError as error:
            trouble, detail = Trouble.UNREACHABLE, printable(error)
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
            trouble = Trouble.GARBLED  # the error's text would show what came, which may be secret
        except (aiohttp.ClientError, OSError) as error:
            trouble, detail = Trouble.CLOSED, type(error).__name__
        except ValueError as error:  # what aiohttp will not send; its text can have the URL in it
            trouble, detail = Trouble.UNREACHABLE, f"the request cannot be sent: {type(error).__name__}"
        return Exchange(self._message, time.monotonic() - began, self._response, trouble, detail)

    async def _send(self) -> None:
        request = self._message.request
        async with self._session.request(
            request.method,
            request.url,
            data=io.BytesIO(request.body) if request.body else None,  # of a large bytes object aiohttp warns
            headers=request.headers,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
            trace_request_ctx=self,
        ) as response:
            self._response = CdrResponse(response.status, dict(response.headers), b"")
            body = bytearray()
            try:
                while len(body) < MAX_RESPONSE and (chunk := await response.content.read(MAX_RESPONSE - len(body))):
                    body += chunk
            except aiohttp.ClientPayloadError:
                pass  # the status acknowledges
            self._response = CdrResponse(response.status, dict(response.headers), bytes(body))
            if not response.content.at_eof():
                response.close()
