"""One sandbox for the tests that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.sandbox import Sandbox, running_sandbox


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox
