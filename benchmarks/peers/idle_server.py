"""Servers whose application does nothing: ``idle_server.py ours|granian|uvicorn|aiohttp PORT [HOOK]``.

With HOOK, the sandbox's server also posts a constant CDR there for each request, with the sandbox's client.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, cast

BODY = b'{"status": "success", "code": 200, "object": {"verification_call_uuid": "fa278be48dc2_87654321"}}'
CDR = b'{"verification_call_uuid": "fa278be48dc2_12345678", "q931_status": 16, "final_status": "ANSWERED"}'
SUBSCRIBED = "/12345678/"


async def asgi(_: Any, __: Any, send: Any) -> None:
    """Answer at once."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def serve_ours(port: int, hook: str = "") -> None:
    """The sandbox's server."""
    from pytest_mcn_mock.delivery.client import HttpSender
    from pytest_mcn_mock.model.deliveries import CdrRequest
    from pytest_mcn_mock.web.application import Application
    from pytest_mcn_mock.web.http import Request, Response, send
    from pytest_mcn_mock.web.server import HttpServer

    sender = HttpSender()
    cdr = CdrRequest("POST", hook, {"Content-Type": "application/json"}, CDR)
    attempts = set()

    class Idle:
        async def serve(self, request: Request) -> None:
            await send(Response(200, BODY))
            if hook and SUBSCRIBED in request.path:
                attempt = asyncio.get_running_loop().create_task(sender.send(cdr, 10.0))
                attempts.add(attempt)
                attempt.add_done_callback(attempts.discard)

    listener = socket.create_server(("127.0.0.1", port))
    HttpServer(cast("Application", Idle()), max_connections=1024, head_timeout_s=10.0).start(listener)
    await asyncio.Event().wait()


async def serve_granian(port: int) -> None:
    """granian, embedded in the program's event loop."""
    from granian.constants import HTTPModes, Interfaces
    from granian.server.embed import Server

    await Server(
        asgi, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, http=HTTPModes.http1, log_enabled=False,
        websockets=False,
    ).serve()  # fmt: skip


async def serve_uvicorn(port: int) -> None:
    """Uvicorn over httptools, without a log."""
    import uvicorn

    await uvicorn.Server(
        uvicorn.Config(asgi, port=port, http="httptools", loop="asyncio", log_level="error", access_log=False,
                       lifespan="off", ws="none")
    ).serve()  # fmt: skip


async def serve_aiohttp(port: int) -> None:
    """Aiohttp's low-level server, without a log."""
    from aiohttp import web

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    server = await asyncio.get_running_loop().create_server(web.Server(answer, access_log=None), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    serve: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "ours": serve_ours, "granian": serve_granian, "uvicorn": serve_uvicorn, "aiohttp": serve_aiohttp,
    }  # fmt: skip
    asyncio.run(serve[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:]))
