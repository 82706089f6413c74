"""The order of what is due later, whatever was put forward meanwhile: against a model that looks at every timer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from helpers.in_process import BUSY, make_exchange, open_account, place

from pytest_mcn_mock.delivery.timers import Timers
from pytest_mcn_mock.model.outcomes import OutcomeRule

KEYS = ["1", "2", "3"]


@dataclass
class Modelled:
    key: str
    deadline: float
    due: float
    order: int


def nothing() -> None:
    pass


@pytest.mark.parametrize("seed", range(30))
def test_the_order_is_that_of_a_list_that_is_sorted_each_time(seed: int) -> None:
    draw = Random(seed)
    timers, model = Timers(), list[Modelled]()
    for order in range(1, 400):
        key = draw.choice(KEYS)
        match draw.randrange(8):
            case 0 | 1 | 2 | 3:
                deadline, due = float(draw.randrange(50)), float(draw.randrange(50))
                timers.add(key, deadline, timers.make(due, f"{order}", nothing))
                model.append(Modelled(key, deadline, due, order))
            case 4:
                seconds = float(draw.randrange(5))
                timers.forward(key, seconds)
                for timer in model:
                    timer.deadline -= seconds * (timer.key == key)
            case 5:
                expected = min(model, key=lambda timer: (timer.deadline, timer.order), default=None)
                assert timers.next_deadline() == (expected and expected.deadline)
                if expected is not None:
                    assert timers.pop().account_id == f"{expected.order}"
                    model.remove(expected)
            case 6:
                moment = float(draw.randrange(50)) / 5
                of_key = sorted((t.due, t.order) for t in model if t.key == key and t.due <= moment)
                assert [timer.account_id for timer in timers.take_due(key, moment)] == [
                    f"{order}" for _, order in of_key
                ]
                model = [timer for timer in model if (timer.due, timer.order) not in of_key]
            case 7:
                if model:
                    gone = draw.choice(model)
                    timers.forget(f"{gone.order}")
                    model.remove(gone)
    in_order = sorted(model, key=lambda timer: (timer.deadline, timer.order))
    assert [timer.account_id for timer in timers.take_all()] == [f"{timer.order}" for timer in in_order]
    assert timers.next_deadline() is None
    assert timers.take_all() == []


def test_what_was_taken_out_is_kept_nowhere() -> None:
    """However often timers that are far off are passed by others."""
    timers = Timers()
    for key in KEYS:
        timers.add(key, 1e6, timers.make(1e6, key, nothing))
    for number in range(1000):
        timers.add("1", 2e6, timers.make(1.0, "1", nothing))
        timers.take_due("1", 1.0)
        timers.add("2", float(number), timers.make(2e6, "2", nothing))
        timers.pop()
        timers.add("3", 2e6, timers.make(2e6, "closed", nothing))
        timers.forget("closed")
    kept = [len(timers._heap), len(timers._of_account)]  # noqa: SLF001 - that it holds on to nothing is seen nowhere else
    kept += [len(heap) for line in timers._lines.values() for heap in (line.by_due, line.by_deadline)]  # noqa: SLF001
    assert max(kept) < 30


def test_each_account_has_its_own_order_and_a_forgotten_one_none() -> None:
    async def run() -> dict[str, list[str]]:
        exchange = make_exchange(post=lambda job: job())
        rules = tuple(OutcomeRule(BUSY, f"7915777770{n}", float(n)) for n in range(1, 6))
        for account in KEYS:
            open_account(exchange, account, subscriptions=1, rules=rules)
        for n in (3, 1, 5, 2, 4):
            for account in KEYS:
                place(exchange, account, f"7915777770{n}")
        dispatcher, calls = exchange.dispatcher, exchange.operator.calls

        def ended(account: str) -> list[str]:
            done = [call for call in calls.page(account) if call.ended_at is not None]
            return [call.login_did[-1] for call in sorted(done, key=lambda call: call.ended_at or 0.0)]

        await dispatcher.advance_account("1", 3.0)
        found = {"1 after 3 s": ended("1"), "2 meanwhile": ended("2")}
        await asyncio.gather(dispatcher.advance_account("1", 2.0), dispatcher.advance_account("2", 4.0))
        found |= {"1 after 5 s": ended("1"), "2 after 4 s": ended("2")}
        dispatcher.forget_all()
        await dispatcher.advance_account("3", 100.0)
        found["3, forgotten"] = ended("3")
        await dispatcher.close()
        return found

    assert asyncio.run(run()) == {
        "1 after 3 s": ["1", "2", "3"],
        "2 meanwhile": [],
        "1 after 5 s": ["1", "2", "3", "4", "5"],
        "2 after 4 s": ["1", "2", "3", "4"],
        "3, forgotten": [],
    }


def test_the_alarm_is_set_anew_only_for_an_earlier_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[float]:
        exchange = make_exchange(post=lambda job: job())
        rules = (OutcomeRule(BUSY, "79157777701", 3600.0), OutcomeRule(BUSY, "*", 36_000.0))
        open_account(exchange, subscriptions=1, rules=rules)
        loop, alarms = asyncio.get_running_loop(), list[float]()
        call_at = loop.call_at

        def count(when: float, *arguments: Any, **settings: Any) -> asyncio.TimerHandle:
            alarms.append(when - loop.time())
            return call_at(when, *arguments, **settings)

        monkeypatch.setattr(loop, "call_at", count)
        for number in (*["79157777702"] * 20, "79157777701", *["79157777702"] * 20):
            place(exchange, "1", number)
        await exchange.dispatcher.close()
        return alarms

    far, near = asyncio.run(run())
    assert (round(far, -2), round(near, -2)) == (36_000, 3600)
