"""What a method costs. The article prices the method, not the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from pytest_mcn_mock.domain.money import format_roubles

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
    """

    call_for_2fa: int = 1
    flash_call: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({RUSSIA: 15, SLOVAKIA: 45}))

    def price(self, method: Method, caller_country: int | None) -> int:
        """Kopecks for one accepted call of ``method`` from a number of ``caller_country``."""
        if method is Method.CALL_FOR_2FA or caller_country is None:
            return self.call_for_2fa
        return self.flash_call[caller_country]

    def explain(self, method: Method, caller_country: int | None) -> str:
        """A sentence for the call's explanation."""
        price = format_roubles(self.price(method, caller_country))
        if method is Method.CALL_FOR_2FA or caller_country is None:
            return f"call_for_2fa costs {price}"
        return f"flash_call from a {COUNTRY_NAMES[caller_country]} number costs {price}"
