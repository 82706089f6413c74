"""A replica that is killed, or stands still, while another one on the same database goes on."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from helpers.killed_sandbox import everything
from helpers.postgres import Cluster
from helpers.replicas import SHORT_LEASES, at_once, wait_for_deliveries
from helpers.sandbox import Sandbox, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Gated, Receiver

DIE = "import os, signal\nasync def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
BEFORE_THE_ANSWER = f"{DIE}import pytest_mcn_mock.web.client_api as api; api._answer = die"
BEFORE_THE_ATTEMPT = f"{DIE}worker.DeliveryWorker._send = die"
IMPATIENT = "import pytest_mcn_mock.storage.postgres as postgres; postgres.STILL_S = 0.5\n"
STAND_STILL = f"""{IMPATIENT}
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


def two(stack: ExitStack, cluster: Cluster, endpoint: str, how: str = "") -> tuple[Sandbox, Sandbox]:
    """Two replicas, of which the first one's process runs something more."""
    config = f"{with_webhook(endpoint)}all_variables = true\n"
    state, befores = cluster.new_url(), (f"{SHORT_LEASES}{how}", f"{SHORT_LEASES}{IMPATIENT}")
    starts = [running_sandbox("--state", state, config=config, before=before) for before in befores]
    first, second = at_once(lambda n: stack.enter_context(starts[n]), 2)
    return first, second


@pytest.mark.parametrize("how", [BEFORE_THE_ANSWER, BEFORE_THE_ATTEMPT], ids=["answer", "attempt"])
def test_another_sends_the_cdr_of_a_replica_that_was_killed(cluster: Cluster, receiver: Receiver, how: str) -> None:
    with ExitStack() as stack:
        first, second = two(stack, cluster, receiver.url, how)
        try:
            first.order()
        except requests.ConnectionError:
            assert how == BEFORE_THE_ANSWER
        assert first.process.wait(60) == -signal.SIGKILL
        wait_for_deliveries(second, 1)
        (call,) = everything(second, "calls")
        charged = [entry["verification_call_uuid"] for entry in everything(second, "accounts/12345678/ledger")]
        assert charged == [None, call["verification_call_uuid"]]
        assert len(receiver.received) == 1


def test_an_attempt_that_died_is_repeated_with_the_same_key(cluster: Cluster, receiver: Receiver) -> None:
    with ExitStack() as stack:
        first, second = two(stack, cluster, receiver.url)
        release = receiver.hold()
        first.flash_call()
        wait_until(lambda: len(receiver.received) == 1)
        first.process.kill()
        wait_until(lambda: len(receiver.received) == 2)
        release()
        wait_for_deliveries(second, 1)
        keys = [event["idempotencyKey"] for event in receiver.received]
        assert keys[0] == keys[1]
        assert receiver.bodies[0] == receiver.bodies[1]


def test_what_a_replica_settles_after_its_lease_undoes_nothing(cluster: Cluster) -> None:
    with Gated() as endpoint, ExitStack() as stack:
        first, second = two(stack, cluster, endpoint.url)
        first.flash_call()
        endpoint.wait_for(1)
        first.process.send_signal(signal.SIGSTOP)
        endpoint.answer(1, 204)
        endpoint.wait_for(2)
        (delivery,) = wait_for_deliveries(second, 1)
        endpoint.answer(0, 500)
        first.process.send_signal(signal.SIGCONT)
        path = f"deliveries/{delivery['id']}"
        wait_until(lambda: len(second.admin(path)["attempts"]) == 2)
        assert second.admin(path)["state"] == first.admin(path)["state"] == "delivered"
        assert endpoint.received[0] == endpoint.received[1]


def test_a_replica_that_stands_still_in_a_step_keeps_no_account_locked(cluster: Cluster, receiver: Receiver) -> None:
    with ExitStack() as stack:
        first, second = two(stack, cluster, receiver.url, STAND_STILL)

        def order(number: int) -> requests.Response:
            if number == 0:
                return first.order()
            wait_until(lambda: "(stopped)" in status_of(first))
            answer = second.order()
            first.process.send_signal(signal.SIGCONT)
            return answer

        still, other = at_once(order, 2)
        assert (other.status_code, still.status_code) == (200, 503), still.text
        wait_for_deliveries(second, 1)
        assert second.admin("accounts/12345678")["balance"] == "99.85"


def status_of(sandbox: Sandbox) -> str:
    return Path(f"/proc/{sandbox.process.pid}/status").read_text(encoding="ascii")
