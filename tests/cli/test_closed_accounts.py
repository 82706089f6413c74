"""Nothing of a closed account stays, whatever of it was pending."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.client import flash_call
from helpers.in_process import BUSY, place
from helpers.sandbox import wait_until
from helpers.webhook_endpoints import Gated

from pytest_mcn_mock import FaultKind, MCNServer
from pytest_mcn_mock.cli.metrics import Metrics
from pytest_mcn_mock.clocks import SystemClock, VirtualClock
from pytest_mcn_mock.compose import Exchange, compose
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.model.outcomes import OutcomeRule
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.settings import Settings

ACCOUNTS = 40


class Refusing:
    """A sender to an endpoint that acknowledges nothing."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        return CdrResponse(500, {}, b"")

    async def close(self) -> None:
        pass


class Hanging(Refusing):
    """A sender to an endpoint that never answers."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        await asyncio.Event().wait()
        return await super().send(request, timeout_s)


def alive() -> int:
    """How many calls and deliveries there are in this process."""
    gc.collect()
    return sum(type(thing) in {Call, Delivery} for thing in gc.get_objects())  # isinstance would wake lazy objects


def open_and_place(exchange: Exchange, account_id: str, delay_s: float | None) -> None:
    exchange.operator.accounts.open(
        seed=1,
        balance="10",
        account_id=account_id,
        token=f"t{account_id}",
        subscriptions=[make_subscription("http://127.0.0.1:1/")],
        outcome_rules=[] if delay_s is None else [OutcomeRule(BUSY, "*", delay_s)],
    )
    place(exchange, account_id)


@pytest.mark.parametrize("clock", [SystemClock, VirtualClock])
@pytest.mark.parametrize("delay_s", [None, 3600.0], ids=["to be sent again", "ringing"])
def test_no_call_and_no_delivery_of_it_is_kept(
    clock: Callable[[], SystemClock | VirtualClock], delay_s: float | None
) -> None:
    async def run() -> tuple[int, int, str]:
        time, before = clock(), alive()
        metrics = Metrics("1", time)
        exchange = compose(
            Settings(), lambda job: job(), clock=time, observers=[metrics], make_sender=lambda _: Refusing()
        )
        for number in range(1, ACCOUNTS + 1):
            open_and_place(exchange, str(number), delay_s)
        for _ in range(20):
            await asyncio.sleep(0)
        tried = sum(len(delivery.attempts) for delivery in exchange.operator.deliveries.pending())
        assert tried == (ACCOUNTS if delay_s is None else 0)
        for number in range(1, ACCOUNTS + 1):
            exchange.operator.close_account(str(number))
        left = alive()
        text = metrics.render()[1].decode()
        await exchange.dispatcher.close()
        return before, left, text

    before, left, text = asyncio.run(run())
    assert left <= before
    if delay_s is None:
        assert f'mcn_mock_attempts_total{{result="refused"}} {ACCOUNTS}.0' in text


def test_what_waits_for_its_turn_behind_a_host_that_hangs_is_dropped() -> None:
    async def run() -> tuple[int, int]:
        exchange = compose(Settings(), lambda job: job(), make_sender=lambda _: Hanging())
        open_and_place(exchange, "1", None)
        for _ in range(60):
            place(exchange, "1")
        for _ in range(20):
            await asyncio.sleep(0)
        under_way, waiting = exchange.dispatcher.load().under_way, exchange.dispatcher.load().waiting
        assert (under_way, waiting) == (32, 29)
        exchange.operator.close_account("1")
        load = exchange.dispatcher.load()
        await exchange.dispatcher.close()
        return load.waiting, load.under_way

    assert asyncio.run(run()) == (0, 32), "what is under way arrives"


def test_who_waits_for_a_cdr_of_it_is_let_go() -> None:
    """Its delivery waits behind as many as one host may have at once."""
    with MCNServer() as server, Gated() as webhook, ThreadPoolExecutor(1) as others:
        busy, closed = server.open_account(), server.open_account()
        for account in (busy, closed):
            account.subscribe(webhook.url)
        for _ in range(32):
            flash_call(busy)
        webhook.wait_for(32)
        closed.inject(FaultKind.CDR_EARLY)
        waiting = others.submit(flash_call, closed)
        closed.wait_for_call()
        wait_until(lambda: server._exchange.dispatcher.load().waiting == 1)  # noqa: SLF001 - shown nowhere
        closed.close()
        assert waiting.result(timeout=30).status_code == 200
        webhook.open()
