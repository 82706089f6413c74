"""The settings of an account that a tester can change while it is open: what a client's next request meets."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.model.outcomes import OutcomeRule
from pytest_mcn_mock.model.webhooks import Subscription, Targets
from pytest_mcn_mock.service.ports import AccountStore, Observer


class AccountSettings:
    """Changes accounts, each change in one atomic step. Every method raises NotFound where there is no account."""

    def __init__(self, store: AccountStore, observer: Observer, targets: Targets | None = None) -> None:
        self._store = store
        self._observer = observer
        self._targets = targets

    def change(self, account_id: str, change: Callable[[Account], Account]) -> Account:
        """Replace the account by what ``change`` makes of it; what ``change`` raises leaves it as it was."""
        account = self._store.change(account_id, lambda account: self._checked(account, change(account)))
        self._observer.changed(account_id)
        return account

    def connect_number(self, account_id: str, number: str) -> Account:
        """Connect a number, from which call_for_2fa may ring then."""
        return self.change(account_id, lambda account: rules.connect_number(account, number))

    def subscribe(self, account_id: str, subscription: Subscription) -> Subscription:
        """Send the CDRs of calls placed from now on to a webhook; return the subscription with its number."""
        return self.change(account_id, lambda a: rules.add_subscription(a, subscription)).subscriptions[-1]

    def enable_webhook(self, account_id: str, number: int) -> Subscription:
        """Send CDRs to a webhook again, for calls placed from now on; return it. NotFound if there is none."""
        account = self.change(account_id, lambda account: rules.enable_subscription(account, number))
        return rules.find_subscription(account, number)

    def prefer_outcome(self, account_id: str, rule: OutcomeRule) -> Account:
        """Try the rule before the others, for calls placed from now on."""
        return self.change(account_id, lambda account: rules.prefer_rule(account, rule))

    def hold_cdrs(self, account_id: str, *, held: bool = True) -> Account:
        """Keep calls placed from now on ringing until they are completed manually, or stop doing so."""
        return self.change(account_id, lambda account: replace(account, calls_held=held))

    def add_fault(self, account_id: str, fault: Fault) -> Account:
        """Switch a fault on, for requests that arrive and calls that are placed from now on."""
        return self.change(account_id, lambda account: rules.add_fault(account, fault))

    def clear_faults(self, account_id: str) -> Account:
        """Switch every fault off."""
        return self.change(account_id, lambda account: rules.replace_faults(account, ()))

    def take_request_fault(self, account: Account) -> Fault | None:
        """The fault that strikes a request of the account now, if one does; it is spent by that."""
        if not account.faults:
            return None
        taken: list[Fault | None] = []

        def take(current: Account) -> Account:
            fault, left = rules.take_fault(current, of_cdr=False)
            taken.append(fault)
            return left

        self.change(account.id, take)
        return taken[-1]

    def _checked(self, before: Account, after: Account) -> Account:
        """The account, if none of its new webhooks is where none may be."""
        if self._targets is not None and after.subscriptions != before.subscriptions:
            known = {subscription.url for subscription in before.subscriptions}
            for subscription in after.subscriptions:
                if subscription.url not in known:
                    self._targets.check(subscription.url)
        return after
