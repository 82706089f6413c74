"""All that a store holds, as values: what is read back from a copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.money import Entry


@dataclass(frozen=True, slots=True)
class AccountContents:
    """An account, how many calls it has had accepted, and its ledger, oldest entry first."""

    account: Account
    accepted_calls: int
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CallContents:
    """A call, whether the journal lists it, and its deliveries."""

    call: Call
    is_listed: bool
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Contents:
    """``accounts`` in order of opening, ``calls`` in order of arrival, and the ids that accounts had that are gone.

    The last three are the highest numbers that were given out, those of what is gone included.
    """

    accounts: list[AccountContents] = field(default_factory=list)
    calls: list[CallContents] = field(default_factory=list)
    taken_ids: frozenset[str] = frozenset()
    accounts_opened: int = 0
    calls_placed: int = 0
    deliveries_made: int = 0

    def latest(self) -> float:
        """The latest moment at which something happened, in seconds since the epoch; 0 for nothing."""
        return max(self._moments(), default=0.0)

    def _moments(self) -> Iterator[float]:
        for account in self.accounts:
            yield from (entry.at for entry in account.entries[-1:])
        for call in self.calls:
            yield call.call.placed_at
            if call.call.ended_at is not None:
                yield call.call.ended_at
            for delivery in call.deliveries:
                yield from (attempt.at + attempt.duration_s for attempt in delivery.attempts[-1:])
