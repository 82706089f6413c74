from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcn_mock.model.draws import draw_chance, seed_from_name
from pytest_mcn_mock.model.numbering import (
    RUSSIA,
    SLOVAKIA,
    caller_number,
    choose_country,
    clean_pasted,
    explain_caller,
    is_code,
    is_number,
    region_of,
)

ALL_MIDDLES = {f"{middle:03d}" for middle in range(1000)}
digits = st.text("0123456789", min_size=6, max_size=14)
numbers = st.builds(lambda first, rest: first + rest, st.sampled_from("123456789"), digits)


@pytest.mark.parametrize(
    "country,region,blocks",
    [(RUSSIA, "RU", {"7495", "7499"}), (SLOVAKIA, "SK", {"42122", "42123", "42124", "42125"})],
)
def test_every_block_with_every_middle_is_a_subscribers_number(country: int, region: str, blocks: set[str]) -> None:
    callers = {caller_number(country, "0042", draw) for draw in range(len(blocks) * 1000)}
    assert callers == {f"{block}{middle}0042" for block in blocks for middle in ALL_MIDDLES}
    for caller in callers:
        number = phonenumbers.parse(f"+{caller}")
        assert phonenumbers.is_valid_number_for_region(number, region), caller


@given(st.sampled_from([(RUSSIA, "RU"), (SLOVAKIA, "SK")]), st.integers(0, 9999), st.integers(0, 2**64 - 1))
def test_a_caller_is_of_its_country_and_ends_in_the_code(country: tuple[int, str], ends_in: int, draw: int) -> None:
    code = f"{ends_in:04d}"
    caller = caller_number(country[0], code, draw)
    assert caller.endswith(code)
    assert is_number(caller)
    assert region_of(caller) == country[1]
    assert phonenumbers.is_valid_number(phonenumbers.parse(f"+{caller}"))


@given(numbers, st.none() | st.just(""))
def test_any_number_that_is_not_russian_is_called_from_slovakia(login_did: str, country_id: str | None) -> None:
    expected = RUSSIA if region_of(login_did) == "RU" else SLOVAKIA
    assert choose_country(login_did, country_id).country == expected


@given(numbers, st.text(min_size=1).filter(lambda text: text != "703"))
def test_any_country_id_but_703_calls_from_russia(login_did: str, country_id: str) -> None:
    choice = choose_country(login_did, country_id)
    assert choice.country == RUSSIA
    assert len(choice.rule) < 300, "the explanation quotes no more than the beginning"


@given(st.text("0123456789", min_size=5, max_size=13))
def test_a_russian_mobile_number_is_nobody_elses(rest: str) -> None:
    number = phonenumbers.PhoneNumber(country_code=7, national_number=int(f"9{rest}"))
    assert phonenumbers.region_code_for_number(number) in ("RU", None)
    assert region_of(f"79{rest}") == "RU"


@given(st.sampled_from("34589"), st.text("0123456789", min_size=9, max_size=9))
def test_plus_7_without_6_and_7_is_russia_and_never_kazakhstan(first: str, rest: str) -> None:
    assert region_of(f"7{first}{rest}") != "KZ"


@given(st.sampled_from("67"), st.text("0123456789", min_size=9, max_size=9))
def test_plus_7_with_6_or_7_is_kazakhstan(first: str, rest: str) -> None:
    assert region_of(f"7{first}{rest}") == "KZ"
    assert choose_country(f"7{first}{rest}", None).country == SLOVAKIA


def test_the_shared_plan_of_plus_7_is_the_librarys() -> None:
    for beginning in range(1000, 10_000):  # a national number has no leading zero, and the library takes an integer
        for length in range(7, 16):
            number = f"7{beginning}1234567890"[:length]
            national = phonenumbers.PhoneNumber(country_code=7, national_number=int(number[1:]))
            # It knows no region for a number of neither plan; there Kazakhstan's share is what the plan says.
            known = phonenumbers.region_code_for_number(national)
            assert known in {region_of(number), None}, number


@given(st.integers(100_000, 10**14 - 1))
def test_any_number_of_plus_7_is_where_the_library_says(rest: int) -> None:
    national = phonenumbers.PhoneNumber(country_code=7, national_number=rest)
    assert phonenumbers.region_code_for_number(national) in {region_of(f"7{rest}"), None}


@pytest.mark.parametrize("first,region", [("6", "KZ"), ("7", "KZ"), *((digit, "RU") for digit in "01234589")])
def test_plus_7_has_a_region_also_where_nobody_has_the_number(first: str, region: str) -> None:
    assert region_of(f"7{first}0071234567") == region


@pytest.mark.parametrize(
    "login_did,country_id,words",
    [
        ("79157777777", None, "login_did is Russian"),
        ("77012345678", None, "of KZ, not Russian"),
        ("999123456789", "", "of no known country"),
        ("79157777777", "703", "country_id is 703"),
        ("77012345678", "643", "country_id is 643"),
        ("77012345678", "0643", "'0643', any other value"),
    ],
)
def test_the_choice_of_a_country_is_explained(login_did: str, country_id: str | None, words: str) -> None:
    assert words in choose_country(login_did, country_id).rule


@pytest.mark.parametrize("country_id", ["703 ", "+703", "7o3", "٧٠٣", "703.0", "SK", "\x00", "703" * 1000])
def test_what_only_looks_like_703_is_any_other_value(country_id: str) -> None:
    assert choose_country("421901234567", country_id).country == RUSSIA


def test_a_callers_number_is_explained() -> None:
    assert explain_caller(RUSSIA, "0042") == "Russian number, ends in the requested code 0042"
    assert explain_caller(SLOVAKIA, None) == "Slovak number, random, as no code was given"


@pytest.mark.parametrize(
    "text", ["+7 (915) ٧٧٧-٧٧-٧٧", "79157777777\n", "tel:79157777777", "+7;9157777777", "7+9157777777"]
)
def test_what_nobody_pastes_comes_back_as_it_was(text: str) -> None:
    assert clean_pasted(text) == text
    assert not is_number(text)


@given(st.text())
def test_cleaning_any_text_leaves_ascii_digits_or_the_text(text: str) -> None:
    cleaned = clean_pasted(text)
    assert cleaned in {text, ""} or (cleaned.isascii() and cleaned.isdigit())


@pytest.mark.parametrize("text", ["００４２", "०००१", "²³¹⁰", "-042", "+042", "4.20", " 042", "0 42"])
def test_a_code_is_nothing_that_merely_counts_as_digits(text: str) -> None:
    assert not is_code(text)


@given(st.integers(0, 9999))
def test_every_four_digits_are_a_code(code: int) -> None:
    assert is_code(f"{code:04d}")


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(0, 100))
def test_chance_is_from_0_up_to_1_and_repeats(seed: int, n: int, index: int) -> None:
    assert 0 <= draw_chance(seed, n, index) < 1
    assert draw_chance(seed, n, index) == draw_chance(seed, n, index)


def test_a_name_is_the_same_seed_in_every_run() -> None:
    assert seed_from_name("tests/test_login.py::test_ok") == 2_810_738_360
    assert seed_from_name("a") != seed_from_name("b")
