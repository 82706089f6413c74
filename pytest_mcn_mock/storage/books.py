"""What the store in memory holds: an account's book, with its ledger and its calls."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.money import EntryKind, Ledger
from pytest_mcn_mock.storage.recorder import Recorder


@dataclass(slots=True, eq=False)
class Record:
    """A call with its deliveries."""

    call: Call
    deliveries: list[Delivery]
    listed: bool = True

    def is_finished(self) -> bool:
        """Whether the call has ended, and owes no CDR."""
        return self.call.ending is not None and all(d.state is not DeliveryState.PENDING for d in self.deliveries)


@dataclass(slots=True, eq=False)
class Book:
    """All that is one account's own."""

    account: Account
    ledger: Ledger
    accepted_calls: int = 0
    journal: OrderedDict[str, Record] = field(default_factory=OrderedDict)


def post(
    recorder: Recorder, book: Book, kind: EntryKind, kopecks: int, at: float, verification_call_uuid: str | None = None
) -> None:
    """Post an entry in the book's ledger, and tell so."""
    entry, folded = book.ledger.post(kind, kopecks, at, verification_call_uuid)
    recorder.posted(book.account.id, entry)
    if folded is not None:
        recorder.folded(book.account.id, folded)


def book_of(books: dict[str, Book], account_id: str) -> Book:
    """The account's book; NotFound if there is none."""
    try:
        return books[account_id]
    except KeyError:
        raise NotFound(f"there is no account {account_id[:40]!r}") from None
