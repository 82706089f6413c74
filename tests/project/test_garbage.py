"""What serves a request leaves no cycle behind: the sandbox lets the garbage collector look but seldom."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from helpers.in_process import make_fake, open_account, place

from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.delivery.client import HttpSender
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.flow import step
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.http import Request, Response, send
from pytest_mcn_mock.web.server import HttpServer

TIMES = 200
FLASH_CALL = "/v2/rest/account/1/flash_call"
TOKEN = {"authorization": "Bearer t1"}


def answer(fake: Fake, request: Request) -> Response:
    flow = fake.application.serve(request)
    response = step(flow)
    assert isinstance(response, Response)
    step(flow)
    return response


@contextmanager
def little_garbage(most: int = 1) -> Iterator[None]:
    """Less than so many objects for each time are in a cycle."""
    gc.freeze()  # what is there already is not looked through
    gc.disable()
    try:
        yield
        assert gc.collect() < most * TIMES
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_call_leaves_none() -> None:
    fake = make_fake()
    open_account(fake, subscriptions=1)
    place(fake)
    with little_garbage():
        for _ in range(TIMES):
            place(fake)


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", FLASH_CALL, b"login_did=x", TOKEN),
        Request("POST", FLASH_CALL, b"login_did=%ff", TOKEN),
        Request("POST", FLASH_CALL, b"login_did=79157777777&login_did=1", TOKEN),
        Request("POST", FLASH_CALL, b"login_did=79157777777", {}),
        Request("POST", FLASH_CALL, b"", {**TOKEN, "content-type": "application/json"}, b"{"),
        Request("GET", FLASH_CALL, b"", TOKEN),
        Request("POST", "/v2/rest/nowhere", b"", TOKEN),
        Request("GET", "/__admin/accounts/7", b"", {"host": "localhost"}),
        Request("POST", FLASH_CALL, b"", {"origin": "http://elsewhere.test"}),
    ],
    ids=str,
)
def test_a_refused_request_leaves_none(request_: Request) -> None:
    fake = make_fake()
    open_account(fake)
    answer(fake, request_)
    # werkzeug's routing leaves the closures of a search that found nothing, and an unknown method has a second search.
    with little_garbage(17 if answer(fake, request_).status in {404, 405} else 1):
        for _ in range(TIMES):
            assert answer(fake, request_).status >= 400


def test_a_cdr_that_cannot_be_delivered_leaves_none() -> None:
    async def run() -> None:
        with socket.socket() as refusing:
            refusing.bind(("127.0.0.1", 0))
            request = CdrRequest("POST", f"http://127.0.0.1:{refusing.getsockname()[1]}/", {}, b"{}")
            sender = HttpSender()
            with little_garbage():
                for _ in range(TIMES):
                    with pytest.raises(SendError):
                        await sender.send(request, 10)
            await sender.close()

    asyncio.run(run())


def test_a_connection_leaves_none() -> None:
    class Answering:
        async def serve(self, _: Request) -> None:
            await send(Response(200, b"{}"))

    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = HttpServer(cast("Application", Answering()), max_connections=1, head_timeout_s=10.0)
        address = listener.getsockname()
        server.start(listener)

        async def ask() -> bytes:
            loop = asyncio.get_running_loop()
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, address)
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                return await loop.sock_recv(client, 65_536)

        try:
            await ask()
            with little_garbage(8):  # asyncio's transport leaves itself, without us
                for _ in range(TIMES):
                    assert b"200 OK" in await ask()
        finally:
            await server.stop(10)

    asyncio.run(run())
