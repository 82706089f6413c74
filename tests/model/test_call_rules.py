"""How an order is decided: the call, its end, and its record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method, Tariff, format_roubles
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.storage.tables import decode_call, encode
from pytest_mcn_mock.web.dialects import PAIDMETHODS

ACCOUNT = Account("117793", "test-token", 1, numbers=("79158888888",))
HELD = replace(ACCOUNT, calls_held=True)
FLASH = CallOrder(Method.FLASH_CALL, "79157777777")
CALL_FOR_2FA = CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did="79158888888")
NOON = 1_653_652_800.0


def decide(
    order: CallOrder = FLASH, account: Account = ACCOUNT, balance: int = 10_000, n: int = 0, **assumed: Any
) -> Call:
    return place(account, balance, n, order, Assumptions(**assumed), NOON)


PAID = replace(FLASH, terms=PAIDMETHODS.terms(Assumptions()))


@pytest.mark.parametrize("order", [FLASH, CALL_FOR_2FA, PAID])
def test_a_call_is_what_it_was_when_it_is_read_from_a_state(order: CallOrder) -> None:
    call = decide(order)
    assert decode_call(encode(call)) == call
    kept = json.loads(encode(call))
    assert kept.pop("dialect") == order.terms.dialect
    if order.terms.dialect is Dialect.API_MCN:
        assert decode_call(json.dumps(kept)) == call, "as a state has it from before there was a second dialect"


def test_the_terms_of_an_order_decide_country_price_and_words() -> None:
    kazakh = replace(PAID, login_did="77012345678")
    call = decide(kazakh)
    assert (call.dialect, call.method, call.country_id, call.price) == ("paidmethods", "flash_call", 398, 65)
    assert call.explanation.country == "no country_id, and login_did is Kazakh: from a Kazakh number"
    assert call.explanation.price == "flashcall from a Kazakh number costs 0.65"
    other = replace(kazakh, terms=FLASH.terms)
    assert (decide(other).country_id, decide(other).price) == (703, 45)


def test_a_verification_code_is_the_calls_id_and_the_account() -> None:
    # "где первая часть кода до символа “_” — идентификатор звонка, а цифры после символа “_” — ЛС клиента"
    call_id, _, account_id = decide().verification_call_uuid.partition("_")
    assert len(call_id) == 12
    assert set(call_id) <= set("0123456789abcdef")
    assert account_id == "117793"


def test_the_code_is_the_end_of_the_callers_number_asked_for_or_not() -> None:
    assert decide(replace(FLASH, code="0042")).code == "0042"
    for call in (decide(replace(FLASH, code="0042")), decide(), decide(CALL_FOR_2FA)):
        assert call.caller_did.endswith(call.code)
        assert len(call.code) == 4


def rule_after(delay_s: float | None) -> Account:
    rule = OutcomeRule(ending("busy", unavailable_cause=18), "*", delay_s)
    return replace(ACCOUNT, outcome_rules=(rule,))


@pytest.mark.parametrize(
    "account,delay_s,ends_after",
    [
        (ACCOUNT, 0.0, 0.0),
        (ACCOUNT, 0.5, 0.5),
        (HELD, 0.0, None),
        (HELD, 3.0, None),
        (rule_after(None), 3.0, 3.0),
        (rule_after(0.0), 3.0, 0.0),
        (rule_after(7.5), 3.0, 7.5),
    ],
)
def test_a_call_ends_after_its_rules_or_the_servers_delay(
    account: Account, delay_s: float, ends_after: float | None
) -> None:
    call = decide(account=account, ring_s=delay_s)
    assert call.ends_at == (None if ends_after is None else NOON + ends_after)
    assert (call.ending, call.ended_at) == ((call.planned, NOON) if ends_after == 0 else (None, None))


def test_call_for_2fa_rings_from_the_number_of_the_request() -> None:
    call = decide(CALL_FOR_2FA)
    assert (call.caller_did, call.country_id, call.price) == ("79158888888", None, 1)


@pytest.mark.parametrize("caller_did", ["79159999999", "7915888888", "", None])
def test_a_number_that_is_not_connected_is_foreign(caller_did: str | None) -> None:
    # "на этом ЛСе должен быть номер, с которого звоним"
    with pytest.raises(Refusal) as refused:
        decide(replace(CALL_FOR_2FA, caller_did=caller_did))
    assert (refused.value.code, refused.value.parameter) == (RefusalCode.FOREIGN_NUMBER, "caller_did")


@pytest.mark.parametrize(
    "order,price",
    [
        (CALL_FOR_2FA, 1),
        (FLASH, 15),
        (replace(FLASH, country_id="703"), 45),
        (replace(FLASH, login_did="77012345678"), 45),
    ],
)
def test_the_balance_has_to_reach_the_price(order: CallOrder, price: int) -> None:
    assert decide(order, balance=price).price == price
    for balance in (price - 1, 0, -1000):
        with pytest.raises(Refusal) as refused:
            decide(order, balance=balance)
        assert (refused.value.code, refused.value.parameter) == (RefusalCode.INSUFFICIENT_FUNDS, None)


@pytest.mark.parametrize(
    "balance,credit,unlimited,is_accepted",
    [
        (0, 15, False, True),
        (0, 14, False, False),
        (-15, 30, False, True),
        (-16, 30, False, False),
        (14, 1, False, True),
        (13, 1, False, False),
        (15, 0, False, True),
        (0, 0, True, True),
        (-(10**12), 0, True, True),
    ],
)
def test_balance_plus_credit_has_to_reach_the_price_unless_the_balance_is_unlimited(
    balance: int, credit: int, unlimited: bool, is_accepted: bool
) -> None:
    account = replace(ACCOUNT, credit=credit, unlimited=unlimited)
    if is_accepted:
        assert decide(account=account, balance=balance).price == 15
    else:
        with pytest.raises(Refusal) as refused:
            decide(account=account, balance=balance)
        money = f"the balance is {format_roubles(balance)} and the credit {format_roubles(credit)}"
        assert str(refused.value) == f"the call costs 0.15 roubles; {money}"


def test_a_call_that_costs_nothing_needs_no_money() -> None:
    account = replace(ACCOUNT, tariff=Tariff(0, {RUSSIA: 0, SLOVAKIA: 0}))
    assert decide(account=account, balance=0).price == 0


def test_a_draw_depends_on_how_many_were_accepted_before() -> None:
    assert decide(n=3) == decide(n=3)
    assert decide(n=3).verification_call_uuid != decide(n=4).verification_call_uuid


def test_a_call_is_explained_in_four_sentences() -> None:
    account = replace(ACCOUNT, outcome_rules=(OutcomeRule(ending("busy", unavailable_cause=18), "7915*"),))
    assert str(decide(replace(FLASH, code="0042"), account).explanation).split("; ") == [
        "no country_id, and login_did is Russian: from a Russian number",
        "Russian number, ends in the requested code 0042",
        "flash_call from a Russian number costs 0.15",
        "outcome rule for 7915*: busy (q931_status 17, NO ANSWER)",
    ]
    without_code = decide(replace(FLASH, country_id="703")).explanation
    assert without_code.number == "Slovak number, random, as no code was given"
    assert without_code.price == "flash_call from a Slovak number costs 0.45"
    assert str(decide(CALL_FOR_2FA).explanation).startswith(
        "from the connected number of the request; call_for_2fa costs 0.01; "
    )


def test_the_default_outcome_and_the_cause_of_unavailable_are_settings() -> None:
    assert decide(default_outcome=Outcome.UNAVAILABLE, unavailable_cause=27).planned.q931_status == 27
    assert decide().planned.outcome is Outcome.ANSWERED
