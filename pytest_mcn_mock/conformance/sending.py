"""Sends messages to an endpoint, over sockets or into an application object, and returns the answers."""

from __future__ import annotations

import asyncio
import ssl
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from pytest_mcn_mock.certificates import make_context
from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.conformance.webhook import Message
from pytest_mcn_mock.delivery.client import (
    MAX_RESPONSE,
    Connection,
    MalformedResponse,
    NoConnection,
    Unsendable,
    connect,
    render,
)
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import MACHINE, Trust
from pytest_mcn_mock.testing.applications import DOMAIN, is_asgi
from pytest_mcn_mock.testing.door import LoopThread
from pytest_mcn_mock.testing.sending import call_asgi, call_wsgi
from pytest_mcn_mock.text import printable


class Trouble(StrEnum):
    """Why there is no complete answer."""

    UNREACHABLE = "unreachable"
    """No connection, or TLS failed on it."""
    NOT_ACCEPTED = "not_accepted"
    """The endpoint's system did not accept the connection within the time-out: its backlog is full."""
    NO_ANSWER = "no_answer"
    """Nothing within the time-out, on a connection that was accepted."""
    UNFINISHED = "unfinished"
    """A status within the time-out, but not the end of the body."""
    CLOSED = "closed"
    """The connection was closed before an answer."""
    MALFORMED = "malformed"
    """The answer is not HTTP."""
    RAISED = "raised"
    """An application object raised an exception. A server would answer 500."""


class Exchange(Struct, frozen=True):
    """A message and the answer to it. ``response`` is None if no status arrived. ``detail`` describes the trouble
    further, and has no secret and no control character in it.
    """

    message: Message
    duration_s: float
    response: CdrResponse | None = None
    trouble: Trouble | None = None
    detail: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status, or None if there was none."""
        return self.response.status if self.response else None

    @property
    def request(self) -> CdrRequest:
        """Return the request that was sent."""
        return self.message.request

    @property
    def cdr(self) -> Mapping[str, Any] | None:
        """Return the record that was sent; None if it was not a record."""
        return self.message.cdr

    @property
    def shown(self) -> str:
        """Return the status or the trouble as one word."""
        return str(self.status) if self.trouble is None else self.trouble.replace("_", " ")

    def header(self, name: str) -> str | None:
        """Return the answer's header of that lower-case name, or None."""
        headers = self.response.headers if self.response else {}
        return next((value for key, value in headers.items() if key.lower() == name), None)


class Transport(Protocol):
    """Brings messages to the endpoint."""

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Send the messages at once, or in turn over one kept connection; return an exchange for each, in order."""

    def close(self) -> None:
        """Let go of threads and connections."""


class KeptConnection:
    """A connection that is kept from message to message, until the endpoint closes it.

    Redirects are not followed, cookies are not kept, no proxy is used. ``most`` bytes of a body are read.
    """

    def __init__(self, tls: ssl.SSLContext | None, most: int = MAX_RESPONSE) -> None:
        self._tls = tls
        self._most = most
        self._connection: Connection | None = None

    async def exchange(self, message: Message, timeout_s: float) -> Exchange:
        """Send a message and wait for its answer, at most ``timeout_s`` seconds in total."""
        began = monotonic()
        response: CdrResponse | None = None
        trouble: Trouble | None = None
        detail = ""
        try:
            connection, data = await self._connected(message.request, timeout_s)
            try:
                async with asyncio.timeout(began + timeout_s - monotonic()):
                    response = await connection.ask(data, is_head=message.request.method == "HEAD")
            except TimeoutError:
                response = connection.response
                trouble = Trouble.UNFINISHED if response else Trouble.NO_ANSWER
                if connection.is_silent and not connection.is_accepted():
                    trouble = Trouble.NOT_ACCEPTED
                self.close()
        except (NoConnection, Unsendable) as error:
            is_late = monotonic() - began >= timeout_s  # a refused connection would have failed at once
            trouble, detail = Trouble.NOT_ACCEPTED if is_late else Trouble.UNREACHABLE, printable(error, 120)
        except MalformedResponse:
            trouble = Trouble.MALFORMED  # the parser's message does not help
        except SendError:
            trouble = Trouble.CLOSED
        return Exchange(message, monotonic() - began, response, trouble, detail)

    @property
    def broken(self) -> Trouble | None:
        """Why the last answer's body is not complete; None if it is."""
        error = None if self._connection is None else self._connection.broken
        if error is None:
            return None
        return Trouble.MALFORMED if isinstance(error, MalformedResponse) else Trouble.CLOSED

    async def _connected(self, request: CdrRequest, timeout_s: float) -> tuple[Connection, bytes]:
        """Return the connection on which the request can be sent, and its bytes."""
        origin, data = render(request)
        if self._connection is None or not self._connection.is_reusable():
            self.close()
            self._connection = await connect(origin, timeout_s, tls=self._tls, most=self._most)
        return self._connection, data

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _LoopTransport(ABC):
    """Sends all messages from one event loop on its own thread."""

    def __init__(self) -> None:
        self._loop = LoopThread("mcn-mock-check")

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Implements ``Transport``."""

        async def send() -> list[Exchange]:
            if in_turn:
                return await self._in_turn(messages, timeout_s)
            alone = await asyncio.gather(*(self._in_turn([message], timeout_s) for message in messages))
            return [exchange for exchanges in alone for exchange in exchanges]

        return self._loop.run(send()).result()

    def close(self) -> None:
        """Implements ``Transport``."""
        self._loop.stop()

    @abstractmethod
    async def _in_turn(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]: ...


class SocketTransport(_LoopTransport):
    """Sends over HTTP and TLS, each message on its own connection, so that messages do not affect one another."""

    def __init__(self, trust: Trust = MACHINE) -> None:
        super().__init__()
        self._tls = make_context(trust)

    async def _in_turn(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]:
        connection = KeptConnection(self._tls)
        try:
            return [await connection.exchange(message, timeout_s) for message in messages]
        finally:
            connection.close()


class AsgiTransport(_LoopTransport):
    """Calls an ASGI application. Lifespan events are not sent."""

    def __init__(self, application: Callable[..., Any]) -> None:
        super().__init__()
        self._application = application

    async def _in_turn(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]:
        return [await self._one(message, timeout_s) for message in messages]

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


class WsgiTransport:
    """Calls a WSGI application on the test's own thread, which has the test's database connection, and for several
    messages at once on a thread each. An application that hangs on the test's own thread hangs the test.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Implements ``Transport``."""
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
        """Implements ``Transport``."""

    def _one(self, message: Message, timeout_s: float) -> Exchange:
        began = monotonic()
        try:
            response = call_wsgi(self._application, message.request)
        except Exception as error:
            return _raised(message, began, error)
        return _answered(message, began, response, timeout_s)


def application_url(path: str) -> str:
    """Return the URL under which an application is called. Raise UsageError if the path has no leading slash."""
    if not path.startswith("/"):
        raise UsageError(f"invalid path {path[:80]!r}: start it with a slash, such as '/webhooks/mcn'")
    return f"http://webhook.{DOMAIN}{path}"


def application_transport(application: object) -> Transport:
    """Return the transport for an application. Raise UsageError if the object is not an application."""
    if not callable(application):
        raise UsageError(f"{application!r} is neither a URL nor a WSGI or ASGI application")
    return AsgiTransport(application) if is_asgi(application) else WsgiTransport(application)


def _answered(message: Message, began: float, response: CdrResponse, timeout_s: float) -> Exchange:
    duration_s = monotonic() - began
    trouble = Trouble.NO_ANSWER if duration_s > timeout_s else None  # a late answer counts as none
    return Exchange(message, duration_s, response, trouble)


def _raised(message: Message, began: float, error: Exception) -> Exchange:
    duration_s = monotonic() - began
    if isinstance(error, SendError):
        return Exchange(message, duration_s, None, Trouble.CLOSED, printable(error, 120))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    detail = printable(f"{type(error).__name__}: {error}{place}", 300)
    return Exchange(message, duration_s, None, Trouble.RAISED, detail)
