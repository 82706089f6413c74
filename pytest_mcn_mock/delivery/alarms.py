"""When to look for due work: alarms in real time for moments of a time that can be put forward, or stands still."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_mcn_mock.service.ports import Clock

Key = str | None
"""An account's id if it has a time of its own, None for the time that all share."""


@dataclass(slots=True)
class _Alarms:
    """The alarms of one time: when each rings, and for which moment. ``forward`` is how far that time was put forward:
    a deadline has it added when it is entered, and loses what was added since.
    """

    entries: list[tuple[float, float]] = field(default_factory=list)
    forward: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Alarms:
    """Calls ``ring`` with the key of a time when a moment of it has come, on the event loop.

    A time that stands still reaches the moment by that: as many seconds after the alarm was set as the moment was
    ahead.
    """

    def __init__(self, clock: Clock, ring: Callable[[Key], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._of: dict[Key, _Alarms] = {}

    def set(self, key: Key, moment: float) -> None:
        """Ring at that moment."""
        wait_s = moment - self._clock.now(key)
        if wait_s <= 0:
            self._ring(key)
            return
        alarms = self._of.setdefault(key, _Alarms())
        deadline = asyncio.get_running_loop().time() + wait_s + alarms.forward
        if self._clock.is_shared and alarms.entries and alarms.entries[0][0] <= deadline:
            return  # when the first one rings, the next one is set
        heapq.heappush(alarms.entries, (deadline, moment))
        self._set_timer(key, alarms)

    def put_forward(self, key: Key, seconds: float) -> None:
        """The time was put forward: its moments come nearer."""
        if (alarms := self._of.get(key)) is not None:
            alarms.forward += seconds
            self._set_timer(key, alarms)

    def forget(self, key: Key) -> None:
        """Ring no more for that time."""
        alarms = self._of.pop(key, None)
        if alarms is not None and alarms.timer is not None:
            alarms.timer.cancel()

    def clear(self) -> None:
        """Ring no more."""
        for key in tuple(self._of):
            self.forget(key)

    def _set_timer(self, key: Key, alarms: _Alarms) -> None:
        deadline = alarms.entries[0][0] - alarms.forward
        if alarms.timer is not None:
            if alarms.timer.when() == deadline:
                return
            alarms.timer.cancel()
        alarms.timer = asyncio.get_running_loop().call_at(deadline, self._on_time, key, alarms)

    def _on_time(self, key: Key, alarms: _Alarms) -> None:
        alarms.timer = None
        now = asyncio.get_running_loop().time() + alarms.forward
        while alarms.entries and alarms.entries[0][0] <= now:
            self._clock.reach(key, heapq.heappop(alarms.entries)[1])
        if alarms.entries:
            self._set_timer(key, alarms)
        else:
            del self._of[key]
        self._ring(key)
