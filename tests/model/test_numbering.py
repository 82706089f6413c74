from __future__ import annotations

import phonenumbers
import pytest

from pytest_mcn_mock.model import numbering
from pytest_mcn_mock.model.draws import draw_account, draw_call
from pytest_mcn_mock.model.numbering import (
    RUSSIA,
    SLOVAKIA,
    caller_number,
    choose_country,
    clean_pasted,
    is_code,
    is_number,
    region_of,
)

RUSSIAN, KAZAKH, SLOVAK = "79157777777", "77012345678", "421901234567"


@pytest.mark.parametrize(
    "login_did,country_id,country",
    [
        # "Если поле пустое - мы звоним на российский номер с российского номера …"
        (RUSSIAN, None, RUSSIA),
        (RUSSIAN, "", RUSSIA),
        ("78005553535", None, RUSSIA),
        # "… и на номер любой другой страны со словацкого номера"
        (KAZAKH, None, SLOVAKIA),
        ("7777777777", None, SLOVAKIA),
        (SLOVAK, None, SLOVAKIA),
        ("12025550123", None, SLOVAKIA),
        ("999123456789", None, SLOVAKIA),
        # "Если задано значение 703 - будет произведен звонок со словацкого номера"
        (RUSSIAN, "703", SLOVAKIA),
        # "если задано значение 643 - с российского номера"
        (KAZAKH, "643", RUSSIA),
        # "При всех остальных значениях поля будет произведен звонок с российского номера"
        (KAZAKH, "398", RUSSIA),
        (SLOVAK, "abc", RUSSIA),
        (SLOVAK, "0", RUSSIA),
        (SLOVAK, "0643", RUSSIA),
        (SLOVAK, "0703", RUSSIA),
        (SLOVAK, " 703", RUSSIA),
    ],
)
def test_the_country_rules_are_the_articles(login_did: str, country_id: str | None, country: int) -> None:
    assert choose_country(login_did, country_id).country == country


@pytest.mark.parametrize(
    "number,region",
    [
        (RUSSIAN, "RU"),
        ("70000000000", "RU"),
        (KAZAKH, "KZ"),
        ("76000000000", "KZ"),
        ("77000000000", "KZ"),
        (SLOVAK, "SK"),
        ("14165550123", "CA"),
        ("441534567890", "JE"),
        ("999123456789", None),
    ],
)
def test_the_numbering_plan_tells_the_region_not_the_prefix(number: str, region: str | None) -> None:
    assert region_of(number) == region


@pytest.mark.parametrize("country,region", [(RUSSIA, "RU"), (SLOVAKIA, "SK")])
@pytest.mark.parametrize("code", ["0042", "0000", "9999"])
def test_every_number_that_can_call_is_one_that_a_subscriber_can_have(country: int, region: str, code: str) -> None:
    callers = {caller_number(country, code, draw) for draw in range(8000)}
    assert len(callers) >= 2000
    for caller in callers:
        number = phonenumbers.parse(f"+{caller}")
        assert phonenumbers.is_valid_number_for_region(number, region), caller
        assert caller.endswith(code)


def test_without_a_code_the_end_is_random_and_the_same_draw_gives_the_same_number() -> None:
    callers = [caller_number(RUSSIA, None, draw_call(1, n).number) for n in range(100)]
    assert callers == [caller_number(RUSSIA, None, draw_call(1, n).number) for n in range(100)]
    assert len({caller[-4:] for caller in callers}) > 90


@pytest.mark.parametrize("text", ["79157777777", "7777777777", "4219012345", "123456789012345"])
def test_a_number_is_digits_in_international_form(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123456",
        "1234567890123456",
        "+79157777777",
        "09157777777",
        "7915777777a",
        "7915 7777777",
        "٧٩١٥٧٧٧٧٧٧٧",
        "79157777777\n",
    ],
)
def test_anything_else_is_no_number(text: str) -> None:
    assert not is_number(text)


@pytest.mark.parametrize(
    "pasted", ["+7 (915) 777-77-77", "7 915 777 77 77", "+7-915-777-77-77", "+7\u00a0915\u00a0777\u201177\u201177"]
)
def test_a_pasted_number_can_be_cleaned(pasted: str) -> None:
    assert clean_pasted(pasted) == RUSSIAN


def test_what_is_no_number_is_not_cleaned_into_one() -> None:
    assert clean_pasted("call 79157777777 now") == "call 79157777777 now"


@pytest.mark.parametrize(
    "text,is_one",
    [
        ("0042", True),
        ("042", False),
        ("00042", False),
        ("abcd", False),
        ("٠٠٤٢", False),
        ("0042\n", False),
        ("", False),
    ],
)
def test_a_code_is_four_ascii_digits(text: str, is_one: bool) -> None:
    assert is_code(text) is is_one


def test_call_ids_are_twelve_hex_digits_and_never_the_same() -> None:
    ids = {draw_call(7, n).call_id for n in range(200_000)}
    assert len(ids) == 200_000
    assert all(len(call_id) == 12 and set(call_id) <= set("0123456789abcdef") for call_id in ids)


def test_a_seed_draws_the_same_and_another_seed_something_else() -> None:
    assert draw_call(1, 5) == draw_call(1, 5) != draw_call(2, 5)
    assert draw_account(1) == draw_account(1) != draw_account(2)
    assert draw_account(1, attempt=1) != draw_account(1)


@pytest.mark.parametrize(
    "number,meant,is_only_that",
    [
        ("89157777777", RUSSIAN, True),
        ("88001234567", "78001234567", True),
        ("88612345678", "78612345678", True),
        ("87771234567", "77771234567", True),
        ("84951234567", "74951234567", False),  # Vietnam's +84 has such numbers too
        ("81234567890", None, False),  # Japan's +81, and nothing in Russia
        ("8915777777", None, False),
        ("891577777777", None, False),
        (RUSSIAN, None, False),
    ],
)
def test_a_number_dialled_inside_russia_is_known(number: str, meant: str | None, is_only_that: bool) -> None:
    assert numbering.international_form(number) == meant
    assert numbering.is_domestic(number) is is_only_that
    warning = numbering.warn_of_domestic("login_did", number)
    assert (meant or "") in warning
    assert bool(warning) is (meant is not None)
