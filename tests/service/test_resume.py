"""What goes on once a state that outlived its process is read: nothing is lost, and nothing is early."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from helpers.store_calls import accept, placed
from msgspec.structs import replace

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Observers
from pytest_mcn_mock.model.accounts import Account, add_subscription
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, end
from pytest_mcn_mock.model.deliveries import NEXT_CALL, CdrResponse, Delivery, DeliveryState
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision
from pytest_mcn_mock.storage.memory import MemoryStore

ACCOUNT = add_subscription(Account("1", "t", 1), make_subscription("http://localhost/"))


class Notes:
    """A courier that takes down what it is given."""

    def __init__(self) -> None:
        self.to_end: list[str] = []
        self.to_deliver: list[int] = []

    def end_call(self, call: Call) -> None:
        self.to_end.append(call.verification_call_uuid)

    def deliver(self, delivery: Delivery) -> None:
        assert delivery.due_at is not None
        self.to_deliver.append(delivery.id)

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


class Found:
    """A state as a process left it."""

    def __init__(self) -> None:
        self.store = MemoryStore(100)
        self.courier = Notes()
        self.store.accounts.add(ACCOUNT, 1000, 0.0)
        ports = VirtualClock(), self.courier
        self.deliveries = Deliveries(self.store.accounts, self.store.calls, *ports, Observers(), Assumptions())
        self.calls = Calls(
            self.store.calls, *ports, self.deliveries, Observers(), self.store, Assumptions(), max_pending=100
        )

    def call(self, *, ends_at: float | None = 5.0) -> tuple[Call, Delivery]:
        def decide(standing: AccountSnapshot) -> CallDecision:
            placement = accept(standing)
            return replace(placement, call=replace(placement.call, ends_at=ends_at))

        call = placed(self.store, "1", decide)
        return call, self.store.calls.deliveries_of(call.verification_call_uuid)[0]

    def ended(self, **changes: object) -> Delivery:
        call, delivery = self.call()
        self.store.calls.end(call.verification_call_uuid, lambda c, ds: (end(c, c.planned, 5.0), ds))
        return self.store.calls.change_delivery(delivery.id, lambda d: replace(d, **changes))

    def resume(self) -> Notes:
        self.calls.resume()
        self.deliveries.resume()
        return self.courier


@pytest.fixture
def found() -> Found:
    return Found()


def test_a_call_that_rings_is_ended_when_it_is_due_and_one_that_is_held_stays_so(found: Found) -> None:
    call, _ = found.call()
    found.call(ends_at=None)
    notes = found.resume()
    assert (notes.to_end, notes.to_deliver) == ([call.verification_call_uuid], [])


def test_what_is_pending_is_sent_and_what_is_settled_is_not(found: Found) -> None:
    pending = found.ended()
    found.ended(state=DeliveryState.DELIVERED, due_at=None)
    found.ended(state=DeliveryState.FAILED, due_at=None)
    assert found.resume().to_deliver == [pending.id]


def test_what_waited_for_a_delivery_that_was_settled_meanwhile_is_sent(found: Found) -> None:
    call, first = found.call()
    done = replace(first, state=DeliveryState.DELIVERED, due_at=None)
    found.store.calls.end(
        call.verification_call_uuid,
        lambda c, _: (end(c, c.planned, 5.0), [done, replace(first, id=0, due_at=None, waits_for=first.id)]),
    )
    assert found.resume().to_deliver == [first.id + 1]


def test_what_waits_for_an_pending_delivery_of_its_call_is_not_sent_before_it(found: Found) -> None:
    call, first = found.call()
    found.store.calls.end(
        call.verification_call_uuid,
        lambda c, _: (end(c, c.planned, 5.0), [first, replace(first, id=0, due_at=None, waits_for=first.id)]),
    )
    assert found.resume().to_deliver == [first.id]


def test_what_waits_for_the_next_call_waits_on_until_that_is_settled(found: Found) -> None:
    found.ended(state=DeliveryState.DELIVERED, due_at=None)
    parked = found.ended(waits_for=NEXT_CALL, due_at=None)
    assert found.resume().to_deliver == []
    later = found.ended()
    found.deliveries.record(later, 6.0, 0.0, CdrResponse(200, {}, b""), None)
    assert found.courier.to_deliver == [parked.id]


def test_what_waited_for_the_next_call_is_sent_where_that_was_settled_meanwhile(found: Found) -> None:
    parked = found.ended(waits_for=NEXT_CALL, due_at=None)
    found.ended(state=DeliveryState.DELIVERED, due_at=None)
    assert found.resume().to_deliver == [parked.id]
