"""A replica that is killed, or stands still, while another one on the same database goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.killed_sandbox import everything
from helpers.postgres import Cluster
from helpers.replicas import SHORT_LEASES, at_once
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import Gated, Receiver

IMPATIENT = f"""{SHORT_LEASES}
import pytest_mcn_mock.storage.postgres as postgres; postgres.STILL_S = 0.5
"""
DIE_BEFORE_THE_ANSWER = """
import os, signal
import pytest_mcn_mock.web.client_api as api
async def die(*_): os.kill(os.getpid(), signal.SIGKILL)
api.send = die
"""
STAND_STILL = """
import os, signal
post = sql.SqlStorage._post
async def stand_still(*given):
    os.kill(os.getpid(), signal.SIGSTOP)
    await post(*given)
async def place(*given):
    sql.SqlStorage._post = stand_still
    return await placed(*given)
placed, sql.SqlStorage.place = sql.SqlStorage.place, place
"""


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    return cluster.new_url()


@pytest.fixture(scope="module")
def survivor(url: str) -> Iterator[Sandbox]:
    with running_sandbox("--state", url, before=IMPATIENT) as sandbox:
        yield sandbox


def victim(url: str, how: str = "") -> AbstractContextManager[Sandbox]:
    """Another replica."""
    return running_sandbox("--state", url, before=f"{IMPATIENT}{how}")


def open_account(sandbox: Sandbox, account_id: str, endpoint: str) -> Any:
    """Open an account with a webhook; return the order of a call on it, which takes the replica."""
    sandbox.admin("accounts", "POST", {"id": int(account_id), "token": account_id, "balance": "100.00"})
    sandbox.admin(f"accounts/{account_id}/webhooks", "POST", {"url": endpoint, "all_variables": True})
    return partial(Sandbox.order, account_id=account_id, token=account_id)


def wait_for_delivery(sandbox: Sandbox, account_id: str) -> Any:
    """The account's only delivery, once it is delivered."""
    found: list[Any] = []

    def is_there() -> bool:
        found[:] = [
            d for d in everything(sandbox, "deliveries") if d["verification_call_uuid"].endswith(f"_{account_id}")
        ]
        return [delivery["state"] for delivery in found] == ["delivered"]

    wait_until(is_there)
    return found[0]


def test_a_call_is_accepted_though_its_replica_died_before_the_answer(
    url: str, survivor: Sandbox, receiver: Receiver
) -> None:
    order = open_account(survivor, "201", receiver.url)
    with victim(url, DIE_BEFORE_THE_ANSWER) as first:
        with pytest.raises(requests.ConnectionError):
            order(first)
        assert first.process.wait(60) == -signal.SIGKILL
        delivery = wait_for_delivery(survivor, "201")
        charged = [entry["verification_call_uuid"] for entry in everything(survivor, "accounts/201/ledger")]
        assert charged == [None, delivery["verification_call_uuid"]]
        assert len(receiver.received) == 1


def test_an_attempt_that_died_is_repeated_with_the_same_key(url: str, survivor: Sandbox, receiver: Receiver) -> None:
    order = open_account(survivor, "202", receiver.url)
    with victim(url) as first:
        release = receiver.hold()
        order(first)
        wait_until(lambda: len(receiver.received) == 1)
        first.process.kill()
        wait_until(lambda: len(receiver.received) == 2)
        release()
        wait_for_delivery(survivor, "202")
        keys = [event["idempotencyKey"] for event in receiver.received]
        assert keys[0] == keys[1]
        assert receiver.bodies[0] == receiver.bodies[1]


def test_what_a_replica_settles_after_its_lease_undoes_nothing(url: str, survivor: Sandbox) -> None:
    with Gated() as endpoint, victim(url) as first:
        order = open_account(survivor, "203", endpoint.url)
        order(first)
        endpoint.wait_for(1)
        first.process.send_signal(signal.SIGSTOP)
        endpoint.answer(1, 204)
        endpoint.wait_for(2)
        delivery = wait_for_delivery(survivor, "203")
        endpoint.answer(0, 500)
        first.process.send_signal(signal.SIGCONT)
        path = f"deliveries/{delivery['id']}"
        wait_until(lambda: len(survivor.admin(path)["attempts"]) == 2)
        assert survivor.admin(path)["state"] == first.admin(path)["state"] == "delivered"
        assert endpoint.received[0] == endpoint.received[1]


def test_a_replica_that_stands_still_in_a_step_keeps_no_account_locked(
    url: str, survivor: Sandbox, receiver: Receiver
) -> None:
    order = open_account(survivor, "204", receiver.url)
    with victim(url, STAND_STILL) as first:

        def act(number: int) -> Any:
            if number == 0:
                return order(first)
            wait_until(lambda: "(stopped)" in Path(f"/proc/{first.process.pid}/status").read_text(encoding="ascii"))
            answer = order(survivor)
            first.process.send_signal(signal.SIGCONT)
            return answer

        still, other = at_once(act, 2)
        assert (still.status_code, other.status_code) == (503, 200), still.text
        wait_for_delivery(survivor, "204")
        assert survivor.admin("accounts/204")["balance"] == "99.85"
