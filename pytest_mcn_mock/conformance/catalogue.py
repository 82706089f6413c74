"""All cases, and the choice of those to run."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from pytest_mcn_mock.conformance.cases import Case
from pytest_mcn_mock.conformance.mistakes import MISTAKES
from pytest_mcn_mock.conformance.records import RECORDS
from pytest_mcn_mock.conformance.webhook import Form
from pytest_mcn_mock.errors import UsageError, nearest

CASES: Final[tuple[Case, ...]] = (*RECORDS, *MISTAKES)
"""Every case, in the order in which they are run."""
ORDINARY: Final[Case] = RECORDS[0]
"""The record that every login ends with: an endpoint that fails on it fails on everything."""

BARE: Final[Case] = next(case for case in MISTAKES if case.name == "without_final_status")
"""An ordinary record but for final_status, which it lacks: what fails on it fails for that."""

SPOILT: Final[Case] = next(case for case in MISTAKES if case.name == "cut_off")
"""What an endpoint that is there refuses in another way than a call that it does not know."""


def choose(form: Form, patterns: Sequence[str] = ()) -> list[Case]:
    """The cases that make sense in a form, whose name fits one of the patterns (``cause_*``) if there are any.

    UsageError for a pattern that no case fits.
    """
    cases = [case for case in CASES if form in case.forms]
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in cases):
            raise UsageError(f"no case is called {pattern[:40]!r}; {nearest(pattern, [case.name for case in cases])}")
    return [case for case in cases if not patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns)]
