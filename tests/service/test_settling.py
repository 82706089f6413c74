from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from helpers.in_process import run
from helpers.service_steps import ACCOUNT, BUSY, FLASH, HOOK, ServiceSteps
from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, NotFound
from pytest_mcn_mock.model.accounts import remove_subscription
from pytest_mcn_mock.model.assumptions import MissingFinalStatus
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.outcomes import Outcome
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import deliveries as deliveries_module
from pytest_mcn_mock.service.deliveries import Result


@pytest.fixture
def steps() -> ServiceSteps:
    return ServiceSteps()


# What is sent


def request_of(steps: ServiceSteps, **settings: Any) -> CdrRequest:
    """The request that carries the CDR of a call to a webhook with these settings."""
    steps.subscribe(settings.pop("url", HOOK), **settings)
    steps.call()
    (claimed,) = steps.claim()
    assert claimed.request is not None
    return claimed.request


def test_the_body_is_the_variables_in_their_order_and_then_the_constants(steps: ServiceSteps) -> None:
    request = request_of(steps, body=["final_status", "q931_status"], constants={"from": "mcn", "n": 1, "yes": True})
    assert request.body == b'{"final_status": "ANSWERED", "q931_status": 16, "from": "mcn", "n": 1, "yes": true}'


def test_a_variable_without_a_value_is_absent() -> None:
    steps = ServiceSteps(default_outcome=Outcome.REJECTED)
    request = request_of(steps, body=["q931_status", "final_status"])
    assert json.loads(request.body) == {"q931_status": 31}


FLAT: dict[str, Any] = {"body": ["q931_status", "final_status"]}
OF_A_REJECTED_CALL: list[tuple[dict[str, Any], list[str]]] = [
    (
        FLAT,
        ['{"q931_status": 31}', '{"q931_status": 31, "final_status": ""}', '{"q931_status": 31, "final_status": null}'],
    ),
    (
        FLAT | {"values": "text"},
        [
            '{"q931_status": "31"}',
            '{"q931_status": "31", "final_status": ""}',
            '{"q931_status": "31", "final_status": "null"}',
        ],
    ),
    ({"data_type": "text", "template": "<${{final_status}}>"}, ["<>", "<>", "<null>"]),
    (
        FLAT | {"method": "GET"},
        [f"{HOOK}?q931_status=31{rest}" for rest in ("", "&final_status=", "&final_status=null")],
    ),
    (
        {"method": "GET", "body": [], "query": {"f": "${{final_status}}"}},
        [f"{HOOK}?f={rest}" for rest in ("", "", "null")],
    ),
    ({"body": [], "constants": {"f": "${{final_status}}"}}, [f'{{"f": "{rest}"}}' for rest in ("", "", "null")]),
]


@pytest.mark.parametrize("missing", MissingFinalStatus)
@pytest.mark.parametrize("settings,expected", OF_A_REJECTED_CALL)
def test_a_final_status_that_is_not_documented_is_in_no_form_a_surprise(
    missing: MissingFinalStatus, settings: dict[str, Any], expected: list[str]
) -> None:
    steps = ServiceSteps(default_outcome=Outcome.REJECTED, missing_final_status=missing)
    request = request_of(steps, **settings)
    assert (request.body.decode() or request.url) == expected[list(MissingFinalStatus).index(missing)]


def test_the_further_variables_can_be_asked_for(steps: ServiceSteps) -> None:
    names = ["accountId", "start_time", "stop_time", "number", "did"]
    record = json.loads(request_of(steps, body=names).body)
    (call,) = steps.calls()
    assert list(record) == names
    assert (record["number"], record["did"], record["accountId"]) == (FLASH.login_did, call.caller_did, int(ACCOUNT))
    assert record["start_time"] == record["stop_time"] == "2022-05-27T12:50:00Z"


def test_get_puts_the_variables_into_the_query_beside_what_is_there(steps: ServiceSteps) -> None:
    request = request_of(steps, url=f"{HOOK}?a=1", method="get", query={"b": "ü&"}, body=["q931_status"])
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == f"{HOOK}?a=1&b=%C3%BC%26&q931_status=16"


def test_the_users_headers_replace_our_own(steps: ServiceSteps) -> None:
    headers = request_of(steps, headers={"content-type": "application/cdr+json", "X-Key": "1"}).headers
    assert (headers["content-type"], headers["X-Key"]) == ("application/cdr+json", "1")
    assert "Content-Type" not in headers


def test_a_cdr_is_rendered_once_and_every_retry_sends_the_same(steps: ServiceSteps) -> None:
    first = request_of(steps, constants={"n": 1})
    again = steps.settle(steps.delivery(), 500)
    assert again.due_at is not None
    steps.change(lambda account: replace(account, subscriptions=[replace(account.subscriptions[0], constants={})]))
    assert [claimed.request for claimed in steps.claim(again.due_at)] == [first]


# What an attempt leads to


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_acknowledges(steps: ServiceSteps, status: int) -> None:
    steps.subscribe()
    steps.call()
    assert steps.attempt(status).state == "delivered"
    assert (steps.claim(1e12), run(steps.service.storage.counts()).pending) == ([], 0)


@pytest.mark.parametrize("status", [None, 199, 302, 404, 500])
def test_anything_else_is_tried_again_by_the_schedule_and_fails(steps: ServiceSteps, status: int | None) -> None:
    steps.subscribe()
    steps.call()
    waits = []
    for _ in range(15):
        delivery = steps.attempt(status)
        assert delivery.due_at is not None
        assert steps.claim() == [], "it is not due yet"
        waits.append(delivery.due_at - steps.clock.now(ACCOUNT))
        steps.clock.reach(ACCOUNT, delivery.due_at)
    assert waits == [float(2**n) for n in range(1, 16)], "handbook: 2ⁿ seconds, 15 attempts"
    delivery = steps.attempt(status)
    assert (delivery.state, delivery.due_at) == ("failed", None)
    assert [attempt.number for attempt in delivery.attempts] == list(range(1, 17))


def test_without_retry_there_is_one_attempt(steps: ServiceSteps) -> None:
    steps.subscribe(retry=False)
    steps.call()
    assert steps.attempt(500).state == "failed"


def test_attempts_are_kept_with_what_was_answered(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.call()
    again = steps.attempt(None)
    assert again.due_at is not None
    steps.clock.reach(ACCOUNT, again.due_at)
    (claimed,) = steps.claim()
    answer = CdrResponse(200, {"X": "1"}, b"x" * 10_000)
    run(steps.service.deliveries.settle(claimed, Result(steps.clock.now(ACCOUNT), 0.5, answer)))
    refused, acknowledged = steps.delivery().attempts
    assert (refused.status, refused.error, refused.duration_s) == (None, "no answer", 0.01)
    assert (acknowledged.status, acknowledged.error, acknowledged.at) == (200, None, again.due_at)
    assert acknowledged.response == CdrResponse(200, {"X": "1"}, b"x" * 4096), "the beginning is kept"


# Webhooks that fail


def answer(steps: ServiceSteps, statuses: Sequence[int]) -> bool:
    """Whether the webhook is enabled after the CDRs of calls that were answered so."""
    for status in statuses:
        steps.call()
        for claimed in steps.claim():
            steps.settle(claimed, status)
    return steps.account().subscriptions[0].enabled


@pytest.mark.parametrize(
    "statuses, ignore_response, enabled",
    [
        ([500, 500], False, True),
        ([500, 500, 500], False, False),
        ([500, 500, 200, 500, 500], False, True),
        ([500, 500, 200, 500, 500, 500], False, False),
        ([500] * 5, True, True),
    ],
)
def test_a_webhook_is_disabled_by_cdrs_failed_in_a_row(
    statuses: list[int], ignore_response: bool, enabled: bool
) -> None:
    steps = ServiceSteps(disable_after=3)
    steps.subscribe(retry=False, ignore_response=ignore_response)
    assert answer(steps, statuses) is enabled


def test_by_default_it_takes_ten_and_later_calls_have_no_cdr(
    steps: ServiceSteps, caplog: pytest.LogCaptureFixture
) -> None:
    steps.subscribe(retry=False)
    assert answer(steps, [500] * 9)
    assert "disabled" not in caplog.text
    assert not answer(steps, [500])
    assert caplog.text.count("webhook 1 is disabled") == 1
    assert steps.account().subscriptions[0].disabled_at == steps.clock.now(ACCOUNT)
    steps.call()
    assert len(steps.deliveries()) == 10


def test_an_attempt_that_is_repeated_does_not_count_as_failed() -> None:
    steps = ServiceSteps(disable_after=1)
    steps.subscribe()
    steps.call()
    for status in (500, 500, 500, 200):
        steps.attempt(status)
        steps.clock.move(ACCOUNT, 30.0)
    (subscription,) = steps.account().subscriptions
    assert (subscription.enabled, subscription.failed_in_a_row) == (True, 0)


def test_one_webhooks_failures_do_not_disable_another() -> None:
    steps = ServiceSteps(disable_after=2)
    for path in ("a", "b"):
        steps.subscribe(f"{HOOK}/{path}", retry=False)
    for _ in range(2):
        steps.call()
        for claimed, status in zip(steps.claim(), (500, 200), strict=True):
            steps.settle(claimed, status)
    assert [subscription.enabled for subscription in steps.account().subscriptions] == [False, True]


# Faults


def test_a_duplicate_follows_when_the_first_is_settled(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.inject(FaultKind.CDR_DUPLICATED)
    steps.call()
    assert steps.attempt(500).state == "pending"
    assert steps.claim() == []
    steps.clock.move(ACCOUNT, 2.0)
    steps.attempt()
    (again,) = steps.claim()
    assert (again.id, again.request) == (2, steps.delivery(1).request)


def test_a_contradiction_says_otherwise_of_the_same_call() -> None:
    steps = ServiceSteps()
    steps.subscribe()
    steps.inject(FaultKind.CDR_CONTRADICTED)
    steps.call()
    records = [steps.attempt().cdr, steps.attempt().cdr]
    assert [record and record["final_status"] for record in records] == ["ANSWERED", "NO ANSWER"]
    assert len({record and record["verification_call_uuid"] for record in records}) == 1


def test_a_reordered_cdr_follows_that_of_the_next_call(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.inject(FaultKind.CDR_REORDERED)
    steps.call()
    assert steps.claim(1e12) == []
    steps.call()
    (second,) = steps.claim()
    assert (second.id, steps.claim(1e12)) == (2, [])
    steps.settle(second)
    assert steps.attempt().id == 1
    assert steps.states() == ["delivered", "delivered"]


@pytest.mark.parametrize("kind, due", [(FaultKind.CDR_LATE, 7.0), (FaultKind.CDR_LOST, None)])
def test_a_cdr_may_be_late_or_lost(steps: ServiceSteps, kind: FaultKind, due: float | None) -> None:
    steps.subscribe()
    steps.inject(kind, **({"delay_s": 7.0} if due else {}))
    steps.call()
    assert steps.claim() == []
    claimed = steps.claim(steps.clock.now(ACCOUNT) + 7.0)
    assert [delivery.due_at for delivery in claimed] == ([steps.clock.now(ACCOUNT) + due] if due else [])
    assert steps.states() == ["pending" if due else "failed"]


def test_a_fault_of_a_call_that_rings_strikes_at_its_end(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.ring(2.0)
    steps.inject(FaultKind.CDR_DUPLICATED)
    steps.call()
    assert len(steps.deliveries()) == 1
    steps.clock.move(ACCOUNT, 2.0)
    steps.claim()
    assert (len(steps.deliveries()), steps.attempt().id) == (2, 1)
    assert steps.attempt().id == 2


# Sending it again


@pytest.mark.parametrize("status", [204, 500])
def test_a_settled_cdr_is_sent_again_with_all_its_retries(steps: ServiceSteps, status: int) -> None:
    steps.subscribe()
    steps.call()
    steps.attempt(500)
    steps.clock.move(ACCOUNT, 2.0)
    steps.attempt(status)
    resent = run(steps.service.deliveries.resend(1))
    assert (resent.state, resent.due_at, resent.resent) == ("pending", steps.clock.now(ACCOUNT), 1)
    waits = []
    for _ in range(15):
        delivery = steps.attempt(500)
        assert delivery.due_at is not None
        waits.append(delivery.due_at - steps.clock.now(ACCOUNT))
        steps.clock.reach(ACCOUNT, delivery.due_at)
    assert waits == [float(2**n) for n in range(1, 16)]
    assert steps.attempt(500).state == "failed"
    assert len({attempt.number for attempt in steps.delivery().attempts}) == 18


def without_webhook(steps: ServiceSteps) -> None:
    steps.call()
    steps.change(remove_subscription, 1)


def ringing(steps: ServiceSteps) -> None:
    steps.ring(5.0, BUSY)
    steps.call()


def tried_too_often(steps: ServiceSteps) -> None:
    steps.call()
    for _ in range(2):
        steps.attempt(500)
        steps.clock.move(ACCOUNT, 30.0)


@pytest.mark.parametrize(
    "make, problem",
    [
        (without_webhook, "cannot be sent: its webhook was removed"),
        (ringing, "has no CDR yet: its call has not ended"),
        (tried_too_often, "was tried 2 times; place another call"),
    ],
)
def test_some_cannot_be_sent_again(
    steps: ServiceSteps, monkeypatch: pytest.MonkeyPatch, make: Callable[[ServiceSteps], None], problem: str
) -> None:
    monkeypatch.setattr(deliveries_module, "MAX_ATTEMPTS", 2)
    steps.subscribe()
    make(steps)
    before = steps.contents()
    with pytest.raises(Conflict, match=problem):
        run(steps.service.deliveries.resend(1))
    assert steps.contents() == before
    with pytest.raises(NotFound):
        run(steps.service.deliveries.resend(404))


def test_the_result_of_an_attempt_for_a_closed_account_is_dropped(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.call()
    (claimed,) = steps.claim()
    run(steps.service.accounts.close(ACCOUNT))
    told = len(steps.events)
    run(steps.service.deliveries.settle(claimed, Result(0.0, 0.0, CdrResponse(200, {}, b""))))
    assert len(steps.events) == told


def test_giving_up_without_an_attempt_says_why_and_leaves_what_was_settled(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.call()
    (claimed,) = steps.claim()
    for why in (Reason("webhook_removed"), Reason("fault", {"kind": "cdr_lost"})):
        run(steps.service.deliveries.fail(claimed, why))
    failed = steps.delivery()
    assert (failed.state, failed.note, failed.attempts, failed.due_at) == (
        "failed",
        "the webhook was removed",
        (),
        None,
    )
