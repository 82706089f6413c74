from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, UsageError
from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.accounts import Account, add_fault, add_subscription, connect_number, prefer_rule, take_fault
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription

EMPTY = Account("12345678", "test-token", 1)
HOOK = make_subscription("http://localhost/hook")


def rule(outcome: str, login_did: str) -> OutcomeRule:
    return OutcomeRule(ending(outcome, unavailable_cause=18), login_did)


@pytest.mark.parametrize("account_id", ["1", "12345678", "999999999999999"])
def test_an_id_is_one_to_fifteen_digits(account_id: str) -> None:
    assert Account(account_id, "t", 1).id == account_id


@pytest.mark.parametrize(
    "wrong,message",
    [
        *(({"id": text}, "account id") for text in ("", "0", "01", "1" * 16, "-1", "1.0", "x", "١٢٣", "1\n", " 1", 5)),
        *(({"token": text}, "visible ASCII") for text in ("", "a b", "a\n", "ключ", "x" * 513, "\x7f", None)),
        *(({"seed": seed}, "seed") for seed in (True, -1, 2**63, 1.5)),
        ({"credit": -1}, r"invalid credit -0\.01: a credit is not negative"),
    ],
)
def test_an_account_that_is_not_valid_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Account(**{"id": "12345678", "token": "t", "seed": 1, **wrong})


@pytest.mark.parametrize("credit,kopecks", [("0.00", 0), ("5.00", 500), (5, 500), (Decimal("0.01"), 1)])
def test_a_credit_is_given_in_roubles(credit: Any, kopecks: int) -> None:
    assert accounts.set_credit(EMPTY, credit).credit == kopecks


@pytest.mark.parametrize("credit", ["-0.01", "0.001", 0.5, "unlimited", None, "10000000000000.01"])
def test_a_credit_that_is_not_valid_is_refused(credit: Any) -> None:
    with pytest.raises(UsageError, match="invalid credit"):
        accounts.set_credit(EMPTY, credit)


@pytest.mark.parametrize(
    "balance,kopecks", [("unlimited", None), ("0.00", 0), ("-1.00", -100), (7, 700), (Decimal("0.14"), 14)]
)
def test_a_balance_is_in_roubles_or_unlimited(balance: Any, kopecks: int | None) -> None:
    assert accounts.parse_balance(balance) == kopecks


@pytest.mark.parametrize("balance", ["Unlimited", "unlimited ", "", None, True, float("inf"), ["unlimited"]])
def test_a_balance_that_is_neither_is_refused(balance: Any) -> None:
    with pytest.raises(UsageError, match="invalid balance"):
        accounts.parse_balance(balance)


def test_an_account_keeps_its_token_out_of_its_repr() -> None:
    account = Account("12345678", "s3cret", 1)
    assert "s3cret" not in repr(account)
    assert "s3cret" not in str(account.__rich_repr__())
    assert "id='12345678'" in repr(account)


def test_subscriptions_are_numbered_from_1_and_a_number_is_not_used_twice() -> None:
    account = add_subscription(add_subscription(EMPTY, HOOK), HOOK)
    assert [s.number for s in account.subscriptions] == [1, 2]
    account = add_subscription(accounts.remove_subscription(account, 1), HOOK)
    assert [s.number for s in account.subscriptions] == [2, 3]


def test_a_subscription_is_found_and_replaced_by_its_number() -> None:
    account = add_subscription(add_subscription(EMPTY, HOOK), make_subscription("http://localhost/other"))
    assert accounts.find_subscription(account, 2).url == "http://localhost/other"
    with pytest.raises(NotFound, match="no subscription 3"):
        accounts.find_subscription(account, 3)
    changed = accounts.replace_subscription(account, replace(account.subscriptions[0], enabled=False))
    assert [(s.number, s.enabled) for s in changed.subscriptions] == [(1, False), (2, True)]


def test_the_rule_set_last_is_tried_first_and_drops_the_older_one_for_its_pattern() -> None:
    account = prefer_rule(prefer_rule(EMPTY, rule("busy", "7915*")), rule("answered", "*"))
    account = prefer_rule(account, rule("no_answer", "7915*"))
    assert [(r.login_did, r.ending.outcome) for r in account.outcome_rules] == [
        ("7915*", Outcome.NO_ANSWER),
        ("*", Outcome.ANSWERED),
    ]


def test_a_number_is_connected_once_and_as_digits() -> None:
    account = connect_number(connect_number(EMPTY, "+7 (915) 888-88-88"), "79158888888")
    assert account.numbers == ("79158888888",)


@pytest.mark.parametrize("number", ["", "0", "12345", "1" * 16, "+7 915", "number", None, 79158888888])
def test_only_a_number_can_be_connected(number: Any) -> None:
    with pytest.raises(UsageError, match="invalid number"):
        connect_number(EMPTY, number)


def test_an_account_holds_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MAX_NUMBERS", "MAX_SUBSCRIPTIONS", "MAX_RULES", "MAX_FAULTS"):
        monkeypatch.setattr(accounts, limit, 1)
    fault = Fault(FaultKind.RESET)
    account = connect_number(
        add_subscription(prefer_rule(add_fault(EMPTY, fault), rule("busy", "1*")), HOOK), "79158888888"
    )
    assert connect_number(account, "79158888888") == account, "it is connected already"
    one_more: list[Callable[[], Account]] = [
        lambda: connect_number(account, "79159999999"),
        lambda: add_subscription(account, HOOK),
        lambda: prefer_rule(account, rule("busy", "2*")),
        lambda: add_fault(account, fault),
    ]
    for more in one_more:
        with pytest.raises(UsageError, match="already"):
            more()


def test_a_fault_is_taken_from_the_account_and_every_draw_is_counted() -> None:
    account = add_fault(EMPTY, Fault(FaultKind.RESET))
    nothing, account = take_fault(account, of_cdr=True)
    assert (nothing, account.fault_draws) == (None, 1)
    fault, account = take_fault(account, of_cdr=False)
    assert fault == Fault(FaultKind.RESET)
    assert (account.faults, account.fault_draws) == ((), 2)
    assert take_fault(account, of_cdr=False) == (None, account)
