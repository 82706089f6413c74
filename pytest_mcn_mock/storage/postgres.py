"""Steps in PostgreSQL, which many processes share. All that is PostgreSQL's own is here and in ``sql.py``'s statements.

A step is a transaction on a connection of its own. Its statements are sent in a pipeline: one round trip up to the rows
on which the rules decide, one for what was decided.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import CreateIndex, CreateTable

from pytest_mcn_mock.errors import ConfigError, StorageFailed
from pytest_mcn_mock.flow import complete, on_loop
from pytest_mcn_mock.storage.database import SCHEMA_VERSION, metadata, parse_url, without_password
from pytest_mcn_mock.storage.engine import Load, Values
from pytest_mcn_mock.storage.transactions import RETRY_S

SCHEMA: Final = "mcn_mock"
"""The schema that has our tables, so that they meet nobody else's."""
OLDEST_SERVER: Final = 130_000
STATEMENT_TIMEOUT_S: Final = 5
CONNECT_TIMEOUT_S: Final = 5
POOL_SIZE: Final = 8
_LOCK: Final = 0x6D636E  # "mcn"; one at a time makes the tables
_DIALECT: Any = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it

_CANCELED: Final = "57014"
"""A statement that took too long."""
_READ_ONLY: Final = "25006"
_FAILURES_OF_ALL: Final = frozenset({"08", "53", "57", "58"})
"""Classes of errors: no connection, no room or memory, an operator's command, a failure of the system."""
_log = logging.getLogger("mcn_mock")


@lru_cache(maxsize=512)
def _compile(statement: Any, names: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the text of a statement, and the values that are in the statement itself."""
    compiled = statement.compile(dialect=_DIALECT, column_keys=list(names))
    return str(compiled), {name: value for name, value in compiled.params.items() if name not in names}


def render(statement: Any, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the text of a statement with the parameters that psycopg takes."""
    if any(isinstance(value, list) for value in values.values()):  # IN has as many parameters as the list has items
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(values))
        expanded = compiled.construct_expanded_state({**compiled.params, **values})
        return expanded.statement, expanded.parameters
    text, own = _compile(statement, tuple(values))
    return text, {**own, **values} if own else values


def _each(values: Values | None) -> list[dict[str, Any]]:
    """Return the values of each execution of a statement."""
    if values is None or isinstance(values, Mapping):
        return [dict(values or {})]
    return [dict(each) for each in values]


class _Load:
    """Statements that are executed at once, while the database is opened."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        return self._connection.execute(*render(query, values)).fetchall()

    async def first(self, query: Any, **values: Any) -> Any:
        return self._connection.execute(*render(query, values)).fetchone()

    async def write(self, statement: Any, values: Values | None = None) -> None:
        for each in _each(values):
            self._connection.execute(*render(statement, each))


class PostgresStep:
    """A transaction: it reads, lets the rules decide, and writes."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._pipeline: Any = None
        self.has_written = False

    async def __aenter__(self) -> Self:
        self._connection = await self._database.take()
        try:
            self._pipeline = self._connection.pipeline()
            await self._pipeline.__aenter__()
            await self._connection.execute("BEGIN")
        except psycopg.Error as error:
            await self._database.give_back(self._connection)
            raise self._database.failed(error) from error
        return self

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        """Return the rows that are found."""
        rows: Sequence[Any] = await (await self._execute(query, values)).fetchall()
        return rows

    async def first(self, query: Any, **values: Any) -> Any:
        """Return the first row that is found, or None."""
        return await (await self._execute(query, values)).fetchone()

    async def write(self, statement: Any, values: Values | None = None) -> None:
        """Execute a statement that changes rows, once or with each of the values. Its errors come with the commit."""
        self.has_written = True
        for each in _each(values):
            await self._execute(statement, each)

    async def _execute(self, statement: Any, values: dict[str, Any]) -> Any:
        assert self._connection is not None  # noqa: S101 - for the type checker
        return await self._connection.execute(*render(statement, values))

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._connection is not None  # noqa: S101 - for the type checker
        try:
            await self._connection.execute("COMMIT" if error is None else "ROLLBACK")
            await self._pipeline.__aexit__(None, None, None)
        except psycopg.Error as failure:
            with suppress(psycopg.Error):
                await self._connection.rollback()
            if error is None or isinstance(error, psycopg.Error):
                raise self._database.failed(failure) from failure
        except BaseException:
            await self._connection.close()
            raise
        finally:
            await self._database.give_back(self._connection)
        if isinstance(error, psycopg.Error):
            raise self._database.failed(error) from error

    async def kept(self) -> None:
        """Return at once: the step was committed when its ``async with`` ended."""


class Postgres:
    """The database that a URL names. Raises ConfigError, without a password, if it cannot be used."""

    is_shared = True

    def __init__(self, url: str, load: Load) -> None:
        parsed = parse_url(url)
        self.failure: str | None = None
        self.ahead_s = 0.0
        """How far the database's clock is ahead of this machine's."""
        self.on_recovery: Callable[[], object] = lambda: None
        self._url = url
        self._pool: AsyncConnectionPool[Any] | None = None
        self._opening: asyncio.Lock | None = None
        self._options: dict[str, Any] = {
            "options": f"-c search_path={SCHEMA} -c statement_timeout={STATEMENT_TIMEOUT_S}s",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "row_factory": namedtuple_row,
            "autocommit": True,
        }
        try:
            with psycopg.connect(url, **self._options) as connection, connection.transaction():
                began = time.time()
                found = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
                self.ahead_s = (found[0] if found else began) - (began + time.time()) / 2
                _prepare(connection)
                complete(load(_Load(connection), True))
        except psycopg.Error as error:
            why = without_password(reason(error), parsed)
            raise ConfigError("state", [f"the database cannot be used: {why}"]) from None
        except ValueError as error:
            raise ConfigError("state", [f"the database is damaged: {str(error).splitlines()[0][:200]}"]) from error

    def step(self) -> PostgresStep:
        """Return a step, for an ``async with`` statement."""
        return PostgresStep(self)

    async def take(self) -> psycopg.AsyncConnection[Any]:
        """Return a connection. Raises StorageFailed if there is none in time."""
        if self.failure is not None:
            raise StorageFailed(self.failure)
        await on_loop()
        try:
            connection: psycopg.AsyncConnection[Any] = await (await self._opened()).getconn()
        except (PoolTimeout, psycopg.Error) as error:
            raise self.failed(error) from error
        return connection

    async def give_back(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Let others have the connection. One that is broken is replaced."""
        if self._pool is not None:
            await self._pool.putconn(connection)

    async def _opened(self) -> AsyncConnectionPool[Any]:
        if self._pool is None:
            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                self._url, kwargs=self._options, min_size=1, max_size=POOL_SIZE, timeout=CONNECT_TIMEOUT_S, open=False
            )
            self._pool = pool
            await pool.open()
        return self._pool

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """Return a connection of its own, to listen on."""
        return await psycopg.AsyncConnection.connect(self._url, **self._options)

    def failed(self, error: BaseException) -> StorageFailed:
        """Return the error of a step that cannot be kept."""
        why = f"the state cannot be written: {reason(error)}"
        if self.failure is None and _is_of_all(error):
            _log.error("%s; new calls are refused until it can", why)
            self.failure = why
        return StorageFailed(why)

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        """Read outside a step. Raises StorageFailed if that is impossible."""
        connection = await self.take()
        try:
            return await (await connection.execute(*render(query, values))).fetchall()
        except psycopg.Error as error:
            raise self.failed(error) from error
        finally:
            await self.give_back(connection)

    async def first(self, query: Any, **values: Any) -> Any:
        """Read the first row outside a step; None if there is none."""
        rows = await self.rows(query, **values)
        return rows[0] if rows else None

    kept_rows, kept_first = rows, first

    async def watch(self) -> None:
        """See ``service.ports.Storage``, as for ``close``."""
        while True:
            await asyncio.sleep(RETRY_S)
            if self.failure is not None and await self._has_recovered():
                self.on_recovery()

    async def _has_recovered(self) -> bool:
        failure, self.failure = self.failure, None
        try:
            async with self.step() as step:
                await step.write(_PROBE, {})
        except StorageFailed as error:
            _log.debug("the state cannot be written yet: %s", error.message)
            self.failure = failure
            return False
        _log.warning("the state can be written again")
        return True

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None


_PROBE: Final = (
    metadata.tables["meta"]
    .update()
    .values(value=str(SCHEMA_VERSION))
    .where(metadata.tables["meta"].c.key == "schema_version")
)


def reason(error: BaseException) -> str:
    """Return why, in one line and in the database's own words."""
    diagnosis = getattr(getattr(error, "diag", None), "message_primary", None)
    return (diagnosis or str(error)).strip().splitlines()[0][:200]


def _is_of_all(error: BaseException) -> bool:
    """Return whether no step can be kept after this error: the connection is lost, the disk full, all is read only."""
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, (psycopg.OperationalError, PoolTimeout))
    return (state[:2] in {"08", "53", "57", "58"} and state != "57014") or state == "25006"


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
            connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
            for index in table.indexes:
                connection.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
        for sequence in ("call_numbers", "delivery_numbers"):
            connection.execute(f"CREATE SEQUENCE {sequence}")
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('schema_version', %s), ('probe', '')", [str(SCHEMA_VERSION)]
        )
    elif ("meta",) not in [tuple(row) for row in found]:
        raise ConfigError("state", [f"the schema {SCHEMA} has tables of another program"])
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    version = row[0] if row else "?"
    if version != str(SCHEMA_VERSION):
        age = "a newer" if version.isdecimal() and int(version) > SCHEMA_VERSION else "another"
        raise ConfigError(
            "state", [f"the database is of {age} version of mcn-mock, form {version}; this one knows {SCHEMA_VERSION}"]
        )
