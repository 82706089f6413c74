"""Asks a server over a socket: one request at a time, everything bounded, nothing followed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from pytest_mcn_mock.drift.exchanges import Answer, Sent, Trouble, make_answer
from pytest_mcn_mock.errors import UsageError

MAX_ANSWER: Final = 65_536
"""Bytes of an answer's body that are read."""


class HttpAsker:
    """Sends requests to a server with a token. To be made, used and closed on one event loop.

    Each has a connection of its own. Redirects are not followed, cookies are not kept, and no proxy of the environment
    is used, so that the token goes nowhere else. A certificate is always verified: by the authorities of this machine,
    or by those of ``cafile``.

    Raises UsageError for a URL or a file of certificates that cannot be used.
    """

    def __init__(self, base_url: str, token: str, *, timeout_s: float, cafile: Path | None = None) -> None:
        self._base_url = check_base_url(base_url)
        self._token = token
        self._timeout_s = timeout_s
        tls: ssl.SSLContext | bool = True
        if cafile is not None:
            try:
                tls = ssl.create_default_context(cafile=cafile)
            except (OSError, ssl.SSLError) as error:
                raise UsageError(f"--cacert {cafile} cannot be used: {error}") from error
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=True, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "mcn-mock", "Accept-Encoding": "identity"},
            skip_auto_headers=("Content-Type",),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def __call__(self, sent: Sent) -> Answer | Trouble:
        """The answer, or why there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(sent)
        except TimeoutError:
            return Trouble.TIMEOUT
        except aiohttp.ClientConnectorError:
            return Trouble.UNREACHABLE
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, ValueError):
            return Trouble.GARBLED
        except (aiohttp.ClientError, OSError):
            return Trouble.CLOSED

    async def _ask(self, sent: Sent) -> Answer:
        url = f"{self._base_url}/{sent.path}" + (f"?{sent.query}" if sent.query else "")
        async with self._session.request(
            sent.method,
            URL(url, encoded=True),
            data=sent.body.encode() or None,
            headers=sent.headers(self._token),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as response:
            body = bytearray()
            while len(body) <= MAX_ANSWER and (chunk := await response.content.read(MAX_ANSWER + 1 - len(body))):
                body += chunk
            location = response.headers.get("Location")
            answer = make_answer(
                response.status,
                response.headers.get("Content-Type", "").partition(";")[0].strip().lower()[:100],
                bytes(body[:MAX_ANSWER]),
                location=None if location is None else _without_query(location),
                is_cut=len(body) > MAX_ANSWER,
            )
            if not response.content.at_eof():
                response.close()
            return answer


def check_base_url(url: str) -> str:
    """The URL that the methods' paths follow, without a slash at its end; UsageError for one that cannot be used."""
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    is_visible = url.isascii() and url.isprintable() and " " not in url
    if not is_sound or not is_visible or parts.query or parts.fragment or "@" in parts.netloc:
        shown = "that was given" if "@" in url else repr(url[:80])  # what is before an @ is a secret
        raise UsageError(f"--base-url {shown} is no base URL, such as https://api.mcn.ru/v2/rest")
    return url.rstrip("/")


def _without_query(location: str) -> str:
    """Where a redirect leads, without what may be secret in it."""
    try:
        parts = urlsplit(location[:2000])
        host = f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""
    except ValueError:
        return ""
    return host + unquote(parts.path, errors="replace")[:200]
