"""Measures everything that docs/explanation/performance.md says, and writes it: ``python benchmarks/measure.py``.

``--quick`` is for trying: shorter runs, fewer of them, and figures in build/bench alone. ``--report`` writes the page
anew from the last full run's figures.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import alone
import picture
import plugin_cost
import rates
import report
from install import FOLDER, ROOT, install, pythons
from rivals import RIVALS, SANDBOX, TUNED, on_pythons, receiving

HERE = Path(__file__).parent
RUNS = HERE / "runs"
"""The rates of each day's last full run. The page compares the latest with the one before."""
_began = time.monotonic()


def say(line: str) -> None:
    """Print a line with the seconds that have passed."""
    print(f"{time.monotonic() - _began:5.0f} s  {line}", flush=True)


def describe_machine() -> dict[str, Any]:
    """What the figures were taken on."""
    models = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    memory = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    return {
        "cores": os.cpu_count(),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "memory_gib": round(int(memory) / 2**20),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load_before": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def of_program(name: str, *arguments: str) -> Any:
    """What one of the programs beside this one prints."""
    command = [sys.executable, str(HERE / name), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(*, is_quick: bool) -> dict[str, Any]:
    """All figures."""
    machine = describe_machine()
    say("install what there is to compare with")
    versions, missing = install()
    # pip compiles what it installs, the rivals too. A checkout is compiled by its first run, and where
    # PYTHONDONTWRITEBYTECODE is set, as in many containers, never: that would be measured, in each process again.
    compileall.compile_dir(ROOT / "pytest_mcn_mock", quiet=1)
    versions |= {name: version(name) for name in ("httptools", "pytest")}
    for name, why in missing.items():
        say(f"missing: {name}: {why}")
    rounds, seconds = (2, 1.0) if is_quick else (5, 2.0)
    rivals = [rival for rival in (*RIVALS, *on_pythons(pythons())) if not set(rival.needs) & set(missing)]
    found: dict[str, Any] = {"machine": machine, "versions": versions, "missing": missing}
    found |= {"is_quick": is_quick, "rounds": rounds, "seconds": seconds}
    with receiving() as receiver:
        say("rates, latency and starts")
        found |= rates.compare(rivals, receiver, rounds=rounds, seconds=seconds, missing=missing, say=say)
        early, late = (10_000, 50_000) if is_quick else (100_000, 1_000_000)
        parts: dict[str, Callable[[], Any]] = {
            "lag": lambda: alone.measure_lag(
                [rival for rival in rivals if rival.name in {SANDBOX.name, TUNED}], rounds, seconds
            ),
            "picture": lambda: picture.measure(receiver, 5.0 if is_quick else 20.0),
            "durable": lambda: alone.measure_durable(rounds, seconds),
            "fixture": lambda: of_program("fixture.py", str(rounds)),
            "plugin": lambda: plugin_cost.measure(11 if is_quick else plugin_cost.RUNS),
            "growth": lambda: of_program("growth.py", *(["--quick"] if is_quick else [])),
            "memory": lambda: alone.measure_memory(receiver, early, late, subscribed=False),
        }
        for name, part in parts.items():
            say(name)
            found[name] = part()
    machine["load_after"] = round(os.getloadavg()[0], 2)
    machine["took_s"] = round(time.monotonic() - _began)
    return found


def main() -> None:
    """Measure, and write the page."""
    is_quick = "--quick" in sys.argv
    results = FOLDER / ("results-quick.json" if is_quick else "results.json")
    if "--report" not in sys.argv:
        found = measure(is_quick=is_quick)
        results.write_text(json.dumps(found, indent=1), encoding="utf-8")
        if not is_quick:
            kept = RUNS / f"{found['machine']['at']}.json"
            kept.write_text(json.dumps(report.summary(found), indent=1) + "\n", encoding="utf-8")
    found = json.loads(results.read_text(encoding="utf-8"))
    others = [path for path in sorted(RUNS.glob("*.json")) if path.stem < found["machine"]["at"]]
    earlier = json.loads(others[-1].read_text(encoding="utf-8")) if others else None
    page = FOLDER / "performance.md" if is_quick else ROOT / "docs" / "explanation" / "performance.md"
    images = FOLDER if is_quick else ROOT / "docs" / "images"
    report.write(found, page, images, earlier)
    say(f"written: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
