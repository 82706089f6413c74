"""Run a sandbox for a benchmark in a process of its own, and measure its processor time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit


@contextmanager
def serving(folder: Path, config: str, state: str | None = None) -> Iterator[tuple[str, int]]:
    """Run a sandbox on a free port, with the text of its configuration's file; yield its address, and the id of its
    process.
    """
    file = folder / "mcn-mock.toml"
    file.write_text(f"[server]\nport = 0\n{config}", encoding="utf-8")
    command: list[str | Path] = [
        Path(sys.executable).with_name("mcn-mock"),
        "serve",
        "--config",
        file,
        "--log-level",
        "error",
    ]
    environment = {**os.environ, **({"MCN_MOCK_STATE": state} if state else {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        if process.stdout is None:
            raise RuntimeError("the sandbox has no pipe for its output")
        try:
            url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
            yield urlsplit(url).netloc, process.pid
        finally:
            process.kill()


def cpu_s(*pids: int) -> float:
    """Return the seconds of a processor that the processes have had, in Linux's account of them."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
