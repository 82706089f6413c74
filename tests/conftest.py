"""Fixtures of this project's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import checked
import pytest
from hypothesis import settings
from support import Receiver

settings.register_profile("mcn_mock", deadline=None)  # a test says what happens, not how fast on a busy machine
settings.load_profile("mcn_mock")
checked.install()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint that acknowledges everything, unless told otherwise."""
    with Receiver() as receiver:
        yield receiver
