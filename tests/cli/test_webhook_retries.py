"""The whole schedule of retries in a sandbox, 2, 4, 8, … 32,768 seconds: in virtual time and across restarts.

Source: handbook, "Механизм повторной отправки веб-хуков" (2026-08-04).
"""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers.sandbox import Sandbox, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

WHOLE = "all_variables = true\n"
WAITS = [2**n for n in range(1, 16)]


def delivery_of(sandbox: Sandbox) -> dict[str, Any]:
    (delivery,) = sandbox.admin("deliveries")["items"]
    return dict(delivery)


def place(sandbox: Sandbox) -> None:
    """A call whose CDR was tried once."""
    sandbox.flash_call()
    wait_until(lambda: len(delivery_of(sandbox)["attempts"]) == 1)


def advance(sandbox: Sandbox, seconds: float) -> dict[str, Any]:
    sandbox.admin("clock/advance", "POST", {"seconds": seconds})
    return delivery_of(sandbox)


def test_all_fifteen_retries_follow_as_the_clock_is_put_forward() -> None:
    with Receiver(500) as receiver, running_sandbox(config=with_webhook(receiver.url) + WHOLE) as sandbox:
        place(sandbox)
        # The time passes by itself too, so the last retry is due a little after the sum of the waits.
        delivery = advance(sandbox, sum(WAITS) - 60)
        assert (delivery["state"], len(delivery["attempts"])) == ("pending", 15)
        delivery = advance(sandbox, 3600)
        assert (delivery["state"], delivery["due_at"], len(delivery["attempts"])) == ("failed", None, 16)
        advance(sandbox, 86_400)
        assert len(receiver.received) == 16, "nothing more is sent"
    assert len({(event["idempotencyKey"], event["created_at"]) for event in receiver.received}) == 1


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_schedule_goes_on_across_restarts_and_no_attempt_is_made_twice(tmp_path: Path, end: int) -> None:
    state = ("--state", f"sqlite:///{tmp_path}/state.db")
    with Receiver(500) as receiver:
        config = with_webhook(receiver.url) + WHOLE
        with running_sandbox(*state, config=config) as sandbox:
            place(sandbox)
            before = advance(sandbox, 2 + 4 + 8 + 16 + 16)
            assert (before["state"], len(before["attempts"])) == ("pending", 5)
            stop(sandbox, end)
        with running_sandbox(*state, config=config) as sandbox:
            assert delivery_of(sandbox) == before
            before = advance(sandbox, 40)
            assert (before["state"], len(before["attempts"])) == ("pending", 6)
            stop(sandbox, end)
        with running_sandbox(*state, config=config) as sandbox:
            assert delivery_of(sandbox) == before
            after = advance(sandbox, sum(WAITS))
            assert (after["state"], [attempt["number"] for attempt in after["attempts"]]) == ("failed", [*range(1, 17)])
    assert len(receiver.received) == 16
    assert len(set(receiver.bodies)) == 1, "each attempt sends the same"


def stop(sandbox: Sandbox, number: int) -> None:
    status, out, _ = sandbox.stop(number)
    assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert ("1 CDR still pending" in out) is (number == signal.SIGTERM)


def test_a_stop_ends_no_call_that_rings_if_there_is_a_state(tmp_path: Path) -> None:
    state = ("--state", f"sqlite:///{tmp_path}/state.db")
    with Receiver() as receiver:
        config = with_webhook(receiver.url) + WHOLE + "[assumed]\nring_s = 600\ncdr_delay_s = 600.5\n"
        with running_sandbox(*state, config=config) as sandbox:
            sandbox.flash_call()
            sandbox.stop()
        with running_sandbox(*state, config=config) as sandbox:
            assert sandbox.admin("calls")["items"][0]["state"] == "ringing"
            assert advance(sandbox, 900)["attempts"] == []
            assert sandbox.admin("calls")["items"][0]["state"] == "completed"
            sandbox.stop()
        assert receiver.received == []
        with running_sandbox(*state, config=config) as sandbox:
            assert advance(sandbox, 1000)["state"] == "delivered"
    (event,) = receiver.received
    created, ended = (datetime.fromisoformat(text) for text in (event["created_at"], event["data"]["stop_time"]))
    assert created - ended == pytest.approx(timedelta(hours=3, seconds=600.5), abs=timedelta(milliseconds=1))


def test_a_filter_holds_for_a_call_that_is_held_across_a_restart(tmp_path: Path) -> None:
    state = ("--state", f"sqlite:///{tmp_path}/state.db")
    busy = 'filter = [{ variable = "q931_status", operator = "in", value = [17, "18"] }]\n'
    with Receiver() as receiver:
        config = with_webhook(receiver.url) + busy
        with running_sandbox(*state, config=config) as sandbox:
            sandbox.admin("accounts/12345678", "PATCH", {"calls_held": True})
            uuids = [sandbox.flash_call()["verification_call_uuid"] for _ in range(3)]
            sandbox.process.kill()
        with running_sandbox(*state, config=config) as sandbox:
            for uuid, outcome in zip(uuids, ("busy", "answered", "unavailable"), strict=True):
                sandbox.admin(f"calls/{uuid}/complete", "POST", {"outcome": outcome})
            sandbox.admin("clock/advance", "POST", {"seconds": 0})
            why = [sandbox.admin(f"calls/{uuid}")["explanation"].get("cdr", "") for uuid in uuids]
            assert [item["verification_call_uuid"] for item in sandbox.admin("deliveries")["items"]] == uuids[::2]
            assert "no CDR is pending" in sandbox.stop()[1]
    assert [cdr["q931_status"] for cdr in receiver.received] == [17, 18]
    assert "q931_status is 16, and the filter says: q931_status is in [17, '18']" in why[1]
    assert [bool(text) for text in why] == [False, True, False]


@pytest.mark.parametrize("has_state", [False, True])
def test_a_cdr_that_a_filter_drops_makes_room_for_another(tmp_path: Path, has_state: bool) -> None:
    state = ("--state", f"sqlite:///{tmp_path}/state.db") if has_state else ()
    rules = 'filter = [{ variable = "q931_status", value = 17 }]\n[server]\nmax_pending = 1\n'
    with Receiver() as receiver, running_sandbox(*state, config=with_webhook(receiver.url) + rules) as sandbox:
        sandbox.admin("accounts/12345678", "PATCH", {"calls_held": True})
        for _ in range(2):
            uuid = sandbox.flash_call()["verification_call_uuid"]
            assert sandbox.order().status_code == 429
            sandbox.admin(f"calls/{uuid}/complete", "POST", {"outcome": "answered"})
        assert sandbox.admin("deliveries")["items"] == []
