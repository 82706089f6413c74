"""What has changed since the last commit, the last state of each row alone, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, insert, update

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.money import Entry
from pytest_mcn_mock.storage import sql_rows as rows

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Change(Enum):
    """What is to happen to a row."""

    INSERT = auto()
    UPDATE = auto()
    DELETE = auto()


class _Rows(Generic[_Key, _Value]):
    """The changes of one table's rows. A row is inserted or updated by what is known of it, so that no statement has
    to ask the database whether it is there: that would be another one for each kind of database.
    """

    def __init__(self) -> None:
        self._changes: dict[_Key, tuple[_Change, _Value | None]] = {}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def __contains__(self, key: _Key) -> bool:
        return key in self._changes

    def put(self, key: _Key, value: _Value, *, is_new: bool) -> None:
        before = self._changes.get(key)
        if before is None:
            change = _Change.INSERT if is_new else _Change.UPDATE
        else:
            # What was deleted is still a row of the database.
            change = _Change.INSERT if before[0] is _Change.INSERT else _Change.UPDATE
        self._changes[key] = (change, value)

    def drop(self, key: _Key) -> None:
        before = self._changes.get(key)
        if before is not None and before[0] is _Change.INSERT:
            del self._changes[key]
        else:
            self._changes[key] = (_Change.DELETE, None)

    def forget(self, concerns: Callable[[_Key], bool]) -> None:
        for key in [key for key in self._changes if concerns(key)]:
            del self._changes[key]

    def deleted(self) -> list[_Key]:
        return [key for key, (change, _) in self._changes.items() if change is _Change.DELETE]

    def of(self, wanted: _Change) -> Iterator[tuple[_Key, _Value]]:
        for key, (change, value) in self._changes.items():
            if change is wanted and value is not None:
                yield key, value


@dataclass(slots=True)
class _Statements:
    """The statements of one table, each compiled once."""

    insert: Any
    update: Any
    delete: Any


def _statements(table: Table) -> _Statements:
    def of_key(statement: Any) -> Any:
        return statement.where(*(column == bindparam(f"key_{column.name}") for column in table.primary_key))

    return _Statements(insert(table), of_key(update(table)), of_key(delete(table)))


_ACCOUNTS: Final = _statements(rows.accounts)
_LEDGER: Final = _statements(rows.ledger)
_CALLS: Final = _statements(rows.calls)
_DELIVERIES: Final = _statements(rows.deliveries)
_TAKE_ID: Final = insert(rows.taken_ids)
_CLOSE_LEDGER: Final = delete(rows.ledger).where(rows.ledger.c.account_id == bindparam("key_id"))
_COUNT: Final = update(rows.meta).where(rows.meta.c.key == bindparam("key_key"))


@dataclass(slots=True)
class Batch:
    """The changes of one transaction. ``done`` is there once somebody waits for its end; ``jobs`` run after it."""

    done: Future[None] | None = None
    jobs: list[Callable[[], None]] = field(default_factory=list)
    is_wiped: bool = False
    accounts: _Rows[str, Account] = field(default_factory=_Rows)
    accepted: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    ledger: _Rows[tuple[str, int], Entry] = field(default_factory=_Rows)
    calls: _Rows[int, tuple[Call, bool]] = field(default_factory=_Rows)
    deliveries: _Rows[int, Delivery] = field(default_factory=_Rows)
    counters: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        changed = (self.deliveries, self.calls, self.accounts, self.ledger, self.accepted, self.removed)
        return self.is_wiped or any(changed)

    def write(self, connection: Connection) -> None:
        """Make the changes, in the connection's transaction."""
        if self.is_wiped:
            for table in (rows.accounts, rows.taken_ids, rows.ledger, rows.calls, rows.deliveries):
                connection.execute(delete(table))
        if self.removed:
            removed = [{"key_id": account_id} for account_id in self.removed]
            connection.execute(_CLOSE_LEDGER, removed)
            connection.execute(_TAKE_ID, [{"id": account_id} for account_id in self.removed])
        _write(connection, _ACCOUNTS, self.accounts, ("key_id",), lambda _, account: rows.account_row(account))
        _write(
            connection,
            _LEDGER,
            self.ledger,
            ("key_account_id", "key_n"),
            lambda key, entry: rows.entry_row(key[0], entry),
        )
        _write(connection, _CALLS, self.calls, ("key_seq",), lambda _, call: rows.call_row(call[0], is_listed=call[1]))
        _write(connection, _DELIVERIES, self.deliveries, ("key_id",), lambda _, delivery: rows.delivery_row(delivery))
        if self.accepted:
            counted = [{"key_id": key, "accepted_calls": calls} for key, calls in self.accepted.items()]
            connection.execute(_ACCOUNTS.update, counted)
        if self.counters:
            counted = [{"key_key": key, "value": str(number)} for key, number in self.counters.items()]
            connection.execute(_COUNT, counted)


def _write(
    connection: Connection,
    statements: _Statements,
    changes: _Rows[_Key, _Value],
    names: tuple[str, ...],
    row: Callable[[_Key, _Value], dict[str, Any]],
) -> None:
    def key_of(key: _Key) -> Mapping[str, Any]:
        return dict(zip(names, key if isinstance(key, tuple) else (key,), strict=True))

    if deleted := [key_of(key) for key in changes.deleted()]:
        connection.execute(statements.delete, deleted)
    if inserted := [row(key, value) for key, value in changes.of(_Change.INSERT)]:
        connection.execute(statements.insert, inserted)
    if updated := [{**row(key, value), **key_of(key)} for key, value in changes.of(_Change.UPDATE)]:
        connection.execute(statements.update, updated)


class Gathering:
    """Implements ``Recorder``, where each method is described: gathers changes in ``batch``, which may be exchanged for
    an empty one under the store's lock. ``admit`` is called before each.
    """

    def __init__(self, admit: Callable[[], None]) -> None:
        self.admit = admit
        self.batch = Batch()

    def account(self, account: Account, *, is_new: bool = False) -> None:
        """See ``Recorder``, as for every method below."""
        self.batch.accounts.put(account.id, account, is_new=is_new)
        if is_new:
            self.batch.counters["accounts_opened"] = account.seq

    def accepted(self, account_id: str, calls: int) -> None:
        """See above."""
        self.batch.accepted[account_id] = calls

    def account_removed(self, account_id: str) -> None:
        """See above."""
        self.batch.accounts.drop(account_id)
        self.batch.accepted.pop(account_id, None)
        self.batch.ledger.forget(lambda key: key[0] == account_id)
        self.batch.removed.append(account_id)

    def posted(self, account_id: str, entry: Entry) -> None:
        """See above."""
        self.batch.ledger.put((account_id, entry.n), entry, is_new=True)

    def folded(self, account_id: str, entry: Entry) -> None:
        """See above."""
        self.batch.ledger.drop((account_id, entry.n - 1))
        self.batch.ledger.put((account_id, entry.n), entry, is_new=False)

    def call(self, call: Call, *, is_listed: bool, is_new: bool = False) -> None:
        """See above."""
        self.batch.calls.put(call.seq, (call, is_listed), is_new=is_new)
        if is_new:
            self.batch.counters["calls_placed"] = call.seq

    def call_dropped(self, seq: int) -> None:
        """See above."""
        self.batch.calls.drop(seq)

    def delivery(self, delivery: Delivery, *, is_new: bool = False) -> None:
        """See above."""
        self.batch.deliveries.put(delivery.id, delivery, is_new=is_new)
        if is_new:
            self.batch.counters["deliveries_made"] = delivery.id

    def delivery_dropped(self, delivery_id: int) -> None:
        """See above."""
        self.batch.deliveries.drop(delivery_id)

    def cleared(self) -> None:
        """See above."""
        self.batch = Batch(self.batch.done, self.batch.jobs, is_wiped=True, counters=self.batch.counters)
