"""One sandbox for the tests that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.sandbox import Sandbox, running_sandbox


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def shared_config(tmp_path: Path) -> str:
    path = tmp_path / "mcn-mock.toml"
    path.write_text('[[account]]\nid = 12345678\ntoken = "test-token"\nbalance = "1.00"\n')
    return str(path)
