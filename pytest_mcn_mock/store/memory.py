"""State in the process's memory: dictionaries and a lock. The default, and gone with the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice

from pytest_mcn_mock.domain.accounts import Account
from pytest_mcn_mock.domain.calls import Call
from pytest_mcn_mock.domain.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.domain.ledger import Entry, EntryKind, Ledger
from pytest_mcn_mock.errors import UnknownItem, UsageError
from pytest_mcn_mock.operator.ports import Placement
from pytest_mcn_mock.store.contents import AccountContents, CallContents, Contents
from pytest_mcn_mock.store.recorder import NullRecorder, Recorder


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
    """``accounts`` and ``calls`` over the same books, each step under one lock. ``recorder`` is told of every change.

    Implements ``operator.ports.Durability`` for a state that goes with its process.

    ``journal_size`` bounds the calls that are listed, and each account's ledger entries. The oldest call goes first;
    one that has not ended, or still owes a CDR, is no longer listed then but is kept until it owes nothing.
    """

    def __init__(
        self, journal_size: int, recorder: Recorder | None = None, lock: threading.RLock | None = None
    ) -> None:
        self.on_recovery: Callable[[], None] = self.reopen
        self._lock = lock or threading.RLock()
        recorder = recorder or NullRecorder()
        books: dict[str, _Book] = {}
        self.calls = MemoryCalls(self._lock, books, journal_size, recorder)
        self.accounts = MemoryAccounts(self._lock, books, journal_size, recorder, self.calls.forget)

    failure: str | None = None
    latest = 0.0

    def settled(self, delivery_id: int | None = None) -> Future[None] | None:  # noqa: ARG002 - there is nothing to keep
        return None

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass

    def restore(self, contents: Contents) -> None:
        """Hold this and nothing else. Numbers that were given out are not given out again, whoever got them.

        What is more than ``journal_size`` is folded and unlisted, and ``recorder`` is told of that.
        """
        with self._lock:
            self.accounts.restore(contents)
            self.calls.restore(contents)


class MemoryAccounts:
    """Implements ``operator.ports.AccountStore``, where each method is described."""

    def __init__(
        self,
        lock: threading.RLock,
        books: dict[str, _Book],
        ledger_limit: int,
        recorder: Recorder,
        forget_calls: Callable[[Iterable[_Record]], None],
    ) -> None:
        self._lock = lock
        self._books = books
        self._by_token: dict[str, str] = {}
        self._taken: set[str] = set()
        self._opened = 0
        self._ledger_limit = ledger_limit
        self._recorder = recorder
        self._forget_calls = forget_calls

    def add(self, account: Account, opening: int, at: float) -> None:
        with self._lock:
            self._recorder.admit()
            if account.id in self._taken:
                raise UsageError(f"account {account.id} exists already, or did; choose another id")
            if account.token in self._by_token:
                raise UsageError(f"the token of account {account.id} is another account's; a token names one account")
            self._opened += 1
            book = _Book(replace(account, seq=self._opened), Ledger(self._ledger_limit))
            self._books[account.id] = book
            self._by_token[account.token] = account.id
            self._taken.add(account.id)
            self._recorder.account(book.account, is_new=True)
            _post(self._recorder, book, EntryKind.OPENING, opening, at)

    def remove(self, account_id: str) -> None:
        with self._lock:
            self._recorder.admit()
            book = self._books.pop(account_id, None)
            if book is not None:
                del self._by_token[book.account.token]
                self._forget_calls(book.journal.values())
                self._recorder.account_removed(account_id)

    def clear(self) -> None:
        with self._lock:
            for account in self.all():
                self.remove(account.id)
            self._taken.clear()
            self._recorder.cleared()

    def restore(self, contents: Contents) -> None:
        """Hold these accounts and no other; see ``MemoryStore.restore``."""
        accepted = {account_id: book.accepted_calls for account_id, book in self._books.items()}
        self._books.clear()
        for held in contents.accounts:
            self._restore(held, accepted.get(held.account.id, 0))
        self._by_token = {book.account.token: book.account.id for book in self._books.values()}
        self._taken = {*contents.taken_ids, *self._books}
        self._opened = max(self._opened, contents.accounts_opened)

    def _restore(self, held: AccountContents, accepted: int) -> None:
        account_id = held.account.id
        ledger = Ledger(self._ledger_limit, held.entries)
        self._books[account_id] = _Book(held.account, ledger, max(held.accepted_calls, accepted))
        while (folded := ledger.fold()) is not None:
            self._recorder.folded(account_id, folded)

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
            self._recorder.admit()
            book = _book(self._books, account_id)
            book.account = change(book.account)
            self._recorder.account(book.account)
            return book.account

    def balance(self, account_id: str) -> int:
        return _book(self._books, account_id).ledger.balance

    def entries(self, account_id: str) -> Sequence[Entry]:
        with self._lock:
            return tuple(_book(self._books, account_id).ledger)

    def post(self, account_id: str, kind: EntryKind, amount: Callable[[int], int], at: float) -> int:
        with self._lock:
            self._recorder.admit()
            book = _book(self._books, account_id)
            _post(self._recorder, book, kind, amount(book.ledger.balance), at)
            return book.ledger.balance


class MemoryCalls:
    """Implements ``operator.ports.CallStore``, where each method is described."""

    def __init__(self, lock: threading.RLock, books: dict[str, _Book], journal_size: int, recorder: Recorder) -> None:
        self._lock = lock
        self._recorder = recorder
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
            self._recorder.admit()
            book = _book(self._books, account_id)
            placement = decide(book.account, book.ledger.balance, book.accepted_calls)
            self._calls_placed += 1
            call = replace(placement.call, seq=self._calls_placed)
            record = _Record(call, self._owe(book.account, call) if placement.owes_cdr else [])
            if placement.account is not book.account:
                book.account = placement.account
                self._recorder.account(book.account)
            book.accepted_calls += 1
            self._recorder.accepted(account_id, book.accepted_calls)
            _post(self._recorder, book, EntryKind.CHARGE, -call.price, call.placed_at, call.verification_call_uuid)
            self._recorder.call(call, is_listed=True, is_new=True)
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
            self._recorder.admit()
            record = self._records.get(verification_call_uuid)
            if record is None or record.call.ending is not None:
                return None
            owed_before = _count_owed(record.deliveries)
            record.call, deliveries = end(record.call, record.deliveries)
            self._recorder.call(record.call, is_listed=record.listed)
            record.deliveries = [self._kept(delivery) for delivery in deliveries]
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
            self._recorder.admit()
            record, index = self._place_of(delivery_id)
            before = record.deliveries[index]
            changed = record.deliveries[index] = change(before)
            self._recorder.delivery(changed)
            self._owed += _count_owed((changed,)) - _count_owed((before,))
            self._drop_if_done(record)
            return changed

    def owed(self) -> Sequence[Delivery]:
        with self._lock:
            return [d for r in self._records.values() for d in r.deliveries if d.state is DeliveryState.OWED]

    def ringing(self) -> Sequence[Call]:
        with self._lock:
            return [record.call for record in self._records.values() if record.call.ending is None]

    def count_owed(self) -> int:
        return self._owed

    def count_dropped(self) -> int:
        return self._dropped

    def forget(self, records: Iterable[_Record]) -> None:
        """Drop calls whose account is removed."""
        for record in records:
            self._journal.pop(record.call.verification_call_uuid, None)
            self._drop(record)

    def restore(self, contents: Contents) -> None:
        """Hold these calls and no other, whose accounts are there; see ``MemoryStore.restore``."""
        self._journal.clear()
        self._records.clear()
        self._by_delivery.clear()
        self._owed = 0
        for held in contents.calls:
            self._restore(held)
        self._calls_placed = max(self._calls_placed, contents.calls_placed)
        self._deliveries_made = max(self._deliveries_made, contents.deliveries_made)
        while len(self._journal) > self._journal_size:
            self._unlist_oldest()

    def _restore(self, held: CallContents) -> None:
        uuid = held.call.verification_call_uuid
        record = _Record(held.call, held.deliveries, held.is_listed)
        self._records[uuid] = self._books[held.call.account_id].journal[uuid] = record
        self._by_delivery.update((delivery.id, record) for delivery in record.deliveries)
        self._owed += _count_owed(record.deliveries)
        if held.is_listed:
            self._journal[uuid] = record

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

    def _kept(self, delivery: Delivery) -> Delivery:
        if not delivery.id:
            return self._numbered(delivery)
        self._recorder.delivery(delivery)
        return delivery

    def _numbered(self, delivery: Delivery) -> Delivery:
        self._deliveries_made += 1
        numbered = replace(delivery, id=self._deliveries_made)
        self._recorder.delivery(numbered, is_new=True)
        return numbered

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
        self._recorder.call(record.call, is_listed=False)
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
        self._recorder.call_dropped(record.call.seq)
        for delivery in record.deliveries:
            self._by_delivery.pop(delivery.id, None)
            self._recorder.delivery_dropped(delivery.id)


def _post(
    recorder: Recorder, book: _Book, kind: EntryKind, kopecks: int, at: float, verification_call_uuid: str | None = None
) -> None:
    entry, folded = book.ledger.post(kind, kopecks, at, verification_call_uuid)
    recorder.posted(book.account.id, entry)
    if folded is not None:
        recorder.folded(book.account.id, folded)


def _count_owed(deliveries: Iterable[Delivery]) -> int:
    return sum(delivery.state is DeliveryState.OWED for delivery in deliveries)


def _is_behind(number: int, after: int, newest_first: bool) -> bool:
    return number < after if newest_first and after else number > after


def _book(books: dict[str, _Book], account_id: str) -> _Book:
    try:
        return books[account_id]
    except KeyError:
        raise UnknownItem(f"there is no account {account_id[:40]!r}") from None
