"""State in the process's memory: dictionaries and a lock. The default, and gone with the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from pytest_mcn_mock.domain.accounts import Account
from pytest_mcn_mock.domain.calls import Call
from pytest_mcn_mock.domain.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.domain.ledger import Entry, EntryKind, Ledger
from pytest_mcn_mock.errors import UnknownItem, UsageError
from pytest_mcn_mock.operator.ports import Placement


@dataclass(slots=True, eq=False)
class _Record:
    """A call with its deliveries."""

    call: Call
    deliveries: list[Delivery]
    listed: bool = True

    def is_finished(self) -> bool:
        return self.call.ending is not None and all(d.state is not DeliveryState.OWED for d in self.deliveries)


@dataclass(slots=True, eq=False)
class _Book:
    """All that is one account's own."""

    account: Account
    ledger: Ledger
    accepted_calls: int = 0
    journal: OrderedDict[str, _Record] = field(default_factory=OrderedDict)


class MemoryStore:
    """``accounts`` and ``calls`` over the same books, each step under one lock.

    ``journal_size`` bounds the calls that are listed, and each account's ledger entries. The oldest call goes first;
    one that has not ended, or still owes a CDR, is no longer listed then but is kept until it owes nothing.
    """

    def __init__(self, journal_size: int) -> None:
        lock = threading.RLock()
        books: dict[str, _Book] = {}
        self.calls = MemoryCalls(lock, books, journal_size)
        self.accounts = MemoryAccounts(lock, books, journal_size, self.calls.forget)


class MemoryAccounts:
    """Implements ``operator.ports.AccountStore``, where each method is described."""

    def __init__(
        self,
        lock: threading.RLock,
        books: dict[str, _Book],
        ledger_limit: int,
        forget_calls: Callable[[Iterable[_Record]], None],
    ) -> None:
        self._lock = lock
        self._books = books
        self._by_token: dict[str, str] = {}
        self._taken: set[str] = set()
        self._opened = 0
        self._ledger_limit = ledger_limit
        self._forget_calls = forget_calls

    def add(self, account: Account, opening: int, at: float) -> None:
        with self._lock:
            if account.id in self._taken:
                raise UsageError(f"account {account.id} exists already, or did; choose another id")
            if account.token in self._by_token:
                raise UsageError(f"the token of account {account.id} is another account's; a token names one account")
            ledger = Ledger(self._ledger_limit)
            ledger.post(EntryKind.OPENING, opening, at)
            self._opened += 1
            self._books[account.id] = _Book(replace(account, seq=self._opened), ledger)
            self._by_token[account.token] = account.id
            self._taken.add(account.id)

    def remove(self, account_id: str) -> None:
        with self._lock:
            book = self._books.pop(account_id, None)
            if book is not None:
                del self._by_token[book.account.token]
                self._forget_calls(book.journal.values())

    def clear(self) -> None:
        with self._lock:
            for account in self.all():
                self.remove(account.id)
            self._taken.clear()

    def is_taken(self, account_id: str) -> bool:
        return account_id in self._taken

    def get(self, account_id: str) -> Account:
        return _book(self._books, account_id).account

    def of_token(self, token: str) -> Account | None:
        with self._lock:
            account_id = self._by_token.get(token)
            return None if account_id is None else self._books[account_id].account

    def all(self) -> Sequence[Account]:
        with self._lock:
            return [book.account for book in self._books.values()]

    def page(self, after: int, limit: int) -> Sequence[Account]:
        with self._lock:
            return list(islice((b.account for b in self._books.values() if b.account.seq > after), limit))

    def change(self, account_id: str, change: Callable[[Account], Account]) -> Account:
        with self._lock:
            book = _book(self._books, account_id)
            book.account = change(book.account)
            return book.account

    def balance(self, account_id: str) -> int:
        return _book(self._books, account_id).ledger.balance

    def entries(self, account_id: str) -> Sequence[Entry]:
        with self._lock:
            return tuple(_book(self._books, account_id).ledger)

    def post(self, account_id: str, kind: EntryKind, amount: Callable[[int], int], at: float) -> int:
        with self._lock:
            ledger = _book(self._books, account_id).ledger
            ledger.post(kind, amount(ledger.balance), at)
            return ledger.balance


class MemoryCalls:
    """Implements ``operator.ports.CallStore``, where each method is described."""

    def __init__(self, lock: threading.RLock, books: dict[str, _Book], journal_size: int) -> None:
        self._lock = lock
        self._books = books
        self._journal_size = journal_size
        self._journal: OrderedDict[str, _Record] = OrderedDict()
        self._records: dict[str, _Record] = {}
        self._by_delivery: dict[int, _Record] = {}
        self._calls_placed = 0
        self._deliveries_made = 0
        self._owed = 0
        self._dropped = 0

    def place(self, account_id: str, decide: Callable[[Account, int, int], Placement]) -> Call:
        with self._lock:
            book = _book(self._books, account_id)
            placement = decide(book.account, book.ledger.balance, book.accepted_calls)
            self._calls_placed += 1
            call = replace(placement.call, seq=self._calls_placed)
            record = _Record(call, self._owe(book.account, call) if placement.owes_cdr else [])
            book.account = placement.account
            book.accepted_calls += 1
            book.ledger.post(EntryKind.CHARGE, -call.price, call.placed_at, call.verification_call_uuid)
            self._records[call.verification_call_uuid] = record
            self._by_delivery.update((delivery.id, record) for delivery in record.deliveries)
            self._owed += len(record.deliveries)
            book.journal[call.verification_call_uuid] = record
            self._journal[call.verification_call_uuid] = record
            if len(self._journal) > self._journal_size:
                self._unlist_oldest()
            return call

    def end(
        self, verification_call_uuid: str, end: Callable[[Call, Sequence[Delivery]], tuple[Call, Sequence[Delivery]]]
    ) -> tuple[Call, Sequence[Delivery]] | None:
        with self._lock:
            record = self._records.get(verification_call_uuid)
            if record is None or record.call.ending is not None:
                return None
            owed_before = _count_owed(record.deliveries)
            record.call, deliveries = end(record.call, record.deliveries)
            record.deliveries = [delivery if delivery.id else self._numbered(delivery) for delivery in deliveries]
            self._by_delivery.update((delivery.id, record) for delivery in record.deliveries)
            self._owed += _count_owed(record.deliveries) - owed_before
            self._drop_if_done(record)
            return record.call, tuple(record.deliveries)

    def get(self, verification_call_uuid: str) -> Call:
        return self._record(verification_call_uuid).call

    def page(self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False) -> Sequence[Call]:
        with self._lock:
            calls = (record.call for record in self._listed(account_id, newest_first=newest_first))
            return list(islice((call for call in calls if _is_behind(call.seq, after, newest_first)), limit))

    def delivery(self, delivery_id: int) -> Delivery:
        with self._lock:
            record, index = self._place_of(delivery_id)
            return record.deliveries[index]

    def deliveries_of(self, verification_call_uuid: str) -> Sequence[Delivery]:
        with self._lock:
            return tuple(self._record(verification_call_uuid).deliveries)

    def page_of_deliveries(
        self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False
    ) -> Sequence[Delivery]:
        with self._lock:
            deliveries = (d for record in self._listed(account_id) for d in record.deliveries)
            found = [delivery for delivery in deliveries if _is_behind(delivery.id, after, newest_first)]
            # A delivery that the end of a call added is younger than those of the calls placed meanwhile.
            return sorted(found, key=lambda delivery: delivery.id, reverse=newest_first)[:limit]

    def change_delivery(self, delivery_id: int, change: Callable[[Delivery], Delivery]) -> Delivery:
        with self._lock:
            record, index = self._place_of(delivery_id)
            before = record.deliveries[index]
            changed = record.deliveries[index] = change(before)
            self._owed += _count_owed((changed,)) - _count_owed((before,))
            self._drop_if_done(record)
            return changed

    def owed(self) -> Sequence[Delivery]:
        with self._lock:
            return [d for r in self._records.values() for d in r.deliveries if d.state is DeliveryState.OWED]

    def count_owed(self) -> int:
        return self._owed

    def count_dropped(self) -> int:
        return self._dropped

    def forget(self, records: Iterable[_Record]) -> None:
        """Drop calls whose account is removed."""
        for record in records:
            self._journal.pop(record.call.verification_call_uuid, None)
            self._drop(record)

    def _owe(self, account: Account, call: Call) -> list[Delivery]:
        deliveries = []
        for subscription in account.subscriptions:
            if subscription.enabled:
                owed = Delivery(
                    id=0,
                    verification_call_uuid=call.verification_call_uuid,
                    account_id=account.id,
                    subscription=subscription.number,
                    url=subscription.url,
                    due_at=call.ends_at,
                )
                deliveries.append(self._numbered(owed))
        return deliveries

    def _numbered(self, delivery: Delivery) -> Delivery:
        self._deliveries_made += 1
        return replace(delivery, id=self._deliveries_made)

    def _listed(self, account_id: str | None, *, newest_first: bool = False) -> Iterator[_Record]:
        journal = self._journal if account_id is None else _book(self._books, account_id).journal
        records = reversed(journal.values()) if newest_first else iter(journal.values())
        return (record for record in records if record.listed)

    def _record(self, verification_call_uuid: str) -> _Record:
        try:
            return self._records[verification_call_uuid]
        except KeyError:
            raise UnknownItem(f"there is no call {verification_call_uuid[:80]!r}") from None

    def _place_of(self, delivery_id: int) -> tuple[_Record, int]:
        record = self._by_delivery.get(delivery_id)
        if record is None:
            raise UnknownItem(f"there is no delivery {delivery_id}")
        return record, next(i for i, delivery in enumerate(record.deliveries) if delivery.id == delivery_id)

    def _unlist_oldest(self) -> None:
        _, record = self._journal.popitem(last=False)
        record.listed = False
        self._dropped += 1
        self._drop_if_done(record)

    def _drop_if_done(self, record: _Record) -> None:
        if not record.listed and record.is_finished():
            self._drop(record)
            # The book is kept for as long as its account is, and takes its records along when it goes.
            self._books[record.call.account_id].journal.pop(record.call.verification_call_uuid)

    def _drop(self, record: _Record) -> None:
        self._owed -= _count_owed(record.deliveries)
        self._records.pop(record.call.verification_call_uuid, None)
        for delivery in record.deliveries:
            self._by_delivery.pop(delivery.id, None)


def _count_owed(deliveries: Iterable[Delivery]) -> int:
    return sum(delivery.state is DeliveryState.OWED for delivery in deliveries)


def _is_behind(number: int, after: int, newest_first: bool) -> bool:
    return number < after if newest_first and after else number > after


def _book(books: dict[str, _Book], account_id: str) -> _Book:
    try:
        return books[account_id]
    except KeyError:
        raise UnknownItem(f"there is no account {account_id[:40]!r}") from None
