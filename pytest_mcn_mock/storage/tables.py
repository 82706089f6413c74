"""The tables of a state in a database, and the way from a value to its row and back.

What is looked for has a column of its own; the whole value is in ``data``, as JSON. ``totals`` has what changes with
every order of an account, so that no row of many bytes is written for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
)

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import NEXT_CALL, Delivery, DeliveryState, host_of
from pytest_mcn_mock.model.money import Entry, EntryKind
from pytest_mcn_mock.service.ports import AccountState
from pytest_mcn_mock.storage import ANSWER_SIZE
from pytest_mcn_mock.storage.database import metadata

_Number = BigInteger().with_variant(Integer, "sqlite")
"""A primary key that is a number: SQLite keeps an INTEGER without an index of its own."""

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(15), primary_key=True),
    Column("seq", BigInteger, nullable=False, unique=True),
    Column("token", String(512), nullable=False, unique=True),
    Column("webhooks", Integer, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)
totals = Table(
    "totals",
    metadata,
    Column("account_id", String(15), primary_key=True),
    Column("accepted_calls", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("first_entry", BigInteger, nullable=False),
    Column("last_entry", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("listed", BigInteger, nullable=False),
    Column("unlisted", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
taken_ids = Table("taken_ids", metadata, Column("id", String(15), primary_key=True), sqlite_with_rowid=False)
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
    sqlite_with_rowid=False,
)
calls = Table(
    "calls",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("verification_call_uuid", String(40), nullable=False, unique=True),
    Column("account_id", String(15), nullable=False),
    Column("login_did", String(15), nullable=False),
    Column("code", String(4), nullable=False),
    Column("state", String(10), nullable=False),
    Column("outcome", String(12)),
    Column("placed_at", Float(53), nullable=False),
    Column("ended_at", Float(53)),
    # When it ends: NULL if it has ended, and if it rings until it is completed manually.
    Column("ends_at", Float(53)),
    Column("is_answered", Boolean, nullable=False),
    Column("is_listed", Boolean, nullable=False),
    Column("lease_until", Float(53)),
    Column("data", Text, nullable=False),
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("verification_call_uuid", String(40), nullable=False),
    Column("call_seq", BigInteger, nullable=False),
    Column("account_id", String(15), nullable=False),
    Column("state", String(10), nullable=False),
    # When it must be sent: NULL if it is not pending, if the call rings, and if it waits for another one.
    Column("due_at", Float(53)),
    Column("waits_for", BigInteger),
    Column("host", Text, nullable=False),
    Column("is_answered", Boolean, nullable=False),
    Column("lease_until", Float(53)),
    Column("touched_at", Float(53)),
    Column("answers_size", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)
numbers = Table(
    "numbers",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("accounts", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("deliveries", BigInteger, nullable=False),
    Column("listed", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("forward_s", Float(53), nullable=False),
    Column("reset_at", Float(53), nullable=False),
)
requests = Table(
    "requests",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("data", Text, nullable=False),
)

ZERO: Any = literal_column("0")
IS_PENDING: Any = deliveries.c.state == literal_column(f"'{DeliveryState.PENDING}'")
"""Written out, like ZERO, so that the database sees that an index of such rows has them all."""


def is_one_of(column: Any, name: str) -> Any:
    """Return whether a column is in a list that ``as_array`` makes: one statement, however long the list is. It is
    PostgreSQL's.
    """
    return column == func.any(cast(bindparam(name, type_=Text), ARRAY(column.type)))


def as_array(values: Iterable[int | str]) -> str:
    """Return numbers, or words without special characters, as PostgreSQL writes an array."""
    return f"{{{','.join(map(str, values))}}}"


def _index(name: str, *columns: Any, where: Any = None) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


_index("calls_of_account", calls.c.account_id, calls.c.seq)
_index("calls_listed", calls.c.is_listed, calls.c.seq)
_index("calls_due", calls.c.ends_at, where=calls.c.ends_at.is_not(None))
_index("calls_due_of_account", calls.c.account_id, calls.c.ends_at, where=calls.c.ends_at.is_not(None))
_index("deliveries_of_account", deliveries.c.account_id, deliveries.c.id)
_index("deliveries_of_call", deliveries.c.call_seq)
_index("deliveries_pending", deliveries.c.id, where=IS_PENDING)
_index("deliveries_due", deliveries.c.due_at, where=deliveries.c.due_at.is_not(None))
_index(
    "deliveries_due_of_account", deliveries.c.account_id, deliveries.c.due_at, where=deliveries.c.due_at.is_not(None)
)
_index(
    "deliveries_waiting",
    deliveries.c.account_id,
    deliveries.c.waits_for,
    where=deliveries.c.waits_for.is_not(None),
)
_index(
    "deliveries_answers",
    deliveries.c.touched_at,
    deliveries.c.id,
    deliveries.c.answers_size,
    where=deliveries.c.answers_size > ZERO,
)
for _table in (calls, deliveries):  # orders that a process left unanswered when it died
    Index(f"{_table.name}_unanswered", _table.c.lease_until, postgresql_where=_table.c.is_answered.is_(False)).ddl_if(
        dialect="postgresql"
    )
_index("totals_pending", totals.c.pending, where=totals.c.pending > ZERO)
_index("totals_unlisted", totals.c.unlisted, where=totals.c.unlisted > ZERO)


def _plain(value: Any) -> Any:
    """For a mapping that cannot be changed, which the encoder does not know."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)
decode_call = msgspec.json.Decoder(Call).decode
decode_delivery = msgspec.json.Decoder(Delivery).decode
decode_account = lru_cache(maxsize=256)(msgspec.json.Decoder(Account).decode)


def encode(value: Account | Call | Delivery) -> str:
    """Return the value as JSON."""
    try:
        return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        # An endpoint's answer may have bytes in its headers that are not text; they are shown to people and not more.
        return _ENCODER.encode(_spelt(msgspec.to_builtins(value, enc_hook=_plain))).decode()


def _spelt(value: Any) -> Any:
    """Return the value with each half of a character replaced by a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_spelt(key): _spelt(item) for key, item in value.items()}
    return [_spelt(item) for item in value] if isinstance(value, (list, tuple)) else value


def state_of(row: Row[Any]) -> AccountState:
    """Return the account of a row of ``accounts`` and ``totals``."""
    return AccountState(decode_account(row.data), row.balance)


def entry_of(row: Row[Any]) -> Entry:
    """Return the entry of a row of ``ledger``."""
    return Entry(EntryKind(row.kind), row.kopecks, row.at, row.verification_call_uuid, row.n, row.balance)


def account_values(account: Account) -> dict[str, Any]:
    """Return the columns that a change of an account changes."""
    return {"webhooks": sum(webhook.enabled for webhook in account.subscriptions), "data": encode(account)}


def call_values(call: Call) -> dict[str, Any]:
    """Return the columns that a call's end changes."""
    rings = call.ending is None
    return {
        "state": call.state,
        "outcome": None if call.ending is None else call.ending.outcome.value,
        "ended_at": call.ended_at,
        "ends_at": call.ends_at if rings else None,
        "data": encode(call),
    }


def delivery_values(delivery: Delivery, *, has_ended: bool) -> dict[str, Any]:
    """Return the columns that steps change. Nothing is due while the call rings."""
    waits = delivery.waits_for == NEXT_CALL
    is_due = has_ended and delivery.state is DeliveryState.PENDING and not waits
    last = delivery.attempts[-1] if delivery.attempts else None
    return {
        "state": delivery.state.value,
        "due_at": delivery.due_at if is_due else None,
        "waits_for": delivery.waits_for,
        "host": host_of(delivery.url),
        "touched_at": None if last is None else last.at + last.duration_s,
        "answers_size": sum(
            size + ANSWER_SIZE for a in delivery.attempts if (size := a.response and a.response.size())
        ),
        "data": encode(delivery),
    }


def new_delivery(delivery: Delivery, call: Call, *, is_answered: bool) -> dict[str, Any]:
    """Return the row of a new delivery."""
    return {
        "id": delivery.id,
        "verification_call_uuid": call.verification_call_uuid,
        "call_seq": call.seq,
        "account_id": call.account_id,
        "is_answered": is_answered,
        **delivery_values(delivery, has_ended=call.ending is not None),
    }
