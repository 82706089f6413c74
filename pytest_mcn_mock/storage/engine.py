"""The interface of a database engine to ``sql.py``: SQLite's is ``transactions.py``, PostgreSQL's ``postgres.py``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from pytest_mcn_mock.errors import StorageFailed

Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""The values of a statement, or those of each time that it is executed."""


def each_of(values: Values | None) -> list[dict[str, Any]]:
    """Return the values of each execution of a statement."""
    if values is None or isinstance(values, Mapping):
        return [dict(values or {})]
    return [dict(each) for each in values]


class RowLocked(StorageFailed):
    """Another step keeps a row locked for too long. Nothing has changed."""


class Statements(Protocol):
    """Executes statements in one transaction."""

    async def rows(self, query: Any, **values: Any) -> Sequence[Any]:
        """Return the rows that are found."""
        ...

    async def first(self, query: Any, **values: Any) -> Any:
        """Return the first row that is found, or None."""
        ...

    async def write(self, statement: Any, values: Values | None = None) -> None:
        """Execute a statement that changes rows, once or with each of the values."""


class Step(Statements, Protocol):
    """Statements that happen as a whole: a step reads, lets the rules decide, and writes.

    Raises StorageFailed if the database fails. Exceptions of the rules are passed on; nothing has changed then.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def rows_of_each(self, *asked: tuple[Any, dict[str, Any]], is_last: bool = False) -> Sequence[Sequence[Any]]:
        """Return the rows that each query finds with its values. ``is_last``: nothing more is asked in this step."""
        ...

    async def kept(self) -> None:
        """Wait until the step is committed. Raises StorageFailed if that is impossible."""


class Engine(Protocol):
    """A database that is open."""

    failure: str | None
    """Why no step can be kept at the moment, None if steps are kept."""
    on_recovery: Callable[[], object]
    """Called when steps can be kept again."""
    has_replicas: bool
    """Whether other processes may use the database at the same time."""

    def now(self) -> float:
        """Return the time by which claims hold, in seconds since the epoch: the database's if it has replicas."""
        ...

    def step(self) -> Step:
        """Return a step, for an ``async with`` statement. Await its ``kept`` afterwards."""
        ...

    async def first(self, query: Any, **values: Any) -> Any:
        """Read the first row outside a step; None if there is none. Raises StorageFailed if that is impossible."""
        ...

    async def kept_rows(self, query: Any, **values: Any) -> Sequence[Any]:
        """Read committed rows."""
        ...

    async def kept_first(self, query: Any, **values: Any) -> Any:
        """Read the first committed row; None if there is none."""
        ...

    async def watch(self) -> None:
        """See ``service.ports.Storage``, as for ``close``."""

    async def close(self) -> None:
        """Commit open transactions, and close the database."""


Load = Callable[[Statements, bool], Coroutine[Any, Any, None]]
"""Reads the state when the database is opened. Its second argument says whether the database has replicas. Raises
ValueError if the state is damaged.
"""
