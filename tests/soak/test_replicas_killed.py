"""Replicas are killed under load, their database crashes, and one of them stands still: ``make soak``."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, suppress
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from helpers.killed_sandbox import everything
from helpers.postgres import Cluster
from helpers.replicas import SHORT_LEASES
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import Receiver

pytestmark = pytest.mark.soak
REPLICAS, CLIENTS, KILLS, CRASHES, SEED, PRICE = 3, 8, 50, 10, 20_220_527, 15
PATIENCE_S = 2.0
"""How long a client waits for an answer: one replica gives none meanwhile."""
STILL_S = 22.0
"""The default lease and some more: 20 s of it beyond the shortened one."""
CONFIG = """
[server]
journal_size = 1000000
[assumed]
retry_after_s = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
disable_after = 1000000
[[account]]
id = 101
token = "token-101"
balance = "1000000.00"
[[account.webhook]]
url = "{url}"
all_variables = true
"""


class Fleet:
    """Replicas on one database, of which one after the other is killed and started again, under load."""

    def __init__(self, stack: ExitStack, cluster: Cluster, receiver: Receiver) -> None:
        self.answered: set[str] = set()
        self.refused = 0
        self._stack = stack
        self._config = CONFIG.format(url=receiver.url)
        self._state = cluster.new_url()
        self.replicas = [self.start() for _ in range(REPLICAS)]
        self.is_over = threading.Event()
        self._threads = [threading.Thread(target=self._place, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def start(self) -> Sandbox:
        arguments = ("--state", self._state, "--log-level", "error")
        return self._stack.enter_context(running_sandbox(*arguments, config=self._config, before=SHORT_LEASES))

    def kill(self, number: int) -> None:
        """Kill a replica, and start another in its place."""
        self.replicas[number].process.kill()
        self.replicas[number].process.wait()
        self.replicas[number] = self.start()

    def end(self) -> None:
        """Let the clients end."""
        self.is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more orders were accepted."""
        wanted = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= wanted)

    def _place(self, number: int) -> None:
        random = Random(number)
        while not self.is_over.is_set():
            sandbox = random.choice(self.replicas)
            connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=PATIENCE_S)
            with suppress(OSError, http.client.HTTPException):
                for _ in range(5):
                    connection.request(
                        "POST",
                        "/v2/rest/account/101/flash_call?login_did=79157777777",
                        headers={"Authorization": "Bearer token-101"},
                    )
                    response = connection.getresponse()
                    content = json.loads(response.read())
                    if response.status == 200:
                        self.answered.add(content["object"]["verification_call_uuid"])
                    else:
                        assert (response.status, content["errors"][0]["code"]) == (503, "storage_failed"), content
                        self.refused += 1
                        time.sleep(0.05)
            connection.close()


def test_fifty_kills_ten_crashes_and_a_replica_that_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    began, random, cluster = time.monotonic(), Random(SEED), Cluster()
    with ExitStack() as stack:
        stack.callback(cluster.end)
        receiver = stack.enter_context(Receiver())
        fleet = Fleet(stack, cluster, receiver)
        stack.callback(fleet.is_over.set)
        still = fleet.replicas[0]
        still.process.send_signal(signal.SIGSTOP)
        waking = threading.Timer(STILL_S, still.process.send_signal, [signal.SIGCONT])
        waking.start()
        for number in range(KILLS):
            fleet.wait_for_answers(random.randint(1, 40))
            if number % (KILLS // CRASHES) == 0:
                cluster.stop("immediate")
                cluster.start()
                fleet.wait_for_answers(1)
            fleet.kill(random.randint(1, REPLICAS - 1))
        waking.join()
        fleet.wait_for_answers(50)
        fleet.end()
        twice = check(fleet, receiver)
    with capsys.disabled():
        print(
            f"\n{KILLS} replicas killed, {CRASHES} crashes in {time.monotonic() - began:.0f} s: {len(fleet.answered)} "
            f"orders accepted, {fleet.refused} refused, {twice} CDRs sent again"
        )


def check(fleet: Fleet, receiver: Receiver) -> int:
    """Compare the books with what clients and receiver saw; return how many CDRs were sent more than once."""
    sandbox = fleet.replicas[0]
    found: list[Any] = []

    def are_delivered() -> bool:
        found[:] = everything(sandbox, "deliveries")
        return all(delivery["state"] == "delivered" for delivery in found)

    wait_until(are_delivered)
    placed = [call["verification_call_uuid"] for call in everything(sandbox, "calls")]
    ledger = list(everything(sandbox, "accounts/101/ledger"))
    charged = Counter(entry["verification_call_uuid"] for entry in ledger[1:])
    assert len(set(placed)) == len(placed)
    assert fleet.answered <= set(placed), "a call that was answered is lost"
    assert charged == dict.fromkeys(placed, 1), "each call is charged once, and nothing else is"
    total = sum(round(float(entry["amount"]) * 100) for entry in ledger)
    balance = round(float(sandbox.admin("accounts/101")["balance"]) * 100)
    assert total == balance == 100_000_000 - PRICE * len(placed)
    assert Counter(delivery["verification_call_uuid"] for delivery in found) == Counter(placed)
    keys = defaultdict(list)
    for event in receiver.received:
        keys[event["data"]["verification_call_uuid"]].append(event["idempotencyKey"])
    assert keys.keys() == set(placed), "every CDR is at the receiver"
    assert all(len(set(each)) == 1 for each in keys.values()), "a CDR that is repeated has its key"
    return sum(len(each) > 1 for each in keys.values())
