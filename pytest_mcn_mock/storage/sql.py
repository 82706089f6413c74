"""State that outlives the process: the store in memory, and a database that follows it in groups of changes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.storage import sql_rows as rows
from pytest_mcn_mock.storage.memory import MemoryStore
from pytest_mcn_mock.storage.sql_batch import Batch, Gathering
from pytest_mcn_mock.storage.sql_database import StateFileLost, open_database, reason

RETRY_S: Final = 1.0
"""How long after a failure the database is tried again."""
CHECK_S: Final = 1.0
"""How often it is looked whether the database's file is still there, if nothing is written."""
LINGER_S: Final = 0.05
"""How long a change may wait for others where nobody waits for it: the result of an attempt, which costs one CDR sent
twice if it is lost."""
_PROBE_SIZE: Final = 65_536
"""A disk that takes so much takes the next transactions too."""

_log = logging.getLogger("mcn_mock")


class SqlStore:
    """Implements ``service.ports.Durability``, where its methods are described; ``accounts`` and ``calls`` are the
    stores in memory, which hold all that the database does.

    Every step tells what it changed (see ``Recorder``). One thread writes it: what gathers while a transaction is
    committed is the next one. Where a commit fails, those who wait for it hear so, and memory goes back to what the
    database has; no step is admitted then until the database takes something again, which is tried every RETRY_S
    seconds. ``on_recovery`` is called then, on the thread that writes. ``on_kept`` is called, on any thread, when there
    is something for ``tell_kept`` to run.

    ConfigError where the URL is wrong or its database cannot be used.
    """

    def __init__(self, url: str, journal_size: int) -> None:
        self._database, contents = open_database(url)
        self._lock = threading.RLock()
        self._woken = threading.Condition(self._lock)
        self._gathering = Gathering(self._admit)
        self._in_flight: Batch | None = None
        self._is_awaited = False
        self._is_closing = False
        self._failure: str | None = None
        self._is_stale = False
        self.on_recovery: Callable[[], None] = self.reopen
        self._kept: deque[Callable[[], None]] = deque()
        self.on_kept: Callable[[], None] = self.tell_kept
        self.latest = contents.latest()
        self._memory = MemoryStore(journal_size, self._gathering, self._lock)
        self._memory.restore(contents)
        self.accounts, self.calls = self._memory.accounts, self._memory.calls
        self._writer = threading.Thread(target=self._write_all, name="mcn-mock-state", daemon=True)
        self._writer.start()

    def settled(self, delivery_id: int | None = None) -> Future[None] | None:
        with self._lock:
            if self._failure is not None:
                # What the caller has just done may have been undone since.
                failed: Future[None] = Future()
                failed.set_exception(StorageFailed(self._failure))
                return failed
            if _concerns(self._gathering.batch, delivery_id):
                batch = self._gathering.batch
                self._is_awaited = True
                self._woken.notify()
            elif self._in_flight is not None and _concerns(self._in_flight, delivery_id):
                batch = self._in_flight
            else:
                return None
            if batch.done is None:
                batch.done = Future()
                batch.done.set_running_or_notify_cancel()  # so that one who stops waiting does not stop the others
            return batch.done

    def when_kept(self, job: Callable[[], None]) -> None:
        """See ``Durability.when_kept``: the functions run in order, on the thread that calls ``tell_kept``."""
        with self._lock:
            if self._failure is not None:
                return  # what the caller has just done was undone
            batch = self._gathering.batch or self._in_flight
            (self._kept if batch is None else batch.jobs).append(job)
        if batch is None:
            self.on_kept()

    def tell_kept(self) -> None:
        """Run what waited for a commit that has succeeded."""
        while self._kept:
            try:
                self._kept.popleft()()
            except Exception:
                _log.exception("a change could not be reported")

    @property
    def failure(self) -> str | None:
        return self._failure

    def reopen(self) -> None:
        with self._lock:
            self._failure = None

    def close(self) -> None:
        with self._lock:
            self._is_closing = True
            self._woken.notify()
        self._writer.join()
        self._database.close()

    def _admit(self) -> None:
        if self._failure is not None:
            raise StorageFailed(self._failure)
        if not self._gathering.batch:
            self._woken.notify()

    def _write_all(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._commit(batch)
            except Exception as error:
                self._fail(batch, error)
                self._wait_for_recovery()
            else:
                with self._lock:
                    self._in_flight = None
                    self._kept.extend(batch.jobs)
                if batch.jobs:
                    self.on_kept()  # first: who hears that it is kept finds it told
                if batch.done is not None:
                    batch.done.set_result(None)

    def _commit(self, batch: Batch) -> None:
        if not batch:
            self._database.check_files()
            return
        with self._database.engine.begin() as connection:
            batch.write(connection)
            self._database.check_files()  # or nobody would find what is committed

    def _next(self) -> Batch | None:
        """What is to be written next; an empty batch if there is nothing for CHECK_S, None if nothing follows."""
        with self._woken:
            if not self._woken.wait_for(lambda: self._gathering.batch or self._is_closing, CHECK_S):
                return Batch()
            self._woken.wait_for(lambda: self._is_awaited or self._is_closing, LINGER_S)
            batch = self._gathering.batch
            if not batch:
                return None
            self._in_flight, self._gathering.batch, self._is_awaited = batch, Batch(), False
            return batch

    def _fail(self, batch: Batch, error: Exception) -> None:
        """Nothing of what was not committed has happened."""
        why = reason(error)
        if isinstance(error, SQLAlchemyError | StateFileLost):
            _log.error("the state cannot be written: %s; new calls are refused until it can", why)
        else:
            _log.exception("the state cannot be written; new calls are refused until it can")
        with self._lock:
            self._failure = f"the state cannot be written: {why}"
            refused = (batch, self._gathering.batch)
            self._in_flight, self._gathering.batch, self._is_awaited = None, Batch(), False
            self._is_stale = True
            with suppress(Exception):  # it is read once it can be
                self._reload()
        for lost in refused:
            if lost.done is not None:
                lost.done.set_exception(StorageFailed(self._failure))

    def _wait_for_recovery(self) -> None:
        while True:
            with self._woken:
                if self._woken.wait_for(lambda: self._is_closing, RETRY_S):
                    return
            try:
                self._try_to_write()
            except Exception as error:
                _log.debug("the state cannot be written yet: %s", reason(error))
                continue
            _log.warning("the state can be written again")
            self.on_recovery()
            return

    def _try_to_write(self) -> None:
        self._database.repair_log()
        key, value = rows.meta.c.key, rows.meta.c.value
        for text in ("0" * _PROBE_SIZE, ""):
            with self._database.engine.begin() as connection:
                connection.execute(update(rows.meta).where(key == rows.PROBE).values({value: text}))
        with self._lock:
            if self._is_stale:
                self._reload()

    def _reload(self) -> None:
        with self._database.engine.begin() as connection:
            contents = rows.read_contents(connection)
        self._memory.restore(contents)
        self._is_stale = False


def _concerns(batch: Batch, delivery_id: int | None) -> bool:
    return bool(batch) if delivery_id is None else delivery_id in batch.deliveries
