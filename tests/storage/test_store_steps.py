"""More of what operator/ports.py asks of every store: that each step is one, and that lists can be paged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import pytest
from helpers.store_calls import accept, placed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, Refusal
from pytest_mcn_mock.model.accounts import Account, add_subscription, connect_number
from pytest_mcn_mock.model.calls import Call, end
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision
from pytest_mcn_mock.storage.memory import MemoryStore
from pytest_mcn_mock.storage.sql import SqlStore

Store = MemoryStore | SqlStore
T = TypeVar("T")
JOURNAL, OPENING, PRICE, THREADS = 20, 100_000, 15, 64
SUBSCRIBED = add_subscription(Account("1", "token-1", 1), make_subscription("http://localhost/"))


@pytest.fixture
def store(make_store: Callable[[int], Store]) -> Store:
    """A store with one account, which has one webhook."""
    made = make_store(JOURNAL)
    made.accounts.add(SUBSCRIBED, OPENING, 0.0)
    return made


def finish(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
    return end(call, call.planned, 1.0), [replace(delivery, due_at=1.0) for delivery in deliveries]


def finish_twice_told(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
    return end(call, call.planned, 1.0), [*deliveries, *(replace(delivery, id=0) for delivery in deliveries)]


def delivered(delivery: Delivery) -> Delivery:
    return replace(delivery, state=DeliveryState.DELIVERED, due_at=None)


def settle(store: Store, call: Call) -> None:
    """End a call and acknowledge its CDRs."""
    store.calls.end(call.verification_call_uuid, finish)
    for delivery in store.calls.deliveries_of(call.verification_call_uuid):
        store.calls.change_delivery(delivery.id, delivered)


def contents(store: Store) -> tuple[object, ...]:
    return (
        store.accounts.all(),
        [(store.accounts.balance(a.id), store.accounts.entries(a.id)) for a in store.accounts.all()],
        store.calls.page(None, 0, 100),
        store.calls.page_of_deliveries(None, 0, 100),
        store.calls.pending(),
    )


def fail(*args: object) -> Any:
    raise ZeroDivisionError


STEPS: dict[str, Callable[[Store], object]] = {
    "place": lambda store: placed(store, "1", fail),
    "end": lambda store: store.calls.end(store.calls.page("1", 0, 1)[0].verification_call_uuid, fail),
    "change_delivery": lambda store: store.calls.change_delivery(1, fail),
    "change": lambda store: store.accounts.change("1", fail),
    "post": lambda store: store.accounts.post("1", EntryKind.TOP_UP, fail, 0.0),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_that_fails_did_not_happen(store: Store, step: Callable[[Store], object]) -> None:
    call = placed(store, "1", accept)
    before = contents(store)
    with pytest.raises(ZeroDivisionError):
        step(store)
    assert contents(store) == before
    assert placed(store, "1", accept).seq == call.seq + 1
    assert store.calls.end(call.verification_call_uuid, finish) is not None, (
        "the store is not locked, and the call rings"
    )


def test_placing_changes_the_account_in_the_same_step(store: Store) -> None:
    def connect_too(standing: AccountSnapshot) -> CallDecision:
        return replace(accept(standing), account=connect_number(standing.account, "79158888888"))

    placed(store, "1", connect_too)
    assert store.accounts.get("1").numbers == ("79158888888",)


def test_placing_sees_how_things_stand(store: Store) -> None:
    seen: list[tuple[str, int, int, int, int]] = []

    def look(standing: AccountSnapshot) -> CallDecision:
        seen.append((standing.account.id, *standing[1:]))
        if len(seen) == 2:
            raise ZeroDivisionError
        return accept(standing)

    placed(store, "1", look)
    with pytest.raises(ZeroDivisionError):
        placed(store, "1", look)
    placed(store, "1", look)
    assert seen == [("1", OPENING, 0, 1, 1), ("1", OPENING - PRICE, 1, 2, 2), ("1", OPENING - PRICE, 1, 2, 2)]


def test_how_many_were_accepted_is_counted_past_the_journal(store: Store) -> None:
    uuids = set()
    for _ in range(JOURNAL * 3):
        call = placed(store, "1", accept)
        settle(store, call)
        uuids.add(call.verification_call_uuid)
    assert len(uuids) == JOURNAL * 3


def test_only_webhooks_that_are_enabled_are_pending_a_cdr(store: Store) -> None:
    account = add_subscription(SUBSCRIBED, make_subscription("http://localhost/2"))
    disabled = replace(account.subscriptions[0], enabled=False)
    store.accounts.change("1", lambda _: replace(account, subscriptions=(disabled, account.subscriptions[1])))
    placed(store, "1", accept)
    assert [(d.subscription, d.url) for d in store.calls.pending()] == [(2, "http://localhost/2")]


def test_a_delivery_without_a_number_is_numbered_after_the_others(store: Store) -> None:
    store.accounts.change("1", lambda account: add_subscription(account, make_subscription("http://localhost/2")))

    def owe_twice(standing: AccountSnapshot) -> CallDecision:
        placement = accept(standing)
        twice = [d for delivery in placement.deliveries for d in (delivery, replace(delivery, id=0))]
        return replace(placement, deliveries=twice)

    for first in (1, 5):
        _, deliveries = store.calls.place("1", owe_twice)
        assert [delivery.id for delivery in deliveries] == [first, first + 2, first + 1, first + 3]
        assert [store.calls.delivery(delivery.id) for delivery in deliveries] == list(deliveries)
    assert store.calls.count_pending() == 8


def test_a_call_without_a_cdr_owes_nothing(store: Store) -> None:
    call = placed(store, "1", lambda standing: replace(accept(standing), deliveries=()))
    assert store.calls.deliveries_of(call.verification_call_uuid) == ()
    assert store.calls.pending() == []


def race(step: Callable[[int], object]) -> None:
    """Do a step on each of many threads, all let go together; whatever one raises fails the test."""
    barrier, errors = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            step(number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("kopecks", [0, 14, 15, 29, 30, 15 * 63, 15 * 64, 15 * 100 + 14])
def test_a_race_for_the_last_kopecks_is_won_as_often_as_there_is_money(
    make_store: Callable[[int], Store], kopecks: int
) -> None:
    store = make_store(1000)
    store.accounts.add(replace(SUBSCRIBED, id="2", token="token-2"), kopecks, 0.0)
    accepted: list[Call] = []

    def order(number: int) -> None:
        for _ in range(3):
            try:
                accepted.append(placed(store, "2", accept))
            except Refusal as refusal:
                assert refusal.code == "insufficient_funds"  # noqa: PT017 - a refusal is one of two right answers

    race(order)
    wins = min(kopecks // PRICE, 3 * THREADS)
    assert len(accepted) == len({call.verification_call_uuid for call in accepted}) == wins
    assert sorted(call.seq for call in accepted) == list(range(1, wins + 1))
    balance = store.accounts.balance("2")
    assert balance == kopecks - wins * PRICE == sum(entry.kopecks for entry in store.accounts.entries("2"))
    assert len(store.calls.pending()) == wins


def test_money_that_comes_and_goes_at_once_adds_up(store: Store) -> None:
    def come_and_go(number: int) -> None:
        store.accounts.post("1", EntryKind.TOP_UP, lambda _: number, 0.0)
        placed(store, "1", accept)

    race(come_and_go)
    balance = store.accounts.balance("1")
    assert balance == OPENING + sum(range(THREADS)) - PRICE * THREADS
    assert balance == sum(entry.kopecks for entry in store.accounts.entries("1"))


def test_changes_made_at_once_are_all_made(store: Store) -> None:
    race(lambda number: store.accounts.change("1", lambda a: connect_number(a, f"791588888{number:02d}")))
    assert len(store.accounts.get("1").numbers) == THREADS


def test_of_many_who_end_a_call_one_does(store: Store) -> None:
    call = placed(store, "1", accept)
    ended: list[object] = []
    race(lambda _: ended.append(store.calls.end(call.verification_call_uuid, finish_twice_told)))
    assert sum(result is not None for result in ended) == 1
    assert len(store.calls.deliveries_of(call.verification_call_uuid)) == 2


def test_removing_an_account_while_it_calls_leaves_nothing_of_it(store: Store) -> None:
    def call_or_remove(number: int) -> None:
        if number == THREADS // 2:
            store.accounts.remove("1")
            return
        with suppress(NotFound):
            settle(store, placed(store, "1", accept))

    race(call_or_remove)
    assert (store.calls.page(None, 0, 100), store.calls.page_of_deliveries(None, 0, 100)) == ([], [])
    assert store.calls.pending() == []
    assert store.accounts.all() == []


def test_removing_an_account_leaves_the_others(store: Store) -> None:
    store.accounts.add(replace(SUBSCRIBED, id="2", token="token-2"), OPENING, 0.0)
    placed(store, "1", accept)
    kept = placed(store, "2", accept)
    store.accounts.remove("1")
    assert store.calls.page(None, 0, 10) == [kept]
    assert [d.account_id for d in store.calls.pending()] == ["2"]
    assert [a.id for a in store.accounts.all()] == ["2"]


def test_removing_an_account_takes_the_calls_that_the_journal_kept_only_because_they_owe(store: Store) -> None:
    calls = [placed(store, "1", accept) for _ in range(JOURNAL + 5)]
    store.accounts.remove("1")
    assert store.calls.pending() == []
    for call in calls:
        with pytest.raises(NotFound):
            store.calls.get(call.verification_call_uuid)
        assert store.calls.end(call.verification_call_uuid, finish) is None


def test_a_bounded_journal_counts_the_calls_of_all_accounts(store: Store) -> None:
    store.accounts.add(replace(SUBSCRIBED, id="2", token="token-2"), OPENING, 0.0)
    calls = [placed(store, "12"[n % 2], accept) for n in range(JOURNAL + 4)]
    for call in calls:
        settle(store, call)
    assert [call.seq for call in store.calls.page(None, 0, 100)] == list(range(5, JOURNAL + 5))
    assert [call.seq for call in store.calls.page("1", 0, 100)] == list(range(5, JOURNAL + 5, 2))


@pytest.mark.parametrize("settled_first", [True, False])
def test_what_leaves_the_journal_is_gone_with_its_deliveries(store: Store, settled_first: bool) -> None:
    call = placed(store, "1", accept)
    if settled_first:
        settle(store, call)
    for _ in range(JOURNAL):
        placed(store, "1", accept)
    if not settled_first:
        assert store.calls.delivery(1).state is DeliveryState.PENDING
        settle_last(store, call)
    for look_up in (
        lambda: store.calls.get(call.verification_call_uuid),
        lambda: store.calls.deliveries_of(call.verification_call_uuid),
        lambda: store.calls.delivery(1),
        lambda: store.calls.change_delivery(1, delivered),
    ):
        with pytest.raises(NotFound):
            look_up()
    assert store.accounts.balance("1") == OPENING - PRICE * (JOURNAL + 1), "what it cost is not forgotten"


def settle_last(store: Store, call: Call) -> None:
    store.calls.end(call.verification_call_uuid, finish)
    assert store.calls.get(call.verification_call_uuid).state == "completed", "it still owes its CDR"
    store.calls.change_delivery(1, delivered)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.sampled_from(["place 1", "place 2", "end", "end twice told"]), max_size=20), st.integers(1, 7))
def test_pages_put_together_are_the_whole_list_in_order(
    make_store: Callable[[int], Store], happenings: list[str], limit: int
) -> None:
    store = make_store(1000)
    for account_id in "12":
        store.accounts.add(replace(SUBSCRIBED, id=account_id, token=f"token-{account_id}"), OPENING, 0.0)
    ringing: list[str] = []
    for happening in happenings:
        if happening.startswith("place"):
            ringing.append(placed(store, happening[-1], accept).verification_call_uuid)
        elif ringing:
            store.calls.end(ringing.pop(), finish if happening == "end" else finish_twice_told)
    for whose in (None, "1", "2"):
        calls = paged(partial(store.calls.page, whose, limit=limit), lambda call: call.seq)
        assert calls == list(store.calls.page(whose, 0, 1000))
        assert [call.seq for call in calls] == sorted({call.seq for call in calls})
        deliveries = paged(partial(store.calls.page_of_deliveries, whose, limit=limit), lambda delivery: delivery.id)
        pending = sorted(store.calls.pending(), key=lambda delivery: delivery.id)
        assert deliveries == [delivery for delivery in pending if whose in {None, delivery.account_id}]


def paged(page: Callable[[int], Sequence[T]], cursor: Callable[[T], int]) -> list[T]:
    """Everything that is found by asking for what is behind the last item of the page before."""
    found: list[T] = []
    while items := page(cursor(found[-1]) if found else 0):
        found += items
    return found


def test_the_pages_of_an_account_that_is_not_there_are_an_error(store: Store) -> None:
    for look_up in (store.calls.page, store.calls.page_of_deliveries):
        with pytest.raises(NotFound, match="no account"):
            look_up("2", 0, 10)


def test_accounts_are_listed_in_order_of_opening(store: Store) -> None:
    for account_id in ("9", "5", "7"):
        store.accounts.add(Account(account_id, f"token-{account_id}", 1), 0, 0.0)
    store.accounts.remove("5")
    assert [account.id for account in store.accounts.all()] == ["1", "9", "7"]


def test_a_token_names_the_account_as_it_is_now(store: Store) -> None:
    store.accounts.change("1", lambda account: connect_number(account, "79158888888"))
    found = store.accounts.of_token("token-1")
    assert found == store.accounts.get("1")
    assert found is not None
    assert found.numbers == ("79158888888",)
    assert store.accounts.of_token("") is None


def test_what_was_read_does_not_change_afterwards(store: Store) -> None:
    call = placed(store, "1", accept)
    entries, page, pending = store.accounts.entries("1"), store.calls.page("1", 0, 10), store.calls.pending()
    deliveries = store.calls.deliveries_of(call.verification_call_uuid)
    settle(store, call)
    placed(store, "1", accept)
    assert (len(entries), len(page), len(pending)) == (2, 1, 1)
    assert page[0].state == "ringing"
    assert deliveries[0].state is DeliveryState.PENDING
