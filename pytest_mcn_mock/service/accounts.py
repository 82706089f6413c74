"""Accounts and their money, as a tester opens, fills and closes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from itertools import count

from msgspec.structs import replace

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.draws import draw_account
from pytest_mcn_mock.model.money import Entry, EntryKind, Tariff, format_roubles, parse_roubles
from pytest_mcn_mock.model.outcomes import OutcomeRule
from pytest_mcn_mock.model.webhooks import Subscription, Targets
from pytest_mcn_mock.service.ports import AccountStore, Clock, Observer

Roubles = str | int | Decimal


class Accounts:
    """Opens and closes accounts, and moves their money.

    Every method that takes an ``account_id`` raises NotFound where there is none.
    """

    def __init__(
        self,
        store: AccountStore,
        clock: Clock,
        observer: Observer,
        default_tariff: Tariff,
        targets: Targets | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self.default_tariff = default_tariff
        """That of an account which has none of its own."""
        self._targets = targets

    def open(
        self,
        *,
        seed: int,
        balance: Roubles,
        account_id: str | None = None,
        token: str | None = None,
        numbers: Iterable[str] = (),
        tariff: Tariff | None = None,
        outcome_rules: Iterable[OutcomeRule] = (),
        subscriptions: Iterable[Subscription] = (),
    ) -> Account:
        """Open an account with its opening balance. The id and the token are drawn from the seed where not given,
        and the tariff is the server's.

        Raises UsageError for an argument that cannot be, and for an id or a token that is taken.
        """
        drawn_id, drawn_token = draw_account(seed)  # of whatever it is: Account says what is wrong with a seed
        account = Account(
            id=drawn_id if account_id is None else account_id,
            token=drawn_token if token is None else token,
            seed=seed,
            tariff=tariff or self.default_tariff,
        )
        account = rules.replace_rules(account, outcome_rules)
        for number in numbers:
            account = rules.connect_number(account, number)
        for subscription in subscriptions:
            if self._targets is not None:
                self._targets.check(subscription.url)
            account = rules.add_subscription(account, subscription)
        account = self._add(account, parse_roubles(balance, name="balance"), account_id, token)
        self._observer.changed(account.id)
        return self._store.get(account.id)

    def close(self, account_id: str) -> None:
        """Forget an account with all that is its own. ``Operator.close_account`` forgets what waits for it too."""
        self._store.get(account_id)
        self._store.remove(account_id)
        self._observer.closed(account_id)

    def together(self) -> AbstractContextManager[object]:
        """Make one step of all changes within: they are kept together, or none of them is."""
        return self._store.together()

    def clear(self) -> None:
        """Forget every account, as if none had ever been open."""
        self._store.clear()

    def get(self, account_id: str) -> Account:
        """The account's settings."""
        return self._store.get(account_id)

    def of_token(self, token: str) -> Account | None:
        """The account that a token names, or None."""
        return self._store.of_token(token)

    def is_taken(self, account_id: str) -> bool:
        """Whether an account has or had the id."""
        return self._store.is_taken(account_id)

    def all(self) -> Sequence[Account]:
        """Every account, in order of opening."""
        return self._store.all()

    def page(self, after: int = 0, limit: int = 100) -> Sequence[Account]:
        """Accounts in order of opening, behind the one whose ``seq`` is ``after``."""
        return self._store.page(after, limit)

    def balance(self, account_id: str) -> int:
        """Kopecks."""
        return self._store.balance(account_id)

    def ledger(self, account_id: str) -> Sequence[Entry]:
        """The account's entries, oldest first; their sum is the balance."""
        return self._store.entries(account_id)

    def top_up(self, account_id: str, amount: Roubles) -> int:
        """Add roubles; return the new balance in kopecks. UsageError unless the amount is positive."""
        kopecks = parse_roubles(amount)
        if kopecks <= 0:
            raise UsageError(f"amount is {format_roubles(kopecks)}; a top-up is positive (set_balance takes any)")
        return self._post(account_id, EntryKind.TOP_UP, lambda _: kopecks)

    def set_balance(self, account_id: str, balance: Roubles) -> int:
        """Make the balance so many roubles by an adjustment in the ledger; return it in kopecks."""
        target = parse_roubles(balance, name="balance")
        return self._post(account_id, EntryKind.ADJUSTMENT, lambda now: target - now)

    def _add(self, account: Account, kopecks: int, account_id: str | None, token: str | None) -> Account:
        """Add the account; draw its id and token again while another account has them, unless they were given."""

        def is_taken(account: Account) -> bool:
            return (account_id is None and self._store.is_taken(account.id)) or (
                token is None and self._store.of_token(account.token) is not None
            )

        for attempt in count(1):
            try:
                if not is_taken(account):
                    self._store.add(account, kopecks, self._clock.now(account.id))
                    break
            except UsageError:
                if not is_taken(account):  # else another thread has taken them since the look at them
                    raise
            drawn_id, drawn_token = draw_account(account.seed, attempt)
            account = replace(account, id=account_id or drawn_id, token=token or drawn_token)
        return account

    def _post(self, account_id: str, kind: EntryKind, amount: Callable[[int], int]) -> int:
        balance = self._store.post(account_id, kind, amount, self._clock.now(account_id))
        self._observer.changed(account_id)
        return balance
