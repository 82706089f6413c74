from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import (
    MAX_KOPECKS,
    EntryKind,
    Ledger,
    Method,
    PaidMethodsPrices,
    Tariff,
    format_roubles,
    parse_roubles,
    tariff_from_roubles,
    to_decimal,
)
from pytest_mcn_mock.model.numbering import KAZAKHSTAN, RUSSIA, SLOVAKIA

LARGEST = "10000000000000.00"
BOTH = {RUSSIA: 15, SLOVAKIA: 45}


@given(st.integers(-MAX_KOPECKS, MAX_KOPECKS))
def test_an_amount_survives_the_way_out_and_in(kopecks: int) -> None:
    assert parse_roubles(format_roubles(kopecks)) == kopecks
    assert parse_roubles(to_decimal(kopecks)) == kopecks


@given(st.decimals(-(10**15), 10**15, places=4))
def test_an_amount_is_read_exactly_or_not_at_all(roubles: Decimal) -> None:
    try:
        kopecks = parse_roubles(roubles)
    except UsageError:
        assert roubles != round(roubles, 2) or abs(roubles) > Decimal(LARGEST)
    else:
        assert to_decimal(kopecks) == roubles


@pytest.mark.parametrize(
    "amount,kopecks",
    [
        *(("0.14", 14), ("10", 1000), (10, 1000), (Decimal("0.1"), 10), ("-0.05", -5), ("1e2", 10000)),
        *((LARGEST, MAX_KOPECKS), (f"-{LARGEST}", -MAX_KOPECKS)),
    ],
)
def test_an_amount_is_read_to_the_kopeck(amount: Any, kopecks: int) -> None:
    assert parse_roubles(amount) == kopecks


@pytest.mark.parametrize(
    "amount,message",
    [
        *((amount, "balance") for amount in (0.1, True, None, "", "ten", "0,15", "1_0", "١", "0x10")),
        *((amount, "balance") for amount in ("NaN", "sNaN", "Infinity", "-Infinity", "1" * 5000)),
        *((amount, "balance") for amount in ("1e20", "1e-1000000", "1e1000000", "-1e1000000")),
        ("10000000000000.01", LARGEST),
        *(("0.15" + "0" * zeros + "1", "fraction of a kopeck") for zeros in (1, 10, 26, 27, 30, 100, 1000)),
    ],
)
def test_anything_else_is_not_an_amount(amount: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        parse_roubles(amount, name="balance")
    assert len(str(refused.value)) < 150


@pytest.fixture
def coarse_decimals() -> Iterator[None]:
    """An application under test that rounds its decimals to six digits."""
    with localcontext(prec=6):
        yield


@pytest.mark.usefixtures("coarse_decimals")
@pytest.mark.parametrize("roubles,kopecks", [("1234567.89", 123_456_789), ("-1234567.89", -123_456_789)])
def test_the_applications_decimal_context_does_not_round_our_money(roubles: str, kopecks: int) -> None:
    assert parse_roubles(roubles) == parse_roubles(Decimal(roubles)) == kopecks
    assert to_decimal(kopecks) == Decimal(roubles)
    assert format_roubles(kopecks) == roubles


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
    with pytest.raises(ValueError, match="room"):
        Ledger(1)


# "сам вызов метода стоит 1 копейку"; "от 15 копеек … с российского номера и 45 копеек … со словацкого номера"
@pytest.mark.parametrize(
    "method,country,price",
    [
        (Method.CALL_FOR_2FA, None, 1),
        (Method.FLASH_CALL, RUSSIA, 15),
        (Method.FLASH_CALL, SLOVAKIA, 45),
    ],
)
def test_the_default_tariff_is_the_articles(method: Method, country: int | None, price: int) -> None:
    assert Tariff().price(method, country) == price


# The handbook: 1 kopeck; "от 15 копеек" from a Russian number, "от 65 копеек" from a Kazakh one
@pytest.mark.parametrize(
    "method,country,price",
    [
        (Method.CALL_FOR_2FA, None, 1),
        (Method.FLASH_CALL, RUSSIA, 15),
        (Method.FLASH_CALL, KAZAKHSTAN, 65),
    ],
)
def test_paidmethods_has_the_handbooks_prices(method: Method, country: int | None, price: int) -> None:
    assert Tariff().price(method, country, Dialect.PAIDMETHODS) == price


@pytest.mark.parametrize(
    "prices,tariff",
    [
        ({}, Tariff()),
        (
            {"call_for_2fa": 0, "paidmethods": {"flash_call": {"398": "0.70"}}},
            Tariff(0, BOTH, PaidMethodsPrices(1, {RUSSIA: 15, KAZAKHSTAN: 70})),
        ),
        (
            {"paidmethods": {"call_for_2fa": "0.02", "flash_call": {643: 0}}},
            Tariff(1, BOTH, PaidMethodsPrices(2, {RUSSIA: 0, KAZAKHSTAN: 65})),
        ),
        ({"call_for_2fa": 0}, Tariff(0, BOTH)),
        ({"flash_call": {"703": "0.65"}}, Tariff(1, {RUSSIA: 15, SLOVAKIA: 65})),
        ({"call_for_2fa": "0.02", "flash_call": {643: "0.20", "703": "0.65"}}, Tariff(2, {RUSSIA: 20, SLOVAKIA: 65})),
    ],
)
def test_a_tariff_is_read_in_roubles_and_what_is_left_out_stays(prices: dict[str, Any], tariff: Tariff) -> None:
    assert tariff_from_roubles(prices) == tariff


def test_a_tariff_is_built_upon_another() -> None:
    other = {RUSSIA: 20, SLOVAKIA: 65}
    assert tariff_from_roubles({"call_for_2fa": "0.03"}, Tariff(2, other)) == Tariff(3, other)


@pytest.mark.parametrize(
    "prices,message",
    [
        ({"flashcall": "1"}, "flash_call"),
        ({"flash_call": {7: "1"}}, "643 and 703"),
        *(({"flash_call": price}, "by country") for price in ("0.15", 15, None, [("643", "0.15")])),
        ({"call_for_2fa": "-0.01"}, "not negative"),
        ({"call_for_2fa": 0.01}, "call_for_2fa"),
        (
            {"paidmethods": {"flash_call": {703: "1"}}},
            "paidmethods: flash_call has no country 703; known are 643 and 398",
        ),
        ({"paidmethods": {"flashcall": "1"}}, "paidmethods: 'flashcall' is unknown; did you mean 'flash_call'"),
        ({"paidmethods": {"paidmethods": {}}}, "paidmethods: 'paidmethods' is unknown"),
        ({"paidmethods": "0.15"}, "paidmethods is '0.15'; use a dict"),
    ],
)
def test_a_wrong_tariff_says_what_is_wrong(prices: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tariff_from_roubles(prices)


@pytest.mark.parametrize(
    "call_for_2fa,flash_call",
    [
        *((price, BOTH) for price in (-1, 0.01, True)),
        *((1, prices) for prices in ({RUSSIA: 15, SLOVAKIA: -45}, {RUSSIA: 15}, {}, {**BOTH, 348: 60})),
    ],
)
def test_a_tariff_has_whole_kopecks_for_both_countries(call_for_2fa: Any, flash_call: dict[int, int]) -> None:
    with pytest.raises(UsageError, match="tariff"):
        Tariff(call_for_2fa, flash_call)


@pytest.mark.parametrize(
    "prices", [{"call_for_2fa": -1}, {"flash_call": BOTH}, {"flash_call": {RUSSIA: 15, KAZAKHSTAN: 0.5}}]
)
def test_so_do_the_prices_of_paidmethods(prices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="tariff: paidmethods"):
        PaidMethodsPrices(**prices)
    with pytest.raises(UsageError, match="use a PaidMethodsPrices"):
        Tariff(paidmethods=prices)  # type: ignore[arg-type]  # wrong on purpose
