"""The content of the database at a URL. It is only read, never changed, and other users do not have to wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pytest_mcn_mock.errors import ConfigError
from pytest_mcn_mock.storage.database import SCHEMA_VERSION, is_postgres, parse_url, without_password

_VERSION: Final = "SELECT value FROM {}meta WHERE key = 'schema_version'"
# Every account counts its own, so that the rows of calls need not be counted.
_COUNTS: Final = (
    "SELECT (SELECT count(*) FROM {0}accounts), CAST(coalesce(sum(listed + unlisted), 0) AS bigint),"
    " CAST(coalesce(sum(pending), 0) AS bigint) FROM {0}totals"
)
Ask = Callable[[str], Sequence[Any]]
"""Executes a query; returns its rows."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of a database. ``schema_version`` is None if there are no tables yet. The counts are None unless this
    program knows that version. ``size`` is in bytes.
    """

    engine: str
    server_version: str
    schema_version: str | None
    is_known: bool
    accounts: int | None
    calls: int | None
    pending: int | None
    size: int


def inspect_state(url: str) -> Contents:
    """Return the content. Raises ConfigError, without the password, if the database cannot be used."""
    return _inspect_postgres(url) if is_postgres(url) else _inspect_sqlite(url)


def _contents(
    engine: str, server_version: str, size: int, tables: Sequence[str], ask: Ask, prefix: str = ""
) -> Contents:
    if not tables:
        return Contents(engine, server_version, None, False, None, None, None, size)
    found = ask(_VERSION.format(prefix)) if "meta" in tables else ()
    if not found or not str(found[0][0]).isdecimal():
        raise ConfigError("state", ["it is a database of another program"])
    version = str(found[0][0])[:20]
    is_known = version == str(SCHEMA_VERSION)
    accounts, calls, pending = ask(_COUNTS.format(prefix))[0] if is_known else (None, None, None)
    return Contents(engine, server_version, version, is_known, accounts, calls, pending, size)


def _inspect_sqlite(url: str) -> Contents:
    path = Path(cast("str", parse_url(url).database)).absolute()
    if not path.is_file():
        raise ConfigError("state", [f"{path} cannot be used: there is no such file"])
    log = path.with_name(f"{path.name}-wal")
    # Without a log no process has it open. Then SQLite need not make a log, perhaps in a folder of another user.
    mode = "ro" if log.exists() else "ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=1)) as connection:

            def ask(query: str) -> Sequence[Any]:
                return connection.execute(query).fetchall()

            connection.execute("BEGIN")
            tables = [name for (name,) in ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
            size = sum(file.stat().st_size for file in (path, log) if file.exists())
            return _contents("SQLite", sqlite3.sqlite_version, size, tables, ask)
    except (sqlite3.Error, OSError) as error:
        raise ConfigError("state", [f"{path} cannot be used: {str(error).splitlines()[0][:200]}"]) from error


def _inspect_postgres(url: str) -> Contents:
    parsed = parse_url(url)
    # Of the extra "postgres", which parse_url has looked for.
    import psycopg  # noqa: PLC0415 - as above

    from pytest_mcn_mock.storage.postgres import CONNECT_TIMEOUT_S, SCHEMA, STATEMENT_TIMEOUT_S, reason  # noqa: PLC0415

    options = f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c default_transaction_read_only=on"
    try:
        with psycopg.connect(url, options=options, connect_timeout=CONNECT_TIMEOUT_S) as connection:

            def ask(query: str) -> Sequence[Any]:
                return connection.execute(query.encode()).fetchall()

            of_tables = f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}'"  # noqa: S608 - a constant
            tables = [name for (name,) in ask(of_tables)]
            ((size,),) = ask(
                "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c"  # noqa: S608 - a constant
                f" JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = '{SCHEMA}' AND c.relkind = 'r'"
            )
            version = connection.info.parameter_status("server_version") or "unknown"
            return _contents("PostgreSQL", version, size, tables, ask, f"{SCHEMA}.")
    except psycopg.Error as error:
        why = without_password(reason(error), parsed)
        raise ConfigError("state", [f"the database cannot be used: {why}"]) from None
