"""Each event is told once, after what it tells was kept, and never if that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from helpers.in_process import run
from helpers.service_steps import ACCOUNT, HOOK, ServiceSteps

from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.model.accounts import enable_subscription
from pytest_mcn_mock.model.deliveries import CdrResponse
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.deliveries import Result
from pytest_mcn_mock.service.events import Event

Step = Callable[[ServiceSteps], object]


@pytest.fixture
def steps() -> ServiceSteps:
    """The account has a webhook that one failed CDR disables."""
    steps = ServiceSteps(disable_after=1)
    steps.subscribe(retry=False)
    steps.events.clear()
    return steps


def names(told: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in told]


def place(steps: ServiceSteps) -> None:
    steps.call()


def complete(steps: ServiceSteps) -> None:
    steps.complete(steps.calls()[0])


def acknowledge(steps: ServiceSteps) -> None:
    steps.settle(steps.delivery())


def refuse(steps: ServiceSteps) -> None:
    steps.settle(steps.delivery(), 500)


def resend(steps: ServiceSteps) -> None:
    run(steps.service.deliveries.resend(1))


def let_fail(steps: ServiceSteps) -> None:
    run(steps.service.deliveries.fail(steps.delivery(), Reason("webhook_removed")))


def hold(steps: ServiceSteps) -> None:
    steps.hold()


def hold_and_place(steps: ServiceSteps) -> None:
    steps.hold()
    steps.call()


def place_and_claim(steps: ServiceSteps) -> None:
    steps.call()
    steps.claim()


STEPS: dict[str, tuple[Step | None, Step, str, list[str]]] = {
    "place": (None, place, "place", ["CallPlaced", "CallEnded"]),
    "place, held": (hold, place, "place", ["CallPlaced"]),
    "complete": (hold_and_place, complete, "end_call", ["CallEnded"]),
    "acknowledged": (place_and_claim, acknowledge, "settle", ["AttemptMade", "DeliverySettled"]),
    "refused": (
        place_and_claim,
        refuse,
        "settle",
        ["AttemptMade", "DeliverySettled", "AccountChanged"],
    ),
    "failed": (place_and_claim, let_fail, "settle", ["DeliverySettled"]),
    "sent again": (place_and_claim, resend, "change_delivery", ["DeliveryResent"]),
    "setting": (None, hold, "change_account", ["AccountChanged"]),
    "fault": (None, lambda steps: steps.inject(FaultKind.STATUS), "change_account", ["AccountChanged"]),
    "webhook": (None, lambda steps: steps.subscribe(f"{HOOK}/2"), "change_account", ["AccountChanged"]),
    "enable": (None, lambda steps: steps.change(enable_subscription, 1), "change_account", ["AccountChanged"]),
    "top up": (None, lambda s: run(s.service.accounts.top_up(ACCOUNT, 1)), "change_account", ["AccountChanged"]),
    "balance": (None, lambda s: run(s.service.accounts.set_balance(ACCOUNT, 1)), "change_account", ["AccountChanged"]),
    "open": (None, lambda steps: steps.open("7"), "open_account", ["AccountChanged"]),
    "close": (None, lambda s: run(s.service.accounts.close(ACCOUNT)), "close_account", ["AccountClosed"]),
    "reset": (None, lambda steps: run(steps.service.reset()), "reset", ["StateReset"]),
}


@pytest.mark.parametrize("before, step, storage_step, expected", STEPS.values(), ids=STEPS)
def test_each_step_is_told_once_it_is_kept_and_not_if_it_is_not(
    steps: ServiceSteps, before: Step | None, step: Step, storage_step: str, expected: list[str]
) -> None:
    if before is not None:
        before(steps)
    steps.events.clear()
    steps.storage.failing = {storage_step}
    with pytest.raises(StorageFailed):
        step(steps)
    assert (steps.storage.refused, steps.events) == ([storage_step], [])
    steps.storage.recover()
    step(steps)
    assert names(steps.events) == expected


def test_an_event_tells_what_was_kept() -> None:
    steps = ServiceSteps()
    kept: list[bool] = []

    def look(event: Event) -> None:
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):
                kept.append(steps.of(call) == call)
            case events.AttemptMade(delivery, attempt) | events.DeliverySettled(delivery, attempt):
                kept.append(steps.delivery(delivery.id) == delivery and delivery.attempts[-1] == attempt)
            case events.DeliveryResent(delivery):
                kept.append(steps.delivery(delivery.id) == delivery)
            case events.AccountChanged(account_id):
                kept.append(steps.account(account_id).subscriptions[0].url == HOOK)

    steps.service.events.subscribe_to_all(look)
    steps.subscribe()
    place(steps)
    steps.attempt(204)
    resend(steps)
    assert kept == [True] * 6


def test_an_attempt_that_is_due_again_settles_nothing() -> None:
    steps = ServiceSteps()
    steps.subscribe()
    place(steps)
    steps.events.clear()
    steps.attempt(500)
    assert names(steps.events) == ["AttemptMade"]
    steps.clock.move(ACCOUNT, 2.0)
    steps.attempt()
    (first, second) = (event for event in steps.events if isinstance(event, events.AttemptMade))
    assert [first.attempt.number, second.attempt.number] == [1, 2]


def test_a_delivery_is_told_of_when_its_call_has_left_the_journal() -> None:
    steps = ServiceSteps(settings={"journal_size": 2})
    steps.subscribe()
    for _ in range(3):
        place(steps)
    for claimed in steps.claim():
        run(steps.service.deliveries.settle(claimed, Result(0.0, 0.1, CdrResponse(204, {}, b""))))
    settled = [event for event in steps.events if isinstance(event, events.DeliverySettled)]
    assert [(event.delivery.id, str(event.delivery.state)) for event in settled] == [
        (n, "delivered") for n in (1, 2, 3)
    ]
    assert run(steps.service.storage.counts()).pending == 0


def test_a_request_is_told_when_its_answer_was_sent(steps: ServiceSteps) -> None:
    request = steps.service.journal.receive("POST", "/x", None)
    assert (steps.events, request.is_answered) == ([], False)
    steps.service.journal.answered(request)
    assert (steps.events, request.is_answered) == ([events.RequestAnswered(request)], True)


def test_a_subscriber_that_raises_keeps_nobody_else_from_hearing(
    steps: ServiceSteps, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Event) -> None:
        raise ZeroDivisionError

    later: list[Event] = []
    steps.service.events.subscribe_to_all(fail)
    steps.service.events.subscribe_to_all(later.append)
    place(steps)
    assert names(later) == names(steps.events) == ["CallPlaced", "CallEnded"]
    assert caplog.text.count("a subscriber to events failed") == 2
