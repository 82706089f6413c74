"""Where CDRs are not sent to: sockets that count who connects, and names that resolve to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from helpers.client import flash_call
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, MCNServer, Settings, UsageError
from pytest_mcn_mock.delivery.client import HttpSender
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import make_targets


def send(targets: Sequence[str], *urls: str) -> list[CdrResponse | str]:
    """What one sender got for each URL in turn: the answer, or why there is none."""

    async def run() -> list[CdrResponse | str]:
        sender = HttpSender(make_targets(targets))
        results: list[CdrResponse | str] = []
        for url in urls:
            try:
                results.append(await sender.send(CdrRequest("POST", url, {}, b"{}"), 30))
            except SendError as error:
                results.append(str(error))
        await sender.close()
        return results

    return asyncio.run(run())


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Iterator[list[str]]:
    """``*.invalid`` resolves to these addresses in turn, the last ones from then on; who was asked for."""
    asked: list[str] = []
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".invalid"):
            return original(host, port, *args, **kwargs)
        asked.append(str(host))
        answer = answers[min(len(asked), len(answers)) - 1]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port)))
            for address in answer.split()
        ]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield asked


def test_an_address_is_looked_at_however_it_is_written(receiver: Receiver) -> None:
    port = receiver.url.split(":")[2]
    written = [
        "127.0.0.1",
        "127.0.0.1.",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
    ]
    results = send(["10.0.0.0/8", "app.test"], *(f"http://{host}:{port}" for host in written))
    assert all("is not among the webhook_targets" in str(result) for result in results)
    assert receiver.received == []


def test_an_allowed_address_is_connected_to(receiver: Receiver) -> None:
    (result,) = send(["127.0.0.0/8"], receiver.url)
    assert isinstance(result, CdrResponse)
    assert len(receiver.received) == 1


def test_a_name_is_as_allowed_as_the_address_that_it_resolves_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = receiver.url.replace("127.0.0.1", "app.invalid")
    with resolving(monkeypatch, "127.0.0.1"):
        (allowed,) = send(["127.0.0.0/8"], url)
        (refused,) = send(["10.0.0.0/8"], url)
        (by_name,) = send(["app.invalid"], url)
        (by_pattern,) = send(["*.invalid"], url)
    assert refused == "app.invalid is 127.0.0.1, which is not among the webhook_targets"
    assert [type(result) for result in (allowed, by_name, by_pattern)] == [CdrResponse] * 3
    assert len(receiver.received) == 3


def test_a_name_that_resolves_to_something_else_the_second_time_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as private:
        url = f"http://app.invalid:{private.getsockname()[1]}/"
        with resolving(monkeypatch, "127.0.0.1", "127.0.0.2") as asked:
            results = send(["127.0.0.1/32"], url, url)
        private.settimeout(0)
        with pytest.raises(BlockingIOError):
            private.accept()
    assert len(asked) == 2
    assert "connection refused by " in str(results[0])
    assert results[1] == "app.invalid is 127.0.0.2, which is not among the webhook_targets"


def test_of_several_addresses_only_the_allowed_ones_are_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = receiver.url.replace("127.0.0.1", "app.invalid")
    with resolving(monkeypatch, "127.0.0.1 127.0.0.2"):
        (result,) = send(["127.0.0.2/32"], url)
    assert "connection refused by " in str(result)
    assert receiver.received == []


@pytest.fixture(scope="module")
def server() -> Iterator[MCNServer]:
    with MCNServer(settings=Settings(webhook_targets=["127.0.0.2/31"])) as server:
        yield server


@pytest.fixture
def account(server: MCNServer) -> Iterator[Account]:
    account = server.open_account()
    yield account
    account.close()


def test_a_subscription_that_can_never_be_served_is_refused(account: Account) -> None:
    with pytest.raises(UsageError, match=r"10\.0\.0\.1 is not among the webhook_targets"):
        account.subscribe("http://10.0.0.1/")
    account.subscribe("http://127.0.0.2:1/")


def test_a_preview_refuses_what_a_subscription_would_refuse(server: MCNServer, account: Account) -> None:
    path = f"{server.url}/__admin/accounts/{account.account_id}/webhooks/preview"
    refused = requests.post(path, json={"url": "http://10.0.0.1/"}, timeout=30)
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (400, "url")
    assert requests.post(path, json={"url": "http://127.0.0.2:1/"}, timeout=30).status_code == 200


def test_the_refusal_is_on_the_attempt_and_an_application_object_is_no_target(account: Account) -> None:
    def application(environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
        start("204 No Content", [])
        return []

    account.subscribe("http://localhost:1/", retry=False)
    account.subscribe(application)
    assert flash_call(account).status_code == 200
    account.settle()
    refused, delivered = account.deliveries
    assert (refused.state, delivered.state) == ("failed", "delivered")
    assert "localhost is " in str(refused.attempts[0].error)
    assert "which is not among the webhook_targets" in str(refused.attempts[0].error)
