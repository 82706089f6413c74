"""What a server alone costs: ``python benchmarks/servers.py``, which installs those that it compares.

Each answers the same bytes to wrk's 16 clients; the sandbox's own server answers them through its connection and its
reader, with an application that does nothing. Prints the processor's time of one request, medians of five runs in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from install import FOLDER
from rates import load
from rivals import PEERS, SILENT, Rival, receiving, running

ROUNDS, SECONDS = 5, 2.0
VENV = FOLDER / "servers"


def _install() -> str:
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    packages = ["granian", "uvicorn", "aiohttp", "httptools", str(Path(__file__).parents[1])]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return str(python)


def _command(python: str, name: str, port: int, _: str, __: Path) -> list[str]:
    return [python, str(PEERS / "idle_server.py"), name, str(port)]


def main() -> None:
    """Print a line for each."""
    python = _install()
    rivals = [Rival(name, partial(_command, python, name)) for name in ("ours", "granian", "uvicorn", "aiohttp")]
    found: dict[str, list[float]] = defaultdict(list)
    with receiving() as receiver, ExitStack() as stack:
        servers = [stack.enter_context(running(rival, receiver.url)) for rival in rivals]
        for _ in range(ROUNDS):
            for server in servers:
                before = sum(server.cpu_s())
                answers = load(server, SILENT, SECONDS)["answers"]
                found[server.rival.name].append(1e6 * (sum(server.cpu_s()) - before) / answers)
    ours = statistics.median(found["ours"])
    for name, taken in found.items():
        median = statistics.median(taken)
        print(f"{name:8} {median:6.1f} µs of a processor, {median / ours:.1f} times ours")


if __name__ == "__main__":
    main()
