"""The tests that a system cannot run are skipped with a reason, and are not imported there."""

from __future__ import annotations

import sys

import pytest
from helpers.systems import NOT_ON, TESTS, reason_to_skip


@pytest.mark.parametrize("platform", NOT_ON)
def test_every_file_that_is_named_exists(platform: str) -> None:
    assert [name for name in NOT_ON[platform] if not (TESTS / name).exists()] == []


@pytest.mark.parametrize(
    "path,platform,skipped",
    [
        ("cli/test_stop.py", "win32", True),
        ("cli/test_stop.py", "darwin", False),
        ("cli/test_memory.py", "darwin", True),
        ("cli/test_memory.py", "linux", False),
        ("model/test_money.py", "win32", False),
        ("docs/test_pages.py", "win32", True),
        ("docs/test_assumed.py", "win32", False),
    ],
)
def test_a_file_is_skipped_by_its_name_or_its_folder(path: str, platform: str, skipped: bool) -> None:
    assert (reason_to_skip(TESTS / path, platform) is not None) is skipped


def test_a_skipped_file_is_not_imported_and_says_why(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NOT_ON, sys.platform, {"signals": "needs signals"})
    missing = TESTS / "signals/test_signals.py"
    module = request.config.hook.pytest_pycollect_makemodule(module_path=missing, parent=request.session)
    with pytest.raises(pytest.skip.Exception, match=r"test_signals.py: needs signals"):
        module.collect()
