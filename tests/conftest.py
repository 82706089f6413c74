"""Fixtures of this project's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint that acknowledges everything, unless told otherwise."""
    with Receiver() as receiver:
        yield receiver
