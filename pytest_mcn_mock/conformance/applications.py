"""Delivery into an application object, WSGI or ASGI, with no socket."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_mcn_mock.conformance.exchanges import Exchange, Trouble
from pytest_mcn_mock.conformance.messages import Message
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.deliveries import CdrResponse
from pytest_mcn_mock.real_time import monotonic
from pytest_mcn_mock.testing.applications import DOMAIN
from pytest_mcn_mock.testing.background import BackgroundLoop, cancel_all
from pytest_mcn_mock.testing.calling import call_asgi, call_wsgi, is_asgi
from pytest_mcn_mock.text import printable


def url_of(path: str) -> str:
    """The URL under which an application is called; UsageError for a path without a slash."""
    if not path.startswith("/"):
        raise UsageError(f"path {path[:80]!r} must start with a slash, such as '/webhooks/mcn'")
    return f"http://webhook.{DOMAIN}{path}"


class WsgiTransport:
    """Calls a WSGI application on the test's own thread, where its database connection is, and for several messages at
    once on a thread each. What hangs on the test's own thread hangs the test.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Implements ``conformance.exchanges.Transport``."""
        if in_turn or len(messages) == 1:
            return [self._one(message, timeout_s) for message in messages]
        results: dict[int, Exchange] = {}

        def run(number: int, message: Message) -> None:
            results[number] = self._one(message, timeout_s)

        threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(messages)]
        for thread in threads:
            thread.start()
        ends_at = monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, ends_at - monotonic()))
        done = dict(results)
        return [done.get(n) or Exchange(m, timeout_s, None, Trouble.NO_ANSWER) for n, m in enumerate(messages)]

    def close(self) -> None:
        """Implements ``conformance.exchanges.Transport``."""

    def _one(self, message: Message, timeout_s: float) -> Exchange:
        began = monotonic()
        try:
            response = call_wsgi(self._application, message.request)
        except Exception as error:
            return _raised(message, began, error)
        return _answered(message, began, response, timeout_s)


class AsgiTransport:
    """Calls an ASGI application on an event loop of its own, one for all messages. Lifespan events are not sent."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self._loop = BackgroundLoop()

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Implements ``conformance.exchanges.Transport``."""

        async def send() -> list[Exchange]:
            if in_turn:
                return [await self._one(message, timeout_s) for message in messages]
            return await asyncio.gather(*(self._one(message, timeout_s) for message in messages))

        return self._loop.run(send()).result()

    def close(self) -> None:
        """Implements ``conformance.exchanges.Transport``."""
        self._loop.stop(cancel_all)

    async def _one(self, message: Message, timeout_s: float) -> Exchange:
        began = monotonic()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                response = await call_asgi(self._application, message.request)
        except Exception as error:
            if limit.expired():
                return Exchange(message, monotonic() - began, None, Trouble.NO_ANSWER)
            return _raised(message, began, error)
        return _answered(message, began, response, timeout_s)


def make_transport(application: object) -> WsgiTransport | AsgiTransport:
    """The transport for an application; UsageError for what is none."""
    if not callable(application):
        raise UsageError(f"{application!r} is neither a URL nor a WSGI or ASGI application")
    return AsgiTransport(application) if is_asgi(application) else WsgiTransport(application)


def _answered(message: Message, began: float, response: CdrResponse, timeout_s: float) -> Exchange:
    duration_s = monotonic() - began
    trouble = Trouble.NO_ANSWER if duration_s > timeout_s else None  # too late is as good as never
    return Exchange(message, duration_s, response, trouble)


def _raised(message: Message, began: float, error: Exception) -> Exchange:
    duration_s = monotonic() - began
    if isinstance(error, SendError):
        return Exchange(message, duration_s, None, Trouble.CLOSED, printable(error, 120))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return Exchange(
        message, duration_s, None, Trouble.RAISED, printable(f"{type(error).__name__}: {error}{place}", 300)
    )
