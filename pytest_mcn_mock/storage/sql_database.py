"""Opening the database that a URL names. All that is SQLite's own is here.

Every mistake of the one who starts the sandbox is a ConfigError, and leaves the database as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from filelock import BaseFileLock, FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pytest_mcn_mock.errors import ConfigError
from pytest_mcn_mock.storage import sql_rows as rows
from pytest_mcn_mock.storage.contents import Contents

_ROOM: Final = 65_536
FORM: Final = "sqlite:///path/to/file (a path from the root has four slashes)"


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
        """Whether only the log is lost: closing the database then writes what was in it to the file."""
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


@dataclass(frozen=True, slots=True)
class Database:
    """An open database, which nobody else has open."""

    engine: Engine
    unlock: Callable[[], None]
    files: _Files

    def check_files(self) -> None:
        """Raise StateFileLost if the file was deleted, moved or replaced meanwhile. Takes some microseconds."""
        self.files.check()

    def repair_log(self) -> None:
        """Bring the file up to date and begin a new log, if the log alone was lost."""
        try:
            self.files.check()
        except StateFileLost:
            if not self.files.is_log_alone():
                raise
            self.engine.dispose()

    def close(self) -> None:
        """Close it, and let others have it."""
        self.engine.dispose()
        self.files.remove_stray_log()
        self.unlock()


def open_database(url: str) -> tuple[Database, Contents]:
    """Open the database, and make its tables if it is new; return it and what is in it.

    ConfigError where that cannot be; it names no password.
    """
    parsed = parse_url(url)
    path = Path(parsed.database or "")
    is_new = not os.path.lexists(path)
    lock = _lock(path)
    engine = create_engine(parsed, pool_size=1, max_overflow=0, pool_timeout=5)
    files = _Files(path)
    _set_up_sqlite(engine, files)
    try:
        contents = _load(engine, str(path))
        _keep_log(engine)
        files.check()
    except BaseException as error:
        engine.dispose()
        if is_new:
            path.unlink(missing_ok=True)
        _unlock(lock)
        if isinstance(error, SQLAlchemyError):
            # What SQLite says to a full disk depends on which of its files finds it so.
            why = "the disk is full" if shutil.disk_usage(path.parent).free < _ROOM else reason(error)
            raise ConfigError("state", [f"{path} cannot be used: {why}"]) from error
        raise
    return Database(engine, partial(_unlock, lock), files), contents


def reason(error: Exception) -> str:
    """Why, in one line and in the database's own words: without the statement and the values that were in it."""
    return str(getattr(error, "orig", None) or error).splitlines()[0][:200]


def parse_url(url: str) -> URL:
    """The URL of a state; ConfigError, which shows no password, if it does not name one file."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("state", [f"is no database URL; it is {FORM}"]) from None
    if parsed.drivername != "sqlite":
        raise ConfigError("state", [f"{parsed.drivername[:40]!r} is not known; known is {FORM}"])
    if parsed.host or parsed.username or parsed.password or parsed.port or parsed.query:
        raise ConfigError("state", [f"names more than a file; it is {FORM}"])
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError("state", [f"names no file; it is {FORM}, and without a state all is in memory"])
    return parsed


def _lock(path: Path) -> BaseFileLock:
    """Keep other sandboxes off the file, which is made if there is none, for as long as this process lives."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError("state", [f"{path} cannot be opened: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError("state", [f"names no file, but {str(path)!r}: {error}"]) from error
    # A file beside it, by whatever name the state is reached: SQLite's own locks let go between two transactions, and
    # on Windows a lock of the file itself would keep SQLite from reading it.
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

    What was committed is with the operating system then, and a process that is killed loses none of it. A power cut may
    cost the last commits, never the soundness of the file; a fake can live with that, and is several times as fast.
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


def _load(engine: Engine, source: str) -> Contents:
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if damage != "ok":
                raise ConfigError("state", [f"{source} is damaged: {str(damage).splitlines()[-1][:200]}"])
        tables = inspect(connection).get_table_names()
        if not tables:
            rows.metadata.create_all(connection)
            values = {"schema_version": rows.SCHEMA_VERSION, rows.PROBE: "", **dict.fromkeys(rows.COUNTERS, 0)}
            connection.execute(rows.meta.insert(), [{"key": key, "value": str(value)} for key, value in values.items()])
        elif rows.meta.name not in tables:
            raise ConfigError("state", [f"{source} is a database of another program"])
        _check_version(connection, source)
        # A disk that is full, or a file that is not to be written, is found out now and not with the first call.
        connection.execute(update(rows.meta).where(rows.meta.c.key == "schema_version").values(value=rows.meta.c.value))
        try:
            return rows.read_contents(connection)
        except ValueError as error:
            raise ConfigError("state", [f"{source} is damaged: {str(error).splitlines()[0][:200]}"]) from error


def _check_version(connection: Connection, source: str) -> None:
    version = connection.scalar(select(rows.meta.c.value).where(rows.meta.c.key == "schema_version"))
    if version is None or not version.isdecimal():
        raise ConfigError("state", [f"{source} is a database of another program"])
    if int(version) > rows.SCHEMA_VERSION:
        raise ConfigError(
            "state",
            [f"{source} is of a newer version of mcn-mock, form {version[:20]}; this one knows {rows.SCHEMA_VERSION}"],
        )
