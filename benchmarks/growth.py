"""What time and memory grow with: ``python benchmarks/growth.py [--quick]``, a process for each quantity, no sockets.

A call is one request to the application, until what follows the answer has been handed over; its CDR is carried by
nobody. Prints JSON: for each quantity, its size, the microseconds of a call, and the MiB that the process has more than
with nothing of it, each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.in_process import BUSY, fill, make_fake, make_rules, open_account, place, seconds_of_calls

from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.model.outcomes import OutcomeRule

BATCH, BATCHES = 100, 15
Curve = list[tuple[int, float, float]]


def resident_mib() -> float:
    """The process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def time_of_call(fake: Fake, account_id: str = "1") -> float:
    """Microseconds of one call: the fastest of batches, which others on the machine disturb least."""
    return 1e6 * min(seconds_of_calls(fake, BATCH, account_id) for _ in range(BATCHES)) / BATCH


def by_journal(sizes: list[int]) -> Curve:
    """Calls in a journal that is full."""
    curve, before = [], resident_mib()
    for size in sizes:
        fake = make_fake(journal_size=size)
        open_account(fake)
        fill(fake, size)
        curve.append((size, time_of_call(fake), resident_mib() - before))
    return curve


def by_accounts(sizes: list[int]) -> Curve:
    """Open accounts."""
    fake, curve, opened, before = make_fake(), [], 0, resident_mib()
    for size in sizes:
        while opened < size:
            opened += 1
            open_account(fake, str(opened))
        curve.append((size, time_of_call(fake, str(opened)), resident_mib() - before))
    return curve


def by_subscriptions(sizes: list[int]) -> Curve:
    """Webhooks of the account; each call has a CDR for each of them."""
    made, before = [], resident_mib()
    for size in sizes:  # all of them before the calls, each of which has so many CDRs
        fake = make_fake()
        open_account(fake, subscriptions=size)
        made.append((size, fake, resident_mib() - before))
    return [(size, time_of_call(fake), held) for size, fake, held in made]


def by_rules(sizes: list[int]) -> Curve:
    """Outcome rules of the account, of which none matches."""
    curve, before = [], resident_mib()
    for size in sizes:
        fake = make_fake()
        open_account(fake, rules=make_rules(size))
        curve.append((size, time_of_call(fake), resident_mib() - before))
    return curve


def by_pending(sizes: list[int]) -> dict[str, Curve]:
    """CDRs that are due later in the virtual clock, and how long it takes to put the clock forward to one of them."""

    async def run() -> dict[str, Curve]:
        curves: dict[str, Curve] = {"pending CDRs": [], "pending CDRs: advance the clock to one": []}
        fake = make_fake(post=lambda job: job())
        open_account(fake, subscriptions=1, rules=(OutcomeRule(BUSY, "*", 36_000.0),))
        open_account(fake, "2", subscriptions=1, rules=(OutcomeRule(BUSY, "*", 1.0),))
        pending, before = 0, resident_mib()
        for size in sizes:
            fill(fake, size - pending)
            curves["pending CDRs"].append((size, time_of_call(fake), resident_mib() - before))
            pending = size + BATCH * BATCHES
            taken = []
            for _ in range(5):
                place(fake, "2")
                began = time.perf_counter()
                await fake.worker.advance(1.0, "2")
                taken.append(time.perf_counter() - began)
            held = resident_mib() - before
            curves["pending CDRs: advance the clock to one"].append((size, 1e6 * statistics.median(taken), held))
        await fake.worker.close()
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
    pending = [10, 3_000, 10_000] if is_quick else [10, 3_000, 10_000, 100_000, 1_000_000]
    curves = {name: alone(measure) for name, measure in measures.items()}
    curves |= alone(lambda: by_pending(pending))
    print(json.dumps(curves))


def alone(measure: Callable[[], Any]) -> Any:
    """What it returns, from a process of its own, so that no memory is another's."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writing, "w") as pipe:
            json.dump(measure(), pipe)
            pipe.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = json.load(pipe)
    os.wait()
    return found


if __name__ == "__main__":
    main()
