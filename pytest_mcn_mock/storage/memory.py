"""State in the process's memory: dictionaries and a lock. The default, and gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from itertools import islice

from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.money import Entry, EntryKind, Ledger
from pytest_mcn_mock.storage.books import Book, Record, book_of, post
from pytest_mcn_mock.storage.contents import AccountContents, Contents
from pytest_mcn_mock.storage.memory_calls import MemoryCalls
from pytest_mcn_mock.storage.recorder import NullRecorder, Recorder


class MemoryStore:
    """``accounts`` and ``calls`` over the same books, each step under one lock. ``recorder`` is told of every change.

    Implements ``service.ports.Durability`` for a state that goes with its process.

    ``journal_size`` bounds the calls that are listed, and each account's ledger entries. The oldest call goes first;
    one that has not ended, or still owes a CDR, is no longer listed then but is kept until it owes nothing.
    """

    def __init__(
        self, journal_size: int, recorder: Recorder | None = None, lock: threading.RLock | None = None
    ) -> None:
        self.on_recovery: Callable[[], None] = self.reopen
        self.on_kept: Callable[[], None] = self.tell_kept
        self._lock = lock or threading.RLock()
        recorder = recorder or NullRecorder()
        books: dict[str, Book] = {}
        self.calls = MemoryCalls(self._lock, books, journal_size, recorder)
        self.accounts = MemoryAccounts(self._lock, books, journal_size, recorder, self.calls.forget)

    failure: str | None = None
    latest = 0.0
    when_kept: Callable[[Callable[[], None]], None] | None = None

    def settled(self, delivery_id: int | None = None) -> Future[None] | None:  # noqa: ARG002 - there is nothing to keep
        return None

    def reopen(self) -> None:
        pass

    def tell_kept(self) -> None:
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
    """Implements ``service.ports.AccountStore``, where each method is described."""

    def __init__(
        self,
        lock: threading.RLock,
        books: dict[str, Book],
        ledger_limit: int,
        recorder: Recorder,
        forget_calls: Callable[[Iterable[Record]], None],
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
                raise Conflict(f"account {account.id} exists already, or did; choose another id")
            if account.token in self._by_token:
                raise Conflict(f"the token of account {account.id} is another account's; a token names one account")
            self._opened += 1
            book = Book(replace(account, seq=self._opened), Ledger(self._ledger_limit))
            self._books[account.id] = book
            self._by_token[account.token] = account.id
            self._taken.add(account.id)
            self._recorder.account(book.account, is_new=True)
            post(self._recorder, book, EntryKind.OPENING, opening, at)

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
        self._books[account_id] = Book(held.account, ledger, max(held.accepted_calls, accepted))
        while (folded := ledger.fold()) is not None:
            self._recorder.folded(account_id, folded)

    def is_taken(self, account_id: str) -> bool:
        return account_id in self._taken

    def get(self, account_id: str) -> Account:
        return book_of(self._books, account_id).account

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
            book = book_of(self._books, account_id)
            book.account = change(book.account)
            self._recorder.account(book.account)
            return book.account

    def together(self) -> AbstractContextManager[object]:
        return self._lock

    def balance(self, account_id: str) -> int:
        return book_of(self._books, account_id).ledger.balance

    def entries(self, account_id: str) -> Sequence[Entry]:
        with self._lock:
            return tuple(book_of(self._books, account_id).ledger)

    def post(self, account_id: str, kind: EntryKind, amount: Callable[[int], int], at: float) -> int:
        with self._lock:
            self._recorder.admit()
            book = book_of(self._books, account_id)
            post(self._recorder, book, kind, amount(book.ledger.balance), at)
            return book.ledger.balance
