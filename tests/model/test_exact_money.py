from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.money import (
    MAX_KOPECKS,
    Ledger,
    Method,
    Tariff,
    format_roubles,
    parse_roubles,
    tariff_from_roubles,
    to_decimal,
)
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA

LARGEST = "10000000000000.00"


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


@pytest.mark.parametrize("zeros", [1, 10, 26, 27, 30, 100, 1000])
def test_a_fraction_of_a_kopeck_is_refused_however_small(zeros: int) -> None:
    with pytest.raises(UsageError, match="fraction of a kopeck") as refused:
        parse_roubles("0.15" + "0" * zeros + "1")
    assert len(str(refused.value)) < 150


@given(st.decimals(-(10**15), 10**15, places=4))
def test_an_amount_is_read_exactly_or_not_at_all(roubles: Decimal) -> None:
    try:
        kopecks = parse_roubles(roubles)
    except UsageError:
        assert roubles != round(roubles, 2) or abs(roubles) > Decimal(LARGEST)
    else:
        assert to_decimal(kopecks) == roubles


@pytest.mark.parametrize("amount", ["1e-1000000", "1e1000000", "-1e1000000", "sNaN", "-Infinity", "0x10"])
def test_an_extreme_amount_is_refused_at_once(amount: str) -> None:
    with pytest.raises(UsageError, match="balance"):
        parse_roubles(amount, name="balance")


def test_the_largest_amount_is_named_and_accepted() -> None:
    assert parse_roubles(LARGEST) == MAX_KOPECKS
    assert parse_roubles(f"-{LARGEST}") == -MAX_KOPECKS
    with pytest.raises(UsageError, match=LARGEST):
        parse_roubles("10000000000000.01")


def test_a_ledger_without_room_for_two_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="room"):
        Ledger(1)


def test_a_tariff_of_ones_own_prices_both_methods_and_countries() -> None:
    tariff = tariff_from_roubles({"call_for_2fa": "0.02", "flash_call": {643: "0.20", "703": "0.65"}})
    assert tariff.price(Method.CALL_FOR_2FA, None) == 2
    assert (tariff.price(Method.FLASH_CALL, RUSSIA), tariff.price(Method.FLASH_CALL, SLOVAKIA)) == (20, 65)


def test_a_tariff_is_built_upon_another() -> None:
    assert tariff_from_roubles({"call_for_2fa": "0.03"}, Tariff(2, {RUSSIA: 20, SLOVAKIA: 65})) == Tariff(
        3, {RUSSIA: 20, SLOVAKIA: 65}
    )


def test_a_price_can_be_nothing() -> None:
    assert tariff_from_roubles({"call_for_2fa": 0}).price(Method.CALL_FOR_2FA, None) == 0


@pytest.mark.parametrize(
    "method,country,words",
    [
        (Method.CALL_FOR_2FA, None, "call_for_2fa costs 0.01"),
        (Method.FLASH_CALL, RUSSIA, "flash_call from a Russian number costs 0.15"),
        (Method.FLASH_CALL, SLOVAKIA, "flash_call from a Slovak number costs 0.45"),
    ],
)
def test_a_price_is_explained(method: Method, country: int | None, words: str) -> None:
    assert Tariff().explain(method, country) == words


@pytest.mark.parametrize(
    "call_for_2fa,flash_call",
    [
        (-1, {RUSSIA: 15, SLOVAKIA: 45}),
        (1, {RUSSIA: 15, SLOVAKIA: -45}),
        (0.01, {RUSSIA: 15, SLOVAKIA: 45}),
        (True, {RUSSIA: 15, SLOVAKIA: 45}),
        (1, {RUSSIA: 15}),
        (1, {}),
        (1, {RUSSIA: 15, SLOVAKIA: 45, 348: 60}),
    ],
)
def test_a_tariff_has_whole_kopecks_for_both_countries(call_for_2fa: Any, flash_call: dict[int, int]) -> None:
    with pytest.raises(UsageError, match="tariff"):
        Tariff(call_for_2fa, flash_call)


@pytest.mark.parametrize("flash_call", ["0.15", 15, None, [("643", "0.15")]])
def test_one_price_for_every_country_is_refused(flash_call: Any) -> None:
    with pytest.raises(UsageError, match="by country"):
        tariff_from_roubles({"flash_call": flash_call})
