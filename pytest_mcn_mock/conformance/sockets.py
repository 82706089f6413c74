"""Delivery over sockets: a connection of its own for each message, so that no case feels what another did to one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from pytest_mcn_mock.certificates import make_context
from pytest_mcn_mock.conformance.exchanges import Exchange, Trouble
from pytest_mcn_mock.conformance.messages import Message
from pytest_mcn_mock.delivery.connecting import connect
from pytest_mcn_mock.delivery.connection import Connection, MalformedResponse
from pytest_mcn_mock.delivery.reasons import NoConnection
from pytest_mcn_mock.delivery.requests import Unsendable, render
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import MACHINE, Trust
from pytest_mcn_mock.real_time import monotonic
from pytest_mcn_mock.testing.background import BackgroundLoop, cancel_all
from pytest_mcn_mock.text import printable


class SocketTransport:
    """Sends over HTTP and TLS. Redirects are not followed, cookies are not kept, no proxy is used."""

    def __init__(self, trust: Trust = MACHINE) -> None:
        self._loop = BackgroundLoop()
        self._tls = make_context(trust)

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Implements ``conformance.exchanges.Transport``."""
        send = self._in_turn if in_turn else self._at_once
        return self._loop.run(send(messages, timeout_s)).result()

    def close(self) -> None:
        """Implements ``conformance.exchanges.Transport``."""
        self._loop.stop(cancel_all)

    async def _at_once(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]:
        alone = await asyncio.gather(*(self._in_turn([message], timeout_s) for message in messages))
        return [exchange for exchanges in alone for exchange in exchanges]

    async def _in_turn(self, messages: Sequence[Message], timeout_s: float) -> list[Exchange]:
        line = _Line(self._tls)
        try:
            return [await line.exchange(message, timeout_s) for message in messages]
        finally:
            line.close()


class _Line:
    """A connection that is kept from message to message, as far as the endpoint lets it be."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._connection: Connection | None = None

    async def exchange(self, message: Message, timeout_s: float) -> Exchange:
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
            is_late = monotonic() - began >= timeout_s  # refused, it would have failed at once
            trouble, detail = Trouble.NOT_ACCEPTED if is_late else Trouble.UNREACHABLE, printable(error, 120)
        except MalformedResponse:
            trouble = Trouble.GARBLED  # the error's text is the parser's, and no help
        except SendError:
            trouble = Trouble.CLOSED
        return Exchange(message, monotonic() - began, response, trouble, detail)

    async def _connected(self, request: CdrRequest, timeout_s: float) -> tuple[Connection, bytes]:
        """Return the connection on which the request can be sent, and its bytes."""
        origin, data = render(request)
        if self._connection is None or not self._connection.is_reusable():
            self.close()
            self._connection = await connect(origin, timeout_s, tls=self._tls)
        return self._connection, data

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
