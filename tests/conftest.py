"""Fixtures of this project's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers import schema_plugin
from helpers.webhook_endpoints import Receiver
from hypothesis import settings

settings.register_profile("mcn_mock", deadline=None)  # a test says what happens, not how fast on a busy machine
settings.load_profile("mcn_mock")
schema_plugin.install()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint that acknowledges everything, unless told otherwise."""
    with Receiver() as receiver:
        yield receiver
