"""Lends every test pytest's fixture for tests of a plugin, and checks every answer against the schemas."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from _pytest.pytester import SysModulesSnapshot

pytest_plugins = ["pytester", "helpers.schema_plugin"]

ROOT = Path(__file__).parent
LASTING = (sys.prefix, sys.base_prefix, str(ROOT / "pytest_mcn_mock"), str(ROOT / "tests/helpers"))


def _is_lasting(module: str) -> bool:
    return (getattr(sys.modules[module], "__file__", None) or "").startswith(LASTING)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The plugin's own; a run that it starts is checked too, and is without the plugins that this one is without (see
    pyproject.toml).

    After a run in this process, pytester forgets every module that the run imported. Here it forgets only those of the
    run's own project: a library that is imported twice is slow, and has each of its classes twice.
    """
    take = partial(SysModulesSnapshot, preserve=_is_lasting)
    monkeypatch.setattr(pytester, "_Pytester__take_sys_modules_snapshot", take)
    monkeypatch.setattr(pytester, "_sys_modules_snapshot", take())
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:faker -p no:schemathesis -p helpers.schema_plugin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
    return pytester
