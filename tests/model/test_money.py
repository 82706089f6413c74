from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.money import (
    MAX_KOPECKS,
    EntryKind,
    Ledger,
    Method,
    Tariff,
    format_roubles,
    parse_roubles,
    tariff_from_roubles,
    to_decimal,
)
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA


@given(st.integers(-MAX_KOPECKS, MAX_KOPECKS))
def test_an_amount_survives_the_way_out_and_in(kopecks: int) -> None:
    assert parse_roubles(format_roubles(kopecks)) == kopecks
    assert parse_roubles(to_decimal(kopecks)) == kopecks


@pytest.mark.parametrize(
    "amount,kopecks", [("0.14", 14), ("10", 1000), (10, 1000), (Decimal("0.1"), 10), ("-0.05", -5), ("1e2", 10000)]
)
def test_an_amount_is_read_to_the_kopeck(amount: Any, kopecks: int) -> None:
    assert parse_roubles(amount) == kopecks


@pytest.mark.parametrize(
    "amount", [0.1, True, None, "", "ten", "NaN", "Infinity", "0.001", "1e20", "1" * 5000, "0,15", "1_0", "١"]
)
def test_what_is_no_amount_is_refused(amount: Any) -> None:
    with pytest.raises(UsageError, match=r"roubles|amount|large"):
        parse_roubles(amount)


def test_roubles_are_shown_with_two_decimals() -> None:
    assert [format_roubles(k) for k in (0, 5, 15, 10000, -5)] == ["0.00", "0.05", "0.15", "100.00", "-0.05"]


@given(st.lists(st.integers(-(10**9), 10**9)), st.integers(2, 10))
def test_the_balance_is_the_sum_of_the_entries_also_past_the_bound(amounts: list[int], limit: int) -> None:
    ledger = Ledger(limit)
    for kopecks in amounts:
        ledger.post(EntryKind.TOP_UP, kopecks, 0.0)
        assert ledger.balance == sum(entry.kopecks for entry in ledger)
        assert len(ledger) <= limit
    assert ledger.balance == sum(amounts)


def test_what_a_full_ledger_folds_is_brought_forward() -> None:
    ledger = Ledger(2)
    for kopecks in (100, -15, -45):
        ledger.post(EntryKind.CHARGE, kopecks, 1.0)
    assert [(entry.kind, entry.kopecks) for entry in ledger] == [
        (EntryKind.BROUGHT_FORWARD, 85),
        (EntryKind.CHARGE, -45),
    ]


def test_the_default_tariff_is_the_articles() -> None:
    # "сам вызов метода стоит 1 копейку"; "от 15 копеек … с российского номера и 45 копеек … со словацкого номера"
    tariff = Tariff()
    assert tariff.price(Method.CALL_FOR_2FA, None) == 1
    assert tariff.price(Method.FLASH_CALL, RUSSIA) == 15
    assert tariff.price(Method.FLASH_CALL, SLOVAKIA) == 45


def test_a_tariff_is_read_in_roubles_and_what_is_left_out_stays() -> None:
    assert tariff_from_roubles({"flash_call": {"703": "0.65"}}) == Tariff(1, {RUSSIA: 15, SLOVAKIA: 65})


@pytest.mark.parametrize(
    "prices,message",
    [
        ({"flashcall": "1"}, "flash_call"),
        ({"flash_call": {7: "1"}}, "643 and 703"),
        ({"call_for_2fa": "-0.01"}, "not negative"),
        ({"call_for_2fa": 0.01}, "call_for_2fa"),
    ],
)
def test_a_wrong_tariff_says_what_is_wrong(prices: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tariff_from_roubles(prices)
