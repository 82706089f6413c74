"""Tests of a project that is not this one, run by a pytest of its own."""

from __future__ import annotations

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


def run(project: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile("from telephone import *\n" + tests)
    return project.runpytest_subprocess("-p", "no:randomly", *arguments, timeout=120)
