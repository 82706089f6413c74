"""A time that is put forward: what falls due on the way, and what is waited for."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pytest_mcn_mock.delivery.lanes import Work
from pytest_mcn_mock.delivery.timers import Timer
from pytest_mcn_mock.errors import Refusal, RefusalCode

STALL_S = 5.0
"""How much longer than two attempts may take an advance waits for the next one to end, before it fails."""
GRAIN_S: Final = 0.1
"""What is due within so many seconds is done at once if the time passes by itself. One thing after the other, a slow
webhook would make an advance take longer than the time that it skips."""


@dataclass(slots=True, eq=False)
class Advance:
    """A time that is put forward to ``target``. All that was handed over before, and falls due by then, is done by it
    in order: ``timers`` by when they are due, ``pending`` are the attempts that it waits for. ``newest_call`` is the
    ``seq`` of the last call that was placed before.

    ``passes_by_itself`` says how late it is, if that time goes on by itself; None for one that stands still.
    """

    target: float
    newest_call: int
    timers: list[tuple[float, int, Timer]]
    pending: set[Work]
    last_end: float
    """When the last of the attempts ended, in the loop's time."""
    passes_by_itself: Callable[[], float] | None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, timer: Timer) -> None:
        """Add what falls due on the way."""
        heapq.heappush(self.timers, (timer.due, timer.order, timer))
        self.changed.set()

    def take_due(self) -> Iterator[Timer]:
        """Take out what is due next: one thing or, if the time passes by itself, what is due nearly at once."""
        if self.timers:
            until = self.timers[0][0] + GRAIN_S
            yield heapq.heappop(self.timers)[2]
            while self.passes_by_itself is not None and self.timers and self.timers[0][0] <= until:
                yield heapq.heappop(self.timers)[2]

    def take_all(self) -> list[Timer]:
        """Take out what is left, in order."""
        left, self.timers = sorted(self.timers), []
        return [timer for _, _, timer in left]

    def forget(self, account_id: str | None = None) -> None:
        """Drop the timers of an account, or of all."""
        self.timers = [entry for entry in self.timers if account_id not in (None, entry[2].account_id)]
        heapq.heapify(self.timers)

    def ended(self, work: Work) -> None:
        """An attempt has ended, perhaps one of those that are waited for."""
        if work in self.pending:
            self.pending.discard(work)
            self.last_end = asyncio.get_running_loop().time()
            self.changed.set()

    async def wait_for_next(self, attempt_s: float) -> None:
        """Wait until all that was started has ended or, if the time passes by itself, the next thing is due.

        Refusal if no attempt ends within twice ``attempt_s``, the seconds that one may take, and STALL_S more.
        """
        patience_s = 2 * attempt_s + STALL_S
        while self.pending:
            left_s = self.last_end + patience_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise Refusal(
                    RefusalCode.SERVICE_UNAVAILABLE,
                    f"the time was not put forward to the end: no attempt to send a CDR ended for {patience_s:g} s, "
                    f"and {len(self.pending)} are under way; look at the webhooks, then advance again",
                )
            if self.passes_by_itself is not None and self.timers:
                left_s = min(left_s, self.timers[0][0] - self.passes_by_itself())
                if left_s <= 0:
                    return
            self.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self.changed.wait()
