"""Every kind of storage, for the suite that runs over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest
from helpers.storage_steps import Steps

from pytest_mcn_mock.storage.memory import MemoryStorage
from pytest_mcn_mock.storage.sql import SqlStorage


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with closing(asyncio.new_event_loop()) as loop:
        yield loop


@pytest.fixture(params=["memory", "sqlite"])
def make_steps(
    request: pytest.FixtureRequest, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[..., Steps]]:
    """A function that makes an empty storage with a journal of so many calls."""
    names = count()
    with ExitStack() as opened:

        def make(journal_size: int, *, has_one_time: bool = True) -> Steps:
            storage = (
                MemoryStorage(journal_size, has_one_time=has_one_time)
                if request.param == "memory"
                else SqlStorage(f"sqlite:///{tmp_path}/{next(names)}.db", journal_size)
            )
            steps = Steps(storage, loop)
            opened.callback(steps.end)
            return steps

        yield make
