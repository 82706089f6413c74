"""Sends one CDR over a socket. Knows nothing of retries."""

from __future__ import annotations

import asyncio

import aiohttp

from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.errors import SendError

MAX_RESPONSE = 65_536
"""Bytes of an endpoint's answer that are kept; the rest is not read."""


class HttpSender:
    """Sends requests over kept connections. To be made, used and closed on one event loop.

    Redirects are not followed, cookies are not kept, and no proxy of the environment is used.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The endpoint's answer. SendError where it did not arrive within ``timeout_s`` seconds, or at all."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._session.request(
                    request.method,
                    request.url,
                    data=request.body or None,
                    headers=request.headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                )
                body = await self._read(response)
        except TimeoutError:
            raise SendError(f"no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SendError(f"{type(error).__name__}: {error}"[:300]) from error
        return CdrResponse(response.status, dict(response.headers), body)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        try:
            while len(body) < MAX_RESPONSE and (chunk := await response.content.read(MAX_RESPONSE - len(body))):
                body += chunk
        except aiohttp.ClientPayloadError:
            pass  # the status has arrived, and it is what acknowledges; the body is only shown to people
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()
        return bytes(body)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._session.close()
