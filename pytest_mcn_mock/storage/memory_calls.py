"""Calls and deliveries in the process's memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision
from pytest_mcn_mock.storage.books import Book, Record, book_of, post
from pytest_mcn_mock.storage.contents import CallContents, Contents
from pytest_mcn_mock.storage.recorder import Recorder


class MemoryCalls:
    """Implements ``service.ports.CallStore``, where each method is described."""

    def __init__(self, lock: threading.RLock, books: dict[str, Book], journal_size: int, recorder: Recorder) -> None:
        self._lock = lock
        self._recorder = recorder
        self._books = books
        self._journal_size = journal_size
        self._journal: OrderedDict[str, Record] = OrderedDict()
        self._records: dict[str, Record] = {}
        self._places: dict[int, tuple[Record, int]] = {}
        """The record of each delivery, and the index in it."""
        self._calls_placed = 0
        self._deliveries_made = 0
        self._pending = 0
        self._dropped = 0

    def place(
        self, account_id: str, decide: Callable[[AccountSnapshot], CallDecision]
    ) -> tuple[Call, Sequence[Delivery]]:
        with self._lock:
            self._recorder.admit()
            book = book_of(self._books, account_id)
            placement = decide(
                AccountSnapshot(
                    book.account,
                    book.ledger.balance,
                    book.accepted_calls,
                    self._calls_placed + 1,
                    self._deliveries_made + 1,
                )
            )
            call = placement.call
            record = Record(call, self._enter(placement.deliveries))
            self._calls_placed += 1
            if placement.account is not book.account:
                book.account = placement.account
                self._recorder.account(book.account)
            book.accepted_calls += 1
            self._recorder.accepted(account_id, book.accepted_calls)
            post(self._recorder, book, EntryKind.CHARGE, -call.price, call.placed_at, call.verification_call_uuid)
            self._recorder.call(call, is_listed=True, is_new=True)
            self._records[call.verification_call_uuid] = record
            self._pending += self._index(record)
            book.journal[call.verification_call_uuid] = record
            self._journal[call.verification_call_uuid] = record
            if len(self._journal) > self._journal_size:
                self._unlist_oldest()
            return call, tuple(record.deliveries)

    def end(
        self, verification_call_uuid: str, end: Callable[[Call, Sequence[Delivery]], tuple[Call, Sequence[Delivery]]]
    ) -> tuple[Call, Sequence[Delivery]] | None:
        with self._lock:
            self._recorder.admit()
            record = self._records.get(verification_call_uuid)
            if record is None or record.call.ending is not None:
                return None
            pending_before = sum(delivery.state is DeliveryState.PENDING for delivery in record.deliveries)
            record.call, deliveries = end(record.call, record.deliveries)
            self._recorder.call(record.call, is_listed=record.listed)
            record.deliveries = [self._kept(delivery) for delivery in deliveries]
            self._pending += self._index(record) - pending_before
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
            self._pending += (changed.state is DeliveryState.PENDING) - (before.state is DeliveryState.PENDING)
            self._drop_if_done(record)
            return changed

    def settle(
        self, delivery_id: int, settle: Callable[[Delivery, Account], tuple[Delivery, Account]]
    ) -> tuple[Delivery, Account]:
        with self._lock:
            self._recorder.admit()
            record, index = self._place_of(delivery_id)
            book = book_of(self._books, record.call.account_id)
            before = record.deliveries[index]
            changed, account = settle(before, book.account)
            record.deliveries[index] = changed
            self._recorder.delivery(changed)
            if account is not book.account:
                book.account = account
                self._recorder.account(account)
            self._pending += (changed.state is DeliveryState.PENDING) - (before.state is DeliveryState.PENDING)
            self._drop_if_done(record)
            return changed, account

    def pending(self) -> Sequence[Delivery]:
        with self._lock:
            return [d for r in self._records.values() for d in r.deliveries if d.state is DeliveryState.PENDING]

    def ringing(self) -> Sequence[Call]:
        with self._lock:
            return [record.call for record in self._records.values() if record.call.ending is None]

    def count_pending(self) -> int:
        return self._pending

    def count_unlisted(self) -> int:
        return len(self._records) - len(self._journal)

    def count_dropped(self) -> int:
        return self._dropped

    def forget(self, records: Iterable[Record]) -> None:
        """Drop calls whose account is removed."""
        for record in records:
            self._journal.pop(record.call.verification_call_uuid, None)
            self._drop(record)

    def restore(self, contents: Contents) -> None:
        """Hold these calls and no other, whose accounts are there; see ``MemoryStore.restore``."""
        self._journal.clear()
        self._records.clear()
        self._places.clear()
        self._pending = 0
        for held in contents.calls:
            self._restore(held)
        self._calls_placed = max(self._calls_placed, contents.calls_placed)
        self._deliveries_made = max(self._deliveries_made, contents.deliveries_made)
        while len(self._journal) > self._journal_size:
            self._unlist_oldest()

    def _restore(self, held: CallContents) -> None:
        uuid = held.call.verification_call_uuid
        record = Record(held.call, held.deliveries, held.is_listed)
        self._records[uuid] = self._books[held.call.account_id].journal[uuid] = record
        self._pending += self._index(record)
        if held.is_listed:
            self._journal[uuid] = record

    def _enter(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries of a new call, those without a number numbered after the others."""
        for delivery in deliveries:
            if delivery.id:
                self._deliveries_made += 1
                self._recorder.delivery(delivery, is_new=True)
        return [delivery if delivery.id else self._numbered(delivery) for delivery in deliveries]

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

    def _index(self, record: Record) -> int:
        """Let the deliveries of a record be found; return how many are pending."""
        pending = 0
        for index, delivery in enumerate(record.deliveries):
            self._places[delivery.id] = record, index
            pending += delivery.state is DeliveryState.PENDING
        return pending

    def _listed(self, account_id: str | None, *, newest_first: bool = False) -> Iterator[Record]:
        journal = self._journal if account_id is None else book_of(self._books, account_id).journal
        records = reversed(journal.values()) if newest_first else iter(journal.values())
        return (record for record in records if record.listed)

    def _record(self, verification_call_uuid: str) -> Record:
        try:
            return self._records[verification_call_uuid]
        except KeyError:
            raise NotFound(f"there is no call {verification_call_uuid[:80]!r}") from None

    def _place_of(self, delivery_id: int) -> tuple[Record, int]:
        try:
            return self._places[delivery_id]
        except KeyError:
            raise NotFound(f"there is no delivery {delivery_id}") from None

    def _unlist_oldest(self) -> None:
        _, record = self._journal.popitem(last=False)
        record.listed = False
        self._recorder.call(record.call, is_listed=False)
        self._dropped += 1
        self._drop_if_done(record)

    def _drop_if_done(self, record: Record) -> None:
        if not record.listed and record.is_finished():
            self._drop(record)
            # The book is kept for as long as its account is, and takes its records along when it goes.
            self._books[record.call.account_id].journal.pop(record.call.verification_call_uuid)

    def _drop(self, record: Record) -> None:
        self._records.pop(record.call.verification_call_uuid, None)
        self._recorder.call_dropped(record.call.seq)
        for delivery in record.deliveries:
            self._pending -= delivery.state is DeliveryState.PENDING
            self._places.pop(delivery.id, None)
            self._recorder.delivery_dropped(delivery.id)


def _is_behind(number: int, after: int, newest_first: bool) -> bool:
    return number < after if newest_first and after else number > after
