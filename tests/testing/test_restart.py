"""A server that is stopped: whoever waits for something is told at once. A server that is started again goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests
from helpers.client import flash_call
from helpers.sandbox import wait_until
from helpers.webhook_endpoints import Gated

from pytest_mcn_mock import FaultKind, MCNServer, WaitTimeout

FOREVER_S = 600.0
STOPPED = "the server was stopped"


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of an endpoint that never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as others:
        yield others


def test_a_client_that_puts_the_time_forward_is_told(silent: str, others: ThreadPoolExecutor) -> None:
    server = MCNServer()
    server.start()
    account = server.open_account()
    account.subscribe(silent)
    flash_call(account)
    waiting = others.submit(requests.post, f"{server.url}/__admin/clock/advance", json={"seconds": 1}, timeout=60)
    wait_until(lambda: bool(server._fake.worker._advances))  # noqa: SLF001 - it waits, and says so nowhere
    server.stop()
    answer = waiting.result(timeout=30)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "service_unavailable")
    assert STOPPED in answer.json()["errors"][0]["message"]


def test_a_client_whose_answer_waits_for_its_cdr_gets_it(silent: str, others: ThreadPoolExecutor) -> None:
    server = MCNServer()
    server.start()
    account = server.open_account()
    account.subscribe(silent)
    account.inject(FaultKind.CDR_EARLY)
    waiting = others.submit(flash_call, account)
    account.wait_for_call()
    server.stop()
    assert waiting.result(timeout=30).status_code == 200


def test_threads_of_a_test_that_wait_are_told(silent: str, others: ThreadPoolExecutor) -> None:
    server = MCNServer()
    server.start()
    account = server.open_account()
    account.subscribe(silent)
    flash_call(account)
    account.wait_for_call()
    waits: list[Future[Any]] = [
        others.submit(account.clock.advance, 1),
        others.submit(account.wait_for_cdr, None, FOREVER_S),
        others.submit(account.wait_for_call, FOREVER_S),
        others.submit(account.settle, FOREVER_S),
    ]
    worker, changes = server._fake.worker, server._changes  # noqa: SLF001 - that they wait is seen nowhere else
    wait_until(lambda: bool(worker._advances) and len(changes._waits) == len(waits))  # noqa: SLF001
    server.stop()
    for wait in waits:
        error = wait.exception(timeout=30)
        assert isinstance(error, WaitTimeout)
        assert STOPPED in str(error)
    with pytest.raises(WaitTimeout, match=STOPPED):
        account.clock.advance(1)
    with pytest.raises(WaitTimeout, match=f"no call was placed before {STOPPED}"):
        account.wait_for_call(FOREVER_S)
    account.assert_no_cdr(FOREVER_S)


@pytest.mark.asyncio
async def test_tasks_of_a_test_that_wait_are_told(silent: str) -> None:
    server = MCNServer()
    server.start()
    account = server.open_account()
    account.subscribe(silent)
    await asyncio.to_thread(flash_call, account)
    waits = [
        asyncio.create_task(account.aio.advance(1)),
        asyncio.create_task(account.aio.wait_for_cdr(timeout=FOREVER_S)),
    ]
    while not server._fake.worker._advances:  # noqa: SLF001, ASYNC110 - it waits, and says so nowhere
        await asyncio.sleep(0)
    await asyncio.to_thread(server.stop)
    for told in await asyncio.gather(*waits, return_exceptions=True):
        assert isinstance(told, WaitTimeout)
        assert STOPPED in str(told)


def test_a_held_call_that_is_completed_on_a_stopped_server_waits_for_nothing(silent: str) -> None:
    server = MCNServer()
    server.start()
    account = server.open_account()
    account.subscribe(silent)
    account.hold_cdrs()
    flash_call(account)
    call = account.wait_for_call()
    server.stop()
    delivery = call.complete()
    assert delivery is not None
    assert delivery.attempts == ()


def test_what_was_under_way_when_it_stopped_is_sent_again_and_nothing_counts_as_under_way() -> None:
    """More than are under way to one host at once."""
    with Gated() as webhook:
        server = MCNServer()
        server.start()
        account = server.open_account()
        account.subscribe(webhook.url)
        for _ in range(40):
            flash_call(account)
        webhook.wait_for(32)
        server.stop()
        webhook.open()
        server.start()
        for call in account.calls:
            assert account.wait_for_cdr(call).status == 204
        account.clock.advance(3600)
        account.settle()
        assert [len(delivery.attempts) for delivery in account.deliveries] == [1] * 40
        server.stop()


def test_a_call_that_rings_and_a_retry_that_is_due_later_go_on_after_a_restart() -> None:
    with Gated() as webhook:
        webhook.answer(0, 500)
        server = MCNServer()
        server.start()
        account = server.open_account()
        account.subscribe(webhook.url)
        flash_call(account)
        account.settle()
        account.set_outcome("busy", delay_s=3600)
        flash_call(account)
        server.stop()
        webhook.open()
        server.start()
        account.clock.advance(3600)
        assert [delivery.state for delivery in account.deliveries] == ["delivered"] * 2
        assert flash_call(account).status_code == 200
        server.stop()


def test_what_is_due_later_comes_by_itself_after_a_restart() -> None:
    with Gated() as webhook:
        webhook.answer(0, 500)
        server = MCNServer()
        server.start()
        account = server.open_account()
        account.subscribe(webhook.url)
        for delay_s in (0, 0.4, 0.2, 3600):
            account.set_outcome("busy", delay_s=delay_s)
            flash_call(account)
        account.settle()
        server.stop()
        webhook.open()
        server.start()
        came = [account.wait_for_cdr().call.verification_call_uuid for _ in range(3)]
        assert sorted(came) == sorted(call.verification_call_uuid for call in account.calls[:3])
        assert account.calls[3].state == "ringing"
        server.stop()
