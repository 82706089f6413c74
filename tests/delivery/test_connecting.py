"""How the sender connects: names and addresses, and TLS."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import trustme
from helpers.scripted_endpoint import KIB, OK, Endpoint, post, sending, turn

from pytest_mcn_mock.model.deliveries import CdrResponse


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
        assert await post(sender, url) == f"could not connect: {'; '.join(refused)}"


@contextmanager
def silent(port: int, *addresses: str) -> Iterator[None]:
    """At these addresses the port is open, but nobody accepts a connection, and the queue of the kernel is full."""
    with ExitStack() as stack:
        for address in addresses:
            listening = stack.enter_context(socket.socket())
            listening.bind((address, port))
            listening.listen(0)
            stack.enter_context(socket.create_connection((address, port)))
        yield


@pytest.mark.asyncio
async def test_an_address_that_is_silent_does_not_keep_the_next_one_from_being_tried(
    resolving: Callable[..., None],
) -> None:
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        url = endpoint.url.replace("127.0.0.1", "app.invalid")
        resolving("127.0.0.2", "127.0.0.3", "127.0.0.1")
        with silent(endpoint.port, "127.0.0.2", "127.0.0.3"):
            assert isinstance(await post(sender, url), CdrResponse)
            assert isinstance(await post(sender, url, 1), CdrResponse)


@pytest.mark.asyncio
async def test_many_silent_addresses_share_the_time_that_there_is(resolving: Callable[..., None]) -> None:
    addresses = [f"127.0.1.{n}" for n in range(1, 20)]
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        resolving(*addresses, "127.0.0.1")
        with silent(endpoint.port, *addresses):
            assert isinstance(await post(sender, endpoint.url.replace("127.0.0.1", "app.invalid"), 4), CdrResponse)


@pytest.mark.asyncio
async def test_an_attempt_that_reached_no_address_says_why_for_each(resolving: Callable[..., None]) -> None:
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        resolving("127.0.0.2", "127.0.0.3")
        with silent(endpoint.port, "127.0.0.2"):
            told = await post(sender, endpoint.url.replace("127.0.0.1", "app.invalid"), 0.5)
    port = endpoint.port
    assert told == (
        f"could not connect: connection refused by 127.0.0.3:{port}; 127.0.0.2:{port} did not answer within 0.5 s"
    )


@pytest.mark.asyncio
async def test_a_name_whose_look_up_is_slow_is_looked_up_once_and_delays_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, release, asked = socket.getaddrinfo, threading.Event(), Counter[str]()

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".slow.invalid"):
            return original(host, *args, **kwargs)
        asked[str(host)] += 1
        release.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        urls = [f"http://app.slow.invalid:{port}/" for port in (1, 2) for _ in range(40)]
        urls += [f"http://{n}.slow.invalid/" for n in range(60)]
        slow = [asyncio.create_task(post(sender, url)) for url in urls]
        await turn()
        assert isinstance(await post(sender, endpoint.url.replace("127.0.0.1", "localhost")), CdrResponse)
        assert await post(sender, urls[0], 0.1) == "cannot resolve app.slow.invalid: its look-up took more than 0.1 s"
        release.set()
        told = set(await asyncio.gather(*slow))
    assert "cannot resolve app.slow.invalid: Temporary failure in name resolution" in told
    assert len(told) == 61
    assert set(asked.values()) == {1}


def test_a_look_up_that_hangs_does_not_keep_the_program_from_ending() -> None:
    code = """
import asyncio, socket, sys, time
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.delivery.client import HttpSender

socket.getaddrinfo = lambda *_, **__: time.sleep(3600)

async def main():
    try:
        await HttpSender().send(CdrRequest("POST", "http://app.slow.invalid/", {}, b""), 0.1)
    except SendError as error:
        print(error)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "cannot resolve app.slow.invalid: its look-up took more than 0.1 s\n"


@pytest.mark.asyncio
async def test_a_name_that_does_not_resolve_is_told(resolving: Callable[..., None]) -> None:
    resolving(error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    async with sending() as sender:
        assert await post(sender, "http://app.invalid/") == "cannot resolve app.invalid: Name or service not known"
        told = await post(sender, f"http://{'a' * 64}.invalid/")
        assert told == f"cannot resolve {'a' * 64}.invalid: it is not a name that can exist"


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
        assert str(await post(sender, endpoint.url)).startswith("could not connect: connection refused by [::1]:")


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
async def test_an_address_that_is_silent_in_the_tls_handshake_leaves_time_for_the_next_one(
    resolving: Callable[..., None],
) -> None:
    resolving("127.0.0.2", "127.0.0.1")
    listening = Endpoint(OK).listening(server_context("app.invalid"))
    async with listening as endpoint, sending(tls=trusting()) as sender:
        with socket.create_server(("127.0.0.2", endpoint.port)):
            response = await post(sender, endpoint.url.replace("127.0.0.1", "app.invalid"), 4)
        assert isinstance(response, CdrResponse), response
    with ExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2"):
            stack.enter_context(socket.create_server((address, endpoint.port)))
        async with sending(tls=trusting()) as sender:
            told = str(await post(sender, endpoint.url.replace("127.0.0.1", "app.invalid"), 0.4))
    assert [part.split(", but")[0] for part in told.split("; ")] == [
        f"127.0.0.{n}:{endpoint.port} accepted the connection" for n in (2, 1)
    ]


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
    assert re.match(r"127\.0\.0\.1:\d+ does not answer with valid TLS: [A-Z]", told), told


def demanding(version: ssl.TLSVersion) -> ssl.SSLContext:
    """Of a server that speaks this version alone, and wants a client's certificate."""
    context = server_context("127.0.0.1")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    return context


@contextmanager
def refusing_tls(context: ssl.SSLContext) -> Iterator[str]:
    """The URL of a server whose handshake fails. It sends the alert and waits for the client, as asyncio's does not."""

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as talking:
            try:
                talking.do_handshake()
            except ssl.SSLError:
                with socket.socket(fileno=talking.detach()) as plain:
                    while plain.recv(4096):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/"
        thread.join()


@pytest.mark.parametrize(
    "version,alert",
    [
        (ssl.TLSVersion.TLSv1_3, "certificate required: it wants a client's certificate"),
        (ssl.TLSVersion.TLSv1_2, "handshake failure; perhaps it wants a client's certificate"),
    ],
)
@pytest.mark.asyncio
async def test_a_server_that_wants_a_clients_certificate_is_told(version: ssl.TLSVersion, alert: str) -> None:
    with refusing_tls(demanding(version)) as url:
        async with sending(tls=trusting()) as sender:
            assert alert in str(await post(sender, url))


@pytest.mark.asyncio
async def test_a_server_of_another_tls_version_is_told() -> None:
    context = trusting()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    server = server_context("127.0.0.1")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with refusing_tls(server) as url:
        async with sending(tls=context) as sender:
            told = str(await post(sender, url))
    assert re.fullmatch(r"127\.0\.0\.1:\d+ refused the TLS handshake: protocol version", told), told


@pytest.mark.parametrize("way", ["closed", "closed by TLS", "reset"])
@pytest.mark.asyncio
async def test_a_server_that_ends_the_connection_during_the_handshake_is_told(way: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        if way == "closed by TLS":
            writer.write(b"\x15\x03\x03\x00\x02\x01\x00")  # RFC 8446, 6: warning, close_notify
            await writer.drain()
        if way == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with sending() as sender:
        told = await post(sender, f"https://127.0.0.1:{port}/")
    server.close()
    how = way.removesuffix(" by TLS")
    assert told == f"the connection was {how} by 127.0.0.1:{port} during the TLS handshake"


@pytest.mark.asyncio
async def test_a_server_of_tls_that_is_asked_without_is_told() -> None:
    alert = b"\x15\x03\x01\x00\x02\x02\x46"  # RFC 8446, 6: fatal, protocol_version
    async with Endpoint(alert).listening() as endpoint, sending() as sender:
        told = await post(sender, endpoint.url)
    assert told == "the answer is not HTTP: it is TLS; begin the URL with https:"


@pytest.mark.asyncio
async def test_a_kept_tls_connection_is_closed_as_tls_has_it() -> None:
    ended: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)
        try:
            assert await reader.read() == b""
        except OSError as error:
            ended.put_nowait(error)
        else:
            ended.put_nowait(None)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context("127.0.0.1"))
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for _ in range(2):
        async with sending(tls=trusting()) as sender:
            assert isinstance(await post(sender, url), CdrResponse)
        assert await ended.get() is None
    server.close()
