"""Putting the time forward: in order, to the end, and for nothing that comes later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest
from helpers.in_process import run
from helpers.service_steps import ACCOUNT, BUSY, FLASH, HOOK, ServiceSteps, spin, until
from msgspec.structs import replace

from pytest_mcn_mock.clocks import SystemClock, VirtualClock
from pytest_mcn_mock.delivery import worker as worker_module
from pytest_mcn_mock.errors import Refusal, StorageFailed
from pytest_mcn_mock.flow import Done, step
from pytest_mcn_mock.model.accounts import replace_rules
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.outcomes import OutcomeRule
from pytest_mcn_mock.service import calls as calls_module
from pytest_mcn_mock.service.events import AttemptMade, CallEnded
from pytest_mcn_mock.service.ports import Clock
from pytest_mcn_mock.web.http import Request

pytestmark = pytest.mark.asyncio
OTHER = "http://other.test/hook"
START = VirtualClock.START
clocks = pytest.mark.parametrize("clock", [SystemClock, VirtualClock])


def ring_by_last_digit(steps: ServiceSteps, account_id: str = ACCOUNT) -> None:
    """A call to a number that ends in a digit rings for as many seconds."""
    rules = [OutcomeRule(BUSY, f"7915777770{n}", float(n)) for n in range(1, 10)]
    steps.change(lambda account: replace_rules(account, rules), account_id=account_id)


def call(steps: ServiceSteps, digit: int, account_id: str = ACCOUNT) -> str:
    return steps.call(replace(FLASH, login_did=f"7915777770{digit}"), account_id).verification_call_uuid


def ended(steps: ServiceSteps, account_id: str = ACCOUNT) -> list[int]:
    """The digits of the calls that have ended, in order."""
    calls = [event.call for event in steps.events if isinstance(event, CallEnded)]
    return [int(call.login_did[-1]) for call in calls if call.account_id == account_id]


def attempts(steps: ServiceSteps) -> list[tuple[float, int | None]]:
    """When each attempt began, in seconds, and its status."""
    made = [event.attempt for event in steps.events if isinstance(event, AttemptMade)]
    return [(attempt.at - START, attempt.status) for attempt in made]


async def test_what_falls_due_on_the_way_is_done_in_order_at_its_moment() -> None:
    async with ServiceSteps(retry_after_s=(2.0, 3600.0)) as steps:
        steps.subscribe()
        ring_by_last_digit(steps)
        steps.sender.statuses[HOOK] = [204, 500, 204, 204, 500]
        for digit in (3, 1, 5, 2, 9):
            call(steps, digit)
        await steps.worker.advance(5.0, ACCOUNT)
        assert ended(steps) == [1, 2, 3, 5]
        assert attempts(steps) == [(1.0, 204), (2.0, 500), (3.0, 204), (4.0, 204), (5.0, 500)]
        assert steps.clock.now(ACCOUNT) == START + 5.0
        await steps.worker.advance(3.5, ACCOUNT)
        assert attempts(steps)[5:] == [(7.0, 204)]
        await steps.worker.advance(0.5, ACCOUNT)
        assert (ended(steps)[-1], attempts(steps)[6:]) == (9, [(9.0, 204)])


async def test_what_an_attempt_makes_due_that_fails_while_the_time_passes_by_itself_is_done_too() -> None:
    clock = SystemClock()
    async with ServiceSteps(clock=clock, retry_after_s=(1.0,)) as steps:
        steps.subscribe()
        steps.sender.held.add(HOOK)
        steps.call()
        await until(lambda: len(steps.sender.sent) == 1)
        advance = asyncio.create_task(steps.worker.advance(1.0))
        await spin()
        steps.sender.held.clear()
        clock.move(None, 0.5)  # as if the endpoint took so long
        steps.sender.answer(0, 500)
        await advance
        assert [status for _, status in attempts(steps)] == [500, 204]


@pytest.mark.parametrize("seed", range(5))
async def test_the_order_is_that_of_a_list_that_is_sorted(seed: int) -> None:
    draw = Random(seed)
    async with ServiceSteps(clock=SystemClock() if seed % 2 else VirtualClock()) as steps:
        steps.subscribe()
        rules = [OutcomeRule(BUSY, f"791577777{n:02}", n * 10.0) for n in range(1, 40)]
        steps.change(lambda account: replace_rules(account, rules))
        numbers = [draw.randrange(1, 40) for _ in range(60)]
        for number in numbers:
            steps.call(replace(FLASH, login_did=f"791577777{number:02}"))
        done = 0.0
        while done < 400.0:
            seconds = draw.choice([0.0, 5.0, 15.0, 100.0])
            await steps.worker.advance(seconds)
            done += seconds
            over = [event.call for event in steps.events if isinstance(event, CallEnded)]
            assert [int(call.login_did[-2:]) for call in over] == sorted(n for n in numbers if n * 10.0 <= done)
            assert steps.states().count("delivered") == len(over)


async def test_each_account_has_its_own_time_and_a_forgotten_one_no_work() -> None:
    async with ServiceSteps() as steps:
        for account_id in ("2", "3"):
            steps.open(account_id)
        for account_id in (ACCOUNT, "2", "3"):
            steps.subscribe(account_id=account_id)
            ring_by_last_digit(steps, account_id)
            for digit in (3, 1, 5, 2, 4):
                call(steps, digit, account_id)
        await steps.worker.advance(3.0, ACCOUNT)
        assert (ended(steps), ended(steps, "2")) == ([1, 2, 3], [])
        await asyncio.gather(steps.worker.advance(2.0, ACCOUNT), steps.worker.advance(4.0, "2"))
        assert (ended(steps), ended(steps, "2")) == ([1, 2, 3, 4, 5], [1, 2, 3, 4])
        await steps.service.accounts.close("3")
        await steps.worker.advance(100.0)
        assert (ended(steps, "2"), ended(steps, "3")) == ([1, 2, 3, 4, 5], [])
        assert [steps.clock.now(account_id) - START for account_id in (ACCOUNT, "2")] == [105.0, 104.0]


async def test_a_time_that_all_share_goes_forward_for_all() -> None:
    async with ServiceSteps(clock=SystemClock()) as steps:
        steps.open("2")
        for account_id in (ACCOUNT, "2"):
            steps.subscribe(account_id=account_id)
            ring_by_last_digit(steps, account_id)
            call(steps, 5, account_id)
        before = steps.clock.now(None)
        await steps.worker.advance(5.0)
        assert steps.clock.now(None) - before >= 5.0
        assert (ended(steps), ended(steps, "2"), steps.states()) == ([5], [5], ["delivered"] * 2)


@clocks
async def test_the_alarms_come_nearer_by_what_was_put_forward(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.ring(3600.01)
        steps.call()
        await steps.worker.advance(3600.0)
        await until(lambda: steps.states() == ["delivered"])


@clocks
async def test_what_comes_later_is_not_waited_for_and_is_done_in_its_time(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.ring(5.0)
        steps.call()
        advancing = asyncio.create_task(steps.worker.advance(10.0))
        await spin()
        assert (advancing.done(), len(steps.sender.sent)) == (False, 1)
        steps.change(lambda account: replace_rules(account, []))
        later = steps.call()
        await spin()
        assert len(steps.sender.sent) == 2, "it is sent meanwhile"
        steps.sender.answer(0)
        await advancing
        assert steps.states() == ["delivered", "pending"]
        steps.sender.answer(1)
        await spin()
        assert steps.of(later).state == "completed"
        assert steps.states() == ["delivered"] * 2


@clocks
async def test_two_of_the_same_time_come_one_after_the_other(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        ring_by_last_digit(steps)
        for digit in (2, 4):
            call(steps, digit)
        before = steps.clock.now(ACCOUNT)
        both = [asyncio.create_task(steps.worker.advance(3.0)) for _ in range(2)]
        await spin()
        assert (len(steps.sender.sent), ended(steps)) == (1, [2])
        steps.sender.answer(0)
        await spin()
        assert [advancing.done() for advancing in both] == [True, False]
        steps.sender.answer(1)
        await asyncio.gather(*both)
        assert steps.clock.now(ACCOUNT) - before >= 6.0
        assert ended(steps) == [2, 4]


@clocks
async def test_an_attempt_that_is_under_way_already_is_waited_for(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock(), retry_after_s=(1.0,)) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        await spin()
        advancing = asyncio.create_task(steps.worker.advance(2.0))
        await spin()
        assert not advancing.done()
        steps.sender.held.clear()
        steps.sender.answer(0, 500)
        await advancing
        assert (steps.states(), len(steps.sender.sent)) == (["delivered"], 2)


async def test_an_attempt_of_another_account_is_not_waited_for_where_each_has_its_own_time() -> None:
    async with ServiceSteps() as steps:
        steps.open("2")
        steps.subscribe(account_id="2")
        steps.sender.held = {HOOK}
        steps.call(account_id="2")
        await spin()
        await asyncio.wait_for(steps.worker.advance(1.0, ACCOUNT), timeout=60)


@clocks
async def test_more_than_one_host_may_have_at_once_are_all_done(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.ring(1.0)
        for _ in range(2 * worker_module.PER_HOST + 1):
            steps.call()
        await steps.worker.advance(1.0)
        assert set(steps.states()) == {"delivered"}


async def test_what_comes_later_leaves_it_half_of_the_places_at_a_host() -> None:
    async with ServiceSteps(clock=SystemClock(), retry_after_s=(1.0,)) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        await spin()
        advancing = asyncio.create_task(steps.worker.advance(10.0))
        await spin()
        for _ in range(2 * worker_module.PER_HOST):
            steps.call()
        await spin()
        assert len(steps.sender.sent) == worker_module.PER_HOST // 2
        steps.sender.answer(0, 500)
        await until(lambda: len(steps.sender.sent) > worker_module.PER_HOST // 2)
        again = [number for number, request in enumerate(steps.sender.sent) if request == steps.delivery().request]
        steps.sender.answer(again[-1])
        await advancing
        assert steps.delivery().state == "delivered"
        await spin()
        assert (await steps.worker.load()).under_way == worker_module.PER_HOST, "the others have all of them now"


# When it does not come to its end


@clocks
@pytest.mark.parametrize("how", ["stop_waiting", "close"])
async def test_a_stop_ends_it_and_refuses_the_next_until_a_start(clock: Callable[[], Clock], how: str) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        waiting = [asyncio.create_task(steps.worker.advance(seconds)) for seconds in (1.0, 2.0)]
        await spin()
        steps.worker.stop_waiting()
        if how == "close":
            await steps.worker.close()
        for advancing in waiting:
            with pytest.raises(Refusal, match="the server was stopped meanwhile"):
                await advancing
        with pytest.raises(Refusal, match="the server was stopped meanwhile"):
            await steps.worker.advance(1.0)
        steps.worker.start_waiting()
        steps.sender.held.clear()
        if how == "close":
            await steps.worker.resume()
        else:
            steps.sender.answer(0)
        await steps.worker.advance(1.0)
        assert steps.states() == ["delivered"]


@clocks
async def test_one_that_is_cancelled_leaves_the_way_free_for_the_next(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        advancing = asyncio.create_task(steps.worker.advance(1.0))
        await spin()
        advancing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await advancing
        steps.sender.answer(0)
        await steps.worker.advance(1.0)
        assert steps.states() == ["delivered"]


@clocks
async def test_its_patience_ends_when_no_attempt_does(
    clock: Callable[[], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STALL_S", 0.0)
    async with ServiceSteps(clock=clock(), ack_timeout_s=0.005) as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.ring(5.0)
        steps.call()
        before = steps.clock.now(ACCOUNT)
        with pytest.raises(Refusal, match=r"no attempt to send a CDR ended for 0.01 s, and 1 are in flight"):
            await steps.worker.advance(3600.0)
        assert 5.0 <= steps.clock.now(ACCOUNT) - before < 3600.0, "the time stays where it is"
        steps.sender.answer(0)
        await steps.worker.advance(3600.0)
        assert steps.states() == ["delivered"]


@clocks
async def test_a_storage_that_fails_refuses_it_and_the_next_one_does_what_was_left(clock: Callable[[], Clock]) -> None:
    async with ServiceSteps(clock=clock()) as steps:
        steps.subscribe()
        steps.ring(5.0)
        steps.call()
        steps.storage.failing = {"claim"}
        before = steps.clock.now(ACCOUNT)
        with pytest.raises(StorageFailed):
            await steps.worker.advance(10.0)
        assert steps.clock.now(ACCOUNT) - before < 5.0
        steps.storage.recover()
        await steps.worker.advance(10.0)
        assert steps.states() == ["delivered"]


@pytest.mark.parametrize("step_name", ["end_call", "settle"])
async def test_an_end_and_a_result_that_could_not_be_kept_are_kept_later(
    step_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_S", 0.0)
    async with ServiceSteps() as steps:
        steps.subscribe()
        steps.ring(5.0)
        steps.call()
        steps.storage.failing = {step_name}
        advancing = asyncio.create_task(steps.worker.advance(10.0))
        await until(lambda: len(steps.storage.refused) > 1)
        steps.storage.recover()
        await advancing
        await spin()
        assert (steps.states(), len(steps.sender.sent)) == (["delivered"], 1)


async def test_an_account_that_is_closed_meanwhile_ends_it() -> None:
    async with ServiceSteps() as steps:
        steps.subscribe()
        steps.sender.held = {HOOK}
        steps.call()
        advancing = asyncio.create_task(steps.worker.advance(10.0, ACCOUNT))
        await spin()
        await steps.service.accounts.close(ACCOUNT)
        steps.sender.answer(0)
        await asyncio.wait_for(advancing, timeout=60)


# Orders whose answer has not been sent


async def test_a_call_that_was_just_answered_is_among_what_is_put_forward() -> None:
    async with ServiceSteps() as steps:
        steps.subscribe()
        steps.ring(5.0)
        placed = steps.place()
        advancing = asyncio.create_task(steps.service.advance(5.0))
        await spin()
        assert not advancing.done()
        later = steps.place()
        run(steps.service.calls.answered(placed.verification_call_uuid))
        await advancing
        assert steps.states() == ["delivered", "pending"]
        assert steps.of(later).state == "ringing"


async def test_an_answer_that_is_never_sent_holds_the_time_up_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls_module, "ANSWERS_S", 0.01)
    async with ServiceSteps() as steps:
        steps.subscribe()
        placed = steps.place()
        await steps.service.advance(1.0)
        assert steps.sender.sent == []
        run(steps.service.calls.answered(placed.verification_call_uuid))
        await spin()
        assert steps.states() == ["delivered"]


async def reset(steps: ServiceSteps) -> None:
    await steps.service.reset()


async def let_go(steps: ServiceSteps) -> None:
    steps.service.calls.wait_no_more(steps.calls()[0].verification_call_uuid)


@pytest.mark.parametrize("happening", [reset, let_go])
async def test_an_answer_that_will_not_come_soon_is_not_waited_for(
    happening: Callable[[ServiceSteps], Coroutine[Any, Any, None]],
) -> None:
    async with ServiceSteps() as steps:
        steps.place()
        waiting = asyncio.create_task(steps.service.calls.until_answered())
        await spin()
        assert not waiting.done()
        await happening(steps)
        await asyncio.wait_for(waiting, timeout=60)


@pytest.mark.parametrize(
    "kind, is_waited_for",
    [(FaultKind.DELAY, False), (FaultKind.DRIP, False), (FaultKind.CDR_EARLY, False), (FaultKind.MALFORMED, True)],
)
async def test_an_answer_that_a_fault_holds_back_is_not_waited_for(kind: FaultKind, is_waited_for: bool) -> None:
    async with ServiceSteps() as steps:
        steps.subscribe(OTHER)
        steps.inject(kind, **({"delay_s": 60.0} if kind in {FaultKind.DELAY, FaultKind.DRIP} else {}))
        headers = {"authorization": "Bearer test-token", "host": "127.0.0.1"}
        path = f"/v2/rest/account/{ACCOUNT}/flash_call"
        serving = steps.fake.application.serve(Request("POST", path, b"login_did=79157777777", headers))
        if step(serving) is None:  # it goes on in a task, as an early CDR has to
            step(serving)
        waiting = steps.service.calls.until_answered()
        has_ended = isinstance(step(waiting), Done)
        assert has_ended is (not is_waited_for)
        waiting.close()
        serving.close()
