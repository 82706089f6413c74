"""The examples that are projects of their own pass their own tests, run as their developers run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers.sandbox import MCN_MOCK, running_sandbox

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run a command; its output, after a look at its status. No variable of this run reaches it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NODE_"))}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_of(example: str, tmp_path: Path) -> Path:
    """The example in a folder of its own, so that its database is not left in the checkout."""
    copy = tmp_path / example
    shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    return copy


def test_django(tmp_path: Path) -> None:
    project = copy_of("django_login", tmp_path)
    assert "No changes detected" in run(sys.executable, "manage.py", "makemigrations", "--check", cwd=project)
    told = run(sys.executable, "-m", "pytest", "-q", "-p", "no:faker", cwd=project)
    passed = re.search(r"^(\d+) passed in", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) >= 20


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing: apt-get install nodejs")
@pytest.mark.parametrize("with_url", [False, True], ids=["starts_a_sandbox", "is_given_one"])
def test_node(with_url: bool) -> None:
    with running_sandbox() if with_url else nullcontext() as sandbox:
        where = {"MCN_MOCK_URL": sandbox.url} if sandbox else {"MCN_MOCK": MCN_MOCK}
        told = run("node", "--test", "--test-reporter=tap", cwd=EXAMPLES / "node_login", **where)
    assert re.search(r"^# fail 0$", told, re.MULTILINE), told
    passed = re.search(r"^# pass (\d+)$", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) >= 12
