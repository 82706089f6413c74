"""What becomes of a CDR: its attempts, its retries, and what a fault makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.deliveries import (
    NEXT_CALL,
    Attempt,
    CdrRequest,
    CdrResponse,
    Delivery,
    DeliveryState,
    apply_cdr_fault,
    is_acknowledgement,
    next_retry,
    outcome_of_attempt,
)
from pytest_mcn_mock.model.faults import Fault, FaultKind, draw_fault, fault_kind
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.placing import place

NOON = 1_653_652_800.0
PENDING = Delivery(7, "fa278be48dc2_117793", "117793", 1, "http://localhost/", due_at=NOON)
PLACED = place(
    Account("117793", "t", 1), 1000, 0, CallOrder(Method.FLASH_CALL, "79157777777"), Assumptions(ring_s=5), NOON
)


def ended(outcome: Outcome) -> Call:
    return end(PLACED, ending(outcome, unavailable_cause=18), NOON)


@pytest.mark.parametrize(
    "status,acknowledged", [(100, False), (199, False), (200, True), (299, True), (300, False), (500, False)]
)
def test_any_2xx_acknowledges_and_nothing_else(status: int, acknowledged: bool) -> None:
    assert is_acknowledgement(status) is acknowledged


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
    delivery = outcome_of_attempt(PENDING, PENDING, attempt, due_at, ignores_response=False)
    assert (delivery.state, delivery.due_at, delivery.attempts) == (state, due_next, (attempt,))


@pytest.mark.parametrize("due_at", [None, NOON + 1])
def test_a_failed_attempt_delivers_if_the_response_is_ignored_and_keeps_its_error(due_at: float | None) -> None:
    attempt = Attempt(1, NOON, 0.01, None, "refused")
    delivery = outcome_of_attempt(PENDING, PENDING, attempt, due_at, ignores_response=True)
    assert (delivery.state, delivery.due_at, delivery.attempts) == (DeliveryState.DELIVERED, None, (attempt,))


def test_an_attempt_tells_its_story() -> None:
    assert str(Attempt(2, NOON, 0.01, None, "connection refused")) == "attempt 2: connection refused"
    assert str(Attempt(3, NOON, 0.01, CdrResponse(204, {}, b""), None)) == "attempt 3: 204, acknowledged"


def test_a_request_keeps_its_headers_out_of_its_repr() -> None:
    assert "s3cret" not in repr(CdrRequest("POST", "http://localhost/", {"Authorization": "s3cret"}, b""))


@pytest.mark.parametrize(
    "schedule,failures,wait",
    [*(((2.0, 4.0, 8.0), n, wait) for n, wait in enumerate([2.0, 4.0, 8.0, None, None], 1)), ((), 1, None)],
)
def test_retries_follow_the_schedule_and_end(schedule: tuple[float, ...], failures: int, wait: float | None) -> None:
    assert next_retry(schedule, failures) == wait


def altered(kind: FaultKind, outcome: Outcome = Outcome.ANSWERED, **settings: Any) -> list[Delivery]:
    return apply_cdr_fault(Fault(kind, **settings), ended(outcome), [PENDING])


@pytest.mark.parametrize(
    "fault,expected",
    [
        ({"kind": FaultKind.CDR_LOST}, [(7, DeliveryState.FAILED, None, None)]),
        (
            {"kind": FaultKind.CDR_LATE, "delay_s": 2.0, "jitter_s": 0.5},
            [(7, DeliveryState.PENDING, NOON + 2.5, None)],
        ),
        (
            {"kind": FaultKind.CDR_DUPLICATED},
            [(7, DeliveryState.PENDING, NOON, None), (0, DeliveryState.PENDING, None, 7)],
        ),
        ({"kind": FaultKind.CDR_REORDERED}, [(7, DeliveryState.PENDING, None, NEXT_CALL)]),
    ],
)
def test_a_fault_loses_delays_repeats_or_reorders_a_cdr(fault: dict[str, Any], expected: list[Any]) -> None:
    deliveries = altered(**fault)
    assert [(d.id, d.state, d.due_at, d.waits_for) for d in deliveries] == expected
    assert {d.note for d in deliveries} == {f"fault {fault['kind']}"}


@pytest.mark.parametrize("outcome", Outcome)
def test_a_contradiction_says_otherwise(outcome: Outcome) -> None:
    first, second = altered(FaultKind.CDR_CONTRADICTED, outcome)
    assert first.says is None
    assert second.says is not None
    assert second.says.outcome is (Outcome.BUSY if outcome is Outcome.ANSWERED else Outcome.ANSWERED)


def test_an_unknown_uuid_has_the_shape_of_a_known_one() -> None:
    (delivery,) = altered(FaultKind.CDR_UNKNOWN_UUID)
    known = PLACED.verification_call_uuid
    assert delivery.of_uuid is not None
    assert delivery.of_uuid != known
    assert (len(delivery.of_uuid), delivery.of_uuid[12:]) == (len(known), "_117793")


@pytest.mark.parametrize(
    "fault",
    [
        *({"times": times} for times in (0, True)),
        *({"probability": probability} for probability in (0, 1.1)),
        *({"status": 404}, {"kind": FaultKind.DELAY}, {"kind": FaultKind.CDR_LATE}),
        *({"delay_s": -1}, {"jitter_s": float("nan")}),
    ],
)
def test_a_fault_that_is_not_valid_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Fault(**{"kind": FaultKind.STATUS, **fault})


def test_an_unknown_fault_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'reset'"):
        fault_kind("rest")


def test_a_fault_is_spent_after_its_times_and_leaves_the_other_sort_alone() -> None:
    faults: tuple[Fault, ...] = (Fault(FaultKind.CDR_LOST), Fault(FaultKind.RESET, times=2))
    struck = []
    for n in range(3):
        fault, faults = draw_fault(faults, of_cdr=False, seed=1, n=n)
        struck.append(fault and fault.kind)
    assert struck == [FaultKind.RESET, FaultKind.RESET, None]
    assert faults == (Fault(FaultKind.CDR_LOST),)


def test_chance_is_drawn_from_the_seed_and_about_as_often_as_asked() -> None:
    faults = (Fault(FaultKind.RESET, times=None, probability=0.2),)

    def strikes(seed: int) -> list[bool]:
        return [draw_fault(faults, of_cdr=False, seed=seed, n=n)[0] is not None for n in range(1000)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 150 < sum(strikes(1)) < 250
