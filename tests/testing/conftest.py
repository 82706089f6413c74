"""Fixtures of the plugin's tests."""

from __future__ import annotations

import pytest
from helpers.inner_pytest import HELPERS


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(telephone=HELPERS)
    pytester.syspathinsert()
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    return pytester
