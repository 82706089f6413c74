from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from helpers.in_process import prepared

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Observers
from pytest_mcn_mock.errors import NotFound, Refusal, UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.deliveries import CdrResponse, Delivery, DeliveryState
from pytest_mcn_mock.model.money import Method, Tariff
from pytest_mcn_mock.model.outcomes import OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.service.account_settings import AccountSettings
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.storage.memory import MemoryStore

ACCOUNT = "12345678"
FLASH = CallOrder(Method.FLASH_CALL, "79157777777")


class RecordingCourier:
    """A courier that only notes what it was given."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.deliveries: list[Delivery] = []

    def end_call(self, call: Call) -> None:
        self.calls.append(call)

    def deliver(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def forget(self, account_id: str) -> None:
        pass

    def start_waiting(self) -> None:
        raise NotImplementedError

    def stop_waiting(self) -> None:
        raise NotImplementedError

    def forget_all(self) -> None:
        raise NotImplementedError

    def advance(self, seconds: float, after: Future[None] | None = None) -> Future[None]:
        raise NotImplementedError


class World:
    """An operator with one account, and what it was wired with."""

    def __init__(self, **assumed: Any) -> None:
        self.clock, self.courier = VirtualClock(), RecordingCourier()
        store, nobody, assumptions = MemoryStore(1000), Observers(), Assumptions(**assumed)
        deliveries = Deliveries(store.accounts, store.calls, self.clock, self.courier, nobody, assumptions)
        self.operator = Operator(
            accounts=Accounts(store.accounts, self.clock, nobody, Tariff()),
            settings=AccountSettings(store.accounts, nobody),
            calls=Calls(
                store.calls, self.clock, self.courier, deliveries, nobody, store, assumptions, max_pending=1000
            ),
            deliveries=deliveries,
            journal=Journal(self.clock, nobody, 1000),
            assumptions=assumptions,
            courier=self.courier,
            observer=nobody,
            restore=lambda _: None,
        )
        self.operator.accounts.open(seed=1, balance="100.00", account_id=ACCOUNT, numbers=["79158888888"])

    def subscribe(self, **settings: Any) -> None:
        self.operator.settings.subscribe(ACCOUNT, make_subscription("http://localhost/hook", **settings))

    def rule(self, outcome: str, **settings: Any) -> None:
        self.operator.settings.prefer_outcome(ACCOUNT, OutcomeRule(ending(outcome, unavailable_cause=20), **settings))

    def call(self, order: CallOrder = FLASH) -> Call:
        call = self.operator.calls.place(ACCOUNT, order)
        self.operator.calls.release(call.verification_call_uuid)
        return call

    def answer(self, delivery_id: int, status: int | None) -> Delivery:
        """Try a delivery: the endpoint answers with the status, or not at all."""
        assert prepared(self.operator.deliveries, delivery_id) is not None
        response = None if status is None else CdrResponse(status, {}, b"")
        now = self.clock.now(ACCOUNT)
        handed = self.operator.deliveries.get(delivery_id)
        self.operator.deliveries.record(handed, now, 0.01, response, None if response else "no answer")
        return self.operator.deliveries.get(delivery_id)


@pytest.fixture
def world() -> World:
    return World()


def test_an_accepted_call_is_charged_at_its_price(world: World) -> None:
    call = world.call()
    assert call.price == 15
    assert world.operator.accounts.balance(ACCOUNT) == 10_000 - 15
    charge = world.operator.accounts.ledger(ACCOUNT)[-1]
    assert (charge.kopecks, charge.verification_call_uuid) == (-15, call.verification_call_uuid)


@pytest.mark.parametrize(
    "order,code",
    [
        (CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did="79159999999"), "foreign_number"),
        (FLASH, "insufficient_funds"),
    ],
)
def test_a_refused_call_changes_nothing(world: World, order: CallOrder, code: str) -> None:
    world.operator.accounts.set_balance(ACCOUNT, "0.14")
    ledger = world.operator.accounts.ledger(ACCOUNT)
    with pytest.raises(Refusal) as refused:
        world.call(order)
    assert refused.value.code == code
    assert world.operator.accounts.ledger(ACCOUNT) == ledger
    assert world.operator.calls.page() == []
    world.operator.accounts.set_balance(ACCOUNT, "0.15")
    assert world.call().verification_call_uuid == World().call().verification_call_uuid, "a draw was spent"


def test_the_last_kopecks_can_be_spent(world: World) -> None:
    world.operator.accounts.set_balance(ACCOUNT, "0.15")
    world.call()
    assert world.operator.accounts.balance(ACCOUNT) == 0


def test_no_cdr_is_sent_before_the_answer(world: World) -> None:
    world.subscribe()
    call = world.operator.calls.place(ACCOUNT, FLASH)
    assert call.state == "completed"
    assert world.courier.deliveries == []
    world.operator.calls.release(call.verification_call_uuid)
    world.operator.calls.release(call.verification_call_uuid)
    assert [d.verification_call_uuid for d in world.courier.deliveries] == [call.verification_call_uuid]


def test_a_delayed_call_rings_until_the_courier_ends_it(world: World) -> None:
    world.subscribe()
    world.rule("busy", delay_s=2.0)
    call = world.call()
    assert call.state == "ringing"
    assert [c.ends_at for c in world.courier.calls] == [call.placed_at + 2.0]
    assert prepared(world.operator.deliveries, 1) is None, "there is no CDR of a call that rings"
    world.clock.move(ACCOUNT, 2.0)
    (delivery,) = world.operator.calls.end(call.verification_call_uuid)
    assert world.courier.deliveries == [delivery]
    assert world.operator.calls.end(call.verification_call_uuid) == ()


def test_a_held_call_is_completed_by_hand_once(world: World) -> None:
    world.subscribe()
    world.operator.settings.hold_cdrs(ACCOUNT)
    call = world.call()
    assert (call.state, call.ends_at, world.courier.calls) == ("ringing", None, [])
    world.operator.calls.complete(call.verification_call_uuid, ending(q931_status=27, unavailable_cause=20))
    ended = world.operator.calls.get(call.verification_call_uuid)
    assert ended.ending is not None
    assert ended.ending.q931_status == 27
    assert "manually" in ended.explanation.outcome
    with pytest.raises(UsageError, match="has ended already"):
        world.operator.calls.complete(call.verification_call_uuid)
    assert len(world.courier.deliveries) == 1


def test_every_subscription_gets_the_cdr_and_call_for_2fa_has_none(world: World) -> None:
    world.subscribe()
    world.subscribe(body=["did"])
    world.call()
    world.call(CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did="79158888888"))
    assert [d.subscription for d in world.courier.deliveries] == [1, 2]


def test_call_for_2fa_has_a_cdr_by_setting() -> None:
    world = World(call_for_2fa_cdr=True)
    world.subscribe()
    world.call(CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did="79158888888"))
    assert len(world.courier.deliveries) == 1


def body_of(world: World, **settings: Any) -> bytes:
    world.subscribe(**settings)
    world.call()
    request = prepared(world.operator.deliveries, 1)
    assert request is not None
    return request.body


def test_the_body_is_the_variables_in_their_order_and_then_the_constants(world: World) -> None:
    body = body_of(world, body=["final_status", "q931_status"], constants={"from": "mcn", "n": 1, "yes": True})
    assert body == b'{"final_status": "ANSWERED", "q931_status": 16, "from": "mcn", "n": 1, "yes": true}'


def test_a_variable_without_a_value_is_absent(world: World) -> None:
    world.rule("rejected")
    record = json.loads(body_of(world, body=["q931_status", "final_status", "answer_time"]))
    assert record == {"q931_status": 31}


def test_the_further_variables_can_be_asked_for(world: World) -> None:
    names = [
        "account_id",
        "start_time",
        "answer_time",
        "stop_time",
        "hangup_cause",
        "number",
        "did",
        "orig",
        "uniqueid",
    ]
    record = json.loads(body_of(world, body=names))
    call = world.operator.calls.page()[0]
    assert list(record) == names
    assert (record["number"], record["did"], record["account_id"]) == ("79157777777", call.caller_did, ACCOUNT)
    assert record["uniqueid"] == call.verification_call_uuid.partition("_")[0]
    assert record["start_time"] == record["answer_time"] == record["stop_time"] == "2022-05-27 12:50:00"


def test_get_puts_the_variables_into_the_query_beside_what_is_there(world: World) -> None:
    world.operator.settings.subscribe(
        ACCOUNT, make_subscription("http://localhost/hook?a=1", method="get", query={"b": "ü&"}, body=["q931_status"])
    )
    world.call()
    request = prepared(world.operator.deliveries, 1)
    assert request is not None
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == "http://localhost/hook?a=1&b=%C3%BC%26&q931_status=16"


def test_the_users_headers_replace_our_own(world: World) -> None:
    world.subscribe(headers={"content-type": "application/cdr+json", "X-Key": "1"})
    world.call()
    request = prepared(world.operator.deliveries, 1)
    assert request is not None
    assert {name: request.headers[name] for name in ("content-type", "X-Key")} == {
        "content-type": "application/cdr+json",
        "X-Key": "1",
    }
    assert "Content-Type" not in request.headers


def test_the_same_seed_gives_the_same_records_byte_for_byte() -> None:
    everything = ["verification_call_uuid", "start_time", "stop_time", "did"]
    assert body_of(World(), body=everything) == body_of(World(), body=everything)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_acknowledges(world: World, status: int) -> None:
    world.subscribe()
    world.call()
    assert world.answer(1, status).state is DeliveryState.DELIVERED
    assert prepared(world.operator.deliveries, 1) is None
    assert world.operator.deliveries.pending() == []


@pytest.mark.parametrize("status", [None, 199, 302, 404, 500])
def test_anything_else_is_tried_again_by_the_schedule_and_failed(world: World, status: int | None) -> None:
    world.subscribe()
    world.call()
    waits = []
    for _ in range(3):
        delivery = world.answer(1, status)
        assert delivery.due_at is not None
        waits.append(delivery.due_at - world.clock.now(ACCOUNT))
        world.clock.reach(ACCOUNT, delivery.due_at)
    assert waits == [1.0, 5.0, 25.0]
    delivery = world.answer(1, status)
    assert (delivery.state, delivery.due_at) == (DeliveryState.FAILED, None)
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3, 4]


def test_without_retry_there_is_one_attempt(world: World) -> None:
    world.subscribe(retry=False)
    world.call()
    assert world.answer(1, 500).state is DeliveryState.FAILED


def fail(world: World, times: int) -> None:
    for _ in range(times):
        world.call()
        if world.courier.deliveries:
            world.answer(world.courier.deliveries.pop().id, 500)


def test_a_webhook_is_disabled_after_ten_failed_in_a_row(world: World) -> None:
    world.subscribe(retry=False)
    fail(world, 9)
    assert world.operator.accounts.get(ACCOUNT).subscriptions[0].enabled
    fail(world, 1)
    assert not world.operator.accounts.get(ACCOUNT).subscriptions[0].enabled
    world.call()
    assert world.courier.deliveries == []


def test_an_acknowledgement_starts_the_count_anew() -> None:
    world = World(disable_after=2)
    world.subscribe(retry=False)
    fail(world, 1)
    world.call()
    world.answer(world.courier.deliveries.pop().id, 200)
    fail(world, 1)
    assert world.operator.accounts.get(ACCOUNT).subscriptions[0].enabled


def test_a_webhook_can_be_kept_from_being_disabled() -> None:
    world = World(disable_after=1)
    world.subscribe(retry=False, never_disable=True)
    fail(world, 3)
    assert world.operator.accounts.get(ACCOUNT).subscriptions[0].enabled


def close_before_preparing(world: World) -> None:
    world.operator.accounts.close(ACCOUNT)
    assert prepared(world.operator.deliveries, 1) is None


def close_while_sending(world: World) -> None:
    assert prepared(world.operator.deliveries, 1) is not None
    handed = world.operator.deliveries.get(1)
    world.operator.accounts.close(ACCOUNT)
    assert world.operator.deliveries.record(handed, 0.0, 0.0, CdrResponse(200, {}, b""), None) is None


@pytest.mark.parametrize("close", [close_before_preparing, close_while_sending])
def test_closing_an_account_ends_its_deliveries(world: World, close: Callable[[World], None]) -> None:
    world.subscribe()
    call = world.call()
    close(world)
    with pytest.raises(NotFound):
        world.operator.calls.get(call.verification_call_uuid)
    world.operator.calls.release(call.verification_call_uuid)
    assert world.operator.calls.end(call.verification_call_uuid) == ()


def test_a_closed_accounts_id_is_not_given_out_again(world: World) -> None:
    world.operator.accounts.close(ACCOUNT)
    with pytest.raises(UsageError, match="exists already, or did"):
        world.operator.accounts.open(seed=1, balance=0, account_id=ACCOUNT)
    first = world.operator.accounts.open(seed=5, balance=0)
    world.operator.accounts.close(first.id)
    assert world.operator.accounts.open(seed=5, balance=0).id != first.id


def test_a_top_up_is_positive_and_a_failed_one_changes_nothing(world: World) -> None:
    for amount in ("0", "-1", "x"):
        with pytest.raises(UsageError):
            world.operator.accounts.top_up(ACCOUNT, amount)
    assert len(world.operator.accounts.ledger(ACCOUNT)) == 1
    assert world.operator.accounts.top_up(ACCOUNT, "0.01") == 10_001
