"""A hundred thousand calls, whose CDRs go to a receiver that fails one time in five: ``make soak``."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from helpers.killed_sandbox import everything, wait_until_delivered
from helpers.load import Talk, answer, order
from helpers.sandbox import Sandbox, running_sandbox

pytestmark = pytest.mark.soak
CALLS, CLIENTS, AHEAD = 100_000, 24, 2_000
ATTEMPTS = 4
GARBAGE_KIB = 24 * 1024
"""What closed connections may leave until the sandbox's collector comes, after 100,000 objects."""
CONFIG = """
[server]
journal_size = 10000
[assumed]
retry_after_s = [0.05, 0.1, 0.2]
disable_after = 1000000
[[account]]
id = 1
token = "t"
balance = "100000.00"
[[account.webhook]]
url = "http://127.0.0.1:{port}/"
"""


class Load:
    """The clients and the receiver, and what they saw of each call. Clients wait while ``AHEAD`` CDRs are pending."""

    def __init__(self, sandbox_of: dict[str, Sandbox]) -> None:
        self.placed: set[str] = set()
        self.failed: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.memory: dict[int, int] = {}
        self.done = asyncio.Event()
        self.problem = ""
        self._asked = 0
        self._random = Random(7)
        self._sandbox_of = sandbox_of
        self._waiting: deque[Talk] = deque()  # in turn: the sandbox closes a connection that is idle for long

    def receive(self, _: bytes, body: bytes) -> bytes:
        """The receiver's answer to a CDR."""
        uuid = json.loads(body)["verification_call_uuid"]
        if self._random.random() < 0.2:
            self.failed[uuid] += 1
            status = 503
        else:
            self.acknowledged[uuid] += 1
            status = 204
        while self._waiting and self._is_to_go_on():
            self._waiting.popleft().send(self._next())
        return answer(status)

    def client(self) -> Talk:
        """A client, which begins with its first order."""

        def answered(head: bytes, body: bytes) -> bytes:
            if not head.startswith(b"http/1.1 200"):
                self.problem = body.decode()
                self.done.set()
                return b""
            self.placed.add(json.loads(body)["object"]["verification_call_uuid"])
            if len(self.placed) in (CALLS * 2 // 5, CALLS):
                self.memory[len(self.placed)] = resident(self._sandbox_of["one"])
            if len(self.placed) == CALLS:
                self.done.set()
            if self._is_to_go_on():
                return self._next()
            self._waiting.append(talk)
            return b""

        talk = Talk(answered, self._next())
        return talk

    def _next(self) -> bytes:
        if self._asked == CALLS:
            return b""
        self._asked += 1
        return order(1, "t")

    def _is_to_go_on(self) -> bool:
        return self._asked - len(self.acknowledged) < AHEAD


def resident(sandbox: Sandbox) -> int:
    """The sandbox's resident memory, in KiB."""
    status = Path(f"/proc/{sandbox.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.mark.parametrize("kept", [True, False], ids=["state file", "memory"])
def test_a_hundred_thousand_calls_are_accounted_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: bool
) -> None:
    began = time.monotonic()

    async def run() -> tuple[Load, str, list[dict[str, str]], float]:
        loop = asyncio.get_running_loop()
        sandbox_of: dict[str, Sandbox] = {}
        load = Load(sandbox_of)
        receiver = await loop.create_server(lambda: Talk(load.receive), "127.0.0.1", 0)
        config = CONFIG.format(port=receiver.sockets[0].getsockname()[1])
        state = ("--state", f"sqlite:///{tmp_path}/state.db") if kept else ()
        with running_sandbox("--log-level", "error", *state, config=config) as sandbox:
            sandbox_of["one"] = sandbox
            host, _, port = sandbox.url.removeprefix("http://").partition(":")
            for _ in range(CLIENTS):
                await loop.create_connection(load.client, host, int(port))
            await load.done.wait()
            assert not load.problem
            took = time.monotonic() - began
            await asyncio.to_thread(wait_until_delivered, sandbox)
            account = await asyncio.to_thread(sandbox.admin, "accounts/1")
            entries = await asyncio.to_thread(lambda: list(everything(sandbox, "accounts/1/ledger")))
            stop = await asyncio.to_thread(sandbox.stop)
            assert (stop[0], stop[1]) == (0, "mcn-mock stopped; no CDR is pending\n"), stop
        receiver.close()
        return load, account["balance"], entries, took

    load, balance, entries, took = asyncio.run(run())
    failed = {uuid for uuid in load.placed if not load.acknowledged[uuid]}
    assert len(load.placed) == CALLS
    assert set(load.acknowledged) | set(load.failed) == load.placed, "a CDR of every call, and of no other"
    assert {load.failed[uuid] for uuid in failed} <= {ATTEMPTS}, "what failed was tried as often as it should"
    assert set(load.acknowledged.values()) == {1}, "nothing was sent again after it was acknowledged"
    assert Decimal(balance) == 100_000 - CALLS * Decimal("0.15") == sum(Decimal(entry["amount"]) for entry in entries)
    early, late = load.memory[CALLS * 2 // 5], load.memory[CALLS]
    with capsys.disabled():
        print(
            f"\n{CALLS} calls in {took:.0f} s ({CALLS / took:.0f} a second); {sum(load.failed.values())} attempts "
            f"failed; {len(load.acknowledged)} CDRs delivered and {len(failed)} failed after {ATTEMPTS} attempts; "
            f"balance {balance}; resident {early / 1024:.1f} MiB at 40 %, {late / 1024:.1f} MiB at 100 %"
        )
    assert late <= early + GARBAGE_KIB, "half a KiB of each call is kept"
