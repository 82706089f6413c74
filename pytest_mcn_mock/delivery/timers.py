"""What is due later: timers in lines, a line for each time that can be put forward by itself."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Job = Callable[[], None]
_SPARE = 16
"""Entries that a heap may have for nothing, beside as many as it needs."""


@dataclass(slots=True, eq=False)
class Timer:
    """A job that is due at ``due`` of its account's time. ``order`` counts the timers made before it."""

    due: float
    order: int
    account_id: str
    job: Job
    is_over: bool = False


_Entry = tuple[float, int, Timer]


@dataclass(slots=True, eq=False)
class _Line:
    """The timers of one time, by when they are due and by their deadlines. These two differ where a time stands still:
    what was made later is nearer by the one and not by the other. A timer that was taken out by the one order stays in
    the heap of the other until it is met there, or too many do.

    ``forward`` is how far the time was put forward: a deadline has it added when it is entered, and loses what was
    added since.
    """

    key: str | None
    forward: float = 0.0
    size: int = 0
    by_due: list[_Entry] = field(default_factory=list)
    by_deadline: list[_Entry] = field(default_factory=list)
    listed: _Listed | None = None
    """This line's place among the lines; any other entry there is out of date."""

    def first(self) -> Timer:
        """What is due first."""
        return _first(self.by_due)[2]

    def next_deadline(self) -> tuple[float, Timer]:
        """The earliest deadline, and whose it is."""
        deadline, _, timer = _first(self.by_deadline)
        return deadline - self.forward, timer

    def take(self, timer: Timer) -> None:
        """Take a timer out."""
        timer.is_over = True
        self.size -= 1
        for heap in (self.by_due, self.by_deadline):
            if len(heap) > 2 * self.size + _SPARE:
                heap[:] = [entry for entry in heap if not entry[2].is_over]
                heapq.heapify(heap)


_Listed = tuple[float, int, _Line]


def _first(heap: list[_Entry]) -> _Entry:
    while heap[0][2].is_over:
        heapq.heappop(heap)
    return heap[0]


class Timers:
    """Timers in the order of their deadlines, and of their making where those are the same.

    A ``key`` names the time that a timer is due by: an account's, or None for one that all share. Whatever is done
    with one timer takes a time that grows with the logarithm of how many there are.
    """

    def __init__(self) -> None:
        self._lines: dict[str | None, _Line] = {}
        self._heap: list[_Listed] = []
        self._of_account: dict[str, dict[Timer, _Line]] = {}
        self._made = 0

    def make(self, due: float, account_id: str, job: Job) -> Timer:
        """Make a timer, which is not among these yet."""
        self._made += 1
        return Timer(due, self._made, account_id, job)

    def add(self, key: str | None, deadline: float, timer: Timer) -> None:
        """Add a timer that is expected at ``deadline`` of the loop's time."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key)
        line.size += 1
        self._of_account.setdefault(timer.account_id, {})[timer] = line
        heapq.heappush(line.by_due, (timer.due, timer.order, timer))
        heapq.heappush(line.by_deadline, (deadline + line.forward, timer.order, timer))
        if line.listed is None or deadline < line.listed[0]:
            self._list(line)

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None if there is no timer."""
        while self._heap:
            entry = self._heap[0]
            if entry[2].listed is entry:
                return entry[0]
            heapq.heappop(self._heap)
        return None

    def pop(self) -> Timer:
        """Take out the timer with the earliest deadline, which there must be."""
        self.next_deadline()
        line = self._heap[0][2]
        _, timer = line.next_deadline()
        self._take(line, timer)
        return timer

    def take_due(self, key: str | None, moment: float) -> list[Timer]:
        """Take out the timers that are due by that time at ``moment``, in the order in which they are due."""
        taken: list[Timer] = []
        while (line := self._lines.get(key)) is not None and (timer := line.first()).due <= moment:
            self._take(line, timer)
            taken.append(timer)
        return taken

    def forget(self, account_id: str) -> None:
        """Take out every timer of an account."""
        for timer, line in list(self._of_account.get(account_id, {}).items()):
            self._take(line, timer)

    def forward(self, key: str | None, seconds: float) -> None:
        """The time was put forward: its deadlines come nearer."""
        line = self._lines.get(key)
        if line is not None:
            line.forward += seconds
            self._list(line)

    def take_all(self) -> list[Timer]:
        """Take out every timer, in the order of their deadlines."""
        entries = [
            (deadline - line.forward, order, timer)
            for line in self._lines.values()
            for deadline, order, timer in line.by_deadline
            if not timer.is_over
        ]
        self.clear()
        return [timer for _, _, timer in sorted(entries)]

    def clear(self) -> None:
        """Forget every timer."""
        self._lines.clear()
        self._heap.clear()
        self._of_account.clear()

    def _take(self, line: _Line, timer: Timer) -> None:
        line.take(timer)
        of_account = self._of_account[timer.account_id]
        del of_account[timer]
        if not of_account:
            del self._of_account[timer.account_id]
        if line.size:
            self._list(line)
        else:
            del self._lines[line.key]
            line.listed = None

    def _list(self, line: _Line) -> None:
        """Put the line where its earliest deadline has its place."""
        deadline, timer = line.next_deadline()
        if line.listed is not None and line.listed[:2] == (deadline, timer.order):
            return
        line.listed = (deadline, timer.order, line)
        heapq.heappush(self._heap, line.listed)
        if len(self._heap) > 2 * len(self._lines) + _SPARE:
            self._heap = [entry for entry in self._heap if entry[2].listed is entry]
            heapq.heapify(self._heap)
