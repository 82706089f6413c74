from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from helpers.in_process import prepared
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, Refusal, UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.deliveries import CdrResponse, Delivery, DeliveryState
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.money import EntryKind, Method, Tariff
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.account_settings import AccountSettings
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.storage.memory import MemoryStore

ACCOUNT, CONNECTED = "12345678", "79158888888"
FLASH = CallOrder(Method.FLASH_CALL, "79157777777")
FROM_SLOVAKIA = replace(FLASH, country_id="703")
CALL_FOR_2FA = CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did=CONNECTED)
BUSY = ending(Outcome.BUSY, unavailable_cause=20)


class SetClock:
    """A clock that a test sets; the same time for everyone."""

    is_shared = True

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self, account_id: str | None) -> float:
        return self.time

    def move(self, account_id: str | None, seconds: float) -> None:
        self.time += seconds

    def reach(self, account_id: str, moment: float) -> None:
        self.time = max(self.time, moment)


class Notes:
    """A courier and an observer in one, which note what they hear."""

    def __init__(self) -> None:
        self.to_end: list[str] = []
        self.to_deliver: list[int] = []
        self.changes: list[object] = []

    def end_call(self, call: Call) -> None:
        self.to_end.append(call.verification_call_uuid)

    def deliver(self, delivery: Delivery) -> None:
        self.to_deliver.append(delivery.id)

    def forget(self, account_id: str) -> None:
        pass

    def start_waiting(self) -> None:
        raise NotImplementedError

    def stop_waiting(self) -> None:
        raise NotImplementedError

    def forget_all(self) -> None:
        self.to_deliver.clear()

    def advance(self, seconds: float, after: Future[None] | None = None) -> Future[None]:
        raise NotImplementedError

    def changed(self, account_id: str, item: object = None, before: object = None) -> None:
        self.changes.append(item)

    def closed(self, account_id: str) -> None:
        self.changes.append(account_id)

    def reset(self) -> None:
        self.changes.clear()


class Switch:
    """An operator with one account and one webhook, on fakes."""

    def __init__(self, *, balance: str = "100.00", tariff: Tariff | None = None, **assumed: Any) -> None:
        self.clock, self.notes = SetClock(), Notes()
        store, assumptions = MemoryStore(1000), Assumptions(**assumed)
        ports = self.clock, self.notes
        self.deliveries = Deliveries(store.accounts, store.calls, *ports, self.notes, assumptions)
        self.calls = Calls(store.calls, *ports, self.deliveries, self.notes, store, assumptions, max_pending=1000)
        self.accounts = Accounts(store.accounts, self.clock, self.notes, tariff or Tariff())
        self.settings = AccountSettings(store.accounts, self.notes)
        self.accounts.open(seed=1, balance=balance, account_id=ACCOUNT, numbers=[CONNECTED])

    def subscribe(self, **settings: Any) -> None:
        self.settings.subscribe(ACCOUNT, make_subscription("http://localhost/hook", **settings))

    def call(self, order: CallOrder = FLASH) -> Call:
        call = self.calls.place(ACCOUNT, order)
        self.calls.release(call.verification_call_uuid)
        return call

    def answer(self, status: int) -> DeliveryState:
        """Try what the courier was given first; the endpoint answers so."""
        delivery_id = self.notes.to_deliver.pop(0)
        assert prepared(self.deliveries, delivery_id) is not None
        self.deliveries.record(
            self.deliveries.get(delivery_id), self.clock.time, 0.01, CdrResponse(status, {}, b""), None
        )
        return self.deliveries.get(delivery_id).state

    def state(self) -> tuple[object, ...]:
        """All that a refusal has to leave as it was."""
        return (
            self.accounts.balance(ACCOUNT),
            self.accounts.ledger(ACCOUNT),
            self.accounts.get(ACCOUNT),
            self.calls.page(),
            self.deliveries.page(),
            list(self.notes.to_deliver),
            list(self.notes.to_end),
        )


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.mark.parametrize("order,price", [(CALL_FOR_2FA, 1), (FLASH, 15), (FROM_SLOVAKIA, 45)])
def test_a_call_costs_its_price_once_however_it_ends(order: CallOrder, price: int) -> None:
    for outcome in Outcome:
        switch = Switch(default_outcome=outcome)
        call = switch.call(order)
        assert switch.accounts.balance(ACCOUNT) == 10_000 - price
        _, charge = switch.accounts.ledger(ACCOUNT)
        assert (charge.kind, charge.kopecks, charge.at) == (EntryKind.CHARGE, -price, 1000.0)
        assert charge.verification_call_uuid == call.verification_call_uuid


def test_an_accounts_own_tariff_goes_before_the_servers() -> None:
    switch = Switch(tariff=Tariff(2, {RUSSIA: 20, SLOVAKIA: 65}))
    assert [switch.call(o).price for o in (CALL_FOR_2FA, FLASH, FROM_SLOVAKIA)] == [2, 20, 65]


@pytest.mark.parametrize("balance", ["0", "-1.00", "0.14"])
@pytest.mark.parametrize("order", [FLASH, FROM_SLOVAKIA, replace(CALL_FOR_2FA, caller_did="79159999999")])
def test_a_refusal_leaves_everything_as_it_was_its_draws_and_faults_too(balance: str, order: CallOrder) -> None:
    refusing, untouched = Switch(), Switch()
    for switch in (refusing, untouched):
        switch.subscribe()
        switch.settings.add_fault(ACCOUNT, Fault(FaultKind.CDR_LOST, probability=0.5))
        switch.accounts.set_balance(ACCOUNT, balance)
    for _ in range(3):
        with pytest.raises(Refusal):
            refusing.call(order)
    assert refusing.state() == untouched.state()
    assert refusing.notes.changes == untouched.notes.changes
    for switch in (refusing, untouched):
        switch.accounts.set_balance(ACCOUNT, "10.00")
    assert refusing.call() == untouched.call()


@settings(max_examples=50)
@given(st.lists(st.sampled_from([FLASH, FROM_SLOVAKIA, CALL_FOR_2FA]), max_size=20), st.integers(0, 200))
def test_whatever_is_ordered_the_ledger_sums_up_and_nothing_is_overdrawn(orders: list[CallOrder], kopecks: int) -> None:
    switch = Switch(balance=f"{kopecks // 100}.{kopecks % 100:02d}")
    accepted = []
    for order in orders:
        try:
            accepted.append(switch.call(order))
        except Refusal as refusal:
            assert refusal.code == "insufficient_funds"  # noqa: PT017 - a refusal is one of two right answers
    balance = switch.accounts.balance(ACCOUNT)
    assert balance == sum(entry.kopecks for entry in switch.accounts.ledger(ACCOUNT)) >= 0
    assert balance == kopecks - sum(call.price for call in accepted)
    assert list(switch.calls.page()) == [switch.calls.get(c.verification_call_uuid) for c in accepted]


def test_the_same_seed_gives_the_same_calls_and_bytes_and_another_seed_does_not() -> None:
    def history(seed: int) -> list[object]:
        switch = Switch()
        switch.accounts.close(ACCOUNT)
        switch.accounts.open(seed=seed, balance=10, account_id="117793", token="t")
        everything = ["verification_call_uuid", "did", "start_time", "stop_time", "uniqueid"]
        switch.settings.subscribe("117793", make_subscription("http://localhost/", body=everything))
        calls = [switch.calls.place("117793", order) for order in (FLASH, FROM_SLOVAKIA, replace(FLASH, code="0042"))]
        return [*calls, *(prepared(switch.deliveries, delivery.id) for delivery in switch.deliveries.page())]

    assert len(history(1)) == 6
    assert history(1) == history(1)
    assert all(one != other for one, other in zip(history(1), history(2), strict=True))


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Do things on threads of their own, all let go together; what each returned or raised."""
    barrier, results = threading.Barrier(len(actions)), []

    def run(action: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results.append(action())
        except UsageError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_many_who_complete_a_call_one_does_and_the_others_hear_that_it_has_ended(switch: Switch) -> None:
    switch.subscribe()
    switch.settings.hold_cdrs(ACCOUNT)
    for _ in range(20):
        uuid = switch.call().verification_call_uuid
        results = at_once(*[partial(switch.calls.complete, uuid)] * 8)
        refused = [r for r in results if isinstance(r, UsageError)]
        assert (len(results), len(refused)) == (8, 7)
    assert len(switch.notes.to_deliver) == 20


def test_completing_a_call_that_ended_a_moment_ago_is_not_taken_for_done(switch: Switch) -> None:
    switch.settings.hold_cdrs(ACCOUNT)
    uuid = switch.call().verification_call_uuid
    switch.calls.end(uuid, BUSY)
    with pytest.raises(UsageError, match=r"has ended already: busy \(q931_status 17, NO ANSWER\)"):
        switch.calls.complete(uuid)
    with pytest.raises(NotFound, match="no call"):
        switch.calls.complete("fa278be48dc2_117793")


def test_a_call_completed_by_hand_is_not_ended_again_when_it_is_due(switch: Switch) -> None:
    switch.subscribe()
    switch.settings.prefer_outcome(ACCOUNT, OutcomeRule(BUSY, "*", 5.0))
    call = switch.call()
    assert switch.notes.to_end == [call.verification_call_uuid]
    switch.calls.complete(call.verification_call_uuid, ending(Outcome.ANSWERED, unavailable_cause=20))
    switch.clock.time += 5
    assert switch.calls.end(call.verification_call_uuid) == ()
    assert len(switch.notes.to_deliver) == 1
    ended = switch.calls.get(call.verification_call_uuid)
    assert (ended.ending and ended.ending.outcome, ended.ended_at) == (Outcome.ANSWERED, 1000.0)


def test_a_call_completed_as_planned_is_explained_by_its_rule(switch: Switch) -> None:
    switch.settings.hold_cdrs(ACCOUNT)
    switch.settings.prefer_outcome(ACCOUNT, OutcomeRule(BUSY, "7915*"))
    call = switch.call()
    switch.calls.complete(call.verification_call_uuid)
    assert switch.calls.get(call.verification_call_uuid).explanation.outcome.startswith("outcome rule for 7915*: busy")


def test_only_subscriptions_from_before_the_call_get_its_cdr(switch: Switch) -> None:
    switch.settings.hold_cdrs(ACCOUNT)
    early = switch.call()
    switch.subscribe()
    assert switch.calls.end(early.verification_call_uuid) == ()
    assert len(switch.calls.end(switch.call().verification_call_uuid)) == 1


def test_letting_cdrs_go_is_for_later_calls(switch: Switch) -> None:
    switch.settings.hold_cdrs(ACCOUNT)
    held = switch.call()
    switch.settings.hold_cdrs(ACCOUNT, held=False)
    assert switch.call().state == "completed"
    assert switch.calls.get(held.verification_call_uuid).state == "ringing"


def test_every_change_is_told_after_it_was_stored(switch: Switch) -> None:
    switch.subscribe()
    switch.settings.hold_cdrs(ACCOUNT)
    switch.accounts.top_up(ACCOUNT, 1)
    assert switch.notes.changes == [None] * 4  # opened, subscribed, held and topped up
    uuid = switch.call().verification_call_uuid
    assert switch.notes.changes[4:] == [switch.calls.get(uuid)]
    switch.calls.complete(uuid)
    assert switch.notes.changes[5:] == [switch.calls.get(uuid)]
    switch.answer(204)
    assert switch.notes.changes[6:] == [switch.deliveries.get(1)]


def test_a_cdr_is_rendered_once_and_every_retry_sends_the_same(switch: Switch) -> None:
    switch.subscribe(constants={"n": 1})
    switch.call()
    first = prepared(switch.deliveries, 1)
    switch.answer(500)
    assert prepared(switch.deliveries, 1) is first
    assert switch.deliveries.get(1).request == first


def test_attempts_are_kept_with_what_was_answered(switch: Switch) -> None:
    switch.subscribe()
    switch.call()
    prepared(switch.deliveries, 1)
    again = switch.deliveries.record(switch.deliveries.get(1), 1000.0, 0.5, None, "connection refused")
    assert again is not None
    assert again.due_at == 1001.0
    switch.clock.time = 1001.0
    assert (
        switch.deliveries.record(switch.deliveries.get(1), 1001.0, 0.1, CdrResponse(200, {"X": "1"}, b"ok"), None)
        is None
    )
    refused, acknowledged = switch.deliveries.get(1).attempts
    assert (refused.status, refused.error, refused.duration_s) == (None, "connection refused", 0.5)
    assert (acknowledged.status, acknowledged.error, acknowledged.number) == (200, None, 2)


def failures(switch: Switch, statuses: Sequence[int]) -> bool:
    """Whether the webhook is enabled after CDRs that were answered so."""
    for status in statuses:
        switch.call()
        switch.answer(status)
    return switch.accounts.get(ACCOUNT).subscriptions[0].enabled


@pytest.mark.parametrize(
    "statuses,never_disable,enabled",
    [
        ([500, 500], False, True),
        ([500, 500, 500], False, False),
        ([500, 500, 200, 500, 500], False, True),
        ([500, 500, 200, 500, 500, 500], False, False),
        ([500] * 5, True, True),
    ],
)
def test_a_webhook_is_disabled_by_cdrs_failed_in_a_row(statuses: list[int], never_disable: bool, enabled: bool) -> None:
    switch = Switch(disable_after=3)
    switch.subscribe(retry=False, never_disable=never_disable)
    assert failures(switch, statuses) is enabled


def test_an_attempt_that_is_repeated_does_not_count_as_failed() -> None:
    switch = Switch(disable_after=1)
    switch.subscribe()
    switch.call()
    for status in (500, 500, 500, 200):
        switch.answer(status)
        switch.notes.to_deliver.append(1)
    (subscription,) = switch.accounts.get(ACCOUNT).subscriptions
    assert (subscription.enabled, subscription.failed_in_a_row) == (True, 0)


def test_one_webhooks_failures_do_not_disable_another() -> None:
    switch = Switch(disable_after=2)
    switch.subscribe(retry=False)
    switch.subscribe(retry=False)
    for _ in range(2):
        switch.call()
        switch.answer(500)
        switch.answer(200)
    assert [s.enabled for s in switch.accounts.get(ACCOUNT).subscriptions] == [False, True]


def test_a_duplicate_follows_when_the_first_is_settled(switch: Switch) -> None:
    switch.subscribe()
    switch.settings.add_fault(ACCOUNT, Fault(FaultKind.CDR_DUPLICATED))
    switch.call()
    assert switch.notes.to_deliver == [1]
    assert switch.answer(500) is DeliveryState.PENDING
    assert switch.notes.to_deliver == []
    switch.notes.to_deliver.append(1)
    switch.answer(204)
    assert switch.notes.to_deliver == [2]
    first, second = prepared(switch.deliveries, 1), prepared(switch.deliveries, 2)
    assert first is None
    assert second == switch.deliveries.get(1).request


def test_a_reordered_cdr_follows_that_of_the_next_call(switch: Switch) -> None:
    switch.subscribe()
    switch.settings.add_fault(ACCOUNT, Fault(FaultKind.CDR_REORDERED))
    switch.call()
    assert switch.notes.to_deliver == []
    switch.call()
    assert switch.notes.to_deliver == [2]
    switch.answer(204)
    assert switch.notes.to_deliver == [1]
    assert switch.answer(204) is DeliveryState.DELIVERED


def close_before(switch: Switch) -> None:
    switch.accounts.close(ACCOUNT)
    assert prepared(switch.deliveries, 1) is None


def close_during(switch: Switch) -> None:
    prepared(switch.deliveries, 1)
    handed = switch.deliveries.get(1)
    switch.accounts.close(ACCOUNT)
    assert switch.deliveries.record(handed, 0.0, 0.0, CdrResponse(200, {}, b""), None) is None


def try_it(switch: Switch) -> None:
    prepared(switch.deliveries, 1)
    switch.deliveries.record(switch.deliveries.get(1), 0.0, 0.0, None, "no answer")


@pytest.mark.parametrize("happening", [close_before, close_during, try_it])
def test_who_waits_for_the_first_attempt_is_let_go_also_if_there_is_none(
    switch: Switch, happening: Callable[[Switch], None]
) -> None:
    switch.subscribe()
    waiting = switch.deliveries.first_attempt(switch.call().verification_call_uuid)
    assert not waiting.done()
    happening(switch)
    assert waiting.done()


def test_there_is_no_waiting_where_nothing_is_pending_or_it_was_tried(switch: Switch) -> None:
    assert switch.deliveries.first_attempt(switch.call().verification_call_uuid).done()
    switch.subscribe()
    call = switch.call()
    switch.answer(500)
    assert switch.deliveries.first_attempt(call.verification_call_uuid).done()
