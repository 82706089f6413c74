"""Steps that need several rows, while another process has some of them locked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from helpers.postgres import Cluster
from helpers.storage_steps import Steps, accept_ended

from pytest_mcn_mock.service.ports import CallDecision
from pytest_mcn_mock.storage.postgres import Postgres
from pytest_mcn_mock.storage.sql import SqlStorage

Other = psycopg.Connection[Any]
WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.new_url()


@pytest.fixture
def steps(url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Steps]:
    made = Steps(SqlStorage(partial(Postgres, url), 100), loop)
    for account_id in "12":
        made.open(account_id)
    yield made
    made.end()


@pytest.fixture
def connect(url: str) -> Callable[[], Other]:
    return partial(psycopg.connect, url, options="-c search_path=mcn_mock")


def test_an_account_that_is_locked_elsewhere_holds_up_no_other(steps: Steps, connect: Callable[[], Other]) -> None:
    async def place_both() -> CallDecision:
        locked, free = (asyncio.ensure_future(steps.storage.place(number, accept_ended)) for number in "12")
        placed = await free
        other.rollback()
        await asyncio.wait([locked])
        return placed

    with connect() as other:
        other.execute("SELECT FROM accounts WHERE id = '1' FOR UPDATE")
        assert steps.run(place_both()).call.account_id == "2"


def test_a_reset_and_a_step_that_locks_rows_in_another_order_wait_for_one_another(
    steps: Steps, connect: Callable[[], Other]
) -> None:
    for account_id in "12":
        steps.place(account_id, accept_ended)

    async def reset(watcher: Other) -> None:
        resetting = asyncio.ensure_future(steps.storage.reset([], 1.0))
        while not (watcher.execute(WAITING).fetchall() or resetting.done()):
            watcher.rollback()
            await asyncio.sleep(0.01)
        other.execute("SELECT FROM deliveries WHERE id = 1 FOR UPDATE")
        other.commit()
        await resetting

    with connect() as other, connect() as watcher:
        other.execute("SELECT FROM deliveries WHERE id = 2 FOR UPDATE")
        steps.run(reset(watcher))
    assert steps.run(steps.storage.calls(None, 0, 9)) == []
