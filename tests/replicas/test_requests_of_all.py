"""Replicas on one database list the same requests, each once, whatever falls into a bad moment."""

from __future__ import annotations

from contextlib import closing

import psycopg
from helpers.killed_sandbox import everything
from helpers.postgres import Cluster
from helpers.replicas import Watcher, running_replicas
from helpers.sandbox import Sandbox, running_sandbox, wait_until

UNSURE = """
import pytest_mcn_mock.storage.postgres as postgres
set_time = postgres.Postgres._set_time
postgres.Postgres._set_time = lambda self, row, began: set_time(self, row, began - 1)
"""
"""The database's answer, when it is asked for the time, seems to take a second more."""
SLOW = """
import asyncio
from pytest_mcn_mock.storage.replicas import Replicas
read = Replicas._read
async def read_slowly(*arguments, **values):
    found = await read(*arguments, **values)
    await asyncio.sleep(0.3)
    return found
Replicas._read = read_slowly
"""
"""What is read of the others' requests is old when it arrives."""


def seqs(sandbox: Sandbox) -> list[int]:
    return [request["seq"] for request in everything(sandbox, "requests")]


def wait_for_requests(replicas: list[Sandbox], count: int) -> None:
    """Wait until each lists so many, and the same."""

    def are_listed() -> bool:
        first, *others = (seqs(sandbox) for sandbox in replicas)
        return len(first) == len(set(first)) == count and all(other == first for other in others)

    wait_until(are_listed)


def test_a_request_that_follows_a_reset_is_kept_by_whichever_clock(cluster: Cluster) -> None:
    url = cluster.new_url()
    with running_sandbox("--state", url, before=UNSURE) as unsure, running_sandbox("--state", url) as sure:
        for resets, orders in ((unsure, sure), (sure, unsure)):
            resets.admin("reset", "POST", {})
            orders.flash_call()
            wait_for_requests([unsure, sure], 1)


def test_requests_while_a_replica_begins_to_hear_of_others_again(cluster: Cluster) -> None:
    url, count = cluster.new_url(), 0
    with (
        running_replicas(url, 2, before=SLOW) as replicas,
        closing(Watcher(replicas[0])) as watcher,
        psycopg.connect(url, autocommit=True) as admin,
    ):
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN mcn_mock'")
        while "dropped" not in dict(watcher.events):
            for sandbox in replicas:
                sandbox.order(login_did="79150000000")
                count += 1
        wait_for_requests(replicas, count)
