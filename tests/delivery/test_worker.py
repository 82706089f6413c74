"""The worker on an event loop: what is due is claimed, sent and settled, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from helpers.in_process import run
from helpers.service_steps import ACCOUNT, BUSY, FLASH, HOOK, ServiceSteps, spin, until

from pytest_mcn_mock.clocks import SystemClock, VirtualClock
from pytest_mcn_mock.delivery import worker as worker_module
from pytest_mcn_mock.delivery.worker import PER_HOST
from pytest_mcn_mock.model.accounts import remove_subscription
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.service.events import AttemptMade
from pytest_mcn_mock.service.ports import Clock

pytestmark = pytest.mark.asyncio
OTHER = "http://other.test/hook"
clocks = pytest.mark.parametrize("clock", [SystemClock, VirtualClock])


# What is due


@clocks
async def test_a_cdr_is_sent_after_its_answer_and_settled(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        call = steps.place()
        await spin()
        assert steps.sender.sent == []
        run(steps.service.calls.answered(call.verification_call_uuid))
        await spin()
        assert (steps.sender.urls(), steps.states()) == ([HOOK], ["delivered"])


async def test_all_calls_of_a_turn_of_the_loop_are_claimed_at_once_and_sent_in_the_next_turn() -> None:
    async with ServiceSteps() as steps:
        steps.subscribe()
        for _ in range(3):
            steps.call()
        assert steps.sender.sent == []
        await asyncio.sleep(0)
        assert steps.sender.urls() == [HOOK] * 3


@clocks
async def test_work_that_falls_due_later_is_not_forgotten_when_other_work_is_due_now(
    clock: Callable[[], Clock],
) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.call()
        steps.ring(0.01)
        steps.call()  # in the same turn
        await until(lambda: steps.states() == ["delivered"] * 2)


@clocks
async def test_a_call_rings_for_its_time_and_a_cdr_is_tried_again_by_the_schedule(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock(), retry_after_s=(0.01, 0.02)) as steps:
        steps.subscribe()
        steps.ring(0.01)
        steps.sender.statuses[HOOK] = [500, None, 204]
        call = steps.call()
        await until(lambda: steps.states() == ["delivered"])
        moments = [steps.of(call).ended_at or 0.0, *(attempt.at for attempt in steps.delivery().attempts)]
        after_s = [round(moment - call.placed_at, 6) for moment in moments]
        assert all(after >= due for after, due in zip(after_s, [0.01, 0.01, 0.02, 0.04], strict=True))
        if clock is VirtualClock:
            assert after_s == [0.01, 0.01, 0.02, 0.04], "a time that stands still goes from one moment to the next"


async def test_what_was_left_is_done_in_the_order_in_which_it_is_due() -> None:
    steps = ServiceSteps()
    steps.subscribe()
    steps.inject(FaultKind.CDR_LATE, delay_s=5.0)
    late, soon = steps.call(), steps.call()
    steps.ring(3.0)
    ringing = steps.call()
    unanswered = steps.place()
    steps.clock.move(ACCOUNT, 10.0)
    async with steps:
        await steps.worker.resume()
        await spin()
        made = [event.delivery.verification_call_uuid for event in steps.events if isinstance(event, AttemptMade)]
        assert made[0] == soon.verification_call_uuid
        assert made[1] == late.verification_call_uuid
        assert {*made[2:]} == {ringing.verification_call_uuid, unanswered.verification_call_uuid}


async def test_one_host_has_so_many_attempts_at_once_and_another_is_served_meanwhile() -> None:
    async with ServiceSteps(clock=SystemClock()) as steps:
        for url in (HOOK, OTHER):
            steps.subscribe(url)
        steps.sender.held = {HOOK}
        for _ in range(PER_HOST + 8):
            steps.call()
        await spin()
        load = await steps.worker.load()
        assert (load.under_way, load.waiting, load.oldest_due_at) == (PER_HOST, 8, steps.calls()[0].placed_at)
        assert (steps.sender.urls().count(HOOK), steps.sender.urls().count(OTHER)) == (PER_HOST, PER_HOST + 8)
        first = steps.sender.urls().index(HOOK)
        steps.sender.answer(first)
        await spin()
        load = await steps.worker.load()
        assert (load.under_way, load.waiting) == (PER_HOST, 7)
        assert steps.sender.urls().count(HOOK) == PER_HOST + 1


async def test_an_attempt_that_goes_wrong_in_any_way_is_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    async with ServiceSteps(retry_after_s=(0.0, 0.0)) as steps:
        steps.subscribe()
        steps.sender.raising = [OSError(24, "Too many open files"), ZeroDivisionError()]
        steps.call()
        await spin()
        assert [attempt.error for attempt in steps.delivery().attempts] == [
            "the attempt failed: Too many open files",
            "the attempt failed: ZeroDivisionError, see the log",
            None,
        ]
        assert "an attempt of delivery 1 failed" in caplog.text


async def test_a_long_attempt_keeps_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "LEASE_S", 0.003)
    async with ServiceSteps() as steps:
        steps.storage.failing = {"renew"}
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        await until(lambda: len(steps.storage.refused) > 2)
        steps.sender.answer(0)
        await until(lambda: steps.states() == ["delivered"])
        assert len(steps.sender.sent) == 1


# What changes meanwhile


async def test_a_webhook_that_was_removed_fails_what_is_pending_and_lets_the_attempt_under_way_end() -> None:
    async with ServiceSteps(retry_after_s=(0.0,)) as steps:
        for url in (HOOK, OTHER):
            steps.subscribe(url)
        steps.sender.held = {HOOK}
        held = steps.place()
        steps.call()
        await spin()
        steps.change(remove_subscription, 1)
        run(steps.service.calls.answered(held.verification_call_uuid))
        steps.sender.answer(steps.sender.urls().index(HOOK), 500)
        await spin()
        to_removed = [delivery for delivery in steps.deliveries() if delivery.url == HOOK]
        assert [delivery.state for delivery in to_removed] == ["failed", "failed"]
        assert [(d.note, len(d.attempts)) for d in to_removed] == [("the webhook was removed", 0), ("", 1)]
        assert [delivery.state for delivery in steps.deliveries() if delivery.url == OTHER] == ["delivered"] * 2


@clocks
async def test_of_a_closed_account_nothing_is_sent_and_nobody_hears(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.open("7")
        for account_id in ("7", ACCOUNT):
            steps.subscribe(account_id=account_id)
        steps.sender.held = {HOOK}
        for _ in range(PER_HOST + 1):
            steps.call(account_id="7")
        await spin()
        run(steps.service.accounts.close("7"))
        load = await steps.worker.load()
        assert (load.waiting, load.under_way) == (0, PER_HOST), "what is under way arrives"
        told_before = len(steps.events)
        for number in range(PER_HOST):
            steps.sender.answer(number)
        await spin()
        assert (len(steps.sender.sent), len(steps.events)) == (PER_HOST, told_before)
        steps.sender.held.clear()
        steps.call()
        await spin()
        assert steps.states() == ["delivered"]


async def test_a_reset_forgets_the_result_of_what_is_under_way() -> None:
    async with ServiceSteps() as steps:
        steps.service.opening = lambda accounts: [(accounts.make(seed=1, account_id=ACCOUNT), 10_000)]
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        await spin()
        await steps.service.reset()
        steps.sender.answer(0)
        steps.sender.held.clear()
        steps.subscribe()
        steps.call()
        await spin()
        assert [(len(d.attempts), d.state) for d in steps.deliveries()] == [(1, "delivered")]


# Faults


async def test_duplicated_contradicted_and_reordered_cdrs_come_in_their_order() -> None:
    async with ServiceSteps() as steps:
        steps.subscribe(body=["final_status", "verification_call_uuid"])
        for kind in (FaultKind.CDR_REORDERED, FaultKind.CDR_DUPLICATED, FaultKind.CDR_CONTRADICTED):
            steps.inject(kind)
        reordered, duplicated, contradicted = [steps.call().verification_call_uuid for _ in range(3)]
        await spin()
        sent = [json.loads(request.body) for request in steps.sender.sent]
        of = [cdr["verification_call_uuid"] for cdr in sent]
        assert sorted(of) == sorted([reordered, *[duplicated] * 2, *[contradicted] * 2])
        assert of.index(reordered) > min(of.index(duplicated), of.index(contradicted))
        by_call = [
            [cdr["final_status"] for cdr in sent if cdr["verification_call_uuid"] == uuid]
            for uuid in (reordered, duplicated, contradicted)
        ]
        assert by_call == [["ANSWERED"], ["ANSWERED"] * 2, ["ANSWERED", "NO ANSWER"]]
        assert steps.states() == ["delivered"] * 5


@pytest.mark.parametrize("rings", [False, True])
@pytest.mark.parametrize("status", [204, 500])
async def test_an_early_cdr_is_tried_before_the_order_returns(status: int, rings: bool) -> None:
    async with ServiceSteps() as steps:
        steps.subscribe()
        if rings:
            steps.ring(60.0, BUSY)
        steps.inject(FaultKind.CDR_EARLY)
        steps.sender.held = {HOOK}
        placing = asyncio.create_task(steps.service.calls.place(ACCOUNT, FLASH))
        await spin()
        assert (placing.done(), len(steps.sender.sent)) == (False, 1)
        steps.sender.answer(0, status)
        call = await placing
        assert steps.of(call).state == "completed"
        assert steps.delivery().attempts[0].status == status


async def close(steps: ServiceSteps) -> None:
    await steps.service.accounts.close(ACCOUNT)


async def stop(steps: ServiceSteps) -> None:
    steps.worker.stop_waiting()


async def end(steps: ServiceSteps) -> None:
    await steps.worker.close()


async def reset(steps: ServiceSteps) -> None:
    await steps.service.reset()


@pytest.mark.parametrize("happening", [close, stop, end, reset])
async def test_who_waits_for_an_early_cdr_is_let_go_also_if_it_is_not_tried(
    happening: Callable[[ServiceSteps], Awaitable[None]],
) -> None:
    async with ServiceSteps(clock=SystemClock()) as steps:
        steps.open("7")
        for account_id in ("7", ACCOUNT):
            steps.subscribe(account_id=account_id)
        steps.sender.held = {HOOK}
        for _ in range(PER_HOST):
            steps.call(account_id="7")
        steps.inject(FaultKind.CDR_EARLY)
        placing = asyncio.create_task(steps.service.calls.place(ACCOUNT, FLASH))
        await spin()
        assert not placing.done()
        await happening(steps)
        await spin()
        assert placing.done()
        assert len(steps.sender.sent) == PER_HOST
        assert placing.result().account_id == ACCOUNT


@pytest.mark.parametrize("has_webhook", [False, True])
async def test_an_early_cdr_that_is_nowhere_to_be_sent_holds_nothing_up(has_webhook: bool) -> None:
    async with ServiceSteps() as steps:
        if has_webhook:
            steps.subscribe()
            steps.worker.stop_waiting()
        steps.inject(FaultKind.CDR_EARLY)
        await asyncio.wait_for(steps.service.calls.place(ACCOUNT, FLASH), timeout=60)


@pytest.mark.parametrize("rings", [False, True])
@pytest.mark.parametrize("step", ["end_call", "answered"])
async def test_an_early_cdr_that_cannot_be_kept_comes_later_and_its_order_waits_for_nothing(
    step: str, rings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_S", 0.0)
    async with ServiceSteps(clock=SystemClock()) as steps:
        steps.subscribe()
        if rings:
            steps.ring(0.05, BUSY)
        steps.inject(FaultKind.CDR_EARLY)
        steps.storage.failing = {step}
        call = await asyncio.wait_for(steps.service.calls.place(ACCOUNT, FLASH), timeout=5)
        await steps.service.calls.answered(call.verification_call_uuid)
        steps.storage.recover()
        await until(lambda: steps.states() == ["delivered"])
        assert [request.url for request in steps.sender.sent] == [HOOK]
        assert steps.of(call).state == "completed"


# A storage that fails


@clocks
@pytest.mark.parametrize("step", ["claim", "end_call", "settle", "answered"])
async def test_a_step_that_could_not_be_kept_is_tried_again_and_nothing_is_lost_or_sent_twice(
    step: str, clock: Callable[[], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_S", 0.0)
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.ring(0.001)
        steps.storage.failing = {step}
        call = steps.call()
        await until(lambda: step in steps.storage.refused)
        await spin()
        assert "delivered" not in steps.states()
        steps.storage.recover()
        await until(lambda: steps.states() == ["delivered"])
        assert (len(steps.sender.sent), len(steps.delivery().attempts)) == (1, 1)
        assert steps.of(call).ending == BUSY


# Stopping


async def test_a_drain_does_once_what_is_due_later_and_leaves_what_fails_for_the_next_start() -> None:
    async with ServiceSteps(clock=SystemClock(), retry_after_s=(3600.0,)) as steps:
        steps.ring(3600.0)
        for url in (HOOK, OTHER):
            steps.subscribe(url)
        steps.inject(FaultKind.CDR_DUPLICATED)
        steps.sender.statuses[OTHER] = [500]
        steps.call()
        await spin()
        assert steps.sender.sent == []
        await steps.worker.drain(60)
        assert sorted(steps.sender.urls()) == sorted([HOOK, HOOK, OTHER])
        assert [(d.url, len(d.attempts)) for d in await steps.service.storage.pending(10)] == [(OTHER, 1), (OTHER, 0)]
        await steps.worker.close()
        await steps.worker.resume()
        await steps.worker.advance(3600.0)
        assert steps.states() == ["delivered"] * 4


async def test_a_worker_closes_although_an_answer_has_just_come_that_cannot_be_kept() -> None:
    async with ServiceSteps() as steps:
        steps.subscribe()
        steps.sender.held.add(HOOK)
        steps.call()
        await spin()
        steps.storage.failing = {"settle"}
        steps.sender.answer(0)
        async with asyncio.timeout(20):
            await steps.worker.close()
        assert steps.states() == ["pending"]


async def test_a_drain_ends_in_time_and_what_was_under_way_is_sent_again_at_the_next_start() -> None:
    async with ServiceSteps(clock=SystemClock()) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        await spin()
        await steps.worker.drain(0.01)
        await steps.worker.close()
        assert [delivery.attempts for delivery in await steps.service.storage.pending(10)] == [()]
        steps.sender.held.clear()
        await steps.worker.resume()
        await spin()
        assert (len(steps.sender.sent), steps.states()) == (2, ["delivered"])


async def test_a_drain_waits_for_room_at_a_host() -> None:
    async with ServiceSteps(clock=SystemClock()) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        for _ in range(PER_HOST + 2):
            steps.call()
        await spin()
        draining = asyncio.create_task(steps.worker.drain(60))
        await spin()
        assert len(steps.sender.sent) == PER_HOST
        steps.sender.held.clear()
        for number in range(PER_HOST):
            steps.sender.answer(number)
        await draining
        assert steps.states() == ["delivered"] * (PER_HOST + 2)


async def test_after_a_close_nothing_is_begun() -> None:
    async with ServiceSteps() as steps:
        steps.subscribe()
        await steps.worker.close()
        steps.call()
        await spin()
        assert steps.sender.sent == []
        await steps.worker.resume()
        await spin()
        assert steps.states() == ["delivered"]
