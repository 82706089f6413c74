"""The accounts of ``mcn_server.open_account``: what the present test has done on them, and its mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.errors import NotFound, WaitTimeout
from pytest_mcn_mock.model.mistakes import Mistake, MistakeCode
from pytest_mcn_mock.model.requests import Level
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing.account import Account
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.report import describe_account, list_mistakes
from pytest_mcn_mock.testing.views import AccountView

SETTLE_MARGIN_S: Final = 1.0


class OpenedAccounts:
    """The accounts that are open, and what is known of those that the present test has closed.

    A test has used an account if something has happened on it since the test began, or if a fixture of the test has it.
    ``test_name`` is the test that runs now.
    """

    def __init__(self, changes: Changes, fakes: Sequence[tuple[Settings, Fake]]) -> None:
        self.test_name = ""
        self._changes = changes
        self._fakes = fakes
        self._open: dict[str, tuple[Account, AccountView]] = {}
        self._marks: dict[int, int] = {}
        self._told: set[tuple[str, int]] = set()
        self._stories: list[str] = []
        self._closed: list[Mistake] = []
        self._of_mcn: AccountView | None = None

    def add(self, account: Account, view: AccountView) -> None:
        """Note that an account was opened."""
        self._open[account.account_id] = account, view

    def leave(self, account: Account) -> None:
        """Leave an account to ``mcn``, which looks at it itself."""
        _, self._of_mcn = self._open.pop(account.account_id)

    def closing(self, view: AccountView) -> None:
        """Note what has happened on an account that is to be closed, if the present test has used it."""
        if self._open.pop(view.account_id, None) is not None and view.account_id in self._changes.touched:
            self._stories.append(describe_account(view))
            self._closed += self._mistakes_on(view, Level.ASSUMED)

    def begin(self, test_name: str) -> None:
        """Note that a test begins."""
        self.test_name = test_name
        self._changes.touched.clear()
        self._stories.clear()
        self._closed.clear()
        self._of_mcn = None
        self._marks = {id(fake): fake.service.journal.last_seq() for _, fake in self._fakes}

    def stories(self, values: Collection[object]) -> list[str]:
        """Return what happened on each account that the test has used. ``values`` are those of its fixtures."""
        return [*self._stories, *(describe_account(view) for _, view in self._used(values))]

    def take_mistakes(self, values: Collection[object], fidelity: Level, *, settles: bool) -> list[str]:
        """Return the unexpected mistakes on the accounts that the test has used, a line each. The test's expectations
        are forgotten.

        ``fidelity`` is that of the test. A refusal that it expects on one of its accounts is expected on all.
        ``settles``: wait first until nothing is in flight.
        """
        found = list(self._closed)
        all_expected = set() if self._of_mcn is None else set(self._of_mcn.expected.refusals)
        for account, view in self._used(values):
            if settles and view.is_strict:
                with suppress(WaitTimeout, NotFound):  # a request that hangs is not a mistake
                    account.settle(account.ack_timeout_s + SETTLE_MARGIN_S)
            with suppress(NotFound):  # something else has closed it
                found += self._mistakes_on(view, fidelity)
            all_expected |= view.expected.refusals
            view.expected.refusals.clear()
            view.expected.undelivered = False
        self._closed.clear()
        lines = (str(m) for m in found if m.code is not MistakeCode.REFUSED or m.refusal not in all_expected)
        return list(dict.fromkeys(lines))

    def _mistakes_on(self, view: AccountView, fidelity: Level) -> list[Mistake]:
        """Return the mistakes of the present test: requests since it began, and deliveries not told of before."""
        expected = replace(view.expected, fidelity=view.fidelity or fidelity)
        found = list_mistakes(view, expected, self._marks.get(id(view.fake)))
        new = [m for m in found if m.delivery is None or (view.account_id, m.delivery) not in self._told]
        self._told |= {(view.account_id, m.delivery) for m in found if m.delivery is not None}
        return new if view.is_strict else []

    def _used(self, values: Collection[object]) -> Iterator[tuple[Account, AccountView]]:
        touched = self._changes.touched.copy()
        for account_id, (account, view) in list(self._open.items()):
            if not view.is_open():
                del self._open[account_id]
            elif account_id in touched or any(value is account for value in values):
                yield account, view
