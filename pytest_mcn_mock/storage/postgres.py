"""Steps in PostgreSQL, which many processes share. All that is PostgreSQL's own is here and in ``sql.py``'s statements.

A step is a transaction on a connection of its own. Its statements are sent in a pipeline: one round trip up to the rows
on which the rules decide, one for what was decided.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import text as sql
from sqlalchemy.schema import CreateIndex, CreateTable

from pytest_mcn_mock.errors import ConfigError, StorageFailed
from pytest_mcn_mock.flow import complete, on_loop
from pytest_mcn_mock.storage.compiled import bind
from pytest_mcn_mock.storage.database import SCHEMA_VERSION, metadata, parse_url, without_password
from pytest_mcn_mock.storage.engine import Load, RowLocked, Values, each_of
from pytest_mcn_mock.storage.pool import Connection, Pool
from pytest_mcn_mock.storage.together import Together
from pytest_mcn_mock.storage.transactions import RETRY_S
from pytest_mcn_mock.storage.wire import DIALECT, Wire

SCHEMA: Final = "mcn_mock"
"""The schema of our tables, separate from those of other programs."""
OLDEST_SERVER: Final = 130_000
STATEMENT_TIMEOUT_S: Final = 5
LOCK_TIMEOUT_S: Final = 2
"""How long a statement waits for a lock. A step holds one for some milliseconds."""
STILL_S: Final = 5.0
"""How long a process may stand still in a step, whose locks others wait for."""
HUNG_S: Final = 10.0
"""How long a step may take before its connection is cut."""
CONNECT_TIMEOUT_S: Final = 2
POOL_SIZE: Final = 8
DRIFT: Final = 0.0002
"""Seconds by which the clocks of two machines may part in a second."""
_FIRST_READINGS: Final = 5
"""Readings of the database's clock at the start, of which the quickest counts."""
_SETTINGS: Final = {
    "search_path": SCHEMA,
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
}
_LOCK: Final = 0x6D636E  # "mcn"; one at a time makes the tables
APPLICATION: Final = "mcn-mock"

_READ_TIME: Final = sql("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8) AS now")
# idle_in_transaction_session_timeout ends none of them: a session in a pipeline is never idle.
_END_STILL: Final = sql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = current_user AND application_name = :application AND wait_event = 'ClientRead'"
    " AND xact_start < clock_timestamp() - make_interval(secs => CAST(:still_s AS float8))"
)
_READ_VERSION: Final = f"SELECT value FROM {SCHEMA}.meta WHERE key = 'schema_version'"  # noqa: S608 - our own name
_READ_ONLY: Final = "25006"
_FAILURES_OF_ALL: Final = ("53", "58", _READ_ONLY)
"""Errors that any other step would meet too: no room or memory, a failure of the system, nothing may be written."""
_log = logging.getLogger("mcn_mock")


class _Load:
    """Statements that are executed at once, while the database is opened."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        return self._execute(query, values).fetchall()

    async def first(self, query: Any, **values: Any) -> Any:
        return self._execute(query, values).fetchone()

    async def write(self, statement: Any, values: Values | None = None) -> None:
        for each in each_of(values):
            self._execute(statement, each)

    def _execute(self, statement: Any, values: dict[str, Any]) -> psycopg.RawCursor[Any]:
        _, text, parameters = bind(statement, values, DIALECT)
        return psycopg.RawCursor(self._connection).execute(text, parameters)


class PostgresStep:
    """A transaction: it reads, lets the rules decide, and writes."""

    def __init__(self, database: Postgres, *, is_probe: bool = False) -> None:
        self._database = database
        self._is_probe = is_probe
        self._connection: Connection | None = None
        self._wire: Wire | None = None
        self._is_committed = False

    async def __aenter__(self) -> Self:
        self._connection = await self._database.take(is_probe=self._is_probe)
        try:
            self._wire = Wire(self._connection)
            self._wire.command(b"BEGIN")
        except psycopg.Error as error:
            await self._connection.close()
            self._database.give_back(self._connection)
            raise self._database.failed(error) from error
        return self

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        """Return the rows that are found."""
        return (await self.rows_of_each((query, values)))[0]

    async def rows_of_each(self, *asked: tuple[Any, dict[str, Any]], is_last: bool = False) -> Sequence[Sequence[Any]]:
        """Return the rows that each query finds with its values, all in one round trip. With ``is_last`` commit in the
        same one.
        """
        assert self._wire is not None  # noqa: S101 - for the type checker
        rows = await self._wire.rows(*asked, last=b"COMMIT" if is_last else None)
        self._is_committed = is_last
        return rows

    async def first(self, query: Any, **values: Any) -> Any:
        """Return the first row that is found, or None."""
        rows = await self.rows(query, **values)
        return rows[0] if rows else None

    async def write(self, statement: Any, values: Values | None = None) -> None:
        """Execute a statement that changes rows, once or with each of the values. Its errors come with the commit."""
        assert self._wire is not None  # noqa: S101 - for the type checker
        for each in each_of(values):
            self._wire.send(statement, each)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._connection is not None  # noqa: S101 - for the type checker
        assert self._wire is not None  # noqa: S101 - for the type checker
        try:
            if self._wire.is_exchanging:  # the connection is lost, or the step was cancelled in the middle
                await self._connection.close()
            elif self._is_committed:
                await self._wire.end()
            else:
                await self._wire.end(b"COMMIT" if error is None else b"ROLLBACK")
        except psycopg.Error as failure:
            try:
                await self._wire.end(b"ROLLBACK")
            except psycopg.Error:
                await self._connection.close()
            if error is None or isinstance(error, psycopg.Error):
                raise self._database.failed(failure) from failure
        except BaseException:
            await self._connection.close()
            raise
        finally:
            self._database.give_back(self._connection)
        if isinstance(error, psycopg.Error):
            raise self._database.failed(error) from error

    async def kept(self) -> None:
        """Return at once: the step was committed when its ``async with`` ended."""


class Postgres:
    """The database that a URL names. Raises ConfigError, without a password, if it cannot be used."""

    has_replicas = True

    def __init__(self, url: str, load: Load) -> None:
        self.failure: str | None = None
        self.on_recovery: Callable[[], object] = lambda: None
        self._url = url
        self._ahead_s = self._set_at = 0.0
        self._set_within_s = math.inf
        self._has_failed = asyncio.Event()
        self._pool = Pool(self.connect, POOL_SIZE)
        self._reading: Together[tuple[Any, dict[str, Any]], Sequence[Any]] = Together(self._rows_of_each, 100)
        self._options: dict[str, Any] = {
            "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
            "application_name": APPLICATION,
            "connect_timeout": CONNECT_TIMEOUT_S,
            # A server that went away without a word.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "row_factory": namedtuple_row,
            "autocommit": True,
        }
        parsed = parse_url(url)
        try:
            with psycopg.connect(url, **self._options) as connection, connection.transaction():
                _prepare(connection)
                for _ in range(_FIRST_READINGS):
                    began = time.monotonic()
                    self._set_time(connection.execute(_READ_TIME.text).fetchone(), began)
                row: Any = connection.execute("SELECT nextval('process_numbers')").fetchone()
                self.process_number: int = row[0]
                """Which process on the database this is, counted from 1."""
                self.session_key = _session_key(connection)
                """The key of the page's sessions, the same for every process on the database."""
                complete(load(_Load(connection), True))
        except psycopg.Error as error:
            why = without_password(reason(error), parsed)
            raise ConfigError("state", [f"the database cannot be used: {why}"]) from None
        except ValueError as error:
            raise ConfigError("state", [f"the database is damaged: {str(error).splitlines()[0][:200]}"]) from error

    def now(self) -> float:
        """Return the database's time, in seconds since the epoch."""
        return self._ahead_s + time.monotonic()

    def latest_now(self) -> float:
        """Return a time that the database's clock has not passed yet, so close to ``now`` as is known."""
        return self.now() + self._within_s()

    def _within_s(self) -> float:
        """Return by how many seconds ``now`` may be wrong."""
        return self._set_within_s + DRIFT * (time.monotonic() - self._set_at)

    async def set_time(self) -> None:
        """Ask the database for its time."""
        began = time.monotonic()
        self._set_time(await self.first(_READ_TIME), began)

    async def end_still(self) -> None:
        """End the sessions of processes that stand still in a step: they keep rows locked."""
        await self.rows(_END_STILL, application=APPLICATION, still_s=STILL_S)

    def _set_time(self, row: Any, began: float) -> None:
        now = time.monotonic()
        within_s = (now - began) / 2
        if within_s <= self._within_s():  # a quicker answer is more accurate
            self._set_at, self._set_within_s = now, within_s
            self._ahead_s = row[0] - began - within_s

    def step(self) -> PostgresStep:
        """Return a step, for an ``async with`` statement."""
        return PostgresStep(self)

    async def take(self, *, is_probe: bool = False) -> Connection:
        """Return a connection. Raises StorageFailed if there is none: at once if it is known that none can be used."""
        if self.failure is not None and not is_probe:
            raise StorageFailed(self.failure)
        await on_loop()
        try:
            return await self._pool.take()
        except psycopg.Error as error:
            raise self.failed(error, is_of_all=True) from error

    def give_back(self, connection: Connection) -> None:
        """Let others have the connection."""
        self._pool.give_back(connection)

    async def connect(self) -> Connection:
        """Return a new connection, such as one to listen on."""
        return await psycopg.AsyncConnection.connect(self._url, **self._options)

    def failed(self, error: BaseException, *, is_of_all: bool = False) -> StorageFailed:
        """Return the error of a step that cannot be kept. ``is_of_all`` says that no other can be kept either; a
        connection that was lost may be the only one.
        """
        kind = RowLocked if isinstance(error, psycopg.errors.LockNotAvailable) else StorageFailed
        failed = kind(f"the state cannot be written: {reason(error)}")
        if is_of_all or (getattr(error, "sqlstate", None) or "").startswith(_FAILURES_OF_ALL):
            if self.failure is None:
                _log.error("%s; new calls are refused until it can", failed.message)
            self.failure = failed.message
            self._has_failed.set()
            self._pool.renew(failed)
        return failed

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        """Read outside a step. Raises StorageFailed if that is impossible."""
        return (await self._rows_of_each("", [(query, values)]))[0]

    async def _rows_of_each(self, _: str, asked: Sequence[tuple[Any, dict[str, Any]]]) -> list[Sequence[Any]]:
        connection = await self.take()
        try:
            wire = Wire(connection)
            rows: list[Sequence[Any]] = [*await wire.rows(*asked)]
            await wire.end()
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.Error):
                raise self.failed(error) from error
            raise
        finally:
            self.give_back(connection)
        return rows

    async def first(self, query: Any, **values: Any) -> Any:
        """Read the first row outside a step, together with others; None if there is none."""
        rows = await self._reading.do("", (query, values))
        return rows[0] if rows else None

    kept_rows = rows

    async def kept_first(self, query: Any, **values: Any) -> Any:
        """Read the first committed row; None if there is none."""
        rows = await self.rows(query, **values)
        return rows[0] if rows else None

    async def watch(self) -> None:
        """See ``service.ports.Storage``, as for ``close``."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_failed.wait(), RETRY_S)
            self._pool.cut(HUNG_S)
            if self.failure is None:
                continue
            began = time.monotonic()
            if await self._has_recovered():
                self.on_recovery()
            else:  # RETRY_S after the last attempt began; one at a server that is silent takes CONNECT_TIMEOUT_S
                await asyncio.sleep(RETRY_S - (time.monotonic() - began))

    async def _has_recovered(self) -> bool:
        self._has_failed.clear()
        try:
            async with PostgresStep(self, is_probe=True) as step:
                await step.write(_PROBE, {})
        except StorageFailed as error:
            _log.debug("the state cannot be written yet: %s", error.message)
            return False
        self.failure = None
        _log.warning("the state can be written again")
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


_PROBE: Final = (
    metadata.tables["meta"]
    .update()
    .values(value=str(SCHEMA_VERSION))
    .where(metadata.tables["meta"].c.key == "schema_version")
)


def _session_key(connection: psycopg.Connection[Any]) -> bytes:
    insert = "INSERT INTO meta (key, value) VALUES ('session_key', %s) ON CONFLICT DO NOTHING"
    connection.execute(insert, [secrets.token_hex(32)])
    row: Any = connection.execute("SELECT value FROM meta WHERE key = 'session_key'").fetchone()
    return bytes.fromhex(row[0])


def reason(error: BaseException) -> str:
    """Return why, in one line and in the database's own words."""
    diagnosis = getattr(getattr(error, "diag", None), "message_primary", None)
    return (diagnosis or str(error)).strip().splitlines()[0][:200]


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """Make the tables, if there are none. One process at a time."""
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.parameter_status("server_version")
        raise ConfigError("state", [f"the server is PostgreSQL {version}; 13 or newer is needed"])
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    if connection.execute("SELECT to_regnamespace(%s) IS NULL", [SCHEMA]).fetchone() == (True,):
        connection.execute(f"CREATE SCHEMA {SCHEMA}")  # IF NOT EXISTS would demand the right to make one all the same
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [SCHEMA]).fetchall()
    if not found:
        for table in metadata.sorted_tables:
            connection.execute(str(CreateTable(table).compile(dialect=DIALECT)))
            for index in table.indexes:
                connection.execute(str(CreateIndex(index).compile(dialect=DIALECT)))
        for sequence in ("call_numbers", "delivery_numbers", "process_numbers"):
            connection.execute(f"CREATE SEQUENCE {sequence}")
        connection.execute("INSERT INTO meta (key, value) VALUES ('schema_version', %s)", [str(SCHEMA_VERSION)])
    try:
        row = connection.execute(_READ_VERSION).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        row = None
    if row is None:
        raise ConfigError("state", [f"the schema {SCHEMA} has tables of another program"])
    version = row[0][:20]
    if version != str(SCHEMA_VERSION):
        age = "a newer" if version.isdecimal() and int(version) > SCHEMA_VERSION else "another"
        raise ConfigError(
            "state", [f"the database is of {age} version of mcn-mock, form {version}; this one knows {SCHEMA_VERSION}"]
        )
