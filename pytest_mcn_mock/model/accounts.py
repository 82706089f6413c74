"""An account (ЛС): the unit of isolation, because every path of the real API names one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from typing import Final

from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, UsageError
from pytest_mcn_mock.model.checks import show
from pytest_mcn_mock.model.draws import MAX_SEED
from pytest_mcn_mock.model.faults import Fault, draw_fault
from pytest_mcn_mock.model.money import MAX_KOPECKS, Tariff, format_roubles, parse_roubles
from pytest_mcn_mock.model.numbering import NUMBER_FORM, clean_pasted, is_number
from pytest_mcn_mock.model.outcomes import OutcomeRule, RuleIndex
from pytest_mcn_mock.model.webhooks import HidesSecrets, Subscription
from pytest_mcn_mock.reasons import Reason

MAX_ID = 10**15
"""An id is less than this."""
_ID = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
MAX_NAME: Final = 100
"""Characters of an account's name."""
_NAME = r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*"
"""No control characters, no line or paragraph separator, and nothing that turns the direction of the text around it."""
DEFAULT_BALANCE: Final = "100.00"
"""Roubles. The default for a new account in a file, over the admin API and in a test."""
UNLIMITED: Final = "unlimited"
"""The balance of an account that accepts every call, at any price. Use it for load tests."""
DEFAULT_CREDIT: Final = "0.00"
"""Roubles. The vendor's billing allows a credit."""
MAX_NUMBERS = 10_000
MAX_SUBSCRIPTIONS = 100
MAX_RULES = 1_000
MAX_FAULTS = 100


class Account(HidesSecrets, frozen=True, dict=True):
    """An account's settings. Its money is in the ledger and its calls are in the storage.

    ``id`` is one to fifteen digits, as in the path. ``name`` is for people; it is empty if the account has none.
    ``outcome_rules`` are tried in order.
    With ``calls_held`` new calls ring until they are completed manually.

    ``credit``, in kopecks, is how far below zero a call may take the balance. With ``unlimited`` every call is
    accepted, at any balance and credit. It is charged too: the balance stays the sum of the ledger, and a load test
    sees the cost of its calls.

    ``faults`` are the faults that can still strike, ``faults_given`` the list as it was last edited.
    ``fault_draws`` counts how often a fault could have struck, ``subscriptions_made`` the subscriptions ever made.
    ``seq`` numbers the accounts of a storage in order of opening, from 1.

    Raises UsageError if the id, the token, the seed, the name or the credit is not valid. ``connect_number`` checks
    numbers.
    """

    _hidden = ("token",)

    id: str
    token: str
    seed: int
    tariff: Tariff = Tariff()
    credit: int = 0
    unlimited: bool = False
    numbers: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    outcome_rules: tuple[OutcomeRule, ...] = ()
    calls_held: bool = False
    faults: tuple[Fault, ...] = ()
    faults_given: tuple[Fault, ...] = ()
    fault_draws: int = 0
    subscriptions_made: int = 0
    seq: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not is_account_id(self.id):
            raise UsageError(Reason("account_id", {"value": show(self.id)}), "id")
        if not isinstance(self.token, str) or not _TOKEN.fullmatch(self.token):
            raise UsageError(Reason("token"), "token")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed <= MAX_SEED:
            raise UsageError(Reason("seed", {"value": show(self.seed), "most": MAX_SEED}), "seed")
        if self.name != "" and not is_account_name(self.name):
            raise UsageError(Reason("account_name", {"value": show(self.name), "most": MAX_NAME}), "name")
        if not 0 <= self.credit <= MAX_KOPECKS:
            raise UsageError(Reason("credit_negative", {"amount": format_roubles(self.credit)}), "credit")

    def can_pay(self, price: int, balance: int) -> bool:
        """Return whether a call is accepted at this price and balance, both in kopecks."""
        return price <= balance + self.credit or self.unlimited

    def outcome_rule(self, login_did: str) -> OutcomeRule | None:
        """Return the first outcome rule that matches the number, or None."""
        return self._rule_index.first_match(login_did) if self.outcome_rules else None

    @cached_property
    def _rule_index(self) -> RuleIndex:
        return RuleIndex(self.outcome_rules)


def is_account_name(text: object) -> bool:
    """Return whether this can be an account's name, for people."""
    return isinstance(text, str) and len(text) <= MAX_NAME and re.fullmatch(_NAME, text) is not None


def is_account_id(text: str) -> bool:
    """Return whether the text can be an account's id."""
    return _ID.fullmatch(text) is not None


def parse_balance(balance: str | int | Decimal) -> int | None:
    """Return the kopecks of a balance in roubles, or None for ``"unlimited"``. Raises UsageError as parse_roubles."""
    return None if balance == UNLIMITED else parse_roubles(balance, name="balance")


def set_credit(account: Account, credit: str | int | Decimal) -> Account:
    """Return the account with a credit in roubles. Raises UsageError if it is negative, or as parse_roubles."""
    return replace(account, credit=parse_roubles(credit, name="credit"))


def connect_number(account: Account, number: str) -> Account:
    """Return the account with a number connected, so that call_for_2fa may ring from it."""
    digits = clean_pasted(number) if isinstance(number, str) else ""
    if not is_number(digits):
        raise UsageError(Reason("number", {"value": repr(str(number)[:40]), "form": NUMBER_FORM}), "numbers")
    if digits in account.numbers:
        return account
    if len(account.numbers) >= MAX_NUMBERS:
        raise UsageError(Reason("numbers_full", {"account": account.id, "most": MAX_NUMBERS}), "numbers")
    return replace(account, numbers=(*account.numbers, digits))


def add_subscription(account: Account, subscription: Subscription) -> Account:
    """Return the account with one more subscription, numbered after the last one."""
    if len(account.subscriptions) >= MAX_SUBSCRIPTIONS:
        raise UsageError(Reason("webhooks_full", {"account": account.id, "most": MAX_SUBSCRIPTIONS}))
    number = account.subscriptions_made + 1
    subscriptions = (*account.subscriptions, replace(subscription, number=number))
    return replace(account, subscriptions=subscriptions, subscriptions_made=number)


def find_subscription(account: Account, number: int) -> Subscription:
    """Return the subscription with the number; raise NotFound if there is none."""
    found = look_up_subscription(account, number)
    if found is None:
        raise NotFound(Reason("webhook_not_found", {"account": account.id, "n": number}))
    return found


def look_up_subscription(account: Account, number: int) -> Subscription | None:
    """Return the subscription with the number, or None."""
    for subscription in account.subscriptions:
        if subscription.number == number:
            return subscription
    return None


def replace_subscription(account: Account, changed: Subscription) -> Account:
    """Return the account with the subscription of the same number replaced."""
    subscriptions = tuple(changed if s.number == changed.number else s for s in account.subscriptions)
    return replace(account, subscriptions=subscriptions)


def enable_subscription(account: Account, number: int) -> Account:
    """Return the account with the subscription enabled and its failures at 0; raise NotFound if there is none."""
    found = find_subscription(account, number)
    return replace_subscription(account, replace(found, enabled=True, failed_in_a_row=0, disabled_at=None))


def remove_subscription(account: Account, number: int) -> Account:
    """Return the account without the subscription; its number is not used again. Raise NotFound if there is none."""
    removed = find_subscription(account, number)
    return replace(account, subscriptions=tuple(s for s in account.subscriptions if s is not removed))


def replace_numbers(account: Account, numbers: Iterable[str]) -> Account:
    """Return the account with only these numbers connected."""
    account = replace(account, numbers=())
    for number in numbers:
        account = connect_number(account, number)
    return account


def replace_rules(account: Account, rules: Iterable[OutcomeRule]) -> Account:
    """Return the account with only these outcome rules."""
    replaced = tuple(rules)
    if len(replaced) > MAX_RULES:
        raise UsageError(Reason("rules_too_many", {"n": len(replaced), "most": MAX_RULES}))
    return replace(account, outcome_rules=replaced)


def replace_faults(account: Account, faults: Iterable[Fault]) -> Account:
    """Return the account with only these faults switched on."""
    replaced = tuple(faults)
    if len(replaced) > MAX_FAULTS:
        raise UsageError(Reason("faults_too_many", {"n": len(replaced), "most": MAX_FAULTS}))
    return replace(account, faults=replaced, faults_given=replaced)


def prefer_rule(account: Account, rule: OutcomeRule) -> Account:
    """Return the account with a rule put first; an older rule for the same pattern is dropped."""
    rules = (rule, *(r for r in account.outcome_rules if r.login_did != rule.login_did))
    if len(rules) > MAX_RULES:
        raise UsageError(Reason("rules_full", {"account": account.id, "most": MAX_RULES}))
    return replace(account, outcome_rules=rules)


def add_fault(account: Account, fault: Fault) -> Account:
    """Return the account with one more fault, tried after those it has."""
    if len(account.faults) >= MAX_FAULTS:
        raise UsageError(Reason("faults_full", {"account": account.id, "most": MAX_FAULTS}))
    return replace_faults(account, (*account.faults, fault))


def take_fault(account: Account, *, of_cdr: bool) -> tuple[Fault | None, Account]:
    """Return the fault that strikes now, if one does, and the account afterwards."""
    if not account.faults:
        return None, account
    fault, left = draw_fault(account.faults, of_cdr=of_cdr, seed=account.seed, n=account.fault_draws)
    return fault, replace(account, faults=left, fault_draws=account.fault_draws + 1)
