"""Which tests do not run on which system, each with its reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
_SIGNALS = "starts programs and stops them by POSIX signals"
_SHELL = "runs the commands of the pages with bash"
_PROC = "looks at the sandbox in Linux's /proc"

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason=_PROC)
"""A mark for a single test."""

_coverage = sys.modules.get("coverage")
unmeasured = pytest.mark.skipif(
    _coverage is not None and _coverage.Coverage.current() is not None,
    reason="coverage imports modules and takes memory itself",
)
"""A mark for a test of what is imported, or of how much memory or time something takes."""

NOT_ON: dict[str, dict[str, str]] = {
    "win32": {
        "cli": _SIGNALS,
        "conformance": _SIGNALS,
        "docs/test_ci_files.py": _SHELL,
        "docs/test_pages.py": _SHELL,
        "docs/test_projects.py": _SHELL,
        "docs/test_readme.py": _SHELL,
        "project/test_packaging.py": "expects the folders of a POSIX environment",
        "replicas": _SIGNALS,
        "soak": _SIGNALS,
        "web": _SIGNALS,
    },
    "darwin": {
        "cli/test_descriptors.py": "sets the limits of another process, as only Linux can",
        "cli/test_memory.py": _PROC,
        "cli/test_no_descriptors.py": _PROC,
        "replicas/test_database_away.py": _PROC,
        "replicas/test_killed_replicas.py": _PROC,
    },
}
"""Folders and files of tests, below tests/, by ``sys.platform``."""


def reason_to_skip(path: Path, platform: str = sys.platform) -> str | None:
    """Return why a file of tests does not run on the system, or None if it does."""
    for name, reason in NOT_ON.get(platform, {}).items():
        if path == TESTS / name or TESTS / name in path.parents:
            return reason
    return None


class SkippedModule(pytest.Module):
    """A file of tests that is skipped as a whole, and not even imported: it may need a module that the system lacks."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """Skip the file, and say why."""
        reason = reason_to_skip(self.path)
        pytest.skip(f"{self.path.name}: {reason}", allow_module_level=True)
