"""A sandbox under load that is killed, and what has to hold of the state that it leaves."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from helpers.sandbox import Sandbox, running_sandbox
from helpers.webhook_endpoints import Receiver

ACCOUNTS, THREADS, OPENING, PRICE = (101, 102), 6, 10_000_000, 15
CONFIG = """
[server]
journal_size = 1000000
[assumed]
retry_after_s = [0.01, 0.02, 0.04]
disable_after = 1000000
"""
ACCOUNT = """
[[account]]
id = {id}
token = "token-{id}"
balance = "100000.00"
[[account.webhook]]
url = "{url}"
[[account.outcome]]
login_did = "79150*"
outcome = "busy"
delay_s = 0.05
"""


class Killed:
    """Runs a sandbox on a state file, kills it with SIGKILL, again and again, and checks what is left."""

    def __init__(self, folder: Path, receiver: Receiver, seed: int) -> None:
        self.random = Random(seed)
        self.answered: dict[int, set[str]] = {account_id: set() for account_id in ACCOUNTS}
        self._receiver = receiver
        config = folder / "mcn-mock.toml"
        accounts = [ACCOUNT.format(id=account_id, url=receiver.url) for account_id in ACCOUNTS]
        config.write_text("".join((CONFIG, *accounts)), encoding="utf-8")
        state = f"sqlite:///{folder}/state.db"
        # Nobody reads its log meanwhile: the pipe would fill up.
        self.arguments = ("--config", str(config), "--state", state, "--log-level", "error")

    def round(self, most: int) -> None:
        """Place calls from several threads, and kill the sandbox after some of them, at most so many, were answered."""
        enough, so_far = threading.Semaphore(0), self.random.randint(1, most)
        with running_sandbox(*self.arguments) as sandbox:
            threads = [
                threading.Thread(target=self._place, args=(sandbox, ACCOUNTS[n % len(ACCOUNTS)], n, enough))
                for n in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            for _ in range(so_far):
                assert enough.acquire(timeout=60)
            sandbox.process.kill()
            for thread in threads:
                thread.join()

    def _place(self, sandbox: Sandbox, account_id: int, number: int, enough: threading.Semaphore) -> None:
        connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)
        path = f"/v2/rest/account/{account_id}/flash_call?login_did=7915{number % 2}777777"
        with suppress(OSError, http.client.HTTPException):
            while True:
                connection.request("POST", path, headers={"Authorization": f"Bearer token-{account_id}"})
                response = connection.getresponse()
                content = json.loads(response.read())
                assert response.status == 200, content
                self.answered[account_id].add(content["object"]["verification_call_uuid"])
                enough.release()

    def check(self) -> str:
        """Start it again, let it deliver pending CDRs, and compare its books with what clients and receiver saw."""
        with running_sandbox(*self.arguments) as sandbox:
            calls = list(everything(sandbox, "calls"))
            deliveries = wait_until_delivered(sandbox)
            ledgers = {
                account_id: list(everything(sandbox, f"accounts/{account_id}/ledger")) for account_id in ACCOUNTS
            }
            balances = {account_id: sandbox.admin(f"accounts/{account_id}")["balance"] for account_id in ACCOUNTS}
        arrived = Counter(cdr["verification_call_uuid"] for cdr in self._receiver.received)
        placed = [call["verification_call_uuid"] for call in calls]
        assert len(set(placed)) == len(placed)
        for account_id in ACCOUNTS:
            own = {uuid for uuid in placed if uuid.endswith(f"_{account_id}")}
            assert self.answered[account_id] <= own, "a call that was answered is not there"
            charged = Counter(entry["verification_call_uuid"] for entry in ledgers[account_id][1:])
            assert charged == dict.fromkeys(own, 1), "each call is charged once, and nothing else is"
            total = sum(round(float(entry["amount"]) * 100) for entry in ledgers[account_id])
            assert total == round(float(balances[account_id]) * 100) == OPENING - PRICE * len(own)
        assert sorted(delivery["verification_call_uuid"] for delivery in deliveries) == sorted(placed)
        assert {uuid for uuid in placed if not arrived[uuid]} == set(), "a CDR is missing"
        twice = sum(count > 1 for count in arrived.values())
        return f"{sum(map(len, self.answered.values()))} calls answered, {len(placed)} placed, {twice} CDRs sent again"


def everything(sandbox: Sandbox, path: str) -> Iterator[Any]:
    """All items of a list."""
    after = 0
    while after is not None:
        page = sandbox.admin(f"{path}?limit=1000&after={after}")
        yield from page["items"]
        after = page["next"]


def wait_until_delivered(sandbox: Sandbox) -> list[Any]:
    """All deliveries, once none is pending any more."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        deliveries = list(everything(sandbox, "deliveries"))
        pending = [delivery for delivery in deliveries if delivery["state"] == "pending"]
        assert all(delivery["due_at"] for delivery in pending), "it is pending, and never due"
        if not pending:
            return deliveries
        time.sleep(0.01)
    raise AssertionError(f"still pending: {pending[:3]}")
