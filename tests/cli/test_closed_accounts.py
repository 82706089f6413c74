"""Nothing of a closed account stays, whatever of it was pending."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest
from helpers.in_process import BUSY, place, run

from pytest_mcn_mock.cli.metrics import Metrics
from pytest_mcn_mock.clocks import SystemClock, VirtualClock
from pytest_mcn_mock.compose import Fake, compose
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


def alive() -> int:
    """How many calls and deliveries there are in this process."""
    gc.collect()
    return sum(type(thing) in {Call, Delivery} for thing in gc.get_objects())  # isinstance would wake lazy objects


def open_and_place(fake: Fake, account_id: str, delay_s: float | None) -> None:
    run(
        fake.service.accounts.open(
            seed=1,
            balance="10",
            account_id=account_id,
            token=f"t{account_id}",
            subscriptions=[make_subscription("http://127.0.0.1:1/")],
            outcome_rules=[] if delay_s is None else [OutcomeRule(BUSY, "*", delay_s)],
        )
    )
    place(fake, account_id)


@pytest.mark.parametrize("clock", [SystemClock, VirtualClock])
@pytest.mark.parametrize("delay_s", [None, 3600.0], ids=["to be sent again", "ringing"])
def test_no_call_and_no_delivery_of_it_is_kept(
    clock: Callable[[], SystemClock | VirtualClock], delay_s: float | None
) -> None:
    async def close_all() -> tuple[int, int, str]:
        time, before = clock(), alive()
        metrics = Metrics(lambda: "1", time, store="memory", replica="one")
        fake = compose(Settings(), clock=time, subscribers=[metrics.subscribe_to], make_sender=lambda _: Refusing())
        for number in range(1, ACCOUNTS + 1):
            open_and_place(fake, str(number), delay_s)
        for _ in range(20):
            await asyncio.sleep(0)
        tried = sum(len(delivery.attempts) for delivery in await fake.service.storage.pending(1000))
        assert tried == (ACCOUNTS if delay_s is None else 0)
        for number in range(1, ACCOUNTS + 1):
            await fake.service.accounts.close(str(number))
        left = alive()
        text = (await metrics.render())[1].decode()
        await fake.worker.close()
        return before, left, text

    before, left, text = asyncio.run(close_all())
    assert left <= before
    if delay_s is None:
        assert f'mcn_mock_attempts_total{{result="refused"}} {ACCOUNTS}.0' in text
