"""https://api.mcn.ru itself reaches the fake, and nothing else is touched."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection

import aiohttp
import httpx
import pytest
import requests
import trustme
import urllib3
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, MCNServer
from pytest_mcn_mock.testing.intercept import intercepted


def by_requests(url: str, headers: dict[str, str]) -> int:
    return requests.post(url, headers=headers, timeout=30).status_code


def by_urllib3(url: str, headers: dict[str, str]) -> int:
    return urllib3.request("POST", url, headers=headers).status


def by_urllib(url: str, headers: dict[str, str]) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers)) as response:
        return int(response.status)


def by_httpx(url: str, headers: dict[str, str]) -> int:
    return httpx.post(url, headers=headers).status_code


def by_asynchronous_httpx(url: str, headers: dict[str, str]) -> int:
    async def post() -> int:
        async with httpx.AsyncClient() as client:
            return (await client.post(url, headers=headers)).status_code

    return asyncio.run(post())


def by_aiohttp(url: str, headers: dict[str, str]) -> int:
    async def post() -> int:
        async with aiohttp.ClientSession() as session, session.post(url, headers=headers) as response:
            return response.status

    return asyncio.run(post())


CLIENTS = [by_requests, by_urllib3, by_urllib, by_httpx, by_asynchronous_httpx, by_aiohttp]


@pytest.mark.parametrize("post", CLIENTS)
@pytest.mark.parametrize("origin", ["https://api.mcn.ru", "https://API.mcntele.com", "http://api.mcn.ru"])
def test_every_client_reaches_the_fake(
    mcn: Account, mcn_intercept: str, post: Callable[[str, dict[str, str]], int], origin: str
) -> None:
    assert mcn_intercept == "https://api.mcn.ru/v2/rest"
    url = f"{origin}/v2/rest/account/{mcn.account_id}/flash_call?login_did=79157777777"
    assert post(url, dict(mcn.headers)) == 200
    mcn.assert_called(times=1)


def test_a_context_made_before_the_test_is_served_too(mcn: Account, request: pytest.FixtureRequest) -> None:
    context = ssl.create_default_context()
    client = httpx.Client(verify=context)
    base_url = request.getfixturevalue("mcn_intercept")
    url = f"{base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777"
    assert client.post(url, headers=dict(mcn.headers)).status_code == 200
    client.close()


@pytest.mark.usefixtures("mcn_intercept")
def test_another_host_is_untouched(receiver: Receiver) -> None:
    assert requests.post(receiver.url, timeout=30).status_code == 204
    assert socket.getaddrinfo("localhost", 80)[0][4][0] in ("127.0.0.1", "::1")
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("api.mcn.ru.invalid", 443)


@pytest.mark.usefixtures("mcn_intercept")
def test_the_throw_away_authority_is_trusted_for_those_hosts_alone() -> None:
    """The same server under another name is not believed."""
    address = socket.getaddrinfo("api.mcn.ru", 443)[0][4]
    with (
        socket.create_connection((str(address[0]), int(address[1]))) as connection,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")


def test_everything_is_undone(request: pytest.FixtureRequest) -> None:
    replaced = [
        (socket, "getaddrinfo"),
        (socket.socket, "connect"),
        (socket.socket, "connect_ex"),
        (ssl.SSLContext, "wrap_socket"),
        (ssl.SSLContext, "wrap_bio"),
    ]
    before = [getattr(owner, name) for owner, name in replaced]
    inherited = "connect" in vars(socket.socket)
    with intercepted(request.getfixturevalue("mcn_server")):
        assert all(getattr(owner, name) is not old for (owner, name), old in zip(replaced, before, strict=True))
    assert [getattr(owner, name) for owner, name in replaced] == before
    assert ("connect" in vars(socket.socket)) is inherited


@pytest.mark.usefixtures("mcn_intercept")
def test_a_port_that_the_vendor_does_not_serve_is_refused() -> None:
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection("api.mcn.ru", 8080, timeout=30).connect()


def place(base_url: str, account: Account) -> int:
    url = f"{base_url}/account/{account.account_id}/flash_call?login_did=79157777777"
    return requests.post(url, headers=dict(account.headers), timeout=30).status_code


def test_a_connection_that_makes_no_handshake_delays_nobody(mcn: Account, mcn_intercept: str) -> None:
    with socket.create_connection(("api.mcn.ru", 443)), socket.create_connection(("api.mcn.ru", 443)) as other:
        other.sendall(b"\x16\x03\x01")  # the beginning of a handshake
        assert place(mcn_intercept, mcn) == 200


def test_a_client_that_speaks_no_tls_or_distrusts_the_server_leaves_no_trace(
    mcn: Account, mcn_intercept: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("api.mcn.ru", 443)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.recv(65_536)[:1] in (b"\x15", b"")  # an alert of TLS, or the end
    address = socket.getaddrinfo("api.mcn.ru", 443)[0][4]
    with (
        socket.create_connection((str(address[0]), int(address[1]))) as connection,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")
    assert place(mcn_intercept, mcn) == 200
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert capfd.readouterr() == ("", "")


def stop_in_time(server: MCNServer) -> bool:
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    stopping.join(30)
    return not stopping.is_alive()


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("sent", [b"", b"POST /v2/rest", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"])
def test_a_server_ends_whatever_its_clients_do(threaded: bool, sent: bytes) -> None:
    server = MCNServer(threaded=threaded)
    server.start()
    with socket.create_connection((server.host, server.port), timeout=30) as client:
        client.sendall(sent)
        if threaded:
            assert requests.get(f"{server.url}/__admin/health", timeout=30).status_code == 200
        assert stop_in_time(server)
        with suppress(ConnectionResetError):
            while client.recv(65_536):  # and its client hears of it
                pass


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
def test_an_interception_ends_whatever_its_clients_do(sent: bytes) -> None:
    server = MCNServer()
    server.start()
    with intercepted(server), socket.create_connection(("api.mcn.ru", 443), timeout=30) as client:
        client.sendall(sent)
        assert place("https://api.mcn.ru/v2/rest", server.open_account()) == 200
        assert stop_in_time(server)
        with suppress(ConnectionResetError):
            while client.recv(65_536):
                pass


def test_a_server_with_tls_of_its_own_waits_for_no_handshake() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = MCNServer(ssl_context=context)
    server.start()
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with socket.create_connection((server.host, server.port), timeout=30):
        assert httpx.get(f"{server.url}/__admin/health", verify=trusting, timeout=30).status_code == 200
        assert stop_in_time(server)


def test_an_interception_inside_another_one_holds_until_it_ends(mcn: Account, mcn_intercept: str) -> None:
    resolve = socket.getaddrinfo
    with MCNServer() as inner:
        account = inner.open_account()
        with intercepted(inner) as base_url:
            assert place(base_url, account) == 200
            with intercepted(inner):
                assert place(base_url, account) == 200
            assert place(base_url, account) == 200
        assert socket.getaddrinfo is resolve
        assert place(mcn_intercept, mcn) == 200
        assert (len(account.calls), len(mcn.calls)) == (3, 1)


def test_interceptions_may_end_in_any_order(mcn: Account, mcn_server: MCNServer) -> None:
    before = (socket.getaddrinfo, socket.socket.connect)
    with MCNServer() as other:
        account = other.open_account()
        first, second = intercepted(mcn_server), intercepted(other)
        base_url = first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert place(base_url, account) == 200
        second.__exit__(None, None, None)
    assert (socket.getaddrinfo, socket.socket.connect) == before
    assert mcn.calls == []


def test_what_a_test_replaces_meanwhile_stays(mcn_server: MCNServer, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, before = object(), socket.getaddrinfo
    with intercepted(mcn_server):
        monkeypatch.setattr(socket, "getaddrinfo", mine)
    assert socket.getaddrinfo is mine
    monkeypatch.undo()
    assert isinstance(socket.getaddrinfo("localhost", 80), list)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("api.mcn.ru.invalid", 80)
    with intercepted(mcn_server):  # undo put back a replacement that had ended: the next interception removes it
        pass
    assert socket.getaddrinfo is before


def test_a_server_that_is_started_again_is_reached_again(
    mcn: Account, mcn_server: MCNServer, mcn_intercept: str
) -> None:
    mcn_server.stop()
    for url in (mcn_intercept, mcn_intercept.replace("https", "http")):
        with pytest.raises(requests.ConnectionError):
            place(url, mcn)
    mcn_server.start()
    for url in (mcn_intercept, mcn_intercept.replace("https", "http")):
        assert place(url, mcn) == 200
