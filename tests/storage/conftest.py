"""Every store that there is, for the suite that runs over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from pytest_mcn_mock.storage.memory import MemoryStore
from pytest_mcn_mock.storage.sql import SqlStore

Store = MemoryStore | SqlStore


@pytest.fixture(params=["memory", "sqlite"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], Store]]:
    """A function that makes an empty store with a journal of so many calls."""
    numbers = count()
    with ExitStack() as opened:

        def make(journal_size: int) -> Store:
            if request.param == "memory":
                return MemoryStore(journal_size)
            store = SqlStore(f"sqlite:///{tmp_path}/state-{next(numbers)}.db", journal_size)
            opened.callback(store.close)
            return store

        yield make
