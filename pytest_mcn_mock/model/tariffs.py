"""What a method costs. The article prices the method, not the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.checks import check_mapping, show
from pytest_mcn_mock.model.money import MAX_KOPECKS, format_roubles, parse_roubles

RUSSIA = 643
"""ISO 3166-1 numeric; the value of ``country_id`` for a Russian number."""
SLOVAKIA = 703
"""ISO 3166-1 numeric; the value of ``country_id`` for a Slovak number."""
COUNTRY_NAMES: Mapping[int, str] = MappingProxyType({RUSSIA: "Russian", SLOVAKIA: "Slovak"})


class Method(StrEnum):
    """The two methods of the article, as they are spelt in the path."""

    CALL_FOR_2FA = "call_for_2fa"
    FLASH_CALL = "flash_call"


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices in kopecks; ``flash_call`` by the country of the number that calls.

    The defaults are the article's: "сам вызов метода стоит 1 копейку" and "от 15 копеек, если он происходит с
    российского номера и 45 копеек, если он происходит со словацкого номера".

    Raises UsageError for a price that cannot be, and where a country has none.
    """

    call_for_2fa: int = 1
    flash_call: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({RUSSIA: 15, SLOVAKIA: 45}))

    def __post_init__(self) -> None:
        check_mapping(self.flash_call, name="tariff: flash_call", example="{643: 15, 703: 45}")
        if set(self.flash_call) != set(COUNTRY_NAMES):
            raise UsageError(f"tariff: flash_call has prices for {show(list(self.flash_call))}; it needs 643 and 703")
        for price in (self.call_for_2fa, *self.flash_call.values()):
            if isinstance(price, bool) or not isinstance(price, int) or not 0 <= price <= MAX_KOPECKS:
                raise UsageError(f"tariff: {show(price)} is not a price; use whole kopecks from 0, such as 15")

    def price(self, method: Method, caller_country: int | None) -> int:
        """Kopecks for one accepted call of ``method`` from a number of ``caller_country``."""
        if method is Method.CALL_FOR_2FA or caller_country is None:
            return self.call_for_2fa
        return self.flash_call[caller_country]

    def explain(self, method: Method, caller_country: int | None) -> str:
        """A sentence for the call's explanation."""
        return _explain(method, caller_country, self.price(method, caller_country))


@lru_cache(maxsize=256)
def _explain(method: Method, caller_country: int | None, price: int) -> str:
    if method is Method.CALL_FOR_2FA or caller_country is None:
        return f"call_for_2fa costs {format_roubles(price)}"
    return f"flash_call from a {COUNTRY_NAMES[caller_country]} number costs {format_roubles(price)}"


def tariff_from_roubles(prices: Mapping[str, Any], default: Tariff | None = None) -> Tariff:
    """A tariff from prices in roubles: ``{"call_for_2fa": "0.01", "flash_call": {643: "0.15", 703: "0.45"}}``.

    What is left out is as in ``default``. Raises UsageError, naming the key, for an unknown key or country and for a
    price that cannot be.
    """
    default = default or Tariff()
    check_mapping(prices, name="tariff", example='{"flash_call": {643: "0.15"}}, or a Tariff')
    for key in prices:
        if key not in tuple(Method):
            raise UsageError(f"tariff: {show(key)} is unknown; {nearest(str(key), tuple(Method))}")
    by_country = dict(default.flash_call)
    flash_call = prices.get("flash_call", {})
    if not isinstance(flash_call, Mapping):
        raise UsageError(f'tariff: flash_call is {show(flash_call)}; give a price by country, such as {{643: "0.15"}}')
    for country, price in flash_call.items():
        if str(country) not in map(str, COUNTRY_NAMES):
            raise UsageError(f"tariff: flash_call has no country {show(country)}; known are 643 and 703")
        by_country[int(country)] = _price(price, f"flash_call from {country}")
    call_for_2fa = prices.get("call_for_2fa")
    return Tariff(default.call_for_2fa if call_for_2fa is None else _price(call_for_2fa, "call_for_2fa"), by_country)


def _price(roubles: Any, name: str) -> int:
    kopecks = parse_roubles(roubles, name=name)
    if kopecks < 0:
        raise UsageError(f"{name} is {format_roubles(kopecks)}; a price is not negative")
    return kopecks
