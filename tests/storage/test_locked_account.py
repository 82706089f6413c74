"""Orders of several accounts are placed in one step, also while another process has one of the accounts locked."""

from __future__ import annotations

import asyncio
from functools import partial

import psycopg
from helpers.postgres import Cluster
from helpers.storage_steps import Steps, accept_ended

from pytest_mcn_mock.service.ports import CallDecision
from pytest_mcn_mock.storage.postgres import Postgres
from pytest_mcn_mock.storage.sql import SqlStorage


def test_an_account_that_is_locked_elsewhere_holds_up_no_other(
    cluster: Cluster, loop: asyncio.AbstractEventLoop
) -> None:
    url = cluster.new_url()
    steps = Steps(SqlStorage(partial(Postgres, url), 100), loop)
    steps.open("1")
    steps.open("2")

    async def place_both() -> CallDecision:
        locked, free = (asyncio.ensure_future(steps.storage.place(number, accept_ended)) for number in "12")
        placed = await free
        other.rollback()
        await asyncio.wait([locked])
        return placed

    with psycopg.connect(url, options="-c search_path=mcn_mock") as other:
        other.execute("SELECT FROM accounts WHERE id = '1' FOR UPDATE")
        assert steps.run(place_both()).call.account_id == "2"
    steps.end()
