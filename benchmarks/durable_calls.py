"""Call -> CDR cycles a second, in memory and with a state file, in one run: ``python benchmarks/durable_calls.py``.

The sandbox is a process of its own. This one is the load, which places call after call on kept connections, and the
receiver of the CDRs, which acknowledges at once; both speak as little HTTP as will do. A cycle ends when its CDR has
arrived.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from traffic import Talk, answer, order

CLIENTS, SECONDS, ROUNDS = 32, 6.0, 3
ORDER = order(1, "t")
CONFIG = """
[server]
port = 0
[[account]]
id = 1
token = "t"
balance = "10000000.00"
[[account.webhook]]
url = "http://127.0.0.1:{port}/"
"""


@contextmanager
def serving(folder: Path, port: int, *options: str) -> Iterator[str]:
    """A sandbox whose CDRs go to the port, and its address."""
    config = folder / "mcn-mock.toml"
    config.write_text(CONFIG.format(port=port), encoding="utf-8")
    command = [
        Path(sys.executable).with_name("mcn-mock"),
        "serve",
        "--config",
        config,
        "--log-level",
        "error",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None:
            raise RuntimeError("there is no pipe")
        try:
            yield urlsplit(next(word for word in process.stdout.readline().split() if word.startswith("http"))).netloc
        finally:
            process.kill()


async def measure(folder: Path, *options: str) -> float:
    """Cycles a second."""
    loop = asyncio.get_running_loop()
    placed = arrived = 0
    is_over = False
    complete = asyncio.Event()

    def answered(_: bytes, __: bytes) -> bytes:
        nonlocal placed
        placed += 1
        return b"" if is_over else ORDER

    def acknowledged(_: bytes, __: bytes) -> bytes:
        nonlocal arrived
        arrived += 1
        if is_over and arrived >= placed:
            complete.set()
        return answer(204)

    receiver = await loop.create_server(lambda: Talk(acknowledged), "127.0.0.1", 0)
    with serving(folder, receiver.sockets[0].getsockname()[1], *options) as netloc:
        host, _, port = netloc.partition(":")
        began = loop.time()
        for _ in range(CLIENTS):
            await loop.create_connection(lambda: Talk(answered, ORDER), host, int(port))
        await asyncio.sleep(SECONDS)
        is_over = True
        await complete.wait()
        rate = arrived / (loop.time() - began)
    receiver.close()
    return rate


def main() -> None:
    """Measure in turn, and print medians and their ratio."""
    rates: dict[str, list[float]] = {"memory": [], "sqlite": []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            rates["memory"].append(asyncio.run(measure(Path(name))))
            rates["sqlite"].append(asyncio.run(measure(Path(name), "--state", f"sqlite:///{name}/state-{number}.db")))
    memory, sqlite = (statistics.median(rates[store]) for store in ("memory", "sqlite"))
    print(f"in memory          {memory:7,.0f} cycles a second")
    print(f"with a state file  {sqlite:7,.0f} cycles a second, {sqlite / memory:.0%} of it")


if __name__ == "__main__":
    main()
