"""Whole events, filters, retries and ignored answers as a test of an application sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import requests
from helpers.client import assuming, flash_call
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, MCNServer

DAY_S = 86_400


@contextmanager
def whole_events(mcn: Account, *statuses: int, **settings: Any) -> Iterator[Receiver]:
    """An endpoint that gets whole events."""
    with Receiver(*statuses) as receiver:
        mcn.subscribe(receiver.url, all_variables=True, **settings)
        yield receiver


def test_all_fifteen_retries_follow_in_virtual_time_and_send_the_same(mcn: Account) -> None:
    mcn.expect_undelivered()
    with whole_events(mcn, 500) as receiver:
        flash_call(mcn)
        mcn.settle()
        placed_at = mcn.clock.now
        mcn.clock.advance(65_534)
        delivery = mcn.wait_for_cdr()
        mcn.clock.advance(DAY_S)
    assert (delivery.state, len(delivery.attempts), len(receiver.bodies)) == ("failed", 16, 16)
    moments = [attempt.at - placed_at for attempt in delivery.attempts]
    assert [later - earlier for earlier, later in pairwise(moments)] == [
        2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768,
    ]  # fmt: skip
    assert len(set(receiver.bodies)) == 1


def test_a_call_rings_and_its_cdr_follows_later() -> None:
    with assuming(ring_s=4.25, cdr_delay_s=3.5) as mcn, whole_events(mcn) as receiver:
        flash_call(mcn)
        mcn.clock.advance(4.25)
        assert (mcn.calls[0].state, mcn.deliveries[0].attempts) == ("completed", ())
        mcn.clock.advance(3.5)
        (event,) = receiver.received
        assert (event["data"]["start_time"], event["data"]["stop_time"], event["created_at"]) == (
            "2022-05-27T12:50:00Z",
            "2022-05-27T12:50:04.25Z",
            "2022-05-27T15:50:07.750Z",
        )


@pytest.mark.parametrize("kind", ["", "cdr_late", "cdr_reordered"])
def test_a_call_is_completed_at_once_if_its_cdr_is_due_later(kind: str) -> None:
    with assuming(cdr_delay_s=0.0 if kind else 60.0, ack_timeout_s=600.0) as mcn, whole_events(mcn):
        mcn.hold_cdrs()
        if kind:
            mcn.inject(kind, delay_s=60.0 if kind == "cdr_late" else 0.0)
        flash_call(mcn)
        delivery = mcn.calls[0].complete("busy")
        assert delivery is not None
        assert (delivery.state, delivery.attempts) == ("pending", ())


def resend(server: MCNServer, delivery_id: int) -> None:
    assert requests.post(f"{server.url}/__admin/deliveries/{delivery_id}/resend", timeout=30).status_code == 200


def test_an_event_has_its_key_whenever_it_is_sent(mcn: Account, mcn_server: MCNServer) -> None:
    with whole_events(mcn, 500, 200) as receiver:
        flash_call(mcn)
        mcn.clock.advance(2)
        resend(mcn_server, mcn.wait_for_cdr().id)
        mcn.settle()
        mcn.inject("cdr_duplicated")
        flash_call(mcn)
        mcn.settle()
    keys = [event["idempotencyKey"] for event in receiver.received]
    assert len(keys) == 5
    assert len(set(keys[:3])) == len(set(keys[3:])) == 1
    assert keys[0] != keys[3], "another event has another key"


@pytest.mark.parametrize("kind", ["cdr_contradicted", "cdr_unknown_uuid"])
def test_a_record_that_says_otherwise_is_another_event(mcn: Account, kind: str) -> None:
    with whole_events(mcn) as receiver:
        mcn.inject(kind)
        flash_call(mcn)
        mcn.settle()
        true = {"verification_call_uuid": mcn.calls[0].verification_call_uuid, "q931_status": 16}
    lie = receiver.received[-1]
    told = {name: lie["data"][name] for name in true}
    assert told != true
    assert lie["data"]["call4raw"]["disconnect_cause"] == lie["data"]["q931_status"]
    assert json.loads(lie["data"]["extra_info_id"])["autodial_uuid"] == told["verification_call_uuid"]
    assert len({event["idempotencyKey"] for event in receiver.received}) == len(receiver.received)


def test_an_ignored_failure_counts_as_delivered_and_keeps_the_true_answer(mcn: Account) -> None:
    """It is not a mistake of a strict test, and does not disable the webhook."""
    with whole_events(mcn, 500, ignore_response=True) as receiver:
        for _ in range(12):
            flash_call(mcn)
        mcn.settle()
        mcn.clock.advance(DAY_S)
        assert len(receiver.received) == 12
    assert {(d.state, d.status, d.attempts[0].error) for d in mcn.deliveries} == {
        ("delivered", 500, "HTTP 500, not acknowledged")
    }
    assert mcn.mistakes() == []
    assert ", disabled" not in mcn.story()


def test_an_unreachable_endpoint_that_is_ignored_is_not_asked_again(mcn: Account) -> None:
    mcn.subscribe("http://127.0.0.1:1/hook", ignore_response=True)
    flash_call(mcn)
    (attempt,) = mcn.wait_for_cdr().attempts
    assert (attempt.status, mcn.deliveries[0].state) == (None, "delivered")
    assert "could not connect" in (attempt.error or "")
    assert "delivered (ignore_response)" in repr(mcn.deliveries[0])
    assert "CDR to http://127.0.0.1:1/hook: delivered (ignore_response)" in mcn.story()


def test_a_filter_sees_how_a_held_call_was_completed(mcn: Account) -> None:
    with Receiver() as receiver:
        mcn.subscribe(receiver.url, filter=[{"variable": "final_status", "value": ""}])
        mcn.set_outcome("answered")
        mcn.hold_cdrs()
        flash_call(mcn)
        flash_call(mcn)
        kept, filtered = mcn.calls
        assert kept.complete("rejected") is not None
        assert filtered.complete() is None
        mcn.inject("cdr_duplicated")
        flash_call(mcn)
        assert mcn.calls[2].complete("busy") is None
    assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [kept.verification_call_uuid]
    assert "final_status is 'ANSWERED', and the filter says: final_status is ''" in filtered.explanation.cdr


BUSY_ONLY = [{"variable": "q931_status", "value": 17}]


@pytest.mark.parametrize("ring_s", [0.0, 3600.0])
@pytest.mark.parametrize("filter_,count", [([], 1), (BUSY_ONLY, 0)])
def test_an_early_cdr_waits_for_no_delay_and_for_none_that_is_not_sent(
    ring_s: float, filter_: list[dict[str, Any]], count: int
) -> None:
    with assuming(ring_s=ring_s, cdr_delay_s=3600.0) as mcn, Receiver() as receiver:
        mcn.subscribe(receiver.url, filter=filter_)
        mcn.inject("cdr_early")
        assert flash_call(mcn).status_code == 200
        assert len(receiver.received) == count
        assert [call.state for call in mcn.calls] == ["completed"]


class Application:
    """A WSGI and an ASGI application that keep the bodies that they get."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        self.bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("204 No Content", [])
        return []

    async def asgi(self, scope: object, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("on_test_thread", [False, True])
def test_an_application_gets_all_three_bodies(mcn: Account, kind: str, on_test_thread: bool) -> None:
    applications = [Application() for _ in range(3)]
    text = {"data_type": "text", "template": "${{q931_status}} é ${{did}}"}
    forms: list[dict[str, Any]] = [{}, {"all_variables": True}, text]
    for application, settings in zip(applications, forms, strict=True):
        mcn.subscribe(getattr(application, kind), on_test_thread=on_test_thread, **settings)
    flash_call(mcn)
    mcn.settle()
    flat, whole, free = [application.bodies[0] for application in applications]
    (call,) = mcn.calls
    assert json.loads(flat)["verification_call_uuid"] == call.verification_call_uuid
    assert json.loads(whole)["data"]["verification_call_uuid"] == call.verification_call_uuid
    assert free.decode() == f"16 é {call.caller_did}"
