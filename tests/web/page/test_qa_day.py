"""The QA engineer's day of the documentation, from an empty folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

QA_DAY = Path(__file__).parents[3] / "docs/examples/qa_day/qa_day.py"


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed: apt-get install chromium")
def test_the_day_goes_as_it_is_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, QA_DAY, tmp_path], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    placed, busy, again, stopped, kept, stopped_again = done.stdout.splitlines()
    assert placed.startswith("placed ")
    assert busy == "finished one as busy"
    assert again == "sent its CDR again"
    assert kept == "started again: both calls and the balance are still there"
    assert stopped == stopped_again == "mcn-mock stopped; no CDR is pending"
