"""Call -> CDR cycles a second, in memory and with a state file, in one run: ``python benchmarks/durable_calls.py``.

The sandbox is a process of its own. This one is the load, which places call after call on kept connections, and the
receiver of the CDRs, which acknowledges at once; both speak as little HTTP as will do. A cycle ends when its CDR has
arrived.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.load import Talk, answer, order
from serving import cpu_s, serving

CLIENTS, SECONDS, ROUNDS = 32, 6.0, 3
UNFINISHED = 4 * CLIENTS
"""Orders whose CDR has not arrived yet, at the most: orders that run ahead take the processor from CDRs."""
ORDER = order(1, "t")
CONFIG = """
[[account]]
id = 1
token = "t"
balance = "10000000.00"
[[account.webhook]]
url = "http://127.0.0.1:{port}/"
"""


async def measure(folder: Path, state: str | None = None) -> tuple[float, float]:
    """Cycles a second, and milliseconds of a processor that the sandbox takes for one."""
    loop = asyncio.get_running_loop()
    placed = arrived = 0
    is_over = False
    complete = asyncio.Event()
    idle: list[Talk] = []

    def client() -> Talk:
        def answered(_: bytes, __: bytes) -> bytes:
            nonlocal placed
            placed += 1
            if is_over:
                return b""
            if placed - arrived < UNFINISHED:
                return ORDER
            idle.append(talk)
            return b""

        talk = Talk(answered, ORDER)
        return talk

    def acknowledged(_: bytes, __: bytes) -> bytes:
        nonlocal arrived
        arrived += 1
        if is_over and arrived >= placed:
            complete.set()
        if idle and not is_over:
            idle.pop().send(ORDER)
        return answer(204)

    receiver = await loop.create_server(lambda: Talk(acknowledged), "127.0.0.1", 0)
    config = CONFIG.format(port=receiver.sockets[0].getsockname()[1])
    with serving(folder, config, state) as (netloc, pid):
        host, _, port = netloc.partition(":")
        began, before = loop.time(), cpu_s(pid)
        for _ in range(CLIENTS):
            await loop.create_connection(client, host, int(port))
        await asyncio.sleep(SECONDS)
        is_over = True
        await complete.wait()
        rate, cost = arrived / (loop.time() - began), 1000 * (cpu_s(pid) - before) / arrived
    receiver.close()
    return rate, cost


def main() -> None:
    """Measure in turn, and print medians and their ratio."""
    results: dict[str, list[tuple[float, float]]] = {"memory": [], "sqlite": []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            results["memory"].append(asyncio.run(measure(Path(name))))
            state = f"sqlite:///{name}/state-{number}.db"
            results["sqlite"].append(asyncio.run(measure(Path(name), state)))
    (memory, memory_ms), (sqlite, sqlite_ms) = (
        [statistics.median(column) for column in zip(*rounds, strict=True)] for rounds in results.values()
    )
    print(f"in memory          {memory:7,.0f} cycles a second, {memory_ms:.2f} ms of a processor each")
    print(f"with a state file  {sqlite:7,.0f} cycles a second, {sqlite_ms:.2f} ms of a processor each")
    print(f"                   {sqlite / memory:7.0%}")


if __name__ == "__main__":
    main()
