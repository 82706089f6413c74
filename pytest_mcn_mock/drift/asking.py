"""Asks a server over a socket: one request at a time, everything bounded, nothing followed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pytest_mcn_mock.certificates import make_context, read_trust
from pytest_mcn_mock.delivery.connecting import connect
from pytest_mcn_mock.delivery.connection import MalformedResponse
from pytest_mcn_mock.delivery.reasons import NoConnection
from pytest_mcn_mock.delivery.requests import Unsendable, render
from pytest_mcn_mock.drift.exchanges import Answer, Sent, Trouble, make_answer
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.deliveries import CdrRequest

MAX_ANSWER: Final = 65_536
"""Bytes of an answer's body that are read."""
_HEADERS: Final = {"User-Agent": "mcn-mock", "Accept-Encoding": "identity", "Connection": "close"}


class HttpAsker:
    """Sends requests to a server with a token.

    Each has a connection of its own. Redirects are not followed, cookies are not kept, and no proxy of the environment
    is used, so that the token goes nowhere else. A certificate is always verified: by the authorities of this machine,
    or by those of ``cafile``.

    Raises UsageError for a URL or a file of certificates that cannot be used.
    """

    def __init__(self, base_url: str, token: str, *, timeout_s: float, cafile: Path | None = None) -> None:
        self._base_url = check_base_url(base_url)
        self._token = token
        self._timeout_s = timeout_s
        self._tls = None if cafile is None else make_context(read_trust(cafile, name="--cacert"))

    async def __call__(self, sent: Sent) -> Answer | Trouble:
        """The answer, or why there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(sent)
        except TimeoutError:
            return Trouble.TIMEOUT
        except (NoConnection, Unsendable):
            return Trouble.UNREACHABLE
        except MalformedResponse:
            return Trouble.GARBLED
        except SendError:
            return Trouble.CLOSED

    async def _ask(self, sent: Sent) -> Answer:
        url = f"{self._base_url}/{sent.path}" + (f"?{sent.query}" if sent.query else "")
        headers = _HEADERS | sent.headers(self._token)
        origin, data = render(CdrRequest(sent.method, url, headers, sent.body.encode()))
        connection = await connect(origin, self._timeout_s, tls=self._tls, most=MAX_ANSWER + 1)
        try:
            response = await connection.ask(data)
        finally:
            connection.close()
        if connection.broken is not None:
            raise connection.broken
        told = {name.lower(): value for name, value in response.headers.items()}
        location = told.get("location")
        return make_answer(
            response.status,
            told.get("content-type", "").partition(";")[0].strip().lower()[:100],
            response.body[:MAX_ANSWER],
            location=None if location is None else _without_query(location),
            is_cut=len(response.body) > MAX_ANSWER,
        )


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
