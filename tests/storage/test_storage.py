"""One suite over every storage: the behaviour that ``service.ports.Storage`` describes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from helpers.storage_steps import (
    OPENING,
    PRICE,
    Steps,
    accept,
    accept_ended,
    account,
    fail,
    finish,
    finish_twice_told,
    reorder,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from pytest_mcn_mock.errors import Conflict, NotFound, Refusal
from pytest_mcn_mock.model.accounts import Account, connect_number
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import CdrResponse, DeliveryState
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.model.outcomes import Outcome
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.ports import AccountDecision, AccountSnapshot, CallDecision, Ended, Posting, Tally
from pytest_mcn_mock.storage import memory, sql

JOURNAL = 5
NOTE = Reason("webhook_removed")


@pytest.fixture
def steps(make_steps: Callable[..., Steps]) -> Steps:
    """A storage with an account that has a webhook."""
    made = make_steps(JOURNAL)
    made.open()
    return made


def post(kind: EntryKind, kopecks: int) -> Callable[[Account, int], AccountDecision]:
    return lambda of, balance: AccountDecision(of, Posting(kind, kopecks, 0.5))


# Accounts


def test_an_account_is_opened_with_its_balance_and_a_number(steps: Steps) -> None:
    second = steps.open("2")
    assert second == replace(account("2"), seq=2)
    state = steps.run(steps.storage.account("2"))
    assert (state.account, state.balance) == (second, OPENING)
    (entry,) = steps.run(steps.storage.ledger("2"))
    assert (entry.kind, entry.kopecks, entry.at, entry.n) == (EntryKind.OPENING, OPENING, 0.25, 1)


@pytest.mark.parametrize(
    "taken, problem",
    [(Account("1", "other", 1), "account id 1 is or was in use"), (Account("2", "token-1", 1), "the token of")],
)
def test_an_id_and_a_token_are_one_accounts(steps: Steps, taken: Account, problem: str) -> None:
    before = steps.contents()
    with pytest.raises(Conflict, match=problem):
        steps.run(steps.storage.open_account(taken, 0, 0.0))
    assert steps.contents() == before
    assert steps.open("3").seq == 2


def test_the_id_of_a_closed_account_can_be_released(steps: Steps) -> None:
    steps.place()
    steps.run(steps.storage.release_id("1"))
    assert steps.run(steps.storage.is_taken("1")), "it is open"
    steps.run(steps.storage.close_account("1"))
    assert steps.run(steps.storage.is_taken("1"))
    steps.run(steps.storage.release_id("1"))
    assert not steps.run(steps.storage.is_taken("1"))
    assert steps.open("1").id == "1"
    assert steps.run(steps.storage.calls("1", 0, 9)) == []
    assert steps.balance() == OPENING


def test_accounts_are_listed_in_order_of_opening(steps: Steps) -> None:
    for account_id in ("9", "5", "7"):
        steps.open(account_id)
    steps.run(steps.storage.close_account("5"))
    listed = steps.run(steps.storage.accounts(0, 100))
    assert [(state.account.id, state.account.seq) for state in listed] == [("1", 1), ("9", 2), ("7", 4)]
    assert [state.account.id for state in steps.run(steps.storage.accounts(1, 1))] == ["9"]
    assert steps.run(steps.storage.accounts(4, 100)) == []


def test_changing_an_account_posts_in_the_same_step(steps: Steps) -> None:
    def decide(of: Account, balance: int) -> AccountDecision:
        return AccountDecision(connect_number(of, "79158888888"), Posting(EntryKind.ADJUSTMENT, 14 - balance, 0.5))

    before, after = steps.run(steps.storage.change_account("1", decide))
    assert (before.account.numbers, before.balance) == ((), OPENING)
    assert (after.account.numbers, after.balance) == (("79158888888",), 14)
    assert steps.run(steps.storage.account("1")) == after
    assert steps.balance() == 14
    assert steps.run(steps.storage.account_of_token("token-1")) == after.account
    assert steps.run(steps.storage.account_of_token("")) is None


def test_the_ledger_is_bounded_and_still_sums_up(steps: Steps) -> None:
    for n in range(JOURNAL * 2):
        steps.place()
        steps.run(steps.storage.change_account("1", post(EntryKind.TOP_UP, n)))
    entries = steps.run(steps.storage.ledger("1"))
    kinds = [entry.kind for entry in entries]
    assert kinds == [EntryKind.BROUGHT_FORWARD, *[EntryKind.CHARGE, EntryKind.TOP_UP] * 2]
    last = JOURNAL * 4 + 1
    assert [entry.n for entry in entries] == list(range(last - JOURNAL + 1, last + 1))
    assert steps.balance() == OPENING - PRICE * JOURNAL * 2 + sum(range(JOURNAL * 2))
    assert entries[0].at == 0.5, "the time of the youngest that it stands for"


def test_closing_an_account_forgets_all_that_is_its_own(steps: Steps) -> None:
    kept = [steps.open("2"), steps.place("2")]
    calls = [steps.place() for _ in range(JOURNAL + 2)]
    steps.run(steps.storage.close_account("1"))
    storage = steps.storage
    uuid = calls[0].verification_call_uuid
    for look_up in (
        lambda: storage.account("1"),
        lambda: storage.ledger("1"),
        lambda: storage.calls("1", 0, 10),
        lambda: storage.deliveries("1", 0, 10),
        lambda: storage.call(uuid),
        lambda: storage.deliveries_of(uuid),
        lambda: storage.delivery(2),
        lambda: storage.place("1", accept),
        lambda: storage.change_account("1", post(EntryKind.TOP_UP, 1)),
        lambda: storage.close_account("1"),
    ):
        with pytest.raises(NotFound):
            steps.run(look_up())
    assert steps.finish(calls[0]) is None
    assert steps.answer(uuid) == steps.answered_at(None)
    assert steps.run(storage.account_of_token("token-1")) is None
    assert [state.account for state in steps.run(storage.accounts(0, 10))] == kept[:1]
    assert steps.run(storage.calls(None, 0, 10)) == [] or steps.run(storage.calls(None, 0, 10)) == kept[1:]
    assert [due.account.id for due in steps.claim(100.0).work] == ["2"]
    assert steps.run(storage.is_taken("1"))
    with pytest.raises(Conflict):
        steps.open("1")
    steps.run(storage.open_account(Account("9", "token-1", 1), 0, 0.0))


def test_a_reset_forgets_everything_but_the_numbers_given_out(steps: Steps) -> None:
    steps.open("2")
    for _ in range(JOURNAL + 2):
        steps.place()
    steps.run(steps.storage.reset([(account("2"), 50), (account("1"), 70)], 9.0))
    assert [(s.account.id, s.account.seq, s.balance) for s in steps.run(steps.storage.accounts(0, 9))] == [
        ("2", 3, 50),
        ("1", 4, 70),
    ]
    assert steps.run(steps.storage.calls(None, 0, 9)) == []
    assert steps.run(steps.storage.pending(9)) == []
    assert steps.run(steps.storage.counts())[:2] == (0, 0)
    assert not steps.claim(100.0).work
    call = steps.place()
    assert call.seq == JOURNAL + 3
    assert [delivery.id for delivery in steps.deliveries_of(call)] == [JOURNAL + 3]
    steps.run(steps.storage.reset([], 9.0))
    assert not steps.run(steps.storage.is_taken("1"))
    assert steps.open("1").seq == 5


# Calls


def test_placing_charges_and_records_call_and_deliveries_in_one_step(steps: Steps) -> None:
    call = steps.place()
    assert steps.run(steps.storage.call(call.verification_call_uuid)) == call
    assert steps.balance() == OPENING - PRICE
    (delivery,) = steps.run(steps.storage.pending(10))
    assert (delivery.verification_call_uuid, delivery.state) == (call.verification_call_uuid, DeliveryState.PENDING)
    assert steps.run(steps.storage.ledger("1"))[-1].verification_call_uuid == call.verification_call_uuid


def test_placing_sees_how_things_stand_and_may_change_the_account(steps: Steps) -> None:
    steps.open("2")
    seen: list[tuple[object, ...]] = []

    def look(snapshot: AccountSnapshot) -> CallDecision:
        seen.append((snapshot.account.numbers, *astuple(snapshot)[1:]))
        return replace(accept(snapshot), account=connect_number(snapshot.account, "79158888888"))

    steps.place("1", look)
    steps.place("1", look)
    for _ in range(JOURNAL):
        steps.place("2")
    steps.place("1", look)
    numbers = ("79158888888",)
    next_delivery = (1, 1, 1) if steps.has_replicas else (1, 2, 8)  # others may take numbers at the same time
    assert seen == [
        ((), OPENING, 0, 1, next_delivery[0], 0, 0),
        (numbers, OPENING - PRICE, 1, 2, next_delivery[1], 1, 0),
        (numbers, OPENING - 2 * PRICE, 2, 8, next_delivery[2], 7, 2),
    ]


REFUSED: dict[str, Callable[[Steps], object]] = {
    "place": lambda steps: steps.place("1", fail),
    "end": lambda steps: steps.finish(steps.run(steps.storage.calls("1", 0, 1))[0], fail),
    "change_account": lambda steps: steps.run(steps.storage.change_account("1", fail)),
    "change_delivery": lambda steps: steps.run(steps.storage.change_delivery(1, fail)),
    "settle": lambda steps: steps.run(steps.storage.settle(steps.run(steps.storage.delivery(1)), 1.0, fail)),
}


@pytest.mark.parametrize("step", REFUSED.values(), ids=REFUSED)
def test_a_step_that_the_rules_refuse_changes_nothing(steps: Steps, step: Callable[[Steps], object]) -> None:
    call = steps.place()
    before = steps.contents()
    with pytest.raises(ZeroDivisionError):
        step(steps)
    assert steps.contents() == before
    assert call.seq < steps.place().seq <= call.seq + (2 if steps.has_replicas else 1)
    assert steps.finish(call) is not None, "it still rings"


def test_money_is_refused_as_soon_as_there_is_none(steps: Steps) -> None:
    steps.run(
        steps.storage.change_account("1", lambda of, b: AccountDecision(of, Posting(EntryKind.ADJUSTMENT, 44 - b, 0)))
    )
    for _ in range(2):
        steps.place()
    with pytest.raises(Refusal, match=r"costs 0\.15 roubles"):
        steps.place()
    assert steps.balance() == 14


def test_of_callers_at_the_same_time_as_many_are_accepted_as_the_credit_covers(steps: Steps) -> None:
    def spend_all(of: Account, balance: int) -> AccountDecision:
        return AccountDecision(replace(of, credit=44), Posting(EntryKind.ADJUSTMENT, 1 - balance, 0))

    async def place_many() -> list[object]:
        return await asyncio.gather(*(steps.storage.place("1", accept) for _ in range(20)), return_exceptions=True)

    before, after = steps.run(steps.storage.change_account("1", spend_all))
    assert (before.account.credit, after.account.credit, after.balance) == (0, 44, 1)
    refused = [answer for answer in steps.run(place_many()) if isinstance(answer, BaseException)]
    assert [getattr(answer, "code", None) for answer in refused] == ["insufficient_funds"] * 17
    assert steps.balance() == 1 - 3 * 15 == sum(entry.kopecks for entry in steps.run(steps.storage.ledger("1")))
    assert steps.run(steps.storage.account("1")).account.credit == 44


def test_an_unlimited_balance_is_charged_below_zero(steps: Steps) -> None:
    def open_ended(of: Account, balance: int) -> AccountDecision:
        return AccountDecision(replace(of, unlimited=True), Posting(EntryKind.ADJUSTMENT, -balance, 0))

    steps.run(steps.storage.change_account("1", open_ended))
    for _ in range(3):
        steps.place()
    assert steps.balance() == -45 == sum(entry.kopecks for entry in steps.run(steps.storage.ledger("1")))


def test_deliveries_without_a_number_are_numbered_after_the_others(steps: Steps) -> None:
    steps.open("2", "http://localhost/1", "http://localhost/2")

    def owe_twice(snapshot: AccountSnapshot) -> CallDecision:
        decided = accept(snapshot)
        return replace(decided, deliveries=[d for own in decided.deliveries for d in (own, replace(own, id=0))])

    for first in (1, 5):
        deliveries = steps.run(steps.storage.place("2", owe_twice)).deliveries
        order = (0, 1, 2, 3) if steps.has_replicas else (0, 2, 1, 3)
        assert [delivery.id for delivery in deliveries] == [first + place for place in order]
        assert [steps.run(steps.storage.delivery(delivery.id)) for delivery in deliveries] == list(deliveries)
    call = steps.place("2")
    ended = steps.finish(call, finish_twice_told)
    assert ended is not None
    assert [delivery.id for delivery in ended.deliveries] == [9, 10, 11, 12]
    assert steps.run(steps.storage.counts()).pending == 12
    assert steps.deliveries_of(steps.place("2"))[0].id == 13


def test_a_call_ends_once(steps: Steps) -> None:
    call = steps.place()
    ended = steps.finish(call)
    assert ended is not None
    assert (ended.call.state, ended.call.ended_at) == ("completed", 1.0)
    assert steps.run(steps.storage.call(call.verification_call_uuid)) == ended.call
    assert list(steps.deliveries_of(call)) == list(ended.deliveries)
    assert steps.finish(call, fail) is None
    assert steps.finish(replace(call, verification_call_uuid="nobody_1"), fail) is None


def test_a_call_without_a_cdr_has_no_delivery(steps: Steps) -> None:
    call = steps.place("1", lambda snapshot: replace(accept(snapshot), deliveries=()))
    assert steps.deliveries_of(call) == ()
    assert steps.finish(call) is not None
    assert steps.run(steps.storage.counts()).pending == 0


def test_the_journal_is_bounded_for_all_accounts_together(steps: Steps) -> None:
    steps.open("2")
    calls = [steps.place("12"[n % 2]) for n in range(JOURNAL + 3)]
    assert steps.run(steps.storage.counts()) == (JOURNAL + 3, 3, 3)
    for call in calls:
        steps.deliver(call)
    assert steps.run(steps.storage.counts()) == (0, 0, 3)
    assert [call.seq for call in steps.run(steps.storage.calls(None, 0, 100))] == [4, 5, 6, 7, 8]
    assert [call.seq for call in steps.run(steps.storage.calls("1", 0, 100))] == [5, 7]
    assert [delivery.id for delivery in steps.run(steps.storage.deliveries("1", 0, 100))] == [5, 7]


def test_what_is_there_is_counted_by_outcome_state_and_minute(steps: Steps) -> None:
    steps.open("2")
    first, *others = [steps.place("1", partial(accept, placed_at=at)) for at in (50.0, 100.0, 159.9, 160.0)]
    steps.finish(steps.place("2", partial(accept, placed_at=225.0)))
    steps.finish(first)
    steps.deliver(others[0])
    steps.change(steps.deliveries_of(first)[0], state=DeliveryState.FAILED, due_at=None)
    assert steps.run(steps.storage.tally(None, 100.0, 100)) == Tally(
        accepted=5,
        spent=5 * PRICE,
        listed=5,
        pending=3,
        outcomes={Outcome.ANSWERED: 3, None: 2},
        deliveries={DeliveryState.PENDING: 3, DeliveryState.FAILED: 1, DeliveryState.DELIVERED: 1},
        minutes={0: (2, 1), 1: (1, 0), 2: (1, 1)},
    )
    newest = steps.run(steps.storage.tally("1", 100.0, 2))
    assert (newest.accepted, newest.spent, newest.listed, newest.pending) == (4, 4 * PRICE, 4, 2)
    assert newest.outcomes == {None: 2}
    assert newest.minutes == {0: (1, 0), 1: (1, 0)}
    assert sum(newest.deliveries.values()) == 2
    steps.place("1", accept)
    steps.place("1", accept)
    after = steps.run(steps.storage.tally(None, 100.0, 100))
    assert (after.accepted, after.listed, sum(after.outcomes.values())) == (7, JOURNAL, JOURNAL)
    of_account = steps.run(steps.storage.tally("1", 100.0, 100))
    assert (of_account.listed, of_account.pending, after.pending) == (JOURNAL - 1, 4, 5)


def test_the_deliveries_of_calls_are_told_by_their_states(steps: Steps) -> None:
    steps.open("2", "http://localhost/a", "http://localhost/b")
    one, two, held = steps.place(), steps.place("2"), steps.place("2")
    steps.deliver(one)
    steps.change(steps.deliveries_of(two)[0], state=DeliveryState.FAILED, due_at=None)
    assert steps.run(steps.storage.states_of([two, one])) == {
        1: [(1, DeliveryState.DELIVERED)],
        2: [(2, DeliveryState.FAILED), (3, DeliveryState.PENDING)],
    }
    assert steps.run(steps.storage.states_of([])) == {}
    steps.run(steps.storage.close_account("2"))
    assert steps.run(steps.storage.states_of([held])) == {}


@pytest.mark.parametrize("settled_first", [True, False])
def test_a_call_that_leaves_the_journal_is_gone_once_none_of_its_deliveries_is_pending(
    steps: Steps, settled_first: bool
) -> None:
    call = steps.place()
    if settled_first:
        steps.deliver(call)
    for _ in range(JOURNAL):
        steps.place()
    storage, uuid = steps.storage, call.verification_call_uuid
    if not settled_first:
        assert steps.run(storage.call(uuid)) == call
        assert call not in steps.run(storage.calls(None, 0, 100))
        assert [delivery.id for delivery in steps.run(storage.pending(1))] == [1]
        assert [delivery.id for delivery in steps.run(storage.deliveries(None, 0, 1))] == [2]
        steps.finish(call)
        (first,) = steps.claimed()
        steps.settle(first)
    for look_up in (
        lambda: storage.call(uuid),
        lambda: storage.deliveries_of(uuid),
        lambda: storage.delivery(1),
        lambda: storage.change_delivery(1, fail),
    ):
        with pytest.raises(NotFound):
            steps.run(look_up())
    assert steps.balance() == OPENING - PRICE * (JOURNAL + 1), "what it cost is not forgotten"


def test_a_call_that_ends_unlisted_without_a_cdr_is_gone(steps: Steps) -> None:
    first = steps.place("1", lambda snapshot: replace(accept(snapshot), deliveries=()))
    for _ in range(JOURNAL):
        steps.place()
    assert steps.finish(first) is not None
    with pytest.raises(NotFound):
        steps.run(steps.storage.call(first.verification_call_uuid))
    assert steps.run(steps.storage.counts()) == (JOURNAL, 0, 1)


@pytest.mark.parametrize("journal", [1, 2])
def test_the_smallest_journal_lists_the_newest_call(make_steps: Callable[..., Steps], journal: int) -> None:
    steps = make_steps(journal)
    steps.open()
    calls = [steps.place("1", accept) for _ in range(4)]
    assert steps.run(steps.storage.calls("1", 0, 100)) == calls[-journal:]
    assert len(steps.run(steps.storage.ledger("1"))) == 2
    assert steps.balance() == OPENING - 4 * PRICE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["place 1", "place 2", "end", "end twice told"]), max_size=12), st.integers(1, 5))
def test_pages_put_together_are_the_whole_list_in_order(
    make_steps: Callable[..., Steps], happenings: list[str], limit: int
) -> None:
    steps = make_steps(1000)
    steps.open("1")
    steps.open("2")
    ringing: list[Call] = []
    for happening in happenings:
        if happening.startswith("place"):
            ringing.append(steps.place(happening[-1]))
        elif ringing:
            steps.finish(ringing.pop(), finish if happening == "end" else finish_twice_told)
    storage = steps.storage
    for whose in (None, "1", "2"):
        for newest_first in (False, True):
            calls = paged(steps, partial(storage.calls, whose, newest_first=newest_first), limit, lambda c: c.seq)
            assert calls == list(steps.run(storage.calls(whose, 0, 1000, newest_first=newest_first)))
            assert [c.seq for c in calls] == sorted({c.seq for c in calls}, reverse=newest_first)
            found = paged(steps, partial(storage.deliveries, whose, newest_first=newest_first), limit, lambda d: d.id)
            pending = [d for d in steps.run(storage.pending(1000)) if whose in {None, d.account_id}]
            assert found == (pending[::-1] if newest_first else pending)


def test_lists_have_only_items_with_the_given_values(steps: Steps) -> None:
    def dialling(login_did: str, code: str) -> Callable[[AccountSnapshot], CallDecision]:
        def decide(snapshot: AccountSnapshot) -> CallDecision:
            decided = accept(snapshot)
            return replace(decided, call=replace(decided.call, login_did=login_did, code=code))

        return decide

    steps.open("2")
    first = steps.place("1", dialling("79150000001", "0042"))
    second = steps.place("1", dialling("79150000002", "0042"))
    third = steps.place("2", dialling("79150000001", "4242"))
    steps.finish(first)
    steps.deliver(first)
    numbers = {call.seq: n for n, call in enumerate((first, second, third), 1)}
    owners = {d.id: n for n, call in enumerate((first, second, third), 1) for d in steps.deliveries_of(call)}
    storage = steps.storage
    for fields, of_calls, of_deliveries in [
        ({}, [1, 2, 3], [1, 2, 3]),
        ({"login_did": "79150000001"}, [1, 3], [1, 3]),
        ({"code": "0042"}, [1, 2], [1, 2]),
        ({"login_did": "79150000001", "code": "0042"}, [1], [1]),
        ({"login_did": "79150000003"}, [], []),
        ({"state": "ringing"}, [2, 3], []),
        ({"state": "completed", "code": "0042"}, [1], []),
        ({"state": "pending"}, [], [2, 3]),
        ({"state": "delivered", "login_did": "79150000001"}, [], [1]),
        ({"state": "delivered", "login_did": "79150000002"}, [], []),
    ]:
        for whose, own in ((None, {1, 2, 3}), ("1", {1, 2})):
            for newest_first in (False, True):
                calls = steps.run(storage.calls(whose, 0, 9, newest_first=newest_first, fields=fields))
                items = steps.run(storage.deliveries(whose, 0, 9, newest_first=newest_first, fields=fields))
                for found, expected in (
                    ([numbers[call.seq] for call in calls], of_calls),
                    ([owners[item.id] for item in items], of_deliveries),
                ):
                    wanted = [n for n in expected if n in own]
                    assert found == (wanted[::-1] if newest_first else wanted), (fields, whose)


def paged(steps: Steps, page: Callable[..., Any], limit: int, cursor: Callable[[Any], int]) -> list[Any]:
    """Everything that is found by asking for what is behind the last item of the page before."""
    found: list[Any] = []
    while items := steps.run(page(after=cursor(found[-1]) if found else 0, limit=limit)):
        found += items
    return found


def test_what_was_read_does_not_change_afterwards(steps: Steps) -> None:
    call = steps.place()
    before = steps.contents()
    copies = {key: repr(value) for key, value in before.items()}
    steps.deliver(call)
    steps.place()
    assert {key: repr(value) for key, value in before.items()} == copies


# Due work


def test_nothing_is_due_before_the_answer_was_sent(steps: Steps) -> None:
    ringing, ended = steps.place(answered=False), steps.place("1", accept_ended, answered=False)
    assert steps.claim(100.0) == ((), None, False)
    assert steps.answer(ringing.verification_call_uuid) == steps.answered_at(1.0)
    assert steps.answer(ended.verification_call_uuid) == 0.0
    work, next_due_at, _ = steps.claim(0.5)
    assert [(due.due_at, due.call, due.delivery is not None) for due in work] == [(0.0, ended, True)]
    assert next_due_at == 1.0
    assert [(due.due_at, due.call, due.delivery) for due in steps.claim(1.0).work] == [(1.0, ringing, None)]


def test_an_order_that_is_answered_twice_makes_nothing_due_again(steps: Steps) -> None:
    call = steps.place("1", accept_ended)
    assert len(steps.claimed()) == 1
    steps.answer(call.verification_call_uuid)
    assert steps.claimed(100.0) == []


def test_the_end_of_a_call_that_was_not_answered_yet_makes_nothing_due(steps: Steps) -> None:
    call = steps.place("1", partial(accept, holds=True), answered=False)
    steps.finish(call)
    assert not steps.claim(100.0).work
    assert steps.answer(call.verification_call_uuid) == steps.answered_at(1.0)
    assert len(steps.claimed()) == 1


def test_a_held_call_is_never_due_but_its_end_makes_its_cdrs_due(steps: Steps) -> None:
    call = steps.place("1", partial(accept, holds=True), answered=False)
    assert steps.answer(call.verification_call_uuid) == steps.answered_at(None)
    assert steps.claim(1e9) == ((), None, False)
    steps.finish(call)
    assert [delivery.due_at for delivery in steps.claimed()] == [1.0]


def test_what_is_claimed_is_rendered_and_claimed_once(steps: Steps) -> None:
    steps.finish(steps.place())
    (due,) = steps.claim().work
    assert due.delivery is not None
    assert due.delivery.request is not None
    assert due.delivery.request.body == b"1 of 1"
    assert (due.account.id, due.call.state) == ("1", "completed")
    assert steps.run(steps.storage.delivery(1)) == due.delivery
    assert steps.claim() == ((), None, False)
    assert steps.run(steps.storage.backlog(10.0)) == (0, None)


def test_work_is_taken_in_the_order_in_which_it_is_due(steps: Steps) -> None:
    late, soon, ringing = [steps.place() for _ in range(3)]
    steps.finish(late, lambda c, ds: Ended(finish(c, ds).call, [replace(d, due_at=3.0) for d in ds]))
    steps.finish(soon)
    first, next_due_at, _ = steps.claim(2.0, limit=1)
    assert (len(first), next_due_at) == (1, 1.0)
    second, next_due_at, _ = steps.claim(2.0)
    assert {due.call.seq for due in (*first, *second)} == {soon.seq, ringing.seq}
    assert next_due_at == 3.0
    assert [due.call.seq for due in steps.claim(3.0).work] == [late.seq]


def test_only_one_accounts_work_is_taken_where_each_has_its_own_time(make_steps: Callable[..., Steps]) -> None:
    steps = make_steps(JOURNAL, has_one_time=False)
    for account_id in "12":
        steps.open(account_id)
        steps.finish(steps.place(account_id))
        steps.place(account_id, lambda snapshot: accept(snapshot, placed_at=5.0))
    assert [(due.account.id, due.due_at) for due in steps.claim(account_id="2").work] == [("2", 1.0), ("2", 6.0)]
    assert steps.claim(account_id="2") == ((), None, False)
    work, next_due_at, _ = steps.claim(2.0, account_id="1")
    assert ([due.account.id for due in work], next_due_at) == (["1"], 6.0)
    assert not steps.claim(account_id="3").work


def test_work_of_newer_calls_is_left(steps: Steps) -> None:
    old, new = steps.place(), steps.place()
    steps.finish(new)
    assert [due.call.seq for due in steps.claim(newest_call=old.seq).work] == [old.seq]
    assert not steps.claim(newest_call=old.seq).work
    assert [due.call.seq for due in steps.claim().work] == [new.seq]


def test_a_host_without_room_leaves_its_turn_to_others(steps: Steps) -> None:
    steps.open("2", *["http://full/"] * 3, "http://half/", "http://half/2", "http://free/")
    steps.finish(steps.place("2"))
    assert steps.run(steps.storage.backlog(0.5)) == (0, None)
    assert steps.run(steps.storage.backlog(10.0)) == (6, 1.0)
    room: dict[str, Any] = {"under_way": {"full": 2, "half": 1}, "per_host": 2}
    taken = steps.claimed(limit=2, **room)
    assert [delivery.url for delivery in taken] == ["http://half/", "http://free/"]
    assert steps.claim(**{**room, "under_way": {"full": 2, "half": 2, "free": 1}}) == ((), None, True)
    assert steps.run(steps.storage.backlog(10.0)) == (4, 1.0)
    rest = steps.claimed(under_way={"half": 1}, per_host=2)
    assert sorted(delivery.url for delivery in rest) == ["http://full/", "http://full/", "http://half/2"]
    assert len(steps.claimed()) == 1


def test_what_falls_due_later_counts_though_its_host_has_no_room_now(steps: Steps) -> None:
    steps.finish(steps.place())
    assert steps.claim(0.5, under_way={"localhost": 1}, per_host=1) == ((), 1.0, False)
    assert steps.claim(1.0, under_way={"localhost": 1}, per_host=1) == ((), None, True)
    steps.change(steps.run(steps.storage.delivery(1)), state=DeliveryState.FAILED)
    assert steps.claim(1.0, under_way={"localhost": 1}, per_host=1) == ((), None, False)


def test_a_host_without_room_holds_up_no_call(steps: Steps) -> None:
    call = steps.place()
    assert [due.call for due in steps.claim(under_way={"": 9, "localhost": 9}, per_host=1).work] == [call]


def test_an_acknowledgement_settles(steps: Steps) -> None:
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    settled = steps.settle(handed)
    assert (settled.before, settled.delivery.state) == (handed, DeliveryState.DELIVERED)
    assert settled.follower_due_at is None
    assert steps.run(steps.storage.delivery(1)) == settled.delivery
    assert steps.run(steps.storage.counts()).pending == 0
    assert steps.claim(1e9) == ((), None, False)


@pytest.mark.parametrize("due_at", [7.0, 1.0], ids=["later", "at the same moment"])
def test_a_failed_attempt_is_due_again(steps: Steps, due_at: float) -> None:
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    steps.settle(handed, error="HTTP 500", due_at=due_at)
    assert steps.claim(0.0) == ((), due_at, False)
    (again,) = steps.claimed()
    assert (again.due_at, len(again.attempts), again.request) == (due_at, 1, handed.request)
    assert steps.settle(again, error="HTTP 500").delivery.state is DeliveryState.FAILED
    assert not steps.claim(1e9).work


def test_settling_changes_the_account_in_the_same_step(steps: Steps) -> None:
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    settled = steps.run(
        steps.storage.settle(handed, 1.0, lambda d, of: (replace(d, why=NOTE), connect_number(of, "79158888888")))
    )
    assert (settled.account_before.numbers, settled.account.numbers) == ((), ("79158888888",))
    assert steps.run(steps.storage.account("1")).account == settled.account
    assert [delivery.why for delivery in steps.claimed()] == [NOTE], "it was not tried, and the claim has ended"


def test_what_is_sent_again_while_it_is_claimed_is_due_at_once(steps: Steps) -> None:
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    steps.resend(handed, at=2.0)
    (again,) = steps.claimed()
    assert (again.due_at, again.resent) == (2.0, 1)
    steps.settle(handed, error="HTTP 500", due_at=4.0)
    assert not steps.claim(1e9).work, "the newer attempt is under way, and decides"
    steps.settle(again)
    assert steps.run(steps.storage.delivery(1)).state is DeliveryState.DELIVERED


def test_an_acknowledgement_counts_though_it_is_due_again(steps: Steps) -> None:
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    steps.resend(handed, at=2.0)
    assert steps.settle(handed).delivery.state is DeliveryState.DELIVERED
    assert not steps.claim(1e9).work


def test_a_change_that_leaves_it_due_as_it_was_leaves_the_claim(steps: Steps) -> None:
    steps.finish(steps.place())
    steps.claimed()
    steps.change(steps.run(steps.storage.delivery(1)), why=NOTE)
    assert not steps.claim(1e9).work
    before, after = steps.change(steps.run(steps.storage.delivery(1)), state=DeliveryState.FAILED, due_at=None)
    assert (before.why, after.state) == (NOTE, DeliveryState.FAILED)
    assert steps.run(steps.storage.counts()).pending == 0
    steps.resend(after, at=5.0)
    assert [delivery.due_at for delivery in steps.claimed()] == [5.0]
    assert steps.run(steps.storage.counts()).pending == 1


def test_a_duplicate_is_due_once_the_first_is_settled(steps: Steps) -> None:
    steps.finish(steps.place(), finish_twice_told)
    (handed,) = steps.claimed()
    assert handed.id == 1
    assert steps.settle(handed, error="HTTP 500", due_at=2.0).follower_due_at is None
    (handed,) = steps.claimed()
    assert steps.settle(handed).follower_due_at == 3.0
    assert [(d.id, d.due_at, d.waits_for) for d in steps.claimed()] == [(2, 3.0, None)]


def test_a_reordered_cdr_waits_for_one_of_the_accounts_next_call(steps: Steps) -> None:
    steps.open("2")
    first = steps.place()
    steps.finish(first, reorder)
    unanswered = steps.place(answered=False)
    steps.finish(unanswered, reorder)
    steps.finish(steps.place("2"))
    (other,) = steps.claimed()
    assert steps.settle(other).follower_due_at is None, "another account's"
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    assert steps.settle(handed).follower_due_at == 3.0
    assert [(d.id, d.due_at) for d in steps.claimed()] == [(steps.deliveries_of(first)[0].id, 3.0)]
    steps.answer(unanswered.verification_call_uuid)
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    assert steps.settle(handed).follower_due_at == 3.0


@pytest.mark.parametrize("is_sent_again", [True, False])
def test_a_reordered_cdr_that_a_person_settles_waits_no_more(steps: Steps, is_sent_again: bool) -> None:
    first = steps.place()
    steps.finish(first, reorder)
    (waiting,) = steps.deliveries_of(first)
    if is_sent_again:
        steps.resend(waiting, at=1.5)
        steps.settle(steps.claimed()[0])
    else:
        steps.change(waiting, state=DeliveryState.FAILED, why=NOTE)
    before = steps.deliveries_of(first)
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    assert steps.settle(handed).follower_due_at is None
    assert steps.deliveries_of(first) == before


def test_claims_are_void_after_a_restart_of_the_loop(steps: Steps) -> None:
    ringing, ended, unanswered = steps.place(), steps.place(), steps.place(answered=False)
    steps.finish(ended)
    assert len(steps.claim().work) == 2
    steps.run(steps.storage.resume())
    left = [] if steps.has_replicas else [ringing.seq, ended.seq, unanswered.seq]  # other processes' claims hold
    assert sorted(due.call.seq for due in steps.claim().work) == left


def test_a_claim_may_be_held_for_longer(steps: Steps) -> None:
    steps.finish(steps.place())
    (handed,) = steps.claimed()
    steps.run(steps.storage.renew([handed.id, 77], 60))
    assert not steps.claim(1e9).work
    steps.resend(handed, at=2.0)
    steps.run(steps.storage.renew([handed.id], 60))
    assert len(steps.claimed()) == 1, "that claim was void"


def test_the_oldest_answers_are_forgotten_when_they_take_up_too_much(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_ANSWERS_SIZE", 3000)
    monkeypatch.setattr(sql, "MAX_ANSWERS_SIZE", 3000)
    big = CdrResponse(500, {"Server": "x"}, b"x" * 600)
    steps.finish(steps.place())
    for _ in range(4):
        (handed,) = steps.claimed()
        steps.settle(handed, error="HTTP 500", due_at=1.0, response=big)
    steps.finish(steps.place())
    for handed in steps.claimed():
        steps.settle(handed, response=big)
    attempts = steps.run(steps.storage.delivery(1)).attempts
    assert [attempt.status for attempt in attempts][:4] == [500] * 4
    assert attempts[0].response == CdrResponse(500, {}, b"")
    assert steps.run(steps.storage.delivery(2)).attempts[0].response == big


def test_an_answer_that_is_gone_with_its_account_makes_room_too(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_ANSWERS_SIZE", 3000)
    monkeypatch.setattr(sql, "MAX_ANSWERS_SIZE", 3000)
    small, large = (CdrResponse(500, {}, b"x" * size) for size in (600, 1700))
    steps.open("2", "http://two.example/hook")
    for account_id in ("1", "2"):
        steps.finish(steps.place(account_id))
        (handed,) = steps.claimed(4.0)
        steps.settle(handed, error="HTTP 500", due_at=5.0, response=small)
    steps.run(steps.storage.close_account("2"))
    steps.finish(steps.place("1"))
    for handed in steps.claimed(4.0):
        steps.settle(handed, response=large)
    assert steps.run(steps.storage.delivery(1)).attempts[0].response == CdrResponse(500, {}, b"")
    assert steps.run(steps.storage.delivery(3)).attempts[0].response == large
