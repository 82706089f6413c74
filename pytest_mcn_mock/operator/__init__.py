"""The fake operator: one method for each thing that a client or a tester can do. Synchronous, and without sockets."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_mcn_mock.domain.assumptions import Assumptions
from pytest_mcn_mock.operator.accounts import Accounts
from pytest_mcn_mock.operator.calls import Calls
from pytest_mcn_mock.operator.deliveries import Deliveries
from pytest_mcn_mock.operator.journal import Journal


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator does, over one store."""

    accounts: Accounts
    calls: Calls
    deliveries: Deliveries
    journal: Journal
    assumptions: Assumptions

    def close_account(self, account_id: str) -> None:
        """Forget an account with all that is its own; UnknownItem if there is none."""
        self.accounts.close(account_id)
        self.deliveries.forget(account_id)
