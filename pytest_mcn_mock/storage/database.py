"""The database that a URL names: opening it, and whether it is still there. All that is SQLite's own is here.

A mistake of the person who starts the sandbox is a ConfigError, and leaves the database as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from filelock import BaseFileLock, FileLock, Timeout
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from pytest_mcn_mock.errors import ConfigError

SCHEMA_VERSION: Final = 3
"""Counts up with every change of the tables or of the values in them that another version could not read."""
TIMEOUT_S: Final = 1.0
"""How long a statement waits for another program that writes to the file."""
_ROOM: Final = 65_536
"""A disk that takes so many bytes takes the next transactions too."""
_NOT_ENCODED: Final = re.compile(r"[^\w.~!$&'()*+,;=%-]|%(?![0-9A-Fa-f]{2})", re.ASCII)
"""Characters that a password cannot have by RFC 3986, 3.2.1."""
_PASSWORDS: Final = ("password", "sslpassword")
"""Parameters of the driver that are secrets too."""
FORM: Final = "sqlite:///path/to/file (a path from the root has four slashes), or postgresql://user@host/database"


metadata = MetaData()
meta = Table("meta", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))
_PROBE: Final = "probe"
"""The key whose value is written to find out whether anything can be."""
_WRITE_META: Final = update(meta).where(meta.c.key == bindparam("of_key"))


FAILURES: Final = (SQLAlchemyError, sqlite3.Error)
"""Errors of the database."""


class StateFileLost(Exception):
    """The file is not where it was, so that what is written to it is lost with this process; the message says so."""


class _Files:
    """The database's file and its write-ahead log: whether they are still those that were opened."""

    def __init__(self, path: Path) -> None:
        self._database = path.resolve()
        self._log = self._database.with_name(f"{self._database.name}-wal")
        self._known: dict[Path, tuple[int, int]] = {}
        self._size = 0

    def look_anew(self) -> None:
        """A connection was opened, which makes a new log."""
        self._known.pop(self._log, None)

    def check(self) -> None:
        """Raise StateFileLost if one of them is gone, or is another file, or if the database's file was cut short: it
        only grows. A file that is new is remembered.
        """
        for path, why in ((self._database, "put it back, or start the sandbox again"), (self._log, "it is made again")):
            identity = _identity(path)
            known = self._known.get(path)
            if known is None and identity is not None:
                self._known[path] = identity
            elif identity != known:
                what = "is gone: it was deleted or moved" if identity is None else "is another file now"
                raise StateFileLost(f"{path.name} {what}; {why}")
        size = _size(self._database)
        if size < self._size:
            raise StateFileLost(f"{self._database.name} was cut short from {self._size} to {size} bytes; put it back")
        self._size = size

    def remove_stray_log(self) -> None:
        """Remove our log beside another file: it does not belong to that file, and SQLite would write it there."""
        is_replaced = _identity(self._database) not in {None, self._known.get(self._database)}
        if is_replaced and _identity(self._log) == self._known.get(self._log):
            self._log.unlink(missing_ok=True)
            self._log.with_name(f"{self._database.name}-shm").unlink(missing_ok=True)

    def is_log_alone(self) -> bool:
        """Return whether only the log is lost: closing the database then writes what was in it to the file."""
        known = self._known.pop(self._log, None)
        try:
            self.check()
        except StateFileLost:
            return False
        finally:
            if known is not None:
                self._known[self._log] = known
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class Database:
    """A database that only this process has open, and the one ``connection`` to it."""

    def __init__(self, engine: Engine, unlock: Callable[[], None], files: _Files) -> None:
        self._engine = engine
        self._unlock = unlock
        self._files = files
        self._connect()

    def _connect(self) -> None:
        self._held = self._engine.raw_connection()
        self.connection = _driver_of(self._held)

    def check_files(self) -> None:
        """Raise StateFileLost if the file was deleted, moved or replaced meanwhile. Takes some microseconds."""
        self._files.check()

    def try_to_write(self) -> None:
        """Write as much as the next transactions may take, and remove it again. If the log alone was lost, bring the
        file up to date first, and begin a new log. One of FAILURES or StateFileLost if that is not possible.
        """
        try:
            self._files.check()
        except StateFileLost:
            if not self._files.is_log_alone():
                raise
            self._held.close()
            self._engine.dispose()
            self._connect()
        for value in ("0" * _ROOM, ""):
            self.connection.execute("BEGIN")
            self.connection.execute("UPDATE meta SET value = ? WHERE key = ?", (value, _PROBE))
            self._files.check()
            self.connection.commit()

    def close(self) -> None:
        """Close it, and let others have it."""
        try:
            self._held.close()
            self._engine.dispose()
            self._files.remove_stray_log()
        finally:
            self._unlock()


def _driver_of(held: PoolProxiedConnection) -> sqlite3.Connection:
    """Return the driver's own connection."""
    return cast(sqlite3.Connection, held.driver_connection)


def open_database(url: str, load: Callable[[sqlite3.Connection], None]) -> Database:
    """Open the database, make the tables of ``metadata`` if it is new, and check that it can be written.

    ``load`` reads what is in it, in the same transaction. It raises ValueError if that is damaged.

    Raise ConfigError, which names no password, if any of this is not possible.
    """
    parsed = parse_url(url)
    path = Path(parsed.database or "")
    is_new = not os.path.lexists(path)
    lock = _lock(path)
    engine = create_engine(parsed, pool_size=1, max_overflow=0, pool_timeout=5, connect_args={"timeout": TIMEOUT_S})
    files = _Files(path)
    _set_up_sqlite(engine, files)
    try:
        with engine.begin() as connection:
            _prepare(connection, str(path))
            try:
                load(_driver_of(connection.connection))
            except ValueError as error:
                raise ConfigError("state", [f"{path} is damaged: {str(error).splitlines()[0][:200]}"]) from error
        _keep_log(engine)
        files.check()
        return Database(engine, partial(_unlock, lock), files)
    except BaseException as error:
        engine.dispose()
        if is_new:
            path.unlink(missing_ok=True)
        _unlock(lock)
        if isinstance(error, FAILURES):
            # If the disk is full, SQLite's error depends on the file that it was writing.
            why = "the disk is full" if shutil.disk_usage(path.parent).free < _ROOM else reason(error)
            raise ConfigError("state", [f"{path} cannot be used: {why}"]) from error
        raise


def reason(error: BaseException) -> str:
    """Why, in one line and in the database's own words: without the statement and the values that were in it."""
    return str(getattr(error, "orig", None) or error).splitlines()[0][:200]


def parse_url(url: str) -> URL:
    """Return the URL of a state. Raises ConfigError, without a password in it, if it names no file and no database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("state", [f"is not a database URL; it is {FORM}"]) from None
    if is_postgres(url):
        _check_postgres(url, parsed)
        return parsed
    if parsed.drivername != "sqlite":
        raise ConfigError("state", [f"{parsed.drivername[:40]!r} is not known; known is {FORM}"])
    if parsed.host or parsed.username or parsed.password or parsed.port or parsed.query:
        raise ConfigError("state", [f"names more than a file; it is {FORM}"])
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError("state", [f"names no file; it is {FORM}, and without a state all is in memory"])
    return parsed


def is_postgres(url: str) -> bool:
    """Return whether the URL of a state names a PostgreSQL database."""
    return url.startswith("postgresql:")


def _check_postgres(url: str, parsed: URL) -> None:
    """Raise ConfigError if the URL does not name a database, or if the driver is not installed."""
    try:
        import psycopg.conninfo  # noqa: PLC0415 - of an extra
    except ImportError:
        raise ConfigError(
            "state", ["PostgreSQL needs an extra: pip install 'pytest-mcn-mock[sandbox,postgres]'"]
        ) from None
    if not parsed.database:
        raise ConfigError("state", [f"names no database; it is {FORM}"])
    # The driver would show a part of the password if it misreads the beginning of the host.
    userinfo = url.partition("//")[2].rpartition("@")[0]
    if _NOT_ENCODED.search(userinfo.partition(":")[2]):
        raise ConfigError("state", ["the password has characters that have to be encoded, such as %40 for @"])
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        why = str(error).strip().splitlines()[0]
        raise ConfigError("state", [f"is not a database URL: {without_password(why, parsed)}"]) from None


def without_password(text: str, parsed: URL) -> str:
    """Return the text with the URL's password masked."""
    for password in (parsed.password, *(parsed.query.get(name) for name in _PASSWORDS)):
        if password:
            text = text.replace(str(password), "***")
    return text


def _lock(path: Path) -> BaseFileLock:
    """Keep other sandboxes off the file, which is made if there is none, for as long as this process lives."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError("state", [f"{path} cannot be opened: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError("state", [f"names no file, but {str(path)!r}: {error}"]) from error
    # A file beside it, the same for every name of the state: SQLite's own locks end between two transactions, and on
    # Windows a lock of the file itself would prevent SQLite from reading it.
    beside = f"{os.path.realpath(path)}.lock"
    lock = FileLock(beside, mode=0o600, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError("state", [f"{path} cannot be used: another sandbox uses it"]) from None
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError("state", [f"{path} cannot be used: {beside} cannot be locked: {why}"]) from error
    return lock


def _unlock(lock: BaseFileLock) -> None:
    with suppress(OSError):  # Windows removes no open file; it does not matter if it stays
        Path(lock.lock_file).unlink()  # still held: whoever gets this one sees that it is gone, and takes a new one
    lock.release()


def _set_up_sqlite(engine: Engine, files: _Files) -> None:
    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        files.look_anew()
        # No transaction but ours: Python's would not include the making of tables.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = NORMAL")  # see _keep_log

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


def _keep_log(engine: Engine) -> None:
    """Let SQLite keep a write-ahead log, with which ``synchronous = NORMAL`` flushes nothing to the disk at a commit.

    A commit is then with the operating system, so that a killed process loses nothing. A power cut may lose the last
    commits, but never damages the file. That is acceptable for a fake, and several times as fast.
    """
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        (mode,) = cursor.fetchone() or ("unknown",)
    finally:
        connection.close()
    if mode != "wal":
        raise ConfigError("state", [f"no write-ahead log can be kept beside the file; its journal is {mode!r}"])


def _prepare(connection: Connection, source: str) -> None:
    if connection.dialect.name == "sqlite":
        damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if damage != "ok":
            raise ConfigError("state", [f"{source} is damaged: {str(damage).splitlines()[-1][:200]}"])
    tables = inspect(connection).get_table_names()
    if not tables:
        metadata.create_all(connection)
        values = {"schema_version": SCHEMA_VERSION, _PROBE: ""}
        connection.execute(meta.insert(), [{"key": key, "value": str(value)} for key, value in values.items()])
    elif meta.name not in tables:
        raise ConfigError("state", [f"{source} is a database of another program"])
    _check_version(connection, source)
    # A disk that is full, or a file that is not to be written, is found out now and not with the first call.
    connection.execute(_WRITE_META, {"of_key": "schema_version", "value": str(SCHEMA_VERSION)})


def _check_version(connection: Connection, source: str) -> None:
    version = connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))
    if version is None or not version.isdecimal():
        raise ConfigError("state", [f"{source} is a database of another program"])
    if int(version) == SCHEMA_VERSION:
        return
    age, hint = ("a newer", "") if int(version) > SCHEMA_VERSION else ("an older", "; start with a new file")
    raise ConfigError(
        "state",
        [f"{source} is of {age} version of mcn-mock, form {version[:20]}; this one knows {SCHEMA_VERSION}{hint}"],
    )
