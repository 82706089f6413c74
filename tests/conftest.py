"""Fixtures of this project's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import schema_plugin
from helpers.client import CLIENTS, Client, speaking
from helpers.postgres import Cluster
from helpers.systems import SkippedModule, reason_to_skip
from helpers.webhook_endpoints import Receiver
from hypothesis import settings

settings.register_profile("mcn_mock", deadline=None)  # a test says what happens, not how fast on a busy machine
settings.load_profile("mcn_mock")
schema_plugin.install()


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip the files of tests that do not run on this system."""
    if reason_to_skip(module_path) is None:
        return None
    return SkippedModule.from_parent(parent, path=module_path)


@pytest.fixture(params=list(CLIENTS))
def each_dialect(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Run the test once for each dialect, which the helpers of ``helpers.client`` speak meanwhile."""
    with speaking(request.param) as client:
        yield client


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL cluster. Tests that need one are skipped where PostgreSQL is not installed."""
    cluster = Cluster()
    yield cluster
    cluster.end()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint that acknowledges everything, unless told otherwise."""
    with Receiver() as receiver:
        yield receiver
