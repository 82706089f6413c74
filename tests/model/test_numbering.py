from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcn_mock.model import numbering
from pytest_mcn_mock.model.draws import draw_account, draw_call, draw_chance, draw_share, seed_from_name
from pytest_mcn_mock.model.numbering import (
    KAZAKHSTAN,
    RUSSIA,
    SLOVAKIA,
    caller_number,
    choose_country,
    choose_home_country,
    clean_pasted,
    is_code,
    is_number,
    lacks_country,
    region_of,
)

RUSSIAN, KAZAKH, SLOVAK = "79157777777", "77012345678", "421901234567"
DIGITS = "0123456789"
NUMBERS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


@pytest.mark.parametrize(
    "login_did,country_id,country,words",
    [
        # "Если поле пустое - мы звоним на российский номер с российского номера …"
        (RUSSIAN, None, RUSSIA, "login_did is Russian"),
        (RUSSIAN, "", RUSSIA, "login_did is Russian"),
        ("78005553535", None, RUSSIA, "login_did is Russian"),
        # "… и на номер любой другой страны со словацкого номера"
        (KAZAKH, None, SLOVAKIA, "of KZ, not Russian"),
        ("7777777777", None, SLOVAKIA, "of KZ, not Russian"),
        (SLOVAK, None, SLOVAKIA, "of SK, not Russian"),
        ("12025550123", None, SLOVAKIA, "of US, not Russian"),
        ("999123456789", "", SLOVAKIA, "of no known country"),
        # "Если задано значение 703 - будет произведен звонок со словацкого номера"
        (RUSSIAN, "703", SLOVAKIA, "country_id is 703"),
        # "если задано значение 643 - с российского номера"
        (KAZAKH, "643", RUSSIA, "country_id is 643"),
        # "При всех остальных значениях поля будет произведен звонок с российского номера"
        (KAZAKH, "398", RUSSIA, "'398', any other value"),
        *((SLOVAK, other, RUSSIA, "any other value") for other in ("abc", "0", "0643", "0703", " 703", "703 ", "+703")),
        *((SLOVAK, other, RUSSIA, "any other value") for other in ("7o3", "٧٠٣", "703.0", "SK", "\x00", "703" * 1000)),
    ],
)
def test_the_country_rules_are_the_articles(login_did: str, country_id: str | None, country: int, words: str) -> None:
    choice = choose_country(login_did, country_id)
    assert choice.country == country
    assert words in str(choice.rule)


@given(NUMBERS, st.none() | st.just(""))
def test_any_number_that_is_not_russian_is_called_from_slovakia(login_did: str, country_id: str | None) -> None:
    expected = RUSSIA if region_of(login_did) == "RU" else SLOVAKIA
    assert choose_country(login_did, country_id).country == expected


@given(NUMBERS, st.text(min_size=1).filter(lambda text: text != "703"))
def test_any_country_id_but_703_calls_from_russia(login_did: str, country_id: str) -> None:
    choice = choose_country(login_did, country_id)
    assert choice.country == RUSSIA
    assert len(str(choice.rule)) < 300, "the explanation quotes no more than the beginning"


@pytest.mark.parametrize(
    "number,region",
    [
        *((RUSSIAN, "RU"), (KAZAKH, "KZ"), (SLOVAK, "SK")),
        *(("14165550123", "CA"), ("441534567890", "JE"), ("999123456789", None)),
        # nobody has these numbers
        *((f"7{first}0000000000"[:11], "KZ" if first in "67" else "RU") for first in DIGITS),
    ],
)
def test_the_numbering_plan_tells_the_region_not_the_prefix(number: str, region: str | None) -> None:
    assert region_of(number) == region


def test_the_shared_plan_of_plus_7_is_the_librarys() -> None:
    for beginning in range(1000, 10_000):  # a national number has no leading zero, and the library takes an integer
        for length in range(7, 16):
            number = f"7{beginning}1234567890"[:length]
            national = phonenumbers.PhoneNumber(country_code=7, national_number=int(number[1:]))
            # It knows no region for a number of neither plan; there Kazakhstan's share is what the plan says.
            known = phonenumbers.region_code_for_number(national)
            assert known in {region_of(number), None}, number


@pytest.mark.parametrize(
    "country,region,blocks,free",
    [
        (RUSSIA, "RU", {"7495", "7499"}, 3),
        (SLOVAKIA, "SK", {"42122", "42123", "42124", "42125"}, 3),
        (KAZAKHSTAN, "KZ", {"77272", "77273", "77172"}, 2),
    ],
)
@pytest.mark.parametrize("code", ["0042", "0000", "9999"])
def test_every_block_with_every_middle_is_a_subscribers_number(
    country: int, region: str, blocks: set[str], free: int, code: str
) -> None:
    callers = {caller_number(country, code, draw) for draw in range(len(blocks) * 10**free)}
    assert callers == {f"{block}{middle:0{free}d}{code}" for block in blocks for middle in range(10**free)}
    for caller in callers:
        number = phonenumbers.parse(f"+{caller}")
        assert phonenumbers.is_valid_number_for_region(number, region), caller


def test_a_kazakh_caller_is_valid_with_every_code() -> None:
    """The rest is drawn; each of the ten thousand codes meets some of it."""
    for code in range(10_000):
        caller = caller_number(KAZAKHSTAN, f"{code:04d}", draw_call(1, code).number)
        assert caller.endswith(f"{code:04d}")
        assert phonenumbers.is_valid_number_for_region(phonenumbers.parse(f"+{caller}"), "KZ"), caller
        assert region_of(caller) == "KZ"


@pytest.mark.parametrize(
    "login_did,country_id,other,country,words",
    [
        (RUSSIAN, None, KAZAKHSTAN, RUSSIA, "login_did is Russian"),
        (KAZAKH, None, RUSSIA, KAZAKHSTAN, "login_did is Kazakh: from a Kazakh number"),
        ("76012345678", "", RUSSIA, KAZAKHSTAN, "login_did is Kazakh"),
        (SLOVAK, None, RUSSIA, RUSSIA, "of SK, a third country: from a Russian number"),
        (SLOVAK, None, KAZAKHSTAN, KAZAKHSTAN, "of SK, a third country: from a Kazakh number"),
        ("999123456789", None, RUSSIA, RUSSIA, "of no known country, a third country"),
        (KAZAKH, "643", RUSSIA, RUSSIA, "country_id is 643"),
        (RUSSIAN, "398", RUSSIA, KAZAKHSTAN, "country_id is 398"),
        *((KAZAKH, value, KAZAKHSTAN, RUSSIA, "any other value") for value in ("703", "0398", "KZ", "398 ", "x" * 999)),
    ],
)
def test_the_country_rules_of_paidmethods(
    login_did: str, country_id: str | None, other: int, country: int, words: str
) -> None:
    choice = choose_home_country(login_did, country_id, other)
    assert choice.country == country
    assert words in str(choice.rule)
    assert len(str(choice.rule)) < 300


@given(NUMBERS, st.sampled_from([RUSSIA, KAZAKHSTAN]))
def test_any_number_is_called_from_its_own_country_or_from_the_one_that_is_set(login_did: str, other: int) -> None:
    own = {"RU": RUSSIA, "KZ": KAZAKHSTAN}.get(region_of(login_did) or "", other)
    assert choose_home_country(login_did, None, other).country == own


def test_without_a_code_the_end_is_random_and_the_same_draw_gives_the_same_number() -> None:
    callers = [caller_number(RUSSIA, None, draw_call(1, n).number) for n in range(100)]
    assert callers == [caller_number(RUSSIA, None, draw_call(1, n).number) for n in range(100)]
    assert len({caller[-4:] for caller in callers}) > 90


@pytest.mark.parametrize(
    "text,is_one",
    [
        *((text, True) for text in ("79157777777", "7777777777", "4219012345", "123456789012345")),
        *((text, False) for text in ("", "123456", "1234567890123456", "+79157777777", "09157777777", "79157777777\n")),
        *((text, False) for text in ("7915777777a", "7915 7777777", "٧٩١٥٧٧٧٧٧٧٧")),
    ],
)
def test_a_number_is_digits_in_international_form(text: str, is_one: bool) -> None:
    assert is_number(text) is is_one


@pytest.mark.parametrize(
    "pasted", ["+7 (915) 777-77-77", "7 915 777 77 77", "+7-915-777-77-77", "+7\u00a0915\u00a0777\u201177\u201177"]
)
def test_a_pasted_number_can_be_cleaned(pasted: str) -> None:
    assert clean_pasted(pasted) == RUSSIAN


@pytest.mark.parametrize(
    "text",
    [
        *("call 79157777777 now", "+7 (915) ٧٧٧-٧٧-٧٧", "79157777777\n"),
        *("tel:79157777777", "+7;9157777777", "7+9157777777"),
    ],
)
def test_what_nobody_pastes_comes_back_as_it_was(text: str) -> None:
    assert clean_pasted(text) == text
    assert not is_number(text)


@given(st.integers(0, 9999))
def test_every_four_digits_are_a_code(code: int) -> None:
    assert is_code(f"{code:04d}")


@pytest.mark.parametrize(
    "text",
    [
        *("", "042", "00042", "abcd", "0042\n", "-042", "+042", "4.20", " 042", "0 42"),
        *("٠٠٤٢", "００４２", "०००१", "²³¹⁰"),
    ],
)
def test_a_code_is_nothing_that_merely_counts_as_digits(text: str) -> None:
    assert not is_code(text)


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
def test_a_number_dialled_inside_its_country_is_known(number: str, meant: str | None, is_only_that: bool) -> None:
    assert numbering.international_form(number) == meant
    assert numbering.is_domestic(number) is is_only_that
    warning = str(numbering.warn_of_domestic("login_did", number) or "")
    assert (meant or "") in warning
    assert bool(warning) is (meant is not None)
    inside = "Kazakhstan" if meant == "77771234567" else "Russia"
    assert (f" as it is dialled inside {inside}; " in warning) is (meant is not None)


@pytest.mark.parametrize(
    "number,is_lacking",
    [
        *((number, True) for number in ("7777777777", "9157777777", "9261234567")),
        *((whole, False) for whole in ("79157777777", "3725123456", "3614567890", "6591234567", "123456789")),
    ],
)
def test_ten_digits_of_a_russian_number_lack_their_country(number: str, is_lacking: bool) -> None:
    assert lacks_country(number) is is_lacking


def test_call_ids_are_twelve_hex_digits_and_never_the_same() -> None:
    ids = {draw_call(7, n).call_id for n in range(200_000)}
    assert len(ids) == 200_000
    assert all(len(call_id) == 12 and set(call_id) <= set("0123456789abcdef") for call_id in ids)


def test_a_seed_draws_the_same_and_another_seed_something_else() -> None:
    assert draw_call(1, 5) == draw_call(1, 5) != draw_call(2, 5)
    assert draw_account(1) == draw_account(1) != draw_account(2)
    assert draw_account(1, attempt=1) != draw_account(1)
    assert seed_from_name("tests/test_login.py::test_ok") == 2_810_738_360
    assert seed_from_name("a") != seed_from_name("b")


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(0, 100))
def test_chance_and_share_are_from_0_to_1_and_repeat(seed: int, n: int, index: int) -> None:
    assert 0 <= draw_chance(seed, n, index) < 1
    assert 0 < draw_share(seed, n, index) <= 1
    assert draw_chance(seed, n, index) == draw_chance(seed, n, index)
