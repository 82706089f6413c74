"""A CDR that is sent again manually while an attempt at it is under way, in every order of what becomes of the two."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.in_process import run
from helpers.service_steps import ACCOUNT, HOOK, ServiceSteps, spin

from pytest_mcn_mock.delivery.worker import PER_HOST
from pytest_mcn_mock.model.deliveries import Delivery

pytestmark = pytest.mark.asyncio
OK, REFUSED = 204, 500


async def twice(*, retry: bool, **assumed: Any) -> ServiceSteps:
    """A delivery whose first attempt is under way, and so is the one that it was sent again for."""
    steps = ServiceSteps(retry_after_s=(3600.0, 7200.0), **assumed)
    await steps.__aenter__()
    steps.subscribe(retry=retry)
    steps.sender.held = {HOOK}
    steps.call()
    await spin()
    assert run(steps.service.deliveries.resend(1)).state == "pending"
    await spin()
    assert len(steps.sender.sent) == 2
    return steps


async def answer(steps: ServiceSteps, number: int, status: int) -> Delivery:
    """Let one of the two be answered; the delivery after that."""
    steps.sender.answer(number, status)
    await spin()
    return steps.delivery()


def failures(steps: ServiceSteps) -> int:
    return steps.account().subscriptions[0].failed_in_a_row


@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("first", [0, 1], ids=["the older first", "the newer first"])
@pytest.mark.parametrize("statuses", [(OK, OK), (OK, REFUSED), (REFUSED, OK), (REFUSED, REFUSED)])
async def test_acknowledged_stays_acknowledged_and_a_failure_counts_once(
    statuses: tuple[int, int], first: int, retry: bool
) -> None:
    steps = await twice(retry=retry)
    order = (first, 1 - first)
    after = [((await answer(steps, n, statuses[n])).state.value, failures(steps)) for n in order]
    delivery = steps.delivery()
    assert [attempt.status for attempt in delivery.attempts] == [statuses[n] for n in order]
    assert [attempt.number for attempt in delivery.attempts] == [1, 2]
    if OK in statuses:
        assert (after[-1], delivery.due_at) == (("delivered", 0), None)
    elif retry:
        assert (after[-1], delivery.due_at) == (("pending", 0), steps.clock.now(ACCOUNT) + 3600)
    else:
        assert after[-1] == ("failed", 1)
    if statuses[first] == OK:
        assert after[0] == ("delivered", 0), "what comes later changes nothing"
    await steps.worker.close()


async def test_the_retries_begin_again_with_the_newer_one() -> None:
    steps = await twice(retry=True)
    for number in (1, 0):
        await answer(steps, number, REFUSED)
    steps.sender.held.clear()
    steps.sender.statuses[HOOK] = [REFUSED, REFUSED]
    await steps.worker.advance(3600)
    assert (len(steps.sender.sent), steps.states()) == (3, ["pending"])
    await steps.worker.advance(7200)
    assert (len(steps.sender.sent), steps.states(), failures(steps)) == (4, ["failed"], 1)
    await steps.worker.close()


async def test_the_webhook_is_not_disabled_by_a_cdr_that_was_acknowledged() -> None:
    steps = await twice(retry=False, disable_after=1)
    await answer(steps, 0, OK)
    assert (await answer(steps, 1, REFUSED)).state == "delivered"
    assert len(steps.delivery().attempts) == 2
    assert steps.account().subscriptions[0].enabled
    await steps.worker.close()


async def test_one_that_has_not_begun_yet_is_not_sent_beside_the_one_that_replaces_it() -> None:
    """It waits behind as many attempts as one host may have at once."""
    async with ServiceSteps() as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        for _ in range(PER_HOST + 1):
            steps.call()
        await spin()
        last = steps.deliveries()[-1]
        run(steps.service.deliveries.resend(last.id))
        await spin()
        assert len(steps.sender.sent) == PER_HOST
        steps.sender.held.clear()
        for number in range(PER_HOST):
            steps.sender.answer(number)
        await spin()
        assert (len(steps.sender.sent), len(steps.delivery(last.id).attempts)) == (PER_HOST + 1, 1)
        assert set(steps.states()) == {"delivered"}
