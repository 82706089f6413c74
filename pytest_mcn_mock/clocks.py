"""The two clocks, the machine's and one that stands still until something is due, and the time that really passes."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

monotonic: Final = partial(time.monotonic)
"""Return seconds of the monotonic clock, also in a test that has stopped the clock with freezegun.

freezegun replaces the functions of ``time`` wherever a module holds them; it does not look into a ``partial``. The
plugin imports this module when pytest starts, before any test can stop the clock.
"""


class SystemClock:
    """The machine's time, read once and carried on by the monotonic clock, so that it never goes back."""

    is_shared = True

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self.moved_s = 0.0
        """How far it was put forward."""

    def now(self, account_id: str | None) -> float:
        """Seconds since the epoch, the same for every account."""
        return self._offset + time.monotonic()

    def move(self, account_id: str | None, seconds: float) -> None:
        """Put the time forward, for every account."""
        self._offset += seconds
        self.moved_s += seconds

    def begin_again(self, account_id: str) -> None:
        """Do nothing: all accounts have the machine's time."""

    def reach(self, account_id: str | None, moment: float) -> None:
        """Nothing to do: time passes by itself."""


class VirtualClock:
    """A time of its own for each account, which moves only when something falls due or a test puts it forward.

    So that a seed gives the same records byte for byte, however long the test took. It starts at 12:50 on 27 May 2022,
    when the vendor's article was last changed.
    """

    is_shared = False
    START = 1_653_655_800.0

    def __init__(self) -> None:
        self._passed: dict[str | None, float] = {}

    def now(self, account_id: str | None) -> float:
        """Seconds since the epoch, for the account."""
        return self.START + self._passed.get(account_id, 0.0)

    def move(self, account_id: str | None, seconds: float) -> None:
        """Put the account's time forward."""
        self._passed[account_id] = self._passed.get(account_id, 0.0) + seconds

    def begin_again(self, account_id: str) -> None:
        """Let the time of a closed account begin again."""
        self._passed.pop(account_id, None)

    def reach(self, account_id: str | None, moment: float) -> None:
        """Put the account's time forward to the moment, if it is not later already."""
        self._passed[account_id] = max(self._passed.get(account_id, 0.0), moment - self.START)
