"""A sandbox with a state file: what is there after it ended, in whatever way."""

from __future__ import annotations

from pathlib import Path

from killing import Killed
from support import Receiver


def test_what_was_answered_outlives_sigkill(tmp_path: Path) -> None:
    with Receiver() as receiver:
        killed = Killed(tmp_path, receiver, seed=7)
        for _ in range(3):
            killed.round(80)
        killed.check()
