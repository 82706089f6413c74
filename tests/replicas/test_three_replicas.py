"""Three sandboxes on one PostgreSQL database: what one decides holds for all, as if there were one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg
import pytest
import requests
from helpers.killed_sandbox import everything
from helpers.postgres import Cluster
from helpers.replicas import Watcher, at_once, running_replicas, wait_for_deliveries
from helpers.sandbox import Sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.model.draws import draw_call
from pytest_mcn_mock.model.numbering import caller_number

SEED, CLIENTS, ORDERS, PRICE = 7, 16, 12, 15
NOWHERE = "http://127.0.0.1:9/"
HELD = '[[account.outcome]]\nlogin_did = "79150*"\noutcome = "answered"\ndelay_s = 1800\n'


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    return cluster.new_url()


@pytest.fixture(scope="module")
def three(url: str) -> Iterator[list[Sandbox]]:
    config = with_webhook(NOWHERE).replace("[[account.webhook]]", f"seed = {SEED}\n[[account.webhook]]") + HELD
    with running_replicas(url, 3, config=config) as sandboxes:
        yield sandboxes


@pytest.fixture
def replicas(three: list[Sandbox], receiver: Receiver) -> list[Sandbox]:
    """Three replicas. Whatever a test does to them, the next one finds them as configured, with a receiver of its own:
    a CDR that is in flight at a reset still arrives at the earlier test's.
    """
    three[0].admin("reset", "POST", {})
    three[0].admin("accounts/12345678/webhooks/1", "PATCH", {"url": receiver.url})
    return three


def test_sixteen_clients_of_one_account(replicas: list[Sandbox], receiver: Receiver) -> None:
    def place(number: int) -> list[Any]:
        return [replicas[(number + n) % 3].flash_call() for n in range(ORDERS)]

    answers = [answer for placed in at_once(place, CLIENTS) for answer in placed]
    deliveries = wait_for_deliveries(replicas[0], CLIENTS * ORDERS)
    uuids = [answer["verification_call_uuid"] for answer in answers]
    assert len(set(uuids)) == len(uuids) == CLIENTS * ORDERS

    for sandbox in replicas:
        calls = list(everything(sandbox, "calls"))
        ledger = list(everything(sandbox, "accounts/12345678/ledger"))
        assert Counter(call["verification_call_uuid"] for call in calls) == Counter(uuids)
        charged = [entry["verification_call_uuid"] for entry in ledger[1:]]
        assert Counter(charged) == Counter(uuids), "each accepted order is charged once"
        balance = float(sandbox.admin("accounts/12345678")["balance"])
        total = sum(round(float(entry["amount"]) * 100) for entry in ledger)
        assert round(balance * 100) == total == 10_000 - PRICE * len(uuids)
    draws = [draw_call(SEED, n) for n in range(len(uuids))]
    assert charged == [f"{draw.call_id}_12345678" for draw in draws], "the draws are those of one process in memory"
    callers = {call["verification_call_uuid"]: call["caller_did"] for call in calls}
    assert [callers[uuid] for uuid in charged] == [caller_number(643, None, draw.number) for draw in draws]

    assert [len(delivery["attempts"]) for delivery in deliveries] == [1] * len(uuids)
    assert len({delivery["id"] for delivery in deliveries}) == len(uuids)
    assert Counter(cdr["verification_call_uuid"] for cdr in receiver.received) == Counter(uuids)


def test_the_last_roubles_are_spent_once(replicas: list[Sandbox]) -> None:
    replicas[0].admin("accounts/12345678", "PATCH", {"balance": "1.00"})
    answers = at_once(lambda n: replicas[n % 3].order(), 12)
    assert Counter(answer.status_code for answer in answers) == {200: 6, 402: 6}
    assert {sandbox.admin("accounts/12345678")["balance"] for sandbox in replicas} == {"0.10"}


def test_a_fault_strikes_as_often_as_it_was_asked_to(replicas: list[Sandbox]) -> None:
    fault = {"kind": "status", "status": 503, "times": 4}
    replicas[0].admin("accounts/12345678/faults", "PUT", {"items": [fault]})
    answers = at_once(lambda n: replicas[n % 3].order(), 12)
    assert Counter(answer.status_code for answer in answers) == {503: 4, 200: 8}


def test_a_call_that_rings_is_completed_elsewhere(replicas: list[Sandbox], receiver: Receiver) -> None:
    uuid = replicas[0].flash_call(login_did="79150777777")["verification_call_uuid"]
    completed = replicas[1].admin(f"calls/{uuid}/complete", "POST", {"outcome": "busy"})
    assert completed["state"] == "completed"
    (delivery,) = wait_for_deliveries(replicas[2], 1)
    assert replicas[2].admin(f"calls/{uuid}")["outcome"] == "busy"
    replicas[2].admin(f"deliveries/{delivery['id']}/resend", "POST", {})
    wait_until(lambda: len(receiver.received) == 2)
    wait_until(lambda: len(replicas[0].admin(f"deliveries/{delivery['id']}")["attempts"]) == 2)
    assert receiver.received[0] == receiver.received[1]


def test_the_time_is_put_forward_for_all(replicas: list[Sandbox], receiver: Receiver) -> None:
    """By two at once, which one after the other would be enough for."""
    uuid = replicas[0].flash_call(login_did="79150777777")["verification_call_uuid"]
    before = [time_at(sandbox) for sandbox in replicas]
    assert max(before) - min(before) < 60
    advance = {"seconds": 1000}
    at_once(lambda n: replicas[1 + n].admin("clock/advance", "POST", advance), 2)
    wait_until(lambda: min(time_at(sandbox) for sandbox in replicas) > max(before) + 1990)
    wait_until(lambda: [cdr["verification_call_uuid"] for cdr in receiver.received] == [uuid])
    replicas[0].flash_call(login_did="79150777777")
    replicas[1].admin("clock/advance", "POST", {"seconds": 1800})
    assert len(receiver.received) == 2, "an advance returns when what fell due was done"
    assert max(time_at(sandbox) for sandbox in replicas) < max(before) + 3800 + 120


def time_at(sandbox: Sandbox) -> float:
    now = sandbox.admin("clock/advance", "POST", {"seconds": 0.001})["now"]
    return datetime.fromisoformat(now).timestamp()


def test_a_reset_is_for_all(replicas: list[Sandbox]) -> None:
    for sandbox in replicas:
        sandbox.flash_call()
    wait_for_requests(replicas, 3)
    replicas[1].admin("reset", "POST", {})
    replicas[2].flash_call()
    wait_for_requests(replicas, 1)
    for sandbox in replicas:
        assert len(list(everything(sandbox, "calls"))) == 1
        assert sandbox.admin("accounts/12345678")["balance"] == "99.85"


def wait_for_requests(replicas: list[Sandbox], count: int) -> None:
    wait_until(lambda: [len(list(everything(sandbox, "requests"))) for sandbox in replicas] == [count] * 3)


def test_accounts_are_opened_and_closed_for_all(replicas: list[Sandbox]) -> None:
    new = {"id": 777, "token": "token-777", "balance": "1.00"}
    answers = at_once(lambda n: requests.post(f"{replicas[n].url}/__admin/accounts", json=new, timeout=60), 3)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    for sandbox in replicas:
        sandbox.flash_call("777", "token-777")
    replicas[2].admin("accounts/777", "DELETE")
    assert {sandbox.order(account_id="777", token="token-777").status_code for sandbox in replicas} == {401}
    assert all(len(list(everything(sandbox, "accounts"))) == 1 for sandbox in replicas)


def test_orders_while_accounts_are_closed_and_all_is_reset(replicas: list[Sandbox], receiver: Receiver) -> None:
    """What a step decides while its account goes away must not stay behind, nor may they block each other."""

    def place(number: int) -> None:
        for n in range(15):
            answer = replicas[(number + n) % 3].order(account_id="888", token="token-888")
            assert answer.status_code in {200, 401}, answer.text

    def open_and_close() -> None:
        for n in range(10):
            new = {"id": 888, "token": "token-888", "balance": "100.00"}
            replicas[0].admin("accounts", "POST", new)
            replicas[0].admin("accounts/888/webhooks", "POST", {"url": receiver.url})
            if n % 2:
                replicas[0].admin("accounts/888", "DELETE")
            replicas[0].admin("reset", "POST", {})

    at_once(lambda n: place(n) if n else open_and_close(), 6)
    replicas[0].admin("reset", "POST", {})
    for sandbox in replicas:
        assert list(everything(sandbox, "calls")) == list(everything(sandbox, "deliveries")) == []
    text = requests.get(f"{replicas[0].url}/__admin/metrics", timeout=60).text
    assert "mcn_mock_cdrs_pending 0.0" in text
    assert "mcn_mock_attempts_waiting 0.0" in text


def test_one_waits_for_what_another_does(replicas: list[Sandbox]) -> None:
    def wait(number: int) -> Any:
        url = f"{replicas[number % 3].url}/__admin/{WAITED_FOR[number]}&wait=60"
        return requests.get(url, timeout=50).json()["items"]

    with ThreadPoolExecutor(len(WAITED_FOR)) as pool:
        waiting = [pool.submit(wait, number) for number in range(len(WAITED_FOR))]
        for sandbox in replicas:  # what it was asked before has begun when it has answered this
            sandbox.admin("health")
        uuid = replicas[0].flash_call(login_did="79161234567", code="4242")["verification_call_uuid"]
        for found in waiting:
            assert [item["verification_call_uuid"] for item in found.result()] == [uuid]


WAITED_FOR = [
    path
    for path in (
        "calls?code=4242",
        "calls?login_did=79161234567&state=completed",
        "deliveries?code=4242&state=delivered",
        "requests?login_did=79161234567",
    )
    for _ in range(3)
]
"""Each at each replica."""


def test_a_watcher_of_one_hears_of_another(replicas: list[Sandbox], url: str) -> None:
    """Also after its connection to the database was cut, of which it is told."""
    with closing(Watcher(replicas[0])) as watcher, psycopg.connect(url, autocommit=True) as admin:
        for sandbox in replicas[1:]:
            uuid = sandbox.flash_call()["verification_call_uuid"]
            watcher.wait_for("call", verification_call_uuid=uuid)
            watcher.wait_for("request", verification_call_uuid=uuid, status=200)
            watcher.wait_for("delivery", verification_call_uuid=uuid, state="delivered")
            sandbox.admin("accounts/12345678/top_up", "POST", {"amount": "100.00"})
            watcher.wait_for("account", balance=sandbox.admin("accounts/12345678")["balance"])
            admin.execute("SELECT pg_notify('mcn_mock', 'a word of another program'), pg_notify('mcn_mock', '[1, 2]')")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN mcn_mock'")
            sandbox.order(login_did="79150000000")
            watcher.wait_for("dropped")
            watcher.events.clear()
            wait_for_requests(replicas, len(list(everything(sandbox, "calls"))))
        replicas[1].admin("accounts", "POST", {"id": 555, "token": "token-555"})
        watcher.wait_for("account", id=555)
        replicas[2].admin("accounts/555", "DELETE")
        watcher.wait_for("closed", id=555)
        replicas[2].admin("reset", "POST", {})
        watcher.wait_for("reset")
