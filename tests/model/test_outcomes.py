from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from pytest_mcn_mock.errors import Refusal, UsageError
from pytest_mcn_mock.model.accounts import Account, replace_rules
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.cdr import Cdr
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import MAGIC_NUMBERS, Magic, Outcome, OutcomeRule, RuleIndex, ending
from pytest_mcn_mock.model.placing import place

MAGIC_PAGE = Path(__file__).parents[2] / "docs/how-to/magic-numbers.md"
BUSY = ending("busy", unavailable_cause=18)


def how(outcome: Any = None, q931_status: Any = None) -> tuple[Outcome, int, str | None]:
    found = ending(outcome, q931_status, unavailable_cause=18)
    return found.outcome, found.q931_status, found.final_status


@pytest.mark.parametrize(
    "outcome,q931_status,final_status",
    [
        (Outcome.ANSWERED, 16, "ANSWERED"),  # "Отвеченный звонок «q931_status»: 16, «final_status»: «ANSWERED»"
        (Outcome.BUSY, 17, "NO ANSWER"),  # "Занято «q931_status»: 17, «final_status»: «NO ANSWER»"
        (Outcome.NO_ANSWER, 16, "NO ANSWER"),  # "Неотвеченный звонок «q931_status»: 16, … «NO ANSWER»"
        (Outcome.REJECTED, 31, None),  # "вызов отклонил встречный оператор «q931_status»: 31"
        (Outcome.UNAVAILABLE, 18, None),  # "Все прочие коды … номер недоступен"
    ],
)
def test_the_table_is_the_articles(outcome: Outcome, q931_status: int, final_status: str | None) -> None:
    assert how(outcome) == how(outcome.value) == (outcome, q931_status, final_status)
    ended = end(call("79157777777"), ending(outcome, unavailable_cause=18), 100.0)
    cdr = Cdr(ended, Assumptions())
    assert (cdr.value("q931_status"), cdr.value("final_status")) == (q931_status, final_status or UNSET)


@pytest.mark.parametrize("cause", range(1, 128))
def test_every_cause_has_its_row(cause: int) -> None:
    rows = {16: (Outcome.ANSWERED, "ANSWERED"), 17: (Outcome.BUSY, "NO ANSWER"), 31: (Outcome.REJECTED, None)}
    outcome, final_status = rows.get(cause, (Outcome.UNAVAILABLE, None))
    assert how(q931_status=cause) == (outcome, cause, final_status)


@pytest.mark.parametrize(
    "outcome,cause,message",
    [
        *((None, cause, r"Q\.850") for cause in (0, 128, -1, True, "17", 16.5)),
        ("bussy", None, "did you mean 'busy'"),
        (None, None, "exactly one"),
        (Outcome.BUSY, 17, "exactly one"),
    ],
)
def test_an_outcome_or_a_cause_that_is_not_valid_is_refused(outcome: Any, cause: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        how(outcome, cause)


@pytest.mark.parametrize(
    "pattern,number,fits",
    [
        ("7915777*", "79157777777", True),
        ("7915777*", "79167777777", False),
        ("79157777777", "79157777777", True),
        ("7915777777?", "79157777777", True),
        ("7915777777?", "791577777777", False),
        ("*", "1", True),
    ],
)
def test_a_pattern_fits_the_whole_number(pattern: str, number: str, fits: bool) -> None:
    assert OutcomeRule(BUSY, pattern).matches(number) is fits


@pytest.mark.parametrize(
    "rule,message",
    [
        *(({"login_did": pattern}, "pattern") for pattern in ("", "+7*", "[0-9]", "7915 *", "7" * 41, "٧*")),
        *(({"delay_s": delay}, "delay_s") for delay in (-1, float("nan"), float("inf"), 86_401, True, "1")),
    ],
)
def test_a_rule_that_is_not_valid_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OutcomeRule(BUSY, **rule)


def test_the_first_rule_that_fits_wins() -> None:
    rules = (OutcomeRule(BUSY, "7915*"), OutcomeRule(ending("answered", unavailable_cause=18), "79*"))
    account = Account("12345678", "token", 1, outcome_rules=rules)
    found = [account.outcome_rule(number) for number in ("79157777777", "79267777777", "42190123456")]
    assert found == [rules[0], rules[1], None]
    assert replace_rules(account, rules[1:]).outcome_rule("79157777777") == rules[1]


@given(patterns=st.lists(st.text("79*?", min_size=1, max_size=5), max_size=30), login_did=st.text("79", max_size=5))
def test_a_rule_is_found_in_the_index_as_by_trying_one_by_one(patterns: list[str], login_did: str) -> None:
    rules = tuple(OutcomeRule(ending(q931_status=1 + i, unavailable_cause=18), p) for i, p in enumerate(patterns))
    expected = next((rule for rule in rules if rule.matches(login_did)), None)
    assert RuleIndex(rules).first_match(login_did) is expected


def call(login_did: str, *, balance: int = 1000, magic_numbers: bool = True, **order: Any) -> Call:
    """Place a call on an account whose rule is that everything is busy."""
    account = Account("12345678", "token", 1, outcome_rules=(OutcomeRule(BUSY),))
    asked = CallOrder(Method.FLASH_CALL, login_did, **order)
    return place(account, balance, 0, asked, Assumptions(), 100.0, magic_numbers=magic_numbers)


@pytest.mark.parametrize("number", MAGIC_NUMBERS)
def test_no_subscriber_can_have_a_magic_number(number: str) -> None:
    assert not phonenumbers.is_valid_number(phonenumbers.parse(f"+{number}"))


def test_the_table_of_the_documentation_is_the_table() -> None:
    page = MAGIC_PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\d+)` \| (?:refused, )?`?([^|`]+?)`? \|$", page, re.MULTILINE))
    assert rows == {number: str(magic) for number, magic in MAGIC_NUMBERS.items() if magic.q931_status is None}


@pytest.mark.parametrize("number,magic", MAGIC_NUMBERS.items())
def test_a_magic_number_forces_what_the_table_says_whatever_the_rules_say(number: str, magic: Magic) -> None:
    if magic.refusal is not None:
        with pytest.raises(Refusal) as refused:
            call(number)
        assert (refused.value.code, refused.value.parameter) == (magic.refusal, "login_did")
    elif magic == Magic():
        assert (call(number).ending, call(number).ends_at) == (None, None), "it rings until it is completed"
    else:
        placed = call(number)
        assert placed.ending == ending(magic.outcome, magic.q931_status, unavailable_cause=18)
        assert placed.explanation.outcome == f"magic number {number}: {placed.ending}"
        assert placed.ends_at == 100.0


@pytest.mark.parametrize("number", ["70000001000", "70000001128", "70000000007", "7000000001"])
def test_a_number_beside_the_table_has_no_magic(number: str) -> None:
    assert call(number).planned == BUSY


def test_a_magic_number_is_russian_and_costs_what_a_call_costs() -> None:
    from_russia, from_slovakia = call("70000000001"), call("70000000001", country_id="703")
    assert (from_russia.country_id, from_russia.price) == (RUSSIA, 15)
    assert (from_slovakia.country_id, from_slovakia.price) == (SLOVAKIA, 45)
    with pytest.raises(Refusal, match=r"the call costs 0\.15"):
        call("70000000001", balance=14)


def test_without_the_setting_there_is_no_magic() -> None:
    assert call("70000000402", magic_numbers=False).planned == BUSY
