"""The pytest plugin: its fixtures. Imports nothing but pytest until one of them is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_mcn_mock.settings import Settings
    from pytest_mcn_mock.testing.account import Account
    from pytest_mcn_mock.testing.server import MCNServer


@pytest.fixture(scope="session")
def mcn_settings() -> Settings:
    """The settings of ``mcn_server``; override it to change the tariff or what is assumed of the vendor."""
    from pytest_mcn_mock.settings import Settings

    return Settings()


@pytest.fixture(scope="session")
def mcn_server(mcn_settings: Settings) -> Iterator[MCNServer]:
    """A fake api.mcn.ru in this process, on a free port of the loopback interface, for the whole session."""
    from pytest_mcn_mock.testing.server import MCNServer

    with MCNServer(settings=mcn_settings) as server:
        yield server


@pytest.fixture
def mcn(request: pytest.FixtureRequest, mcn_server: MCNServer) -> Iterator[Account]:
    """An account of the test's own on ``mcn_server``: 100 roubles, no numbers, no subscriptions.

    Its seed comes from the test's name, so that a test draws the same numbers and uuids in every run. What a handler of
    the user's raised fails the test here.
    """
    from pytest_mcn_mock.domain.draws import seed_from_name

    account = mcn_server.open_account(seed=seed_from_name(request.node.nodeid))
    yield account
    account.close()
    try:
        mcn_server.check()
    finally:
        mcn_server.clear()
