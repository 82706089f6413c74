"""A call costs as much among many as among few: ratios of times that are taken in turn, never times.

``make bench`` draws the whole curves; see docs/explanation/performance.md.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc

import pytest
from helpers.in_process import BUSY, fill, make_fake, make_rules, open_account, place, seconds_of_calls
from helpers.systems import unmeasured

from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.model.outcomes import OutcomeRule

BATCH, ENOUGH, ROUNDS = 20, 5, 40
MOST = 3.0
"""What is linear would be a hundred times as much; what is as it should be is the same."""


def with_rules(count: int) -> Fake:
    fake = make_fake()
    open_account(fake, rules=make_rules(count))
    return fake


def with_journal(size: int) -> Fake:
    fake = make_fake(journal_size=size)
    open_account(fake)
    fill(fake, size)
    return fake


def with_accounts(count: int) -> Fake:
    fake = make_fake()
    for number in range(count):
        open_account(fake, str(number + 1))
    return fake


def ratio(few: Fake, many: Fake) -> float:
    """Of the fastest batches, once it is small enough; who else uses the machine makes a batch slower, never faster."""
    fastest_few = fastest_many = float("inf")
    for number in range(ROUNDS):
        fastest_few = min(fastest_few, seconds_of_calls(few, BATCH))
        fastest_many = min(fastest_many, seconds_of_calls(many, BATCH))
        if number >= ENOUGH and fastest_many < MOST * fastest_few:
            break
    return fastest_many / fastest_few


@pytest.mark.parametrize(
    "few, many",
    [
        pytest.param(lambda: with_rules(10), lambda: with_rules(1_000), id="rules"),
        pytest.param(lambda: with_journal(100), lambda: with_journal(10_000), id="journal"),
        pytest.param(lambda: with_accounts(1), lambda: with_accounts(10_000), id="accounts"),
    ],
)
def test_a_call_costs_no_more_among_many(few: object, many: object) -> None:
    assert callable(few)
    assert callable(many)
    assert ratio(few(), many()) < MOST


def test_a_call_costs_no_more_among_many_pending_cdrs() -> None:
    async def run() -> float:
        fakes = []
        for pending in (100, 10_000):
            fake = make_fake(post=lambda job: job())
            open_account(fake, subscriptions=1, rules=(OutcomeRule(BUSY, "*", 36_000.0),))
            fill(fake, pending)
            fakes.append(fake)
        found = ratio(*fakes)
        for fake in fakes:
            await fake.worker.close()
        return found

    assert asyncio.run(run()) < MOST


@pytest.mark.parametrize("is_same", [False, True], ids=["of another account", "of the account itself"])
def test_putting_the_clock_forward_costs_no_more_among_many_pending_cdrs(is_same: bool) -> None:
    async def seconds(fake: Fake) -> float:
        account = "1" if is_same else "2"
        place(fake, account, "79168888888")
        began = time.perf_counter()
        await fake.worker.advance(1.0, account)
        return time.perf_counter() - began

    async def run() -> float:
        few, many = make_fake(post=lambda job: job()), make_fake(post=lambda job: job())
        rules = (OutcomeRule(BUSY, "7916*", 1.0), OutcomeRule(BUSY, "*", 36_000.0))
        for fake, pending in ((few, 100), (many, 10_000)):
            for account in ("1", "2"):
                open_account(fake, account, subscriptions=1, rules=rules)
            fill(fake, pending)
        fastest_few = fastest_many = float("inf")
        for number in range(ROUNDS):
            fastest_few = min(fastest_few, await seconds(few))
            fastest_many = min(fastest_many, await seconds(many))
            if number >= ENOUGH and fastest_many < MOST * fastest_few:
                break
        for fake in (few, many):
            await fake.worker.close()
        return fastest_many / fastest_few

    assert asyncio.run(run()) < MOST


@unmeasured
def test_what_a_full_journal_has_dropped_leaves_nothing_behind() -> None:
    """Neither the call nor its CDR, nor what endpoints answered."""

    async def run() -> int:
        fake = make_fake(journal_size=10, post=lambda job: job())
        open_account(fake, subscriptions=1)

        async def deliver(count: int) -> None:
            for _ in range(count):
                place(fake)
                await fake.worker.advance(0, "1")
            gc.collect()

        tracemalloc.start()  # before the first calls: those that are listed at the end replace as many traced ones
        try:
            await deliver(300)
            before, _ = tracemalloc.get_traced_memory()
            await deliver(600)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await fake.worker.close()
        return (after - before) // 600

    assert asyncio.run(run()) < 60  # bytes of a call; one that stays is a hundred at the least
