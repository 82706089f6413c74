"""Accounts, their settings and their money, as a tester opens, changes and closes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import count

from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, UsageError
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.draws import draw_account
from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.model.money import EntryKind, Tariff, format_roubles, parse_roubles
from pytest_mcn_mock.model.outcomes import OutcomeRule
from pytest_mcn_mock.model.webhooks import Subscription, Targets
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.events import AccountChanged, AccountClosed, Events, StateReset
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.service.ports import AccountDecision, AccountState, Clock, Posting, Storage, Worker

Roubles = str | int | Decimal


class Accounts:
    """Opens, changes and closes accounts. Raises NotFound if there is no such account."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        worker: Worker,
        events: Events,
        journal: Journal,
        default_tariff: Tariff,
        targets: Targets | None = None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._worker = worker
        self._events = events
        self._journal = journal
        self.default_tariff = default_tariff
        """The tariff of accounts that have none of their own."""
        self._targets = targets

    def make(
        self,
        *,
        seed: int,
        account_id: str | None = None,
        token: str | None = None,
        numbers: Iterable[str] = (),
        tariff: Tariff | None = None,
        credit: Roubles = rules.DEFAULT_CREDIT,
        unlimited: bool = False,
        name: str = "",
        outcome_rules: Iterable[OutcomeRule] = (),
        subscriptions: Iterable[Subscription] = (),
    ) -> Account:
        """Return an account, which is not open yet. Its id and token are drawn from the seed if they are not given, and
        its tariff is the server's.

        Raises UsageError for an invalid argument.
        """
        drawn_id, drawn_token = draw_account(seed)  # of any value: Account checks the seed
        account = Account(
            id=drawn_id if account_id is None else account_id,
            token=drawn_token if token is None else token,
            seed=seed,
            tariff=tariff or self.default_tariff,
            credit=parse_roubles(credit, name="credit"),
            unlimited=unlimited,
            name=name,
        )
        if outcome_rules:
            account = rules.replace_rules(account, outcome_rules)
        for number in numbers:
            account = rules.connect_number(account, number)
        for subscription in subscriptions:
            account = rules.add_subscription(account, subscription)
        self.check_targets(account)
        return account

    async def open(
        self,
        *,
        seed: int,
        balance: Roubles,
        account_id: str | None = None,
        token: str | None = None,
        numbers: Iterable[str] = (),
        tariff: Tariff | None = None,
        credit: Roubles = rules.DEFAULT_CREDIT,
        name: str = "",
        outcome_rules: Iterable[OutcomeRule] = (),
        subscriptions: Iterable[Subscription] = (),
    ) -> Account:
        """Open an account with its opening balance; see ``make``. Conflict if the id or the token is taken.

        An account whose balance is ``"unlimited"`` opens with 0.
        """
        opening = rules.parse_balance(balance)
        account = self.make(
            seed=seed,
            account_id=account_id,
            token=token,
            numbers=numbers,
            tariff=tariff,
            credit=credit,
            unlimited=opening is None,
            name=name,
            outcome_rules=outcome_rules,
            subscriptions=subscriptions,
        )
        for attempt in count(1):
            try:
                opened = await self._open(account, opening or 0)
                break
            except Conflict:
                if await self._is_given_and_taken(account_id, token):
                    raise
                drawn_id, drawn_token = draw_account(seed, attempt)
                account = replace(account, id=account_id or drawn_id, token=token or drawn_token)
        return opened

    async def close(self, account_id: str) -> None:
        """Forget an account with its calls and deliveries."""
        await self._storage.close_account(account_id)
        self._worker.forget(account_id)
        self._journal.note_closing(account_id)
        self._events.publish(AccountClosed(account_id))

    async def release(self, account_id: str) -> None:
        """Let the id of a closed account be given to an account again, whose time begins again too."""
        await self._storage.release_id(account_id)
        self._clock.begin_again(account_id)

    async def reopen(self, account: Account, opening: int) -> Account:
        """Close an account, and open it again with these settings and an opening balance in kopecks."""
        await self.close(account.id)
        await self.release(account.id)
        return await self._open(account, opening)

    async def _open(self, account: Account, opening: int) -> Account:
        opened = await self._storage.open_account(account, opening, self._clock.now(account.id))
        self._journal.note_opening(opened.id)
        self._events.publish(AccountChanged(opened.id))
        return opened

    async def reset(self, opening: Iterable[tuple[Account, int]]) -> float:
        """Forget everything, and open these accounts with their opening balances, in kopecks. Return the moment; see
        ``Storage.reset``.

        A CDR that is in flight to a webhook arrives there, but its result is dropped.
        """
        at = await self._storage.reset(tuple(opening), self._clock.now(None))
        self._worker.forget()
        self._events.publish(StateReset(at))
        return at

    async def get(self, account_id: str) -> Account:
        """Return an account's settings."""
        return (await self._storage.account(account_id)).account

    async def balance(self, account_id: str) -> int:
        """Return an account's balance in kopecks."""
        return (await self._storage.account(account_id)).balance

    async def change(
        self, account_id: str, change: Callable[[Account], Account], balance: Roubles | None = None
    ) -> AccountState:
        """Change an account's settings with ``change``, and set its balance if that is given; see ``set_balance``. If
        ``change`` raises, nothing has changed.
        """
        set_balance = None if balance is None else self._balance_setter(account_id, balance)

        def decide(account: Account, kopecks: int) -> AccountDecision:
            changed = change(account)
            if changed.subscriptions is not account.subscriptions:
                self.check_targets(changed, known=account)
            return AccountDecision(changed) if set_balance is None else set_balance(changed, kopecks)

        return await self._change(account_id, decide)

    async def subscribe(self, account_id: str, subscription: Subscription) -> Subscription:
        """Send the CDRs of calls placed from now on to a webhook; return the subscription with its number."""
        state = await self.change(account_id, lambda account: rules.add_subscription(account, subscription))
        return state.account.subscriptions[-1]

    async def top_up(self, account_id: str, amount: Roubles) -> None:
        """Add roubles. Raises UsageError if the amount is not positive."""
        kopecks = parse_roubles(amount)
        if kopecks <= 0:
            raise UsageError(Reason("top_up_positive", {"amount": format_roubles(kopecks)}), "amount")
        posting = Posting(EntryKind.TOP_UP, kopecks, self._clock.now(account_id))
        await self._change(account_id, lambda account, _: AccountDecision(account, posting))

    async def set_balance(self, account_id: str, balance: Roubles) -> None:
        """Set the balance in roubles, with an adjustment in the ledger; or ``"unlimited"``, which leaves the balance as
        it is. A balance in roubles ends that.
        """
        await self._change(account_id, self._balance_setter(account_id, balance))

    async def take_request_fault(self, account: Account) -> Fault | None:
        """Return the fault that strikes a request of the account now, if one does; that uses it up."""
        if not account.faults:
            return None
        taken: list[Fault | None] = []

        def take(current: Account) -> Account:
            fault, left = rules.take_fault(current, of_cdr=False)
            taken.append(fault)
            return left

        await self.change(account.id, take)
        return taken[-1]

    async def _change(self, account_id: str, decide: Callable[[Account, int], AccountDecision]) -> AccountState:
        _, after = await self._storage.change_account(account_id, decide)
        self._events.publish(AccountChanged(account_id))
        return after

    def _balance_setter(self, account_id: str, balance: Roubles) -> Callable[[Account, int], AccountDecision]:
        target = rules.parse_balance(balance)

        def decide(account: Account, kopecks: int) -> AccountDecision:
            account = replace(account, unlimited=target is None)
            if target is None:
                return AccountDecision(account)
            adjustment = Posting(EntryKind.ADJUSTMENT, target - kopecks, self._clock.now(account_id))
            return AccountDecision(account, adjustment)

        return decide

    def check_target(self, account: Account, subscription: Subscription) -> None:
        """Raise UsageError if the account cannot have a webhook at the subscription's URL."""
        with_it = replace(account, subscriptions=(*account.subscriptions, subscription))
        self.check_targets(with_it, known=account)

    def check_targets(self, account: Account, known: Account | None = None) -> None:
        """Raise UsageError if a new webhook of the account is not at one of the targets."""
        if self._targets is not None:
            known_urls = {subscription.url for subscription in known.subscriptions} if known else set()
            for subscription in account.subscriptions:
                if subscription.url not in known_urls:
                    self._targets.check(subscription.url)

    async def _is_given_and_taken(self, account_id: str | None, token: str | None) -> bool:
        """Return whether a given id or token is taken. Then drawing again does not help."""
        if account_id is not None and await self._storage.is_taken(account_id):
            return True
        return token is not None and await self._storage.account_of_token(token) is not None
