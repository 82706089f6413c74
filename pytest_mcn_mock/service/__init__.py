"""The fake operator: one method for each thing that a client or a tester can do. Synchronous, and without sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.service.account_settings import AccountSettings
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.service.ports import Courier, Observer


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator does, over one store. ``restore`` opens the accounts that it was configured with."""

    accounts: Accounts
    settings: AccountSettings
    calls: Calls
    deliveries: Deliveries
    journal: Journal
    assumptions: Assumptions
    courier: Courier
    observer: Observer
    restore: Callable[[Operator], None]

    def close_account(self, account_id: str) -> None:
        """Forget an account with all that is its own; NotFound if there is none."""
        self.accounts.close(account_id)
        self.deliveries.forget(account_id)
        self.courier.forget(account_id)

    def start_waiting(self) -> None:
        """The server starts, perhaps again."""
        self.calls.start_waiting()
        self.deliveries.start_waiting()
        self.courier.start_waiting()

    def stop_waiting(self) -> None:
        """The server stops: whoever waits for something to happen is told at once, and nobody waits from now on."""
        self.calls.stop_waiting()
        self.deliveries.stop_waiting()
        self.courier.stop_waiting()

    def resume(self) -> None:
        """Hand over what the store owes, and nothing else: its state has outlived the process, or was read again."""
        self.courier.forget_all()
        self.calls.forget_all()
        self.deliveries.forget_all()
        self.calls.resume()
        self.deliveries.resume()

    def reset(self) -> None:
        """Go back to the configured state: every account, call, delivery and request is forgotten.

        What is under way to a webhook arrives there, and its result is forgotten too.
        """
        with self.accounts.together():
            self.accounts.clear()  # first: if the state cannot be written, nothing has happened
            self.courier.forget_all()
            self.calls.forget_all()
            self.deliveries.forget_all()
            self.journal.clear()
            self.restore(self)
        self.observer.reset()
