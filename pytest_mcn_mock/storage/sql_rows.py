"""The tables of a state that outlives the process, and the way from a value to its row and back.

What one would look for has a column of its own; the whole value is in ``data``, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, MetaData, String, Table, Text, select

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.money import Entry, EntryKind
from pytest_mcn_mock.storage.contents import AccountContents, CallContents, Contents

SCHEMA_VERSION: Final = 1
"""Counts up with every change of the tables or of the values in them that an older version could not read."""
COUNTERS: Final = ("accounts_opened", "calls_placed", "deliveries_made")
PROBE: Final = "probe"
"""The key that is written to find out whether anything can be."""

_T = TypeVar("_T")

metadata = MetaData()
meta = Table("meta", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))
accounts = Table(
    "accounts",
    metadata,
    Column("id", String(15), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("token", String(512), nullable=False),
    Column("accepted_calls", BigInteger, nullable=False, default=0),
    Column("data", Text, nullable=False),
)
taken_ids = Table("taken_ids", metadata, Column("id", String(15), primary_key=True))
ledger = Table(
    "ledger",
    metadata,
    Column("account_id", String(15), primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("kopecks", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("at", Float(53), nullable=False),
    Column("verification_call_uuid", String(40)),
)
calls = Table(
    "calls",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("verification_call_uuid", String(40), nullable=False),
    Column("account_id", String(15), nullable=False),
    Column("state", String(10), nullable=False),
    Column("placed_at", Float(53), nullable=False),
    Column("is_listed", Boolean, nullable=False),
    Column("data", Text, nullable=False),
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("verification_call_uuid", String(40), nullable=False),
    Column("account_id", String(15), nullable=False),
    Column("state", String(10), nullable=False),
    Column("due_at", Float(53)),
    Column("data", Text, nullable=False),
)


def _plain(value: Any) -> Any:
    """For a mapping that cannot be changed, which the encoder does not know."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_account = msgspec.json.Decoder(Account)
_call = msgspec.json.Decoder(Call)
_delivery = msgspec.json.Decoder(Delivery)


def account_row(account: Account) -> dict[str, Any]:
    """An account's row but for ``accepted_calls``, which changes more often than the rest."""
    return {"id": account.id, "seq": account.seq, "token": account.token, "data": _encode(account)}


def entry_row(account_id: str, entry: Entry) -> dict[str, Any]:
    """The row of a ledger's entry."""
    return {
        "account_id": account_id,
        "n": entry.n,
        "kind": entry.kind.value,
        "kopecks": entry.kopecks,
        "balance": entry.balance,
        "at": entry.at,
        "verification_call_uuid": entry.verification_call_uuid,
    }


def call_row(call: Call, *, is_listed: bool) -> dict[str, Any]:
    """A call's row."""
    return {
        "seq": call.seq,
        "verification_call_uuid": call.verification_call_uuid,
        "account_id": call.account_id,
        "state": call.state,
        "placed_at": call.placed_at,
        "is_listed": is_listed,
        "data": _encode(call),
    }


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """A delivery's row."""
    return {
        "id": delivery.id,
        "verification_call_uuid": delivery.verification_call_uuid,
        "account_id": delivery.account_id,
        "state": delivery.state.value,
        "due_at": delivery.due_at,
        "data": _encode(delivery),
    }


def read_contents(connection: Connection) -> Contents:
    """All that the tables hold. ValueError where a value in them cannot be."""
    # Each result is read to its end at once: one that an error interrupts would keep the file open.
    numbers = {key: int(value) for key, value in connection.execute(select(meta)).all() if key in COUNTERS}
    books = {
        row.id: AccountContents(_account.decode(row.data), row.accepted_calls)
        for row in connection.execute(select(accounts).order_by(accounts.c.seq)).all()
    }
    for row in connection.execute(select(ledger).order_by(ledger.c.account_id, ledger.c.n)).all():
        entry = Entry(EntryKind(row.kind), row.kopecks, row.at, row.verification_call_uuid, row.n, row.balance)
        _of(books, row.account_id).entries.append(entry)
    records = {
        row.verification_call_uuid: CallContents(_call.decode(row.data), row.is_listed)
        for row in connection.execute(select(calls).order_by(calls.c.seq)).all()
    }
    for row in connection.execute(select(deliveries).order_by(deliveries.c.id)).all():
        _of(records, row.verification_call_uuid).deliveries.append(_delivery.decode(row.data))
    for record in records.values():
        _of(books, record.call.account_id)
    for book in books.values():
        _check_ledger(book)
    return Contents(
        list(books.values()), list(records.values()), frozenset(connection.scalars(select(taken_ids.c.id))), **numbers
    )


def _encode(value: Account | Call | Delivery) -> str:
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        # An endpoint's answer may have bytes in its headers that are no text; they are shown to people and not more.
        return _encoder.encode(_spelt(msgspec.to_builtins(value, enc_hook=_plain))).decode()


def _spelt(value: Any) -> Any:
    """The value with each half of a character replaced by a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_spelt(key): _spelt(item) for key, item in value.items()}
    return [_spelt(item) for item in value] if isinstance(value, (list, tuple)) else value


def _of(items: dict[str, _T], key: str) -> _T:
    try:
        return items[key]
    except KeyError:
        raise ValueError(f"a row belongs to {key!r}, which is not there") from None


def _check_ledger(book: AccountContents) -> None:
    balance = 0
    for n, entry in enumerate(book.entries, start=book.entries[0].n if book.entries else 0):
        balance += entry.kopecks
        if (entry.n, entry.balance) != (n, balance):
            raise ValueError(f"the ledger of account {book.account.id} does not add up at entry {entry.n}")
    if not book.entries:
        raise ValueError(f"account {book.account.id} has no ledger")
