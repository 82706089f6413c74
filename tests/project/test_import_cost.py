"""pytest loads the plugin in every run of everybody who has it installed: it must not bring anything with it."""

from __future__ import annotations

import pytest

HEAVY = ["click", "httptools", "jsonschema", "phonenumbers", "pytest_httpserver", "werkzeug"]


def test_a_run_without_the_fixtures_loads_nothing_heavy(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others may load what they like
    pytester.makepyfile(f"""
        import sys

        def test_nothing_is_loaded():
            assert "pytest_mcn_mock.plugin" in sys.modules
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
    """)
    result = pytester.runpytest_subprocess("-p", "pytest_mcn_mock.plugin")
    result.assert_outcomes(passed=1)
