"""Lends every test pytest's fixture for tests of a plugin, and checks every answer against the schemas."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester", "helpers.schema_plugin"]


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The plugin's own; a run that it starts is checked too, and is without the plugins that this one is without (see
    pyproject.toml).
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:faker -p no:schemathesis -p helpers.schema_plugin")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "tests"), prepend=os.pathsep)
    return pytester
