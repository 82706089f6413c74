"""What having the plugin installed costs a pytest run that uses none of its fixtures.

Measures, in fresh interpreters and in turn, how long ``import pytest_mcn_mock.plugin`` takes once pytest is loaded, and
how long pytest itself takes to import, for scale.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 41
CODE = """
import time
a = time.perf_counter(); import pytest, _pytest.config
b = time.perf_counter(); import pytest_mcn_mock.plugin
c = time.perf_counter()
print(b - a, c - b)
"""


def measure(runs: int) -> list[list[float]]:
    """Seconds that importing pytest takes, and the plugin after it, of each run."""
    pairs = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        pairs.append([float(part) for part in done.stdout.split()])
    return pairs


def main() -> None:
    """Print the medians, in milliseconds."""
    pytest_s, plugin_s = (statistics.median(column) for column in zip(*measure(RUNS), strict=True))
    print(f"import pytest                  {pytest_s * 1000:7.2f} ms")
    print(f"import pytest_mcn_mock.plugin  {plugin_s * 1000:7.2f} ms, {plugin_s / pytest_s:.1%} of it")


if __name__ == "__main__":
    main()
