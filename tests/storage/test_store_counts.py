"""The counts that a store keeps beside its lists are those of the lists, whatever was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from helpers.store_calls import accept, placed
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_mcn_mock.model.accounts import Account, add_subscription
from pytest_mcn_mock.model.calls import Call, end
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.storage.memory import MemoryStore

JOURNAL = 3
STEPS = ("place", "end", "end and owe twice", "deliver", "give up", "owe again", "remove", "clear")


class Steps:
    """A store, and whatever can be done to it."""

    def __init__(self) -> None:
        self.store = MemoryStore(JOURNAL)
        self.opened = 0
        self.placed = 0
        self.uuids: list[str] = []

    def take(self, step: str, which: int) -> None:
        ids = [account.id for account in self.store.accounts.all()]
        deliveries = self.store.calls.page_of_deliveries(None, 0, 1000)
        if step == "place":
            if not ids:
                ids = [self.open()]
            call = placed(self.store, ids[which % len(ids)], accept)
            self.uuids.append(call.verification_call_uuid)
            self.placed += 1
        elif step == "remove" and ids:
            self.store.accounts.remove(ids[which % len(ids)])
        elif step == "clear":
            self.store.accounts.clear()
        elif step.startswith("end") and self.uuids:
            self.store.calls.end(self.uuids[which % len(self.uuids)], _ending(twice="twice" in step))
        elif step in {"deliver", "give up", "owe again"} and deliveries:
            state = {"deliver": "delivered", "give up": "failed", "owe again": "pending"}[step]
            chosen = deliveries[which % len(deliveries)].id
            self.store.calls.change_delivery(chosen, lambda d: replace(d, state=DeliveryState(state)))

    def open(self) -> str:
        self.opened += 1
        account = Account(str(self.opened), f"token-{self.opened}", self.opened)
        for _ in range(2):
            account = add_subscription(account, make_subscription("http://localhost/"))
        self.store.accounts.add(account, 100_000, 0.0)
        return account.id


def _ending(*, twice: bool) -> Any:
    def finish(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
        again = [replace(delivery, id=0) for delivery in deliveries] if twice else []
        return end(call, call.planned, 1.0), [*deliveries, *again]

    return finish


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=30))
def test_as_many_are_pending_as_are_listed_as_pending(steps: list[tuple[str, int]]) -> None:
    taken = Steps()
    for step, which in steps:
        taken.take(step, which)
        calls = taken.store.calls
        assert calls.count_pending() == len(calls.pending())


def test_what_leaves_a_full_journal_is_counted() -> None:
    taken = Steps()
    for n in range(JOURNAL + 2):
        assert taken.store.calls.count_dropped() == max(0, n - JOURNAL)
        taken.take("place", 0)
    assert len(taken.store.calls.page(None, 0, 100)) == JOURNAL


def test_an_end_that_fails_owes_what_it_did() -> None:
    taken = Steps()
    taken.take("place", 0)

    def fail(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        taken.store.calls.end(taken.uuids[0], fail)
    assert taken.store.calls.count_pending() == 2
