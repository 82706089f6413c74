"""The admin API puts the clock forward right behind an answer, before the server itself knows that it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from helpers.client import flash_call
from helpers.in_process import make_exchange, open_account
from helpers.sandbox import wait_until
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import FaultKind, MCNServer, Outcome
from pytest_mcn_mock.compose import Exchange
from pytest_mcn_mock.delivery import dispatcher
from pytest_mcn_mock.model.accounts import replace_faults
from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.web.http import Request


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing follows an answer before this is set."""
    gate, release = threading.Event(), Calls.release

    def release_late(self: Calls, verification_call_uuid: str) -> None:
        gate.wait(60)
        release(self, verification_call_uuid)

    monkeypatch.setattr(Calls, "release", release_late)
    yield gate
    gate.set()


def advance(server: MCNServer, seconds: float) -> int:
    return requests.post(f"{server.url}/__admin/clock/advance", json={"seconds": seconds}, timeout=60).status_code


@pytest.mark.parametrize("delay_s", [0, 3600])
def test_a_call_that_was_just_answered_is_among_what_is_put_forward(
    gate: threading.Event, receiver: Receiver, delay_s: float
) -> None:
    with MCNServer() as server, ThreadPoolExecutor(1) as others:
        account = server.open_account()
        account.subscribe(receiver.url)
        account.set_outcome(Outcome.BUSY, delay_s=delay_s)
        assert flash_call(account).status_code == 200
        advanced = others.submit(advance, server, delay_s)
        wait_until(lambda: bool(server._exchange.operator.calls._awaiting))  # noqa: SLF001 - it waits, and tells nobody
        assert receiver.received == []
        gate.set()
        assert advanced.result() == 200
        assert len(receiver.received) == 1


def test_an_answer_that_is_never_sent_holds_the_clock_up_for_a_bounded_time(
    gate: threading.Event, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "ANSWERS_S", 0.05)
    with MCNServer() as server:
        account = server.open_account()
        account.subscribe(receiver.url)
        flash_call(account)
        assert advance(server, 1) == 200
        assert receiver.received == []
        gate.set()
        account.wait_for_cdr()


def answer(exchange: Exchange) -> None:
    """Place a call whose answer is not sent."""
    query, headers = b"login_did=79157777777", {"authorization": "Bearer t1", "host": "127.0.0.1"}
    order = exchange.application.serve(Request("POST", "/v2/rest/account/1/flash_call", query, headers))
    order.send(None)  # to its answer, or to what comes before that


@pytest.mark.parametrize(
    "kind, is_waited_for",
    [(FaultKind.DELAY, False), (FaultKind.DRIP, False), (FaultKind.CDR_EARLY, False), (FaultKind.MALFORMED, True)],
)
def test_an_answer_that_a_fault_holds_back_is_not_waited_for(kind: FaultKind, is_waited_for: bool) -> None:
    exchange = make_exchange()
    open_account(exchange, subscriptions=1)
    fault = Fault(kind, delay_s=60.0) if kind in {FaultKind.DELAY, FaultKind.DRIP} else Fault(kind)
    exchange.operator.settings.change("1", lambda account: replace_faults(account, [fault]))
    answer(exchange)
    assert exchange.operator.calls.all_answered().done() is not is_waited_for


def test_who_is_placed_later_is_not_waited_for_and_a_reset_ends_the_wait() -> None:
    exchange = make_exchange()
    open_account(exchange)
    calls = exchange.operator.calls
    assert calls.all_answered().done()
    answer(exchange)
    waiting, (first,) = calls.all_answered(), calls.page()
    answer(exchange)
    assert not waiting.done()
    calls.release(first.verification_call_uuid)
    assert waiting.done()
    again = calls.all_answered()
    assert not again.done()
    exchange.operator.reset()
    assert again.done()
