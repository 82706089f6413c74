"""Waits, in threads and on event loops, and the account's time."""

from __future__ import annotations

import asyncio
import threading

import anyio
import httpx
import pytest
from helpers.client import RUSSIAN, flash_call, spoken
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Outcome, WaitTimeout

pytestmark = pytest.mark.usefixtures("each_dialect")


def test_a_wait_returns_when_it_happens(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    caller = threading.Thread(target=flash_call, args=(mcn,))
    caller.start()
    assert mcn.wait_for_call().login_did == RUSSIAN
    assert mcn.wait_for_cdr().status == 204
    caller.join()


def test_a_wait_in_vain_says_that_nothing_came(mcn: Account) -> None:
    with pytest.raises(WaitTimeout) as waited:
        mcn.wait_for_call(timeout=0.01)
    assert str(waited.value).startswith("no call was placed within 0.01 s\n")
    assert "no request arrived for account" in str(waited.value)
    assert isinstance(waited.value, TimeoutError)


def test_a_wait_in_vain_says_what_is_pending_and_when_it_is_due(mcn: Account) -> None:
    mcn.expect_undelivered()
    with Receiver(500) as receiver:
        mcn.subscribe(receiver.url)
        flash_call(mcn)
        mcn.settle()
        with pytest.raises(WaitTimeout, match=r"attempt 1: HTTP 500, not acknowledged.*due in 2 s"):
            mcn.wait_for_cdr(timeout=0.01)


def test_a_wait_in_vain_says_that_a_call_is_held_or_ringing(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.set_outcome(Outcome.BUSY, delay_s=30)
    flash_call(mcn)
    mcn.hold_cdrs()
    flash_call(mcn)
    with pytest.raises(WaitTimeout) as waited:
        mcn.wait_for_cdr(timeout=0.01)
    assert "ringing for 30 s more" in str(waited.value)
    assert "ringing until call.complete()" in str(waited.value)


def test_a_wait_in_vain_says_that_there_is_no_subscription(mcn: Account) -> None:
    flash_call(mcn)
    with pytest.raises(WaitTimeout, match=r"no subscription.*mcn\.subscribe\(url\) or mcn\.subscribe\(app, path=…\)"):
        mcn.wait_for_cdr(timeout=0.01)


def test_a_wait_in_vain_says_what_was_refused(mcn: Account) -> None:
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn, "abc")
    with pytest.raises(WaitTimeout, match=r"not accepted: POST .*400 invalid_parameter"):
        mcn.wait_for_call(timeout=0.01)


def test_assert_no_cdr_fails_at_once_when_one_is_sent(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    flash_call(mcn)
    with pytest.raises(AssertionError, match="expected no CDR"):
        mcn.assert_no_cdr(within=30)


def test_assert_no_cdr_is_content_with_those_that_were_waited_for(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    flash_call(mcn)
    mcn.wait_for_cdr()
    mcn.assert_no_cdr(within=0.01)


def test_advancing_the_clock_does_what_is_due_in_order_and_at_its_time(mcn: Account) -> None:
    with Receiver(500, 500, 500, 204) as receiver:
        mcn.subscribe(receiver.url)
        mcn.set_outcome(Outcome.BUSY, delay_s=3600)
        flash_call(mcn)
        start = mcn.clock.now
        mcn.clock.advance(3599)
        assert mcn.deliveries[0].attempts == ()
        mcn.clock.advance(1)
        assert len(mcn.deliveries[0].attempts) == 1
        mcn.clock.advance(14)
        (delivery,) = mcn.deliveries
        assert [attempt.at - start for attempt in delivery.attempts] == [3600, 3602, 3606, 3614]
        assert (delivery.state, mcn.clock.now - start) == ("delivered", 3614)


def test_calls_end_in_the_order_of_their_time_not_of_their_placing(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    for code, delay_s in (("0003", 30), ("0001", 10), ("0002", 20)):
        mcn.set_outcome(Outcome.BUSY, delay_s=delay_s)
        flash_call(mcn, code=code)
    mcn.clock.advance(60)
    uuids = {call.verification_call_uuid: call.code for call in mcn.calls}
    assert [uuids[cdr["verification_call_uuid"]] for cdr in receiver.received] == ["0001", "0002", "0003"]


def test_time_passes_by_itself_too(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.set_outcome(Outcome.BUSY, delay_s=0.05)
    flash_call(mcn)
    start = mcn.clock.now
    assert mcn.wait_for_cdr().status == 204
    assert mcn.clock.now - start == pytest.approx(0.05)


def test_what_is_left_after_an_advance_comes_nearer_by_it(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.set_outcome(Outcome.BUSY, delay_s=3600.05)
    flash_call(mcn)
    mcn.clock.advance(3600)
    assert mcn.wait_for_cdr().status == 204


async def place(mcn: Account) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(**spoken().order(mcn, login_did=RUSSIAN))


async def play(mcn: Account) -> None:
    """A test whose application runs on the test's own event loop, all of which goes on while it waits."""
    ticks = 0
    received: list[bytes] = []

    async def application(scope: dict[str, object], receive: object, send: object) -> None:
        assert callable(receive)
        assert callable(send)
        received.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.get_running_loop().create_task(tick())
    mcn.subscribe(application, path="/hook")
    assert (await place(mcn)).status_code == 200
    call = await mcn.aio.wait_for_call()
    assert (await mcn.aio.wait_for_cdr(call)).status == 202
    mcn.hold_cdrs()
    await place(mcn)
    held = await mcn.aio.wait_for_call()
    await mcn.aio.assert_no_cdr(within=0.01)
    delivery = await mcn.aio.complete(held, Outcome.BUSY)
    assert delivery is not None
    assert delivery.status == 202
    await mcn.aio.settle()
    await mcn.aio.advance(60)
    with pytest.raises(WaitTimeout):
        await mcn.aio.wait_for_call(timeout=0.01)
    ticking.cancel()
    assert ticks > 10
    assert len(received) == 2


@pytest.mark.asyncio
async def test_the_waits_on_an_event_loop(mcn: Account) -> None:
    await play(mcn)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_waits_with_anyio(mcn: Account) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(play, mcn)
