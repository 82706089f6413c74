"""Programs of Node that the Makefile installs beside the environment, from ``tools/node``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "node"


def module(name: str) -> Path:
    """The folder of a module; the test is skipped if Node or the module is missing."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed: apt-get install nodejs")
    folder = FOLDER / "node_modules" / name
    if not folder.exists():
        pytest.skip(f"{name} is not installed: make test installs it with npm, from tools/node")
    return folder
