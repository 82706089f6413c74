"""The ledger: every movement of an account's money is an entry, and the balance is the sum of the entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pytest_mcn_mock.model.money import format_roubles, to_decimal


class EntryKind(StrEnum):
    """Why money moved."""

    OPENING = "opening"
    TOP_UP = "top_up"
    ADJUSTMENT = "adjustment"
    CHARGE = "charge"
    BROUGHT_FORWARD = "brought_forward"
    """The sum of the entries that a bounded ledger no longer lists one by one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of money. ``kopecks`` is negative for a charge; ``at`` is in seconds since the epoch.

    ``n`` numbers the account's entries from 1, and ``balance`` is the sum so far, in kopecks.
    """

    kind: EntryKind
    kopecks: int
    at: float
    verification_call_uuid: str | None = None
    n: int = 0
    balance: int = 0

    @property
    def amount(self) -> Decimal:
        """The movement in roubles."""
        return to_decimal(self.kopecks)

    def __str__(self) -> str:
        of = f" for {self.verification_call_uuid}" if self.verification_call_uuid else ""
        return f"{self.kind} {format_roubles(self.kopecks)}{of}"


class Ledger:
    """Entries in order, at most ``limit`` of them: older ones are folded into one that brings their sum forward.
    ``entries`` are those of a ledger that goes on.

    Not thread-safe by itself: the store that owns it holds its lock.
    """

    def __init__(self, limit: int, entries: Iterable[Entry] = ()) -> None:
        if limit < 2:
            raise ValueError("a ledger needs room for the sum brought forward and for one entry")
        self._limit = limit
        self._entries: deque[Entry] = deque(entries)
        self._balance = self._entries[-1].balance if self._entries else 0
        self._posted = self._entries[-1].n if self._entries else 0

    @property
    def balance(self) -> int:
        """Kopecks: the sum of the entries, kept beside them so that reading it costs nothing."""
        return self._balance

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def post(
        self, kind: EntryKind, kopecks: int, at: float, verification_call_uuid: str | None = None
    ) -> tuple[Entry, Entry | None]:
        """Add an entry; return it, and what ``fold`` returns then."""
        self._posted += 1
        self._balance += kopecks
        entry = Entry(kind, kopecks, at, verification_call_uuid, self._posted, self._balance)
        self._entries.append(entry)
        return entry, self.fold()

    def fold(self) -> Entry | None:
        """Past the limit, fold the two oldest entries into one, which has the number of the younger one; return it, or
        None where there is room.
        """
        if len(self._entries) <= self._limit:
            return None
        first, second = self._entries.popleft(), self._entries.popleft()
        kopecks = first.kopecks + second.kopecks
        folded = Entry(EntryKind.BROUGHT_FORWARD, kopecks, second.at, None, second.n, second.balance)
        self._entries.appendleft(folded)
        return folded
