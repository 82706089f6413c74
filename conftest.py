"""Lends every test pytest's fixture for tests of a plugin."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The plugin's own; a run that it starts is without Faker's plugin, as this one is (see pyproject.toml)."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:faker")
    return pytester
