"""Sends one CDR over a socket. Knows nothing of retries."""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.domain.targets import Targets, is_literal
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.webhooks.resolver import NotATarget, TargetResolver

MAX_RESPONSE = 65_536
"""Bytes of an endpoint's answer that are kept; the rest is not read."""


class HttpSender:
    """Sends requests over kept connections. To be made, used and closed on one event loop.

    Redirects are not followed, cookies are not kept, and no proxy of the environment is used. With ``targets`` nothing
    is connected to but these.
    """

    def __init__(self, targets: Targets | None = None) -> None:
        self._targets = targets
        connector = (
            aiohttp.TCPConnector(limit=0)
            if targets is None
            else aiohttp.TCPConnector(limit=0, resolver=TargetResolver(targets), use_dns_cache=False)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The endpoint's answer. SendError where it did not arrive within ``timeout_s`` seconds, or at all."""
        try:
            url = URL(request.url)
            self._check_literal(url)
            async with asyncio.timeout(timeout_s):
                response = await self._session.request(
                    request.method,
                    url,
                    data=request.body or None,
                    headers=request.headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                )
                body = await self._read(response)
        except TimeoutError:
            raise SendError(f"no answer within {timeout_s:g} s") from None
        except aiohttp.ClientConnectorError as error:
            refused = error.os_error if isinstance(error.os_error, NotATarget) else None
            raise SendError(f"{refused or f'{type(error).__name__}: {error}'}"[:300]) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SendError(f"{type(error).__name__}: {error}"[:300]) from error
        return CdrResponse(response.status, dict(response.headers), body)

    def _check_literal(self, url: URL) -> None:
        """An address in the URL itself is asked of no resolver. What counts is the host as it is connected to, in which
        ``１`` has become ``1``.
        """
        host = url.raw_host or ""
        if self._targets is None or not is_literal(host):
            return
        if not self._targets.allows_address(host):
            raise SendError(f"{host[:80]} is not among the webhook_targets")

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
