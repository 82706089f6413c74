"""Telephone numbers (E.164): their countries, and the caller's number that ends in the code.

A number is its digits in international form, without a plus (the article: ``79157777777``; ITU-T E.164, 6.1: at most
fifteen digits). Numbers and codes are text everywhere, because the code ``0042`` has leading zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from pytest_mcn_mock.reasons import Reason

RUSSIA = 643
"""ISO 3166-1 numeric; the value of ``country_id`` for a Russian number."""
SLOVAKIA = 703
"""ISO 3166-1 numeric; the value of ``country_id`` for a Slovak number."""
KAZAKHSTAN = 398
"""ISO 3166-1 numeric; the value of ``country_id`` for a Kazakh number."""
COUNTRY_NAMES: Mapping[int, str] = MappingProxyType({RUSSIA: "Russian", SLOVAKIA: "Slovak", KAZAKHSTAN: "Kazakh"})

EXAMPLE_NUMBER: Final = "79157777777"
"""The number that the article's examples call."""
NUMBER_FORM: Final = f"7 to 15 digits in international form without a plus, such as {EXAMPLE_NUMBER}"
_NUMBER = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
# These are rarely used, and compiled then.
_PASTED = r"\+?[0-9 ().\-\u00a0\u2011]{7,40}"
_NOT_DIGITS = r"[^0-9]"
_CODE = re.compile(r"[0-9]{4}", re.ASCII)

_BLOCKS: Final = {
    RUSSIA: ("7495", "7499"),
    SLOVAKIA: ("42122", "42123", "42124", "42125"),
    KAZAKHSTAN: ("77272", "77273", "77172"),
}
"""Blocks of geographic numbers: Moscow; Bratislava; Almaty and Astana. A block, the free digits and a code make a
subscriber's number."""
_FREE_DIGITS: Final = {RUSSIA: 3, SLOVAKIA: 3, KAZAKHSTAN: 2}


def is_number(text: str) -> bool:
    """Return whether the text is a number in the article's form."""
    return _NUMBER.fullmatch(text) is not None


def clean_pasted(text: str) -> str:
    """Return the digits of a pasted number such as ``+7 (915) 777-77-77``. Return any other text unchanged."""
    return re.sub(_NOT_DIGITS, "", text) if re.fullmatch(_PASTED, text) else text


def is_code(text: str) -> bool:
    """Return whether the text is a code: four ASCII digits ("4 цифры")."""
    return _CODE.fullmatch(text) is not None


def region_of(number: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 region of a number by the numbering plan, or None if the country is unknown.

    ``+7`` is shared: 7 6xx and 7 7xx are Kazakhstan, the rest is Russia, also if no subscriber has the number.
    """
    # Do not cache Russian numbers, because each is called once, and do not load the plan of other countries for them.
    if number[0] == "7":
        return "KZ" if number[1] in "67" else "RU"
    return _look_up_region(number)


@lru_cache(maxsize=4096)
def _look_up_region(number: str) -> str | None:
    import phonenumbers

    for digits in (1, 2, 3):
        calling_code = int(number[:digits])
        if calling_code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            break
    else:
        return None
    national = phonenumbers.PhoneNumber(country_code=calling_code, national_number=int(number[digits:] or 0))
    region = phonenumbers.region_code_for_number(national)
    return region or phonenumbers.region_code_for_country_code(calling_code)


def international_form(number: str) -> str | None:
    """Return the international form of a Russian or Kazakh number that is written as it is dialled inside the country.

    It has ``7`` instead of the ``8`` before the ten digits. Return None for any other number.
    """
    if len(number) != 11 or number[0] != "8":
        return None
    return _international_form(number)


@lru_cache(maxsize=4096)
def _international_form(number: str) -> str | None:
    import phonenumbers

    national = phonenumbers.PhoneNumber(country_code=7, national_number=int(number[1:]))
    return f"7{number[1:]}" if phonenumbers.is_valid_number(national) else None


def is_domestic(number: str) -> bool:
    """Return whether the number is written as inside Russia, and is not a valid number of another country."""
    return international_form(number) is not None and not _is_whole(number)


def warn_of_domestic(name: str, number: str) -> Reason | None:
    """Return a reason for the call's explanation; None if the number is not written as inside Russia or Kazakhstan."""
    meant = international_form(number)
    if meant is None:
        return None
    whose, where = ("Kazakh", "Kazakhstan") if region_of(meant) == "KZ" else ("Russian", "Russia")
    return Reason(
        "country_domestic", {"name": name, "number": number, "country": whose, "place": where, "meant": meant}
    )


def lacks_country(number: str) -> bool:
    """Return whether ten digits are a number without its country's code: not a valid number of any country."""
    return len(number) == 10 and is_number(number) and not _is_whole(number)


@lru_cache(maxsize=4096)
def _is_whole(number: str) -> bool:
    import phonenumbers

    by_country = (
        phonenumbers.PhoneNumber(country_code=int(number[:digits]), national_number=int(number[digits:]))
        for digits in (1, 2, 3)
    )
    return any(map(phonenumbers.is_valid_number, by_country))


class CountryChoice(Struct, frozen=True):
    """The country of the number that calls, and the rule that chose it."""

    country: int
    rule: Reason


_RUSSIAN: Final = CountryChoice(RUSSIA, Reason("country_russian"))
_KAZAKH: Final = CountryChoice(KAZAKHSTAN, Reason("country_kazakh"))


def choose_country(login_did: str, country_id: str | None) -> CountryChoice:
    """Return the country to call from: 643 or 703.

    "Если поле пустое - мы звоним на российский номер с российского номера и на номер любой другой страны со словацкого
    номера. Если задано значение 703 - … со словацкого номера, если задано значение 643 - с российского номера. При всех
    остальных значениях поля … с российского номера." The field is compared as text, so ``0703`` is any other value.
    """
    if country_id:
        return _choose_given(country_id, SLOVAKIA)
    region = region_of(login_did)
    if region == "RU":
        return _RUSSIAN
    return CountryChoice(SLOVAKIA, _of_region("country_foreign" if region else "country_unknown", SLOVAKIA, region))


def choose_home_country(login_did: str, country_id: str | None, other: int) -> CountryChoice:
    """Return the country to call from: 643 or 398. A number of a third country is called from ``other``.

    The handbook, "Flash call — звонки для авторизации, API", 12 August 2026: a Russian number is called from a Russian
    one and a Kazakh number from a Kazakh one, without a setting. It says nothing about other countries and about
    ``country_id``, which works as in the article: it is compared as text, and any other value means a Russian number.
    """
    if country_id:
        return _choose_given(country_id, KAZAKHSTAN)
    region = region_of(login_did)
    if region == "RU":
        return _RUSSIAN
    if region == "KZ":
        return _KAZAKH
    return CountryChoice(other, _of_region("country_third" if region else "country_third_unknown", other, region))


def _of_region(code: str, country: int, region: str | None) -> Reason:
    values = {"country": COUNTRY_NAMES[country]}
    return Reason(code, {**values, "region": region} if region else values)


def _choose_given(country_id: str, abroad: int) -> CountryChoice:
    """Return the country that ``country_id`` asks for: Russia, or the other country that a dialect calls from."""
    for country in (RUSSIA, abroad):
        if country_id == str(country):
            return CountryChoice(country, Reason("country_given", _given(country_id, country)))
    return CountryChoice(RUSSIA, Reason("country_other", _given(repr(country_id[:20]), RUSSIA)))


def _given(value: str, country: int) -> dict[str, str]:
    return {"value": value, "country": COUNTRY_NAMES[country]}


def caller_number(country: int, code: str | None, draw: int) -> str:
    """Return a subscriber's number of the country that ends in ``code``, or in any digits if it is None.

    ``draw`` is a random non-negative integer; the same one gives the same number.
    """
    blocks, free = _BLOCKS[country], _FREE_DIGITS[country]
    draw, block = divmod(draw, len(blocks))
    draw, middle = divmod(draw, 10**free)
    ending = code if code is not None else f"{draw % 10_000:04d}"
    return blocks[block] + str(middle).zfill(free) + ending
