"""What is due later: a queue of timers that an account's time can be put forward in."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Job = Callable[[], None]


@dataclass(order=True, slots=True)
class Timer:
    """A job that is due at ``due`` of its account's time, which is expected at ``deadline`` of the loop's."""

    deadline: float
    order: int
    due: float = field(compare=False)
    account_id: str = field(compare=False)
    job: Job = field(compare=False)

    def by_due(self) -> tuple[float, int]:
        """A key for the order in which timers are due, whatever their deadlines are."""
        return self.due, self.order


class Timers:
    """Timers in the order of their deadlines, and of their making where those are the same."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._made = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, deadline: float, due: float, account_id: str, job: Job) -> None:
        """Add a timer."""
        self._made += 1
        heapq.heappush(self._heap, Timer(deadline, self._made, due, account_id, job))

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None where there is no timer."""
        return self._heap[0].deadline if self._heap else None

    def pop(self) -> Timer:
        """Take out the timer with the earliest deadline."""
        return heapq.heappop(self._heap)

    def take(self, account_id: str | None) -> list[Timer]:
        """Take out every timer of an account, or of all, in the order in which they are due."""
        taken = [timer for timer in self._heap if account_id in (None, timer.account_id)]
        if taken:
            self._heap = [timer for timer in self._heap if account_id not in (None, timer.account_id)]
            heapq.heapify(self._heap)
        return sorted(taken, key=Timer.by_due)

    def put_back(self, timer: Timer) -> None:
        """Put a timer back that was taken out."""
        heapq.heappush(self._heap, timer)

    def clear(self) -> None:
        """Forget every timer."""
        self._heap.clear()
