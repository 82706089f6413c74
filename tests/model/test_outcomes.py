from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.accounts import Account, replace_rules
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, RuleIndex, ending


def how(outcome: Any = None, q931_status: Any = None) -> tuple[Outcome, int, str | None]:
    found = ending(outcome, q931_status, unavailable_cause=20)
    return found.outcome, found.q931_status, found.final_status


@pytest.mark.parametrize(
    "outcome,q931_status,final_status",
    [
        (Outcome.ANSWERED, 16, "ANSWERED"),  # "Отвеченный звонок «q931_status»: 16, «final_status»: «ANSWERED»"
        (Outcome.BUSY, 17, "NO ANSWER"),  # "Занято «q931_status»: 17, «final_status»: «NO ANSWER»"
        (Outcome.NO_ANSWER, 16, "NO ANSWER"),  # "Неотвеченный звонок «q931_status»: 16, … «NO ANSWER»"
        (Outcome.REJECTED, 31, None),  # "вызов отклонил встречный оператор «q931_status»: 31"
        (Outcome.UNAVAILABLE, 20, None),  # "Все прочие коды … номер недоступен"
    ],
)
def test_the_table_is_the_articles(outcome: Outcome, q931_status: int, final_status: str | None) -> None:
    assert how(outcome) == how(outcome.value) == (outcome, q931_status, final_status)


@pytest.mark.parametrize("cause", range(1, 128))
def test_every_cause_has_its_row(cause: int) -> None:
    rows = {16: (Outcome.ANSWERED, "ANSWERED"), 17: (Outcome.BUSY, "NO ANSWER"), 31: (Outcome.REJECTED, None)}
    outcome, final_status = rows.get(cause, (Outcome.UNAVAILABLE, None))
    assert how(q931_status=cause) == (outcome, cause, final_status)


@pytest.mark.parametrize("cause", [0, 128, -1, True, "17", 16.5])
def test_what_is_no_cause_is_refused(cause: Any) -> None:
    with pytest.raises(UsageError, match=r"Q\.850"):
        how(q931_status=cause)


def test_an_unknown_outcome_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'busy'"):
        how("bussy")


@pytest.mark.parametrize("arguments", [(None, None), (Outcome.BUSY, 17)])
def test_neither_and_both_are_refused(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="either"):
        how(*arguments)


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
    assert OutcomeRule(ending("busy", unavailable_cause=20), pattern).matches(number) is fits


@pytest.mark.parametrize("pattern", ["", "+7*", "[0-9]", "7915 *", "7" * 41, "٧*"])
def test_a_pattern_is_digits_and_wildcards(pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        OutcomeRule(ending("busy", unavailable_cause=20), pattern)


@pytest.mark.parametrize("delay_s", [-1, float("nan"), float("inf"), 86_401, True, "1"])
def test_a_delay_is_a_bounded_number_of_seconds(delay_s: Any) -> None:
    with pytest.raises(UsageError, match="delay_s"):
        OutcomeRule(ending("busy", unavailable_cause=20), "*", delay_s)


def test_the_first_rule_that_fits_wins() -> None:
    busy, answered = (ending(word, unavailable_cause=20) for word in ("busy", "answered"))
    rules = (OutcomeRule(busy, "7915*"), OutcomeRule(answered, "79*"))
    account = Account("12345678", "token", 1, outcome_rules=rules)
    found = [account.outcome_rule(number) for number in ("79157777777", "79267777777", "42190123456")]
    assert found == [rules[0], rules[1], None]
    assert replace_rules(account, rules[1:]).outcome_rule("79157777777") == rules[1]


PATTERNS = st.text("79*?", min_size=1, max_size=5)


@given(patterns=st.lists(PATTERNS, max_size=30), login_did=st.text("79", max_size=5))
def test_a_rule_is_found_in_the_index_as_by_trying_one_by_one(patterns: list[str], login_did: str) -> None:
    rules = tuple(OutcomeRule(ending(q931_status=1 + i, unavailable_cause=20), p) for i, p in enumerate(patterns))
    expected = next((rule for rule in rules if rule.matches(login_did)), None)
    assert RuleIndex(rules).first_match(login_did) is expected
