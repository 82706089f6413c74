"""The account of the ``mcn`` fixture: its calls, its money and its CDRs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from helpers.client import KAZAKH, RUSSIAN, flash_call, placed, refusal, spoken
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Outcome, UsageError
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import COUNTRY_NAMES

pytestmark = pytest.mark.usefixtures("each_dialect")


def test_a_call_is_charged_and_its_cdr_arrives(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    uuid = placed(flash_call(mcn, code="0042"))["verification_call_uuid"]
    delivery = mcn.wait_for_cdr()
    assert receiver.received == [{"verification_call_uuid": uuid, "q931_status": 16, "final_status": "ANSWERED"}]
    assert delivery.cdr == receiver.received[0]
    assert (delivery.status, delivery.state, len(delivery.attempts)) == (204, "delivered", 1)
    assert delivery.request is not None
    assert delivery.request.method == "POST"
    assert delivery.response is not None
    (call,) = mcn.calls
    assert call == delivery.call
    assert (call.verification_call_uuid, call.code, call.price) == (uuid, "0042", Decimal("0.15"))
    assert mcn.balance == Decimal("99.85")
    assert [entry.amount for entry in mcn.ledger] == [Decimal("100.00"), Decimal("-0.15")]


def test_money_can_be_set_and_refusals_cost_nothing(mcn: Account) -> None:
    mcn.set_balance("0.14")
    assert refusal(flash_call(mcn)) == spoken().refused("insufficient_funds")
    assert mcn.balance == Decimal("0.14")
    mcn.top_up("0.01")
    assert flash_call(mcn).status_code == 200
    assert mcn.balance == 0
    mcn.assert_ledger_balanced()


def test_the_rule_set_last_comes_first(mcn: Account) -> None:
    mcn.set_outcome(Outcome.BUSY, login_did="7915*")
    mcn.set_outcome(q931_status=27, login_did=KAZAKH)
    flash_call(mcn, RUSSIAN)
    flash_call(mcn, KAZAKH)
    mcn.set_outcome("no_answer")
    flash_call(mcn, RUSSIAN)
    assert [(call.outcome, call.q931_status, call.final_status) for call in mcn.calls] == [
        (Outcome.BUSY, 17, "NO ANSWER"),
        (Outcome.UNAVAILABLE, 27, None),
        (Outcome.NO_ANSWER, 16, "NO ANSWER"),
    ]


def test_a_call_explains_itself(mcn: Account) -> None:
    mcn.set_outcome(Outcome.BUSY, login_did="77*")
    flash_call(mcn, KAZAKH, code="0042")
    why = mcn.calls[0].explanation
    assert COUNTRY_NAMES[spoken().country_for(KAZAKH)] in why.country
    assert "0042" in why.number
    assert why.price.startswith(spoken().table.fidelity.spelling[Method.FLASH_CALL])
    assert str(mcn.calls[0].price) in why.price
    assert "77*" in why.outcome


def test_a_held_call_rings_until_it_is_completed(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.hold_cdrs()
    flash_call(mcn)
    call = mcn.wait_for_call()
    mcn.assert_no_cdr(within=0.02)
    assert (call.state, call.outcome, call.deliveries[0].due_at) == ("ringing", None, None)
    delivery = call.complete(Outcome.REJECTED)
    assert delivery is not None
    assert (delivery.status, delivery.cdr) == (
        204,
        {"verification_call_uuid": call.verification_call_uuid, "q931_status": 31},
    )
    with pytest.raises(UsageError, match="has ended already"):
        call.complete()


def test_what_people_look_at_has_no_token_and_reads_well(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url, headers={"Authorization": "Bearer s3cret"})
    flash_call(mcn, user_hash=mcn.token)
    delivery = mcn.wait_for_cdr()
    shown = [repr(mcn), repr(mcn.calls), repr(delivery), repr(mcn.requests), repr(delivery.request), mcn.story()]
    assert not any(mcn.token in text or "s3cret" in text for text in shown)
    assert "flash_call" in repr(mcn.calls[0])
    assert "acknowledged" in repr(delivery)
    assert f"login_did={RUSSIAN}" in repr(mcn.requests[0])


def test_a_long_story_is_told_from_its_end(mcn: Account) -> None:
    for _ in range(12):
        flash_call(mcn)
    first, third, last = mcn.calls[0], mcn.calls[2], mcn.calls[-1]
    told = mcn.story().partition("\ncalls:\n")[2]
    assert told.startswith("  … 2 earlier\n  " + third.verification_call_uuid)
    assert last.verification_call_uuid in told
    assert first.verification_call_uuid not in told


def test_the_journal_has_what_was_refused(mcn: Account) -> None:
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn, "abc")
    (request,) = mcn.requests
    assert (request.status, request.parameters["login_did"]) == (400, "abc")
    assert request.refusal is not None
    assert request.refusal.parameter == "login_did"
    assert mcn.calls == []
