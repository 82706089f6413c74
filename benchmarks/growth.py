"""What the time of one call grows with: ``python benchmarks/growth.py [--quick]``, in one process and without sockets.

A call is one request to the application, until what follows the answer has been handed over; its CDR is carried by
nobody. Prints JSON: for each quantity, pairs of its size and the microseconds of a call.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from in_process import BUSY, fill, make_exchange, make_rules, open_account, place, seconds_of_calls

from pytest_mcn_mock.compose import Exchange
from pytest_mcn_mock.domain.outcomes import OutcomeRule

BATCH, BATCHES = 100, 15
Curve = list[tuple[int, float]]


def time_of_call(exchange: Exchange, account_id: str = "1") -> float:
    """Microseconds of one call: the fastest of batches, which others on the machine disturb least."""
    return 1e6 * min(seconds_of_calls(exchange, BATCH, account_id) for _ in range(BATCHES)) / BATCH


def by_journal(sizes: list[int]) -> Curve:
    """Calls in a journal that is full."""
    curve = []
    for size in sizes:
        exchange = make_exchange(journal_size=size)
        open_account(exchange)
        fill(exchange, size)
        curve.append((size, time_of_call(exchange)))
    return curve


def by_accounts(sizes: list[int]) -> Curve:
    """Open accounts."""
    exchange, curve, opened = make_exchange(), [], 0
    for size in sizes:
        while opened < size:
            opened += 1
            open_account(exchange, str(opened))
        curve.append((size, time_of_call(exchange, str(opened))))
    return curve


def by_subscriptions(sizes: list[int]) -> Curve:
    """Webhooks of the account, each of which a call owes a CDR."""
    curve = []
    for size in sizes:
        exchange = make_exchange()
        open_account(exchange, subscriptions=size)
        curve.append((size, time_of_call(exchange)))
    return curve


def by_rules(sizes: list[int]) -> Curve:
    """Outcome rules of the account, of which none matches."""
    curve = []
    for size in sizes:
        exchange = make_exchange()
        open_account(exchange, rules=make_rules(size))
        curve.append((size, time_of_call(exchange)))
    return curve


def by_pending(sizes: list[int]) -> dict[str, Curve]:
    """CDRs that are due later in the virtual clock, and how long it takes to put the clock forward to one of them."""

    async def run() -> dict[str, Curve]:
        curves: dict[str, Curve] = {"pending CDRs": [], "pending CDRs: advance the clock to one": []}
        exchange = make_exchange(post=lambda job: job())
        open_account(exchange, subscriptions=1, rules=(OutcomeRule(BUSY, "*", 36_000.0),))
        open_account(exchange, "2", subscriptions=1, rules=(OutcomeRule(BUSY, "*", 1.0),))
        pending = 0
        for size in sizes:
            fill(exchange, size - pending)
            curves["pending CDRs"].append((size, time_of_call(exchange)))
            pending = size + BATCH * BATCHES
            taken = []
            for _ in range(5):
                place(exchange, "2")
                began = time.perf_counter()
                await exchange.dispatcher.advance_account("2", 1.0)
                taken.append(time.perf_counter() - began)
            curves["pending CDRs: advance the clock to one"].append((size, 1e6 * statistics.median(taken)))
        await exchange.dispatcher.close()
        return curves

    return asyncio.run(run())


def main() -> None:
    """Print every curve."""
    is_quick = "--quick" in sys.argv
    powers = [10, 100, 1_000, 10_000]
    measures: dict[str, Callable[[], Curve]] = {
        "journal size": lambda: by_journal([*powers, *([] if is_quick else [100_000])]),
        "accounts": lambda: by_accounts([1, *powers, *([] if is_quick else [100_000])]),
        "subscriptions": lambda: by_subscriptions([1, 3, 10, 30, 100]),
        "rules": lambda: by_rules([1, 10, 100, 1_000]),
    }
    curves = {name: measure() for name, measure in measures.items()}
    curves |= by_pending([10, 3_000, 10_000] if is_quick else [10, 3_000, 10_000, 100_000, 1_000_000])
    print(json.dumps(curves))


if __name__ == "__main__":
    main()
