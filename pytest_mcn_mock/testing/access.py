"""How a test's account reaches the fake behind it."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.service.ports import Storage
from pytest_mcn_mock.testing.applications import Applications
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.door import Door

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Access:
    """How a test's account reaches the fake behind it. ``run`` returns what a coroutine of the service returns."""

    fake: Fake
    door: Door
    changes: Changes
    applications: Applications
    base_url: str

    @property
    def service(self) -> Service:
        """What the fake does."""
        return self.fake.service

    @property
    def storage(self) -> Storage:
        """What it remembers."""
        return self.fake.service.storage

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Do what is asked for, alone with the state."""
        __tracebackhide__ = True
        return self.door.run(coroutine)
