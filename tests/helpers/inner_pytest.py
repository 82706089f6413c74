"""Tests of a project that is not this one, run by a pytest of its own: in this process, which is ten times faster, or
in another one.
"""

from __future__ import annotations

import os

import pytest

HELPERS = """
    import pytest, requests
    from pytest_mcn_mock import Outcome

    def flash_call(mcn, login_did="79157777777", **parameters):
        return requests.post(
            f"{mcn.base_url}/account/{mcn.account_id}/flash_call",
            params={"login_did": login_did, **parameters},
            headers=mcn.headers,
        )
"""
_NEEDS_FEW = "-p no:hypothesispytest -p no:anyio -p no:django"


def run(project: pytest.Pytester, tests: str, *arguments: str, apart: bool = False) -> pytest.RunResult:
    """Run tests that use the telephone helpers, in this process unless ``apart`` or with xdist."""
    project.makepyfile("from telephone import *\n" + tests)
    arguments = ("-p", "no:randomly", *arguments)
    is_apart = apart or "-n" in arguments
    return run_in_a_process(project, *arguments) if is_apart else project.runpytest_inprocess(*arguments)


def run_in_a_process(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in a process of its own, without plugins that are slow to import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", f"{os.environ['PYTEST_ADDOPTS']} {_NEEDS_FEW}")
        return project.runpytest_subprocess(*arguments, timeout=120)
