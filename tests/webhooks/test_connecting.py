"""How the sender connects: names and addresses, and TLS."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from scripted import KIB, OK, Endpoint, post, sending

from pytest_mcn_mock.domain.deliveries import CdrResponse


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets ``app.invalid`` resolve to these addresses, or raise this error."""
    original = socket.getaddrinfo

    def resolve(*addresses: str, error: OSError | None = None) -> None:
        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host not in ("app.invalid", "app.invalid."):
                return original(host, port, *args, **kwargs)
            if error is not None:
                raise error
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, (address, int(port))) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


@pytest.mark.asyncio
async def test_the_addresses_of_a_name_are_tried_in_turn(resolving: Callable[..., None]) -> None:
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        url = endpoint.url.replace("127.0.0.1", "app.invalid")
        port = url.split(":")[2].split("/")[0]
        resolving("127.0.0.2", "127.0.0.1", "127.0.0.3")
        assert isinstance(await post(sender, url), CdrResponse)
        assert f"Host: app.invalid:{port}\r\n".encode() in endpoint.requests[0]
    async with sending() as sender:
        resolving("127.0.0.2", "127.0.0.3")
        refused = [f"connection refused by 127.0.0.{n}:{port}" for n in (2, 3)]
        assert await post(sender, url) == "; ".join(refused)


@pytest.mark.asyncio
async def test_a_name_that_does_not_resolve_is_told(resolving: Callable[..., None]) -> None:
    resolving(error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    async with sending() as sender:
        assert await post(sender, "http://app.invalid/") == "cannot resolve app.invalid: Name or service not known"
        told = await post(sender, f"http://{'a' * 64}.invalid/")
        assert told == f"cannot resolve {'a' * 64}.invalid: it is no name that there can be"


@pytest.mark.asyncio
async def test_an_ipv6_address_is_connected_to() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with Endpoint(OK).listening(host="::1") as endpoint, sending() as sender:
        assert isinstance(await post(sender, endpoint.url), CdrResponse)
        assert b"Host: [::1]:" in endpoint.requests[0]
    async with sending() as sender:
        assert str(await post(sender, endpoint.url)).startswith("connection refused by [::1]:")


AUTHORITY = trustme.CA()


def server_context(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.mark.asyncio
async def test_tls_is_spoken_with_the_name_that_was_asked_for(resolving: Callable[..., None]) -> None:
    asked: list[str | None] = []
    context = server_context("app.invalid", "127.0.0.1")
    context.sni_callback = lambda _, name, __: asked.append(name)
    resolving("127.0.0.1")
    answers = [OK, OK, b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000]
    async with Endpoint(*answers).listening(context) as endpoint, sending(tls=trusting()) as sender:
        url = endpoint.url.replace("127.0.0.1", "app.invalid")
        bodies = [len(r.body) for _ in range(3) if isinstance(r := await post(sender, url), CdrResponse)]
        assert (bodies, endpoint.connections, asked) == ([2, 2, 64 * KIB], 1, ["app.invalid"])
        assert isinstance(await post(sender, url.replace("app.invalid", "app.invalid.")), CdrResponse)
        assert isinstance(await post(sender, endpoint.url), CdrResponse)


@pytest.mark.asyncio
async def test_a_body_until_the_end_of_a_tls_connection_counts() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nuntil it closes"
    listening = Endpoint(answer, closes=True).listening(server_context("127.0.0.1"))
    async with listening as endpoint, sending(tls=trusting()) as sender:
        response = await post(sender, endpoint.url)
        assert isinstance(response, CdrResponse)
        assert response.body == b"until it closes"


@pytest.mark.asyncio
async def test_a_certificate_that_is_not_trusted_is_told() -> None:
    async with Endpoint(OK).listening(server_context("other.invalid")) as endpoint:
        for tls, why in ((None, "unable to get local issuer"), (trusting(), "not valid for '127.0.0.1'")):
            async with sending(tls=tls) as sender:
                told = str(await post(sender, endpoint.url))
                assert re.match(rf"the certificate of 127\.0\.0\.1:\d+ is not trusted: .*{why}", told), told
    assert endpoint.requests == []


@pytest.mark.asyncio
async def test_a_server_without_tls_is_told() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with sending() as sender:
        told = str(await post(sender, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
    server.close()
    assert re.match(r"127\.0\.0\.1:\d+ speaks no TLS that can be understood: [A-Z]", told), told
