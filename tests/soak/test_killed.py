"""A hundred SIGKILLs: ``make soak``."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from helpers.killed_sandbox import Killed
from helpers.sandbox import MCN_MOCK
from helpers.webhook_endpoints import Receiver

pytestmark = pytest.mark.soak
ROUNDS, SEED = 100, 20_220_527


def test_a_hundred_kills_lose_no_call_charge_none_twice_and_every_cdr_arrives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with Receiver() as receiver:
        killed = Killed(tmp_path, receiver, SEED)
        for number in range(ROUNDS):
            if number % 10 == 9:
                kill_at_start(killed)
            else:
                killed.round(120)
        figures = killed.check()
    with capsys.disabled():
        print(f"\nkilled {ROUNDS} times in {time.monotonic() - began:.0f} s: {figures}")


def kill_at_start(killed: Killed) -> None:
    """Kill it while it reads its state, or sends pending CDRs."""
    command = [MCN_MOCK, "serve", "--port", "0", *killed.arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, said = process.communicate(timeout=killed.random.uniform(0.3, 2.0))
        except subprocess.TimeoutExpired:
            process.kill()
        else:
            pytest.fail(said)
