"""The application under ASGI: for the sandbox. Every step of a request is on the event loop's thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.http import (
    KEEP_ALIVE,
    KEEP_ALIVE_S,
    MAX_BODY,
    STREAM_PACE_S,
    Closing,
    Request,
    Response,
    Spoilt,
    Stream,
)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
BODY_TIMEOUT_S = 30.0
"""How long a request's body may take to arrive."""

_log = logging.getLogger("mcn_mock")


class AsgiAdapter:
    """An ASGI 3 application for the ``http`` scope."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._keeping: tuple[Future[None], asyncio.Future[None]] | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        headers = _headers(scope["headers"])
        body: bytes | None = b""
        is_whole = True
        try:
            body = await _read_body(headers, receive)
        except (TimeoutError, ConnectionError):
            is_whole = False  # a client that has gone will not see it, one that is slow will
        request = Request(scope["method"], scope["path"], scope["query_string"], headers, body, is_whole)
        response = self._application.handle(request)
        try:
            if response.later is not None:
                response = await _waited(response.later, receive)
            if response.kept is not None:
                response = await self._kept(response, response.kept)
            if response.ready is not None:
                await asyncio.wrap_future(response.ready)
            raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.items()]
            if response.stream is None:
                raw_headers.append((b"content-length", str(len(response.body)).encode()))
            start = {"type": "http.response.start", "status": response.status, "headers": raw_headers}
            if response.stream is not None:
                await _send_stream(start, response.stream, receive, send)
            elif response.spoilt is None:
                await send(start)
                await send({"type": "http.response.body", "body": response.body})
            else:
                await _send_spoilt(start, response.body, response.spoilt, send)
        finally:
            if response.after is not None:
                response.after()

    async def _kept(self, response: Response, kept: Future[None]) -> Response:
        """The answer once what it says is kept, or what is to be said in its place."""
        if self._keeping is None or self._keeping[0] is not kept:
            # Many requests wait for the same thing: it wakes the loop once for all of them.
            self._keeping = kept, asyncio.wrap_future(kept)
        try:
            await asyncio.shield(self._keeping[1])  # one that is cancelled leaves it to the others
        except StorageFailed as error:
            return response if response.otherwise is None else response.otherwise(error)
        return response


async def _waited(later: Future[Response], receive: Receive) -> Response:
    """The answer when it is there; ConnectionError where the client goes before."""
    loop = asyncio.get_running_loop()
    answer, gone = asyncio.wrap_future(later), loop.create_task(_disconnected(receive))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if not answer.done():
        raise ConnectionError("the client is gone")
    return answer.result()


async def _send_stream(start: MutableMapping[str, Any], stream: Stream, receive: Receive, send: Send) -> None:
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    stream.wake_by(lambda: loop.call_soon_threadsafe(changed.set))
    gone = loop.create_task(_disconnected(receive))
    gone.add_done_callback(lambda _: changed.set())
    try:
        await send(start)
        while not (stream.has_ended or gone.done()):
            changed.clear()
            await send({"type": "http.response.body", "body": stream.take() or KEEP_ALIVE, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE_S)
            # Many changes at once make one message, each item in it once.
            await asyncio.wait((gone,), timeout=STREAM_PACE_S)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        stream.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_spoilt(start: MutableMapping[str, Any], body: bytes, spoilt: Spoilt, send: Send) -> None:
    await asyncio.sleep(spoilt.delay_s)
    if spoilt.closing is Closing.RESET:
        raise ConnectionAbortedError("the connection is reset by a fault")
    await send(start)
    if spoilt.closing is Closing.CUT_OFF:
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        raise ConnectionAbortedError("the answer is cut off by a fault")
    for byte in body if spoilt.drip_s else b"":
        await send({"type": "http.response.body", "body": bytes((byte,)), "more_body": True})
        await asyncio.sleep(spoilt.drip_s / len(body))
    await send({"type": "http.response.body", "body": b"" if spoilt.drip_s else body})


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _read_body(headers: dict[str, str], receive: Receive) -> bytes | None:
    """The body, or None for one that is larger than MAX_BODY, which is not read on.

    Raises TimeoutError for one that does not arrive, and ConnectionError where the client is gone.
    """
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers:
        return b""
    if length is not None and length.isdecimal() and (len(length) > 12 or int(length) > MAX_BODY):
        return None
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client is gone")
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                return None
            if not message.get("more_body"):
                return bytes(body)
