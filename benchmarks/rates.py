"""The rivals under load, in turn: cycles and calls a second, latency, and the time until the first answer."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rivals import SILENT, SUBSCRIBED, Receiver, Rival, Running, running, wait_until_answered

CLIENTS = 16
IN_TIME_S = 0.5
"""A CDR is in time if it arrives within the run or so long after it."""
LOST_AFTER_S = 6.0
LUA = Path(__file__).parent / "load.lua"

Figures = dict[str, float]


def load(server: Running, account: str, seconds: float, clients: int = CLIENTS) -> Figures:
    """What wrk saw: ``answers``, ``seconds``, ``refused``, ``broken``, ``p50_us`` and ``p99_us``."""
    token = server.rival.tokens[account == SILENT]
    command = [
        "wrk", "-t1", f"-c{clients}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(LUA),
        f"http://127.0.0.1:{server.port}/",
    ]  # fmt: skip
    environment = {**os.environ, "ACCOUNT": account, "TOKEN": token}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    seen: Figures = json.loads(done.stdout.splitlines()[-1])
    return seen


def measure_cycles(server: Running, receiver: Receiver, seconds: float) -> Figures:
    """Cycles a second: CDRs that arrived in time; how many came late, and how many never."""
    before, cpu_before = receiver.count(), server.cpu_s()
    seen = load(server, SUBSCRIBED, seconds)
    time.sleep(IN_TIME_S)
    questions = 1
    in_time = min(receiver.count() - before - questions, seen["answers"])
    cpu_after = server.cpu_s()
    arrived, deadline = in_time, time.monotonic() + LOST_AFTER_S
    while arrived < seen["answers"] and time.monotonic() < deadline:
        time.sleep(0.1)
        questions += 1
        arrived = receiver.count() - before - questions
    while True:  # what is still under way must not be counted in the next run
        time.sleep(0.1)
        questions += 1
        now = receiver.count() - before - questions
        if now == arrived or time.monotonic() > deadline + LOST_AFTER_S:
            break
        arrived = now
    return {
        "rate": in_time / seen["seconds"],
        "answers_rate": seen["answers"] / seen["seconds"],
        "late": max(0.0, min(arrived, seen["answers"]) - in_time),
        "lost": max(0.0, seen["answers"] - arrived),
        "refused": seen["refused"] + seen["broken"],
        "user_us": 1e6 * (cpu_after.user - cpu_before.user) / max(1.0, seen["answers"]),
        "kernel_us": 1e6 * (cpu_after.kernel - cpu_before.kernel) / max(1.0, seen["answers"]),
    }


def measure_calls(server: Running, seconds: float) -> Figures:
    """Calls a second, of an account without a webhook."""
    seen = load(server, SILENT, seconds)
    return {"rate": seen["answers"] / seen["seconds"], "refused": seen["refused"] + seen["broken"]}


def measure_latency(server: Running, account: str, seconds: float) -> Figures:
    """Microseconds between a request and its answer, on one kept connection."""
    seen = load(server, account, seconds, clients=1)
    return {"p50_us": seen["p50_us"], "p99_us": seen["p99_us"]}


def measure_start(rival: Rival, hook: str) -> Figures:
    """Milliseconds from the start of the process to its first answer."""
    began = time.perf_counter()
    with running(rival, hook, wait=False) as server:
        wait_until_answered(server.port, server.process)
        return {"ms": 1000 * (time.perf_counter() - began)}


def compare(
    rivals: Sequence[Rival],
    receiver: Receiver,
    *,
    rounds: int,
    seconds: float,
    missing: dict[str, str],
    say: Callable[[str], None],
) -> dict[str, dict[str, list[Figures]]]:
    """All rates, round after round, one rival after the other: ``{"cycles": {"sandbox": [figures, …], …}, …}``.

    What does not start goes to ``missing``.
    """
    with ExitStack() as stack:
        servers = []
        for rival in rivals:
            try:
                servers.append(stack.enter_context(running(rival, receiver.url)))
            except (RuntimeError, OSError, StopIteration) as error:
                missing[rival.name] = f"it did not start: {error}"
        for server in servers:  # a first run warms what compiles as it goes
            load(server, SILENT, 1.0)
            measure_cycles(server, receiver, 1.0)
        found = _compare_rates(servers, receiver, rounds, seconds, say)
        found["latency"] = _compare_latency(servers, rounds, seconds)
    found["start"] = defaultdict(list)
    for _ in range(rounds):
        for server in servers:
            if not server.rival.environment:
                found["start"][server.rival.name].append(measure_start(server.rival, receiver.url))
    return found


def _compare_rates(
    servers: Sequence[Running], receiver: Receiver, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict[str, dict[str, list[Figures]]]:
    found: dict[str, dict[str, list[Figures]]] = {"cycles": defaultdict(list), "calls": defaultdict(list)}
    for number in range(rounds):
        for server in servers:
            name = server.rival.name
            cycles = measure_cycles(server, receiver, seconds)
            calls = measure_calls(server, seconds)
            found["cycles"][name].append(cycles)
            found["calls"][name].append(calls)
            say(
                f"round {number + 1}: {name:18} {cycles['rate']:8,.0f} cycles/s, {cycles['late']:.0f} late, "
                f"{cycles['lost']:.0f} lost, {cycles['refused'] + calls['refused']:.0f} refused; "
                f"{calls['rate']:8,.0f} calls/s"
            )
    return found


def _compare_latency(servers: Sequence[Running], rounds: int, seconds: float) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(rounds):
        for server in servers:
            name = server.rival.name
            if name in {"sandbox", "Express", "nginx"}:
                found[name].append(measure_latency(server, SUBSCRIBED, seconds))
                found[f"{name}, no webhook"].append(measure_latency(server, SILENT, seconds))
    return found
