"""Who takes how much of a cycle: ``python benchmarks/picture.py``, under load, with py-spy.

The profiler notes the stack of the sandbox some hundred times a second. Each sample counts for the step whose code is
the innermost of the project's own on it. What the kernel does for a socket counts as the kernel's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from install import PROFILER, install
from rates import CLIENTS, load
from rivals import SANDBOX, SUBSCRIBED, Receiver, receiving, running

SAMPLES_A_SECOND = 300
STEPS: dict[str, tuple[str, ...]] = {
    "read the request, write the answer": ("web/server.py", "web/reader.py", "web/http.py"),
    "find the endpoint, check the page's origin": ("web/application.py", "web/guard.py"),
    "understand: token, parameters, form": (
        "web/client_api.py", "web/parameters.py", "web/dialects/", "model/requests.py", "model/dialects.py",
    ),
    "decide: number, price, ending": (
        "service/calls.py", "service/accounts.py", "model/placing.py", "model/numbering.py", "model/draws.py",
        "model/accounts.py", "model/outcomes.py", "model/calls.py", "model/assumptions.py",
    ),
    "keep: balance, ledger, journal": ("storage/", "model/money.py", "service/journal.py"),
    "report: events, metrics, log": ("service/events.py", "cli/", "web/feed.py", "web/waits.py"),
    "claim due work, settle it": ("delivery/worker.py", "service/deliveries.py", "model/deliveries.py"),
    "make the CDR": ("model/cdr.py", "model/rendering.py", "model/webhooks.py"),
    "send the CDR, read its answer": ("delivery/",),
}  # fmt: skip
"""The first that fits counts."""
_START = ("cli/__init__", "cli/commands", "cli/server")
LOOP, KERNEL = "the event loop", "the kernel: sockets"
_SYSTEM_CALLS = {
    "_SelectorSocketTransport.write", "_SelectorSocketTransport._read_ready__get_buffer", "EpollSelector.select",
}  # fmt: skip


def measure(receiver: Receiver, seconds: float) -> dict[str, float]:
    """The share of each step in the samples of a run, the largest first."""
    with running(SANDBOX, receiver.url) as server, tempfile.TemporaryDirectory() as folder:
        load(server, SUBSCRIBED, 2.0)
        found = Path(folder) / "samples"
        loading = threading.Thread(target=load, args=(server, SUBSCRIBED, seconds + 2.0, CLIENTS))
        loading.start()
        subprocess.run(
            [PROFILER, "record", "--pid", str(server.process.pid), "--format", "raw", "--rate", str(SAMPLES_A_SECOND),
             "--duration", str(round(seconds)), "--output", str(found)],
            check=True, capture_output=True,
        )  # fmt: skip
        loading.join()
        counts: Counter[str] = Counter()
        for line in found.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            if not stack.startswith("Thread."):  # other threads only wait
                counts[step_of(stack.split(";"))] += int(count)
    return {step: count / counts.total() for step, count in counts.most_common()}


def step_of(stack: list[str]) -> str:
    """The step of a sample, whose innermost function is the last."""
    if stack[-1].partition(" ")[0] in _SYSTEM_CALLS:
        return KERNEL
    for function in reversed(stack):
        place = function.partition("(")[2]
        if not place.startswith("pytest_mcn_mock/"):
            continue
        path = place.removeprefix("pytest_mcn_mock/")
        if path.startswith(_START):
            break
        return next((step for step, paths in STEPS.items() if path.startswith(paths)), LOOP)
    return LOOP


def main() -> None:
    """Print the shares."""
    install()
    with receiving() as receiver:
        for step, share in measure(receiver, float(sys.argv[1]) if len(sys.argv) > 1 else 10.0).items():
            print(f"{share:6.1%}  {step}")


if __name__ == "__main__":
    main()
