"""Webhooks at addresses that are silent, refuse, or are looked up slowly, beside one that works: ``make soak``."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from helpers.killed_sandbox import everything, wait_until_delivered
from helpers.load import Talk, answer, order
from helpers.sandbox import Sandbox, running_sandbox

pytestmark = pytest.mark.soak
CALLS, CLIENTS = 1_500, 8
CONFIG = """
[assumed]
ack_timeout_s = 1
retry_after_s = []
disable_after = 1000000
[[account]]
id = 1
token = "t"
balance = "100000.00"
"""
WEBHOOK = """
[[account.webhook]]
url = "http://{host}/"
"""
RESOLVER = """
import socket, time
original = socket.getaddrinfo
def getaddrinfo(host, port, *args, **kwargs):
    if host == "slow.test":
        time.sleep(3600)
    if host == "two.test":
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]
    return original(host, port, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""


def count_threads(sandbox: Sandbox) -> int:
    status = Path(f"/proc/{sandbox.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])


def test_slow_and_dead_addresses_delay_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> tuple[float, dict[str, Counter[str]], int]:
        loop = asyncio.get_running_loop()
        received: Counter[str] = Counter()
        asked = answered = 0
        done = asyncio.Event()

        def receive(_: bytes, body: bytes) -> bytes:
            received[json.loads(body)["verification_call_uuid"]] += 1
            return answer(204)

        def next_order() -> bytes:
            nonlocal asked
            asked += 1
            return order(1, "t") if asked <= CALLS else b""

        def hear(head: bytes, body: bytes) -> bytes:
            nonlocal answered
            assert head.startswith(b"http/1.1 200"), body
            answered += 1
            if answered == CALLS:
                done.set()
            return next_order()

        receiver = await loop.create_server(lambda: Talk(receive), "127.0.0.1", 0)
        port = receiver.sockets[0].getsockname()[1]
        silent = socket.socket()  # its queue is full with one connection, and further ones get no answer
        silent.bind(("127.0.0.2", port))
        silent.listen(0)
        only = socket.create_connection(("127.0.0.2", port))
        hosts = ["127.0.0.1", "two.test", "127.0.0.2", "127.0.0.3", "slow.test"]
        config = CONFIG + "".join(WEBHOOK.format(host=f"{host}:{port}") for host in hosts)
        began = time.monotonic()
        with running_sandbox("--log-level", "error", config=config, before=RESOLVER) as sandbox:
            sandbox_host, _, sandbox_port = sandbox.url.removeprefix("http://").partition(":")
            for _ in range(CLIENTS):
                await loop.create_connection(lambda: Talk(hear, next_order()), sandbox_host, int(sandbox_port))
            await done.wait()
            threads = count_threads(sandbox)
            await asyncio.to_thread(wait_until_delivered, sandbox)
            took = time.monotonic() - began
            told: defaultdict[str, Counter[str]] = defaultdict(Counter)
            for delivery in await asyncio.to_thread(lambda: list(everything(sandbox, "deliveries"))):
                (attempt,) = delivery["attempts"]
                told[delivery["url"].removeprefix("http://").partition(":")[0]][str(attempt["error"])] += 1
            code, out, log = await asyncio.to_thread(sandbox.stop)
            assert (code, out, log) == (0, "mcn-mock stopped; no CDR is pending\n", "")
        only.close()
        silent.close()
        receiver.close()
        assert set(received.values()) == {2}, "each CDR once at each of the two webhooks that work"
        refused = f"could not connect: connection refused by 127.0.0.3:{port}"
        assert told == {
            "127.0.0.1": {"None": CALLS},
            "two.test": {"None": CALLS},
            "127.0.0.2": {f"could not connect: 127.0.0.2:{port} did not answer within 1 s": CALLS},
            "127.0.0.3": {refused: CALLS},
            "slow.test": {"cannot resolve slow.test: its look-up took more than 1 s": CALLS},
        }
        return took, told, threads

    took, told, threads = asyncio.run(run())
    assert threads < 10, "a name that is slow has one look-up, and one thread"
    with capsys.disabled():
        print(f"\n{CALLS} calls with {len(told)} webhooks each in {took:.0f} s, {threads} threads")
