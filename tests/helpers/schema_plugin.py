"""Check what the servers under test answer and send against the schemas.

This is a pytest plugin, also for the runs that tests start (``-p helpers.schema_plugin``). It imports the package only
when a test asks for the server's fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from helpers.schema_checks import Checks

violations: list[str] = []
"""What did not fit in this process."""
_installed: list[Checks] = []


def install(report: Callable[[str], None] = violations.append) -> Checks:
    """Check whatever this process answers, sends to a webhook or tells in an event, from now on."""
    if not _installed:
        from helpers.schema_checks import Checks  # noqa: PLC0415 - a run that has no server imports nothing

        _installed.append(Checks(report))
        _installed[0].install()
    return _installed[0]


def in_a_process(log: Path) -> str:
    """Python that a sandbox runs first to be checked. Each violation is a line of ``log`` afterwards."""
    return (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); "
        f"from helpers.schema_checks import Checks; log = open({str(log)!r}, 'a', buffering=1); "
        "Checks(lambda problem: log.write(problem.replace('\\n', ' ') + '\\n') and None).install()"
    )


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """A run in a process of its own is checked once it has a server."""
    if fixturedef.argname == "mcn_server":
        install()
    return (yield)


@pytest.fixture(autouse=True)
def _as_the_schemas_have_it() -> Iterator[None]:
    """What did not fit fails the test."""
    yield
    told = "\n".join(violations)
    violations.clear()
    assert not told, f"not as the schemas have it:\n{told}"
