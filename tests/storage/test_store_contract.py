"""One suite for every store: what operator/ports.py asks of it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Sequence

import pytest
from helpers.store_calls import accept, placed
from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, Refusal, UsageError
from pytest_mcn_mock.model.accounts import Account, add_subscription
from pytest_mcn_mock.model.calls import Call, end
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision
from pytest_mcn_mock.storage.memory import MemoryStore
from pytest_mcn_mock.storage.sql import SqlStore

Store = MemoryStore | SqlStore
JOURNAL = 10


@pytest.fixture
def store(make_store: Callable[[int], Store]) -> Store:
    made = make_store(JOURNAL)
    account = add_subscription(Account("1", "token-1", 1), make_subscription("http://localhost/"))
    made.accounts.add(account, 1_000_000, 0.0)
    return made


def finish(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
    return end(call, call.planned, 1.0), [replace(delivery, due_at=1.0) for delivery in deliveries]


def deliver(store: Store, call: Call) -> None:
    store.calls.end(call.verification_call_uuid, finish)
    for delivery in store.calls.deliveries_of(call.verification_call_uuid):
        store.calls.change_delivery(delivery.id, lambda d: replace(d, state=DeliveryState.DELIVERED, due_at=None))


def test_placing_charges_records_and_owes_in_one_step(store: Store) -> None:
    call = placed(store, "1", accept)
    assert store.calls.get(call.verification_call_uuid) == call
    assert store.accounts.balance("1") == 1_000_000 - 15
    (delivery,) = store.calls.pending()
    assert (delivery.verification_call_uuid, delivery.state) == (call.verification_call_uuid, DeliveryState.PENDING)


def test_what_decide_raises_leaves_everything_as_it_was(store: Store) -> None:
    def refuse(standing: AccountSnapshot) -> CallDecision:
        raise ZeroDivisionError

    before = store.accounts.entries("1")
    with pytest.raises(ZeroDivisionError):
        placed(store, "1", refuse)
    assert store.accounts.entries("1") == before
    assert store.calls.page(None, 0, 10) == []
    assert store.calls.pending() == []
    assert placed(store, "1", accept).seq == 1


def test_sixty_four_threads_never_overdraw(store: Store) -> None:
    store.accounts.add(Account("2", "token-2", 2), 15 * 100 + 14, 0.0)
    barrier, accepted, refused = threading.Barrier(64), [], []

    def race() -> None:
        barrier.wait()
        for _ in range(5):
            try:
                accepted.append(placed(store, "2", accept))
            except Refusal as refusal:
                refused.append(refusal.code)

    threads = [threading.Thread(target=race) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(accepted), len(refused)) == (100, 220)
    assert store.accounts.balance("2") == 14 == sum(entry.kopecks for entry in store.accounts.entries("2"))
    assert len({call.verification_call_uuid for call in accepted}) == 100


def test_a_call_ends_once(store: Store) -> None:
    call = placed(store, "1", accept)
    ended = store.calls.end(call.verification_call_uuid, finish)
    assert ended is not None
    assert ended[0].state == "completed"
    assert store.calls.end(call.verification_call_uuid, finish) is None
    assert store.calls.end("nobody_1", finish) is None


def test_a_new_delivery_gets_a_number(store: Store) -> None:
    call = placed(store, "1", accept)
    store.calls.end(call.verification_call_uuid, lambda c, ds: (end(c, c.planned, 1.0), [*ds, replace(ds[0], id=0)]))
    first, second = store.calls.deliveries_of(call.verification_call_uuid)
    assert store.calls.delivery(second.id) == second
    assert second.id != first.id


def test_pages_are_in_order_of_arrival(store: Store) -> None:
    store.accounts.add(Account("2", "token-2", 2), 1000, 0.0)
    calls = [placed(store, account_id, accept) for account_id in "12112"]
    assert store.calls.page(None, 0, 2) == calls[:2]
    assert store.calls.page(None, calls[1].seq, 10) == calls[2:]
    assert store.calls.page("2", 0, 10) == [calls[1], calls[4]]
    assert store.calls.page(None, calls[-1].seq, 10) == []
    assert [d.account_id for d in store.calls.page_of_deliveries(None, 0, 10)] == ["1", "1", "1"]
    first = store.calls.page_of_deliveries("1", 0, 1)[0]
    assert first not in store.calls.page_of_deliveries("1", first.id, 10)


def test_the_journal_is_bounded_and_the_oldest_goes_first(store: Store) -> None:
    calls = [placed(store, "1", accept) for _ in range(JOURNAL + 3)]
    for call in calls:
        deliver(store, call)
    assert store.calls.page(None, 0, 100) == [store.calls.get(c.verification_call_uuid) for c in calls[3:]]
    assert store.calls.page("1", 0, 100) == store.calls.page(None, 0, 100)
    with pytest.raises(NotFound):
        store.calls.get(calls[0].verification_call_uuid)


def test_a_call_that_owes_a_cdr_is_kept_until_it_owes_nothing(store: Store) -> None:
    first, *others = [placed(store, "1", accept) for _ in range(JOURNAL + 1)]
    for call in others:
        deliver(store, call)
    assert [d.verification_call_uuid for d in store.calls.pending()] == [first.verification_call_uuid]
    assert store.calls.get(first.verification_call_uuid) == first
    deliver(store, first)
    assert store.calls.pending() == []
    with pytest.raises(NotFound):
        store.calls.get(first.verification_call_uuid)


def test_removing_an_account_forgets_all_that_is_its_own(store: Store) -> None:
    call = placed(store, "1", accept)
    (delivery,) = store.calls.pending()
    store.accounts.remove("1")
    assert store.calls.page(None, 0, 10) == []
    assert store.calls.pending() == []
    assert store.accounts.of_token("token-1") is None
    for look_up in (
        lambda: store.accounts.get("1"),
        lambda: store.accounts.balance("1"),
        lambda: store.calls.get(call.verification_call_uuid),
        lambda: store.calls.delivery(delivery.id),
        lambda: placed(store, "1", accept),
    ):
        with pytest.raises(NotFound):
            look_up()
    assert store.accounts.is_taken("1")
    with pytest.raises(UsageError):
        store.accounts.add(Account("1", "token-9", 1), 0, 0.0)
    store.accounts.add(Account("9", "token-1", 1), 0, 0.0)


def test_an_id_and_a_token_are_one_accounts(store: Store) -> None:
    for taken in (Account("1", "other", 1), Account("2", "token-1", 1)):
        with pytest.raises(UsageError):
            store.accounts.add(taken, 0, 0.0)
    assert [account.id for account in store.accounts.all()] == ["1"]


def test_a_posting_sees_the_balance(store: Store) -> None:
    assert store.accounts.post("1", EntryKind.ADJUSTMENT, lambda balance: 14 - balance, 0.0) == 14
    assert store.accounts.balance("1") == 14 == sum(entry.kopecks for entry in store.accounts.entries("1"))


def test_the_ledger_is_bounded_and_still_sums_up(store: Store) -> None:
    for _ in range(JOURNAL * 3):
        placed(store, "1", accept)
    entries = store.accounts.entries("1")
    assert len(entries) == JOURNAL
    assert sum(entry.kopecks for entry in entries) == store.accounts.balance("1") == 1_000_000 - 15 * JOURNAL * 3


def test_memory_keeps_nothing_of_a_call_that_was_dropped() -> None:
    class Tracked(str):
        """A text that can be watched."""

        __slots__ = ("__weakref__",)

    store = MemoryStore(2)
    store.accounts.add(Account("1", "t", 1), 10_000, 0.0)

    def decide_tracked(standing: AccountSnapshot) -> CallDecision:
        placement = accept(standing)
        return replace(placement, call=replace(placement.call, login_did=Tracked("79157777777")), deliveries=())

    call = placed(store, "1", decide_tracked)
    watched = weakref.ref(call.login_did)
    store.calls.end(call.verification_call_uuid, finish)
    del call
    for _ in range(3):
        store.calls.end(placed(store, "1", accept).verification_call_uuid, finish)
    gc.collect()
    assert watched() is None
