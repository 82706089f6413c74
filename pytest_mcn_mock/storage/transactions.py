"""Steps in a database that share transactions, and the recovery if the database cannot be written."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import Select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.flow import complete
from pytest_mcn_mock.storage.compiled import bind
from pytest_mcn_mock.storage.database import FAILURES, StateFileLost, open_database, reason
from pytest_mcn_mock.storage.engine import Load, Values, each_of

DIALECT: Any = SQLiteDialect_pysqlite()
RETRY_S: Final = 1.0
"""How often the files are looked at, and how long after a failure the database is tried again."""

_log = logging.getLogger("mcn_mock")


class Transaction:
    """A transaction, the futures that wait for its end, and why it failed."""

    __slots__ = ("failure", "is_over", "waiters")

    def __init__(self) -> None:
        self.waiters: list[asyncio.Future[None]] = []
        self.failure: str | None = None
        self.is_over = False


class SqliteStatements:
    """Implements ``engine.Statements``. The first statement begins a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.has_written = False

    async def rows(self, query: Select[Any], **values: Any) -> Sequence[Any]:
        """Return the rows that are found."""
        return find(self._connection, query, values)

    async def first(self, query: Select[Any], **values: Any) -> Any:
        """Return the first row that is found, or None."""
        rows = find(self._connection, query, values)
        return rows[0] if rows else None

    async def rows_of_each(
        self,
        *asked: tuple[Any, dict[str, Any]],
        is_last: bool = False,  # noqa: ARG002 - a round trip costs nothing here
    ) -> Sequence[Sequence[Any]]:
        """Return the rows that each query finds with its values."""
        return [find(self._connection, query, values) for query, values in asked]

    async def write(self, statement: Any, values: Values | None = None) -> None:
        """Execute a statement that changes rows, once or with each of the values."""
        self.has_written = True
        begin(self._connection)
        for each in each_of(values):
            _, text, parameters = bind(statement, each, DIALECT)
            self._connection.execute(text, parameters)


def begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction if none is open. Only so does SQLite wait until another program has written: a transaction
    that begins by reading fails at once with its first write.
    """
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")


def find(connection: sqlite3.Connection, query: Select[Any], values: dict[str, Any]) -> Sequence[Any]:
    """Return the rows that a query finds, in a transaction."""
    begin(connection)
    compiled, text, parameters = bind(query, values, DIALECT)
    found = connection.execute(text, parameters)
    make = compiled.make_row or compiled.name_row([column[0] for column in found.description])
    return [make(row) for row in found.fetchall()]


class SqliteStep(SqliteStatements):
    """Implements ``engine.Step`` as a part of a transaction.

    If it fails before its first ``write``, the other steps of the transaction are not affected. After that they fail
    too.
    """

    def __init__(self, transactions: Transactions) -> None:
        super().__init__(transactions.connection)
        self._transactions = transactions
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> Self:
        self._transactions.begin_step()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._transaction = self._transactions.end_step(error, has_written=self.has_written)

    async def kept(self) -> None:
        """Wait until the step is committed. Raises StorageFailed if that is impossible."""
        if self._transaction is not None:
            await self._transactions.end_of(self._transaction)


class Transactions:
    """The database that a URL names, and the transaction that is open, if one is.

    Steps run on the caller's thread. Those of the loop that runs ``watch`` share a commit if they come in one round of
    it; any other thread commits at once. If a write fails, nothing of the transaction has happened, and every step is
    refused until the database can be written again, which ``watch`` tries every RETRY_S seconds.
    ``on_recovery`` is called then.

    ``load`` reads the state when the database is opened; see ``open_database``, also for the errors.
    """

    has_replicas = False

    def __init__(self, url: str, load: Load) -> None:
        self.failure: str | None = None
        self.on_recovery: Callable[[], object] = lambda: None
        self._lock = threading.RLock()  # the commit of a round of the loop must not fall into another thread's step
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transaction: Transaction | None = None
        self._database = open_database(url, lambda connection: complete(load(SqliteStatements(connection), False)))

    @property
    def connection(self) -> sqlite3.Connection:
        """Return the connection, which every statement uses."""
        return self._database.connection

    def now(self) -> float:
        """Return the machine's time: no other process has claims."""
        return time.time()

    def step(self) -> SqliteStep:
        """Return a step, for an ``async with`` statement. Await its ``kept`` afterwards."""
        return SqliteStep(self)

    def begin_step(self) -> None:
        """Lock out other threads. Raises StorageFailed if no step can be kept now."""
        self._lock.acquire()
        if self.failure is not None:
            self._lock.release()
            raise StorageFailed(self.failure)

    def end_step(self, error: BaseException | None, *, has_written: bool) -> Transaction | None:
        """Return the step's transaction, None if the step wrote nothing. Raises StorageFailed if it failed."""
        try:
            if error is not None and (has_written or isinstance(error, FAILURES)):
                failed = self._fail(error)
                if isinstance(error, Exception):
                    raise failed from error
                return None
            if self._transaction is None and not has_written:
                self.connection.rollback()
            elif self._transaction is None:
                self._transaction = Transaction()
            return self._transaction if has_written else None
        finally:
            self._lock.release()

    async def end_of(self, transaction: Transaction) -> None:
        """Wait until the transaction is committed. Raises StorageFailed if that is impossible."""
        loop = asyncio._get_running_loop()  # noqa: SLF001
        if loop is None or loop is not self._loop:
            self._commit(transaction)
        elif not transaction.is_over:
            if not transaction.waiters:
                loop.call_soon(self._end_round, transaction)
            waiter = loop.create_future()
            transaction.waiters.append(waiter)
            await waiter
        if transaction.failure is not None:
            raise StorageFailed(transaction.failure)

    def _end_round(self, transaction: Transaction) -> None:
        self._commit(transaction)
        for waiter in transaction.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _commit(self, transaction: Transaction) -> None:
        with self._lock:
            if transaction.is_over:
                return
            try:
                self._database.check_files()  # if they are gone, the commit would be lost
                self.connection.commit()
            except Exception as error:
                self._fail(error)
            else:
                transaction.is_over = True
                self._transaction = None

    def _fail(self, error: BaseException) -> StorageFailed:
        """Roll back, and let the steps of the open transaction fail."""
        try:
            self._database.check_files()
        except StateFileLost as lost:  # which says more than SQLite's error
            error = lost
        why = reason(error)
        if isinstance(error, (*FAILURES, StateFileLost)):
            _log.error("the state cannot be written: %s; new calls are refused until it can", why)
        else:
            _log.error("the state cannot be written; new calls are refused until it can", exc_info=error)
        self.failure = f"the state cannot be written: {why}"
        with suppress(*FAILURES):
            self.connection.rollback()
        if self._transaction is not None:
            self._transaction.failure = self.failure
            self._transaction.is_over = True
            self._transaction = None
        return StorageFailed(self.failure)

    async def rows(self, query: Select[Any], **values: Any) -> Sequence[Any]:
        """Read outside a step. Raises StorageFailed if that is impossible."""
        with self._lock:
            try:
                return find(self.connection, query, values)
            except FAILURES as error:
                raise StorageFailed(f"the state cannot be read: {reason(error)}") from error
            finally:
                if self._transaction is None:
                    with suppress(*FAILURES):
                        self.connection.rollback()

    async def first(self, query: Select[Any], **values: Any) -> Any:
        """Read the first row outside a step; None if there is none."""
        rows = await self.rows(query, **values)
        return rows[0] if rows else None

    async def kept_rows(self, query: Select[Any], **values: Any) -> Sequence[Any]:
        """Read committed rows. Wait for an open commit; if it fails, read the rows as they were before."""
        while True:
            rows, transaction = await self.rows(query, **values), self._transaction
            if transaction is None:
                return rows
            with suppress(StorageFailed):
                await self.end_of(transaction)
                return rows

    async def kept_first(self, query: Select[Any], **values: Any) -> Any:
        """Read the first committed row; None if there is none."""
        rows = await self.kept_rows(query, **values)
        return rows[0] if rows else None

    async def watch(self) -> None:
        """See ``service.ports.Storage``, as for ``close``."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(RETRY_S)
                if self.failure is None:
                    self._check_files()
                elif self._has_recovered():
                    self.on_recovery()
        finally:
            self._loop = None

    def _check_files(self) -> None:
        with self._lock:
            try:
                self._database.check_files()
            except StateFileLost as error:
                self._fail(error)

    def _has_recovered(self) -> bool:
        with self._lock:
            try:
                self._database.try_to_write()
            except Exception as error:
                _log.debug("the state cannot be written yet: %s", reason(error))
                with suppress(*FAILURES):
                    self.connection.rollback()
                return False
            self.failure = None
        _log.warning("the state can be written again")
        return True

    async def close(self) -> None:
        """Commit the open transaction, and close the database."""
        with self._lock:
            if self._transaction is not None:
                self._commit(self._transaction)
            self._database.close()
