"""Every kind of storage, for the suite that runs over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from helpers.postgres import Cluster
from helpers.storage_steps import Steps

from pytest_mcn_mock.service.ports import Storage
from pytest_mcn_mock.storage.memory import MemoryStorage
from pytest_mcn_mock.storage.postgres import Postgres
from pytest_mcn_mock.storage.sql import SqlStorage
from pytest_mcn_mock.storage.transactions import Transactions


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with closing(asyncio.new_event_loop()) as loop:
        yield loop


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_steps(
    request: pytest.FixtureRequest, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[..., Steps]]:
    """A function that makes an empty storage with a journal of so many calls."""
    names = count()

    def make_storage(journal_size: int, *, has_one_time: bool) -> Storage:
        if request.param == "memory":
            return MemoryStorage(journal_size, has_one_time=has_one_time)
        if request.param == "sqlite":
            return SqlStorage(partial(Transactions, f"sqlite:///{tmp_path}/{next(names)}.db"), journal_size)
        cluster: Cluster = request.getfixturevalue("cluster")
        return SqlStorage(partial(Postgres, cluster.new_url()), journal_size)

    with ExitStack() as opened:

        def make(journal_size: int, *, has_one_time: bool = True) -> Steps:
            steps = Steps(make_storage(journal_size, has_one_time=has_one_time), loop)
            opened.callback(steps.end)
            return steps

        yield make
