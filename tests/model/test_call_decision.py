from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end, render_cdr
from pytest_mcn_mock.model.deliveries import (
    NEXT_CALL,
    Attempt,
    CdrRequest,
    CdrResponse,
    Delivery,
    DeliveryState,
    apply_cdr_fault,
    is_acknowledgement,
    outcome_of_attempt,
)
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.money import Method, Tariff
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.placing import place

ACCOUNT = Account("117793", "test-token", 1, numbers=("79158888888",))
FLASH = CallOrder(Method.FLASH_CALL, "79157777777")
CALL_FOR_2FA = CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did="79158888888")
NOON = 1_653_652_800.0


def decide(
    order: CallOrder = FLASH, account: Account = ACCOUNT, balance: int = 10_000, n: int = 0, **assumed: Any
) -> Call:
    return place(account, balance, n, order, Assumptions(**assumed), NOON)


def ended(outcome: Outcome | None = None, q931_status: int | None = None) -> Call:
    return end(decide(), ending(outcome, q931_status, unavailable_cause=20), NOON + 5)


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


def test_a_call_without_a_delay_has_ended_when_it_is_placed() -> None:
    call = decide()
    assert (call.ending, call.ended_at, call.ends_at) == (call.planned, NOON, NOON)
    late = decide(cdr_delay_s=0.5)
    assert (late.ending, late.ended_at, late.ends_at) == (None, None, NOON + 0.5)
    held = decide(account=replace(ACCOUNT, calls_held=True))
    assert (held.ending, held.ended_at, held.ends_at) == (None, None, None)


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


def test_a_call_that_costs_nothing_needs_no_money() -> None:
    account = replace(ACCOUNT, tariff=Tariff(0, {RUSSIA: 0, SLOVAKIA: 0}))
    assert decide(account=account, balance=0).price == 0


def test_a_draw_depends_on_how_many_were_accepted_before() -> None:
    assert decide(n=3) == decide(n=3)
    assert decide(n=3).verification_call_uuid != decide(n=4).verification_call_uuid


def test_a_call_is_explained_in_four_sentences() -> None:
    account = replace(ACCOUNT, outcome_rules=(OutcomeRule(ending("busy", unavailable_cause=20), "7915*"),))
    assert str(decide(replace(FLASH, code="0042"), account).explanation).split("; ") == [
        "no country_id, and login_did is Russian: from a Russian number",
        "Russian number, ends in the requested code 0042",
        "flash_call from a Russian number costs 0.15",
        "outcome rule for 7915*: busy (q931_status 17, NO ANSWER)",
    ]
    assert str(decide(CALL_FOR_2FA).explanation).startswith("from the connected number of the request; ")


@pytest.mark.parametrize(
    "rule_delay,ends_after", [(None, 3.0), (0.0, 0.0), (7.5, 7.5)], ids=["the server's", "none", "the rule's"]
)
def test_a_rules_delay_goes_before_the_servers(rule_delay: float | None, ends_after: float) -> None:
    rule = OutcomeRule(ending("busy", unavailable_cause=20), "*", rule_delay)
    assert decide(account=replace(ACCOUNT, outcome_rules=(rule,)), cdr_delay_s=3.0).ends_at == NOON + ends_after


def test_a_held_call_has_no_end_in_sight() -> None:
    assert decide(account=replace(ACCOUNT, calls_held=True), cdr_delay_s=3.0).ends_at is None


def test_the_default_outcome_and_the_cause_of_unavailable_are_settings() -> None:
    assert decide(default_outcome=Outcome.UNAVAILABLE, unavailable_cause=27).planned.q931_status == 27
    assert decide().planned.outcome is Outcome.ANSWERED


@pytest.mark.parametrize("setting,flash,of_2fa", [(False, True, False), (True, True, True)])
def test_call_for_2fa_owes_a_cdr_by_setting_only(setting: bool, flash: bool, of_2fa: bool) -> None:
    assumptions = Assumptions(call_for_2fa_cdr=setting)
    assert (assumptions.has_cdr(Method.FLASH_CALL), assumptions.has_cdr(Method.CALL_FOR_2FA)) == (flash, of_2fa)


@pytest.mark.parametrize(
    "call,record",
    [
        (
            ended(Outcome.ANSWERED),
            {"q931_status": 16, "final_status": "ANSWERED"},
        ),  # "Отвеченный звонок «q931_status»: 16, «final_status»: «ANSWERED»"
        (
            ended(Outcome.BUSY),
            {"q931_status": 17, "final_status": "NO ANSWER"},
        ),  # "Занято «q931_status»: 17, «final_status»: «NO ANSWER»"
        (
            ended(Outcome.NO_ANSWER),
            {"q931_status": 16, "final_status": "NO ANSWER"},
        ),  # "Неотвеченный звонок «q931_status»: 16, «final_status»: «NO ANSWER»"
        (ended(Outcome.REJECTED), {"q931_status": 31}),  # "вызов отклонил встречный оператор «q931_status»: 31"
        (
            ended(Outcome.UNAVAILABLE),
            {"q931_status": 20},
        ),  # "Все прочие коды «q931_status», отличные от 31, 16 или 17 — номер недоступен."
        (ended(q931_status=127), {"q931_status": 127}),
    ],
)
def test_a_cdr_says_what_the_article_says(call: Call, record: dict[str, Any]) -> None:
    assert render_cdr(call, ["q931_status", "final_status"], {}) == record


def test_the_variables_come_in_the_order_asked_for_and_constants_last() -> None:
    record = render_cdr(
        ended(Outcome.BUSY), ["final_status", "did", "q931_status"], {"secret": "x", "n": 0, "no": False}
    )
    assert list(record) == ["final_status", "did", "q931_status", "secret", "n", "no"]
    assert (record["n"], record["no"]) == (0, False)


def test_a_constant_replaces_a_variable_of_its_name() -> None:
    assert render_cdr(ended(Outcome.BUSY), ["number"], {"number": "hidden"}) == {"number": "hidden"}


@pytest.mark.parametrize(
    "outcome,answered", [(Outcome.ANSWERED, True), (Outcome.NO_ANSWER, False), (Outcome.BUSY, False)]
)
def test_only_an_answered_call_has_an_answer_time(outcome: Outcome, answered: bool) -> None:
    record = render_cdr(ended(outcome), ["start_time", "answer_time", "stop_time"], {})
    assert (record["start_time"], record["stop_time"]) == ("2022-05-27 12:00:00", "2022-05-27 12:00:05")
    assert ("answer_time" in record) is answered


@pytest.mark.parametrize("cause,name", [(16, "normal call clearing"), (31, "normal, unspecified"), (99, "unspecified")])
def test_a_hangup_cause_is_its_name_by_the_recommendation(cause: int, name: str) -> None:
    assert render_cdr(ended(q931_status=cause), ["hangup_cause"], {}) == {"hangup_cause": name}


@pytest.mark.parametrize(
    "status,acknowledged", [(100, False), (199, False), (200, True), (299, True), (300, False), (500, False)]
)
def test_any_2xx_acknowledges_and_nothing_else(status: int, acknowledged: bool) -> None:
    assert is_acknowledgement(status) is acknowledged


PENDING = Delivery(7, "fa278be48dc2_117793", "117793", 1, "http://localhost/", due_at=NOON)


@pytest.mark.parametrize(
    "error,due_at,state,due_next",
    [
        (None, None, DeliveryState.DELIVERED, None),
        (None, NOON + 1, DeliveryState.DELIVERED, None),
        ("refused", NOON + 1, DeliveryState.PENDING, NOON + 1),
        ("refused", None, DeliveryState.FAILED, None),
    ],
)
def test_an_attempt_delivers_or_is_repeated_or_was_the_last(
    error: str | None, due_at: float | None, state: DeliveryState, due_next: float | None
) -> None:
    attempt = Attempt(1, NOON, 0.01, None, error)
    delivery = outcome_of_attempt(PENDING, PENDING, attempt, due_at)
    assert (delivery.state, delivery.due_at, delivery.attempts) == (state, due_next, (attempt,))


def test_an_attempt_tells_its_story() -> None:
    assert str(Attempt(2, NOON, 0.01, None, "connection refused")) == "attempt 2: connection refused"
    assert str(Attempt(3, NOON, 0.01, CdrResponse(204, {}, b""), None)) == "attempt 3: 204, acknowledged"


def test_a_request_keeps_its_headers_out_of_its_repr() -> None:
    assert "s3cret" not in repr(CdrRequest("POST", "http://localhost/", {"Authorization": "s3cret"}, b""))


def spoilt(kind: FaultKind, outcome: Outcome = Outcome.ANSWERED, **settings: Any) -> list[Delivery]:
    return apply_cdr_fault(Fault(kind, **settings), ended(outcome), [PENDING])


def test_a_lost_cdr_is_failed_untried() -> None:
    (delivery,) = spoilt(FaultKind.CDR_LOST)
    assert (delivery.state, delivery.due_at, delivery.attempts) == (DeliveryState.FAILED, None, ())
    assert delivery.note == "fault cdr_lost"


def test_a_late_cdr_is_due_later() -> None:
    assert [d.due_at for d in spoilt(FaultKind.CDR_LATE, delay_s=2.0, jitter_s=0.5)] == [NOON + 2.5]


def test_a_duplicate_waits_for_the_first() -> None:
    first, second = spoilt(FaultKind.CDR_DUPLICATED)
    assert (first.id, first.due_at, first.waits_for) == (7, NOON, None)
    assert (second.id, second.due_at, second.waits_for) == (0, None, 7)


@pytest.mark.parametrize(
    "outcome,said", [(o, Outcome.BUSY if o is Outcome.ANSWERED else Outcome.ANSWERED) for o in Outcome]
)
def test_a_contradiction_says_otherwise(outcome: Outcome, said: Outcome) -> None:
    first, second = spoilt(FaultKind.CDR_CONTRADICTED, outcome)
    assert first.says is None
    assert second.says is not None
    assert second.says.outcome is said


def test_a_reordered_cdr_waits_for_the_next_call() -> None:
    assert [(d.due_at, d.waits_for) for d in spoilt(FaultKind.CDR_REORDERED)] == [(None, NEXT_CALL)]


def test_an_unknown_uuid_has_the_shape_of_a_known_one() -> None:
    (delivery,) = spoilt(FaultKind.CDR_UNKNOWN_UUID)
    known = decide().verification_call_uuid
    assert delivery.of_uuid is not None
    assert delivery.of_uuid != known
    assert (len(delivery.of_uuid), delivery.of_uuid[12:]) == (len(known), "_117793")
