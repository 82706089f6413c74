"""Magic numbers: the table, its place in the documentation, and what a call to one of them meets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import MAGIC_NUMBERS, Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.placing import place

PAGE = Path(__file__).parents[2] / "docs/how-to/magic-numbers.md"
ALWAYS_BUSY = OutcomeRule(ending(Outcome.BUSY, unavailable_cause=20))


def call(login_did: str, *, balance: int = 1000, magic_numbers: bool = True, **order: Any) -> Call:
    account = Account("12345678", "token", 1, outcome_rules=(ALWAYS_BUSY,))
    asked = CallOrder(Method.FLASH_CALL, login_did, **order)
    return place(account, balance, 0, asked, Assumptions(), 100.0, magic_numbers=magic_numbers)


@pytest.mark.parametrize("number", MAGIC_NUMBERS)
def test_no_subscriber_can_have_a_magic_number(number: str) -> None:
    assert not phonenumbers.is_valid_number(phonenumbers.parse(f"+{number}"))


def test_the_table_of_the_documentation_is_the_table() -> None:
    rows = dict(
        re.findall(r"^\| `(\d+)` \| (?:refused, )?`?([^|`]+?)`? \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert rows == {number: str(magic) for number, magic in MAGIC_NUMBERS.items() if magic.q931_status is None}


@pytest.mark.parametrize("outcome", Outcome)
def test_a_magic_number_forces_its_outcome_whatever_the_rules_say(outcome: Outcome) -> None:
    (number,) = (number for number, magic in MAGIC_NUMBERS.items() if magic.outcome is outcome)
    placed = call(number)
    assert placed.planned == ending(outcome, unavailable_cause=20)
    assert placed.explanation.outcome == f"magic number {number}: {placed.planned}"
    assert placed.ends_at == 100.0


@pytest.mark.parametrize("cause", [1, 16, 17, 31, 127])
def test_a_magic_number_forces_its_cause(cause: int) -> None:
    assert call(f"70000001{cause:03d}").planned == ending(q931_status=cause, unavailable_cause=20)


def test_a_magic_number_rings_until_it_is_completed() -> None:
    assert call("70000000006").ends_at is None


@pytest.mark.parametrize("number", ["70000001000", "70000001128", "70000000007", "7000000001"])
def test_a_number_beside_the_table_has_no_magic(number: str) -> None:
    assert call(number).planned == ALWAYS_BUSY.ending


@pytest.mark.parametrize("code", [magic.refusal for magic in MAGIC_NUMBERS.values() if magic.refusal])
def test_a_magic_number_is_refused(code: RefusalCode) -> None:
    (number,) = (number for number, magic in MAGIC_NUMBERS.items() if magic.refusal is code)
    with pytest.raises(Refusal) as refused:
        call(number)
    assert (refused.value.code, refused.value.parameter) == (code, "login_did")


def test_a_magic_number_is_russian_and_costs_what_a_call_costs() -> None:
    assert (call("70000000001").country_id, call("70000000001").price) == (RUSSIA, 15)
    assert (call("70000000001", country_id="703").country_id, call("70000000001", country_id="703").price) == (
        SLOVAKIA,
        45,
    )
    with pytest.raises(Refusal, match=r"the call costs 0\.15"):
        call("70000000001", balance=14)


def test_without_the_setting_there_is_no_magic() -> None:
    assert call("70000000402", magic_numbers=False).planned == ALWAYS_BUSY.ending
