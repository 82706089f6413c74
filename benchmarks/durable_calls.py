"""Call -> CDR cycles a second, in memory and with a state file, in one run: ``python benchmarks/durable_calls.py``.

A sandbox is a process of its own, and so is the load: threads that each place a call, again and again, over a kept
connection. The receiver is on an event loop in a process of its own, and acknowledges at once. A cycle is done when the
CDR was delivered; all of a run's CDRs have to be.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

CLIENTS, SECONDS, ROUNDS = 16, 6.0, 3
RECEIVER = """
import asyncio
class Receiver(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.left, self.seen = transport, b"", 0
    def data_received(self, data):
        data = self.left + data
        while (end := data.find(b"\\r\\n\\r\\n")) >= 0:
            head = data[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\\r\\n")[0])
            if len(data) < end + 4 + length:
                break
            data = data[end + 4 + length:]
            self.transport.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
        self.left = data
async def main():
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
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
def started(*command: str) -> Iterator[str]:
    """A process, and the first line that it printed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()


def run(folder: Path, *options: str) -> tuple[float, float]:
    """Calls answered, and CDRs delivered, a second."""
    with started(sys.executable, "-c", RECEIVER) as receiver:
        config = folder / "mcn-mock.toml"
        config.write_text(CONFIG.format(port=int(receiver)), encoding="utf-8")
        serve = (str(Path(sys.executable).with_name("mcn-mock")), "serve", "--config", str(config), *options)
        with started(*serve, "--log-level", "error") as greeting:
            netloc = urlsplit(next(word for word in greeting.split() if word.startswith("http"))).netloc
            return _measure(netloc)


def _measure(netloc: str) -> tuple[float, float]:
    counts = [0] * CLIENTS
    began = time.perf_counter()
    until = began + SECONDS

    def place(index: int) -> None:
        connection = http.client.HTTPConnection(netloc)
        while time.perf_counter() < until:
            connection.request(
                "POST", "/v2/rest/account/1/flash_call?login_did=79157777777", headers={"Authorization": "Bearer t"}
            )
            response = connection.getresponse()
            response.read()
            counts[index] += response.status == 200

    threads = [threading.Thread(target=place, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = time.perf_counter() - began
    connection = http.client.HTTPConnection(netloc)
    while True:  # until nothing is owed: the last page of deliveries, and its first item's state
        connection.request("GET", "/__admin/deliveries?account_id=1&order=newest&limit=1000")
        items = json.loads(connection.getresponse().read())["items"]
        if all(item["state"] == "delivered" for item in items):
            break
        time.sleep(0.05)
    return sum(counts) / answered, sum(counts) / (time.perf_counter() - began)


def main() -> None:
    """Measure in turn, and print medians and their ratio."""
    results: dict[str, list[tuple[float, float]]] = {"memory": [], "sqlite": []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            results["memory"].append(run(Path(name)))
            results["sqlite"].append(run(Path(name), "--state", f"sqlite:///{name}/state-{number}.db"))
    for store, rounds in results.items():
        calls, cycles = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{store}: {calls:,.0f} calls a second, {cycles:,.0f} cycles a second")
    memory, sqlite = (statistics.median(cycles for _, cycles in results[store]) for store in ("memory", "sqlite"))
    print(f"sqlite / memory: {sqlite / memory:.2f}")


if __name__ == "__main__":
    main()
