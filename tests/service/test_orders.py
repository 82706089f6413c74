from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.in_process import run
from helpers.service_steps import (
    ACCOUNT,
    ANSWERED,
    BUSY,
    CALL_FOR_2FA,
    FLASH,
    FROM_SLOVAKIA,
    HOOK,
    ServiceSteps,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, NotFound, Refusal, RefusalCode, StorageFailed
from pytest_mcn_mock.model.accounts import prefer_rule, set_credit
from pytest_mcn_mock.model.calls import CallOrder
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.money import EntryKind, Tariff, format_roubles
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription

FOREIGN = replace(CALL_FOR_2FA, caller_did="79159999999")


@pytest.fixture
def steps() -> ServiceSteps:
    return ServiceSteps()


# Money


@pytest.mark.parametrize("order, price", [(CALL_FOR_2FA, 1), (FLASH, 15), (FROM_SLOVAKIA, 45)])
@pytest.mark.parametrize("outcome", Outcome)
def test_a_call_costs_its_price_once_however_it_ends(order: CallOrder, price: int, outcome: Outcome) -> None:
    steps = ServiceSteps(default_outcome=outcome)
    call = steps.call(order)
    assert (call.price, steps.balance()) == (price, 10_000 - price)
    _, charge = steps.ledger()
    assert (charge.kind, charge.kopecks, charge.at) == (EntryKind.CHARGE, -price, call.placed_at)
    assert charge.verification_call_uuid == call.verification_call_uuid


def test_the_servers_tariff_and_an_accounts_own_one() -> None:
    steps = ServiceSteps(settings={"tariff": Tariff(2, {RUSSIA: 20, SLOVAKIA: 65})})
    assert [steps.call(order).price for order in (CALL_FOR_2FA, FLASH, FROM_SLOVAKIA)] == [2, 20, 65]
    steps.open("7", tariff=Tariff(3, {RUSSIA: 30, SLOVAKIA: 75}))
    assert steps.call(FLASH, "7").price == 30


def test_the_last_kopecks_can_be_spent() -> None:
    steps = ServiceSteps(balance="0.15")
    steps.call()
    assert steps.balance() == 0


@pytest.mark.parametrize(
    "balance, order, code",
    [
        *(
            (balance, order, "insufficient_funds")
            for balance in ("0", "-1.00", "0.14")
            for order in (FLASH, FROM_SLOVAKIA)
        ),
        ("0.14", FOREIGN, "foreign_number"),
    ],
)
def test_a_refusal_leaves_everything_as_it_was_its_draws_and_faults_too(
    balance: str, order: CallOrder, code: str
) -> None:
    refusing, untouched = ServiceSteps(), ServiceSteps()
    for steps in (refusing, untouched):
        steps.subscribe()
        steps.inject(FaultKind.CDR_LOST, probability=0.5)
        run(steps.service.accounts.set_balance(ACCOUNT, balance))
    for _ in range(3):
        with pytest.raises(Refusal) as refused:
            refusing.call(order)
        assert refused.value.code == code
    assert refusing.contents() == untouched.contents()
    assert refusing.events == untouched.events
    for steps in (refusing, untouched):
        run(steps.service.accounts.set_balance(ACCOUNT, "10.00"))
    assert refusing.call() == untouched.call()


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([FLASH, FROM_SLOVAKIA, CALL_FOR_2FA]), max_size=20),
    st.integers(0, 200),
    st.integers(0, 100),
)
def test_whatever_is_ordered_the_ledger_sums_up_and_the_credit_is_not_exceeded(
    orders: list[CallOrder], kopecks: int, credit: int
) -> None:
    steps = ServiceSteps(balance=format_roubles(kopecks))
    steps.change(set_credit, format_roubles(credit))
    accepted = []
    for order in orders:
        try:
            accepted.append(steps.call(order))
        except Refusal as refusal:
            assert refusal.code == "insufficient_funds"  # noqa: PT017 - a refusal is one of two right answers
    assert steps.balance() == sum(entry.kopecks for entry in steps.ledger()) >= -credit
    assert steps.balance() == kopecks - sum(call.price for call in accepted)
    assert steps.calls() == [steps.of(call) for call in accepted]


def test_the_same_seed_gives_the_same_calls_and_bytes_and_another_seed_does_not() -> None:
    def history(seed: int) -> list[object]:
        steps = ServiceSteps()
        everything = ["verification_call_uuid", "did", "start_time", "stop_time", "uniqueid"]
        webhook = make_subscription(HOOK, body=everything)
        run(steps.service.accounts.close(ACCOUNT))
        run(steps.service.accounts.open(seed=seed, balance=10, account_id="117793", subscriptions=[webhook]))
        calls = [steps.call(order, "117793") for order in (FLASH, FROM_SLOVAKIA, replace(FLASH, code="0042"))]
        return [*calls, *(delivery.request for delivery in steps.claim(account_id="117793"))]

    assert len(history(1)) == 6
    assert history(1) == history(1)
    assert all(one != other for one, other in zip(history(1), history(2), strict=True))


# The end of a call


def test_nothing_is_due_before_the_answer(steps: ServiceSteps) -> None:
    steps.subscribe()
    call = steps.place()
    assert (call.state, steps.claim()) == ("completed", [])
    for _ in range(2):
        run(steps.service.calls.answered(call.verification_call_uuid))
    assert [delivery.verification_call_uuid for delivery in steps.claim()] == [call.verification_call_uuid]
    assert steps.claim() == []


def test_a_delayed_call_rings_until_it_is_due_and_ends_once(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.ring(2.0)
    call = steps.call()
    assert (call.state, call.ends_at, steps.claim()) == ("ringing", call.placed_at + 2.0, [])
    assert steps.delivery().request is None, "a call that rings has no CDR"
    steps.clock.move(ACCOUNT, 2.0)
    assert steps.claim() == []
    assert (steps.of(call).ending, steps.of(call).ended_at) == (BUSY, call.placed_at + 2.0)
    assert len(steps.claim()) == 1
    assert run(steps.service.calls.end(call.verification_call_uuid)) is None


def test_a_held_call_is_completed_manually_and_once(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.hold()
    call = steps.call()
    assert (call.state, call.ends_at, steps.claim(1e12)) == ("ringing", None, [])
    completed = steps.complete(call, ending(q931_status=27, unavailable_cause=18))
    assert completed == steps.of(call)
    assert completed.ending is not None
    assert completed.ending.q931_status == 27
    assert "manually" in completed.explanation.outcome
    with pytest.raises(Conflict, match="has ended already"):
        steps.complete(call)
    assert len(steps.claim()) == 1


def test_a_call_completed_manually_is_not_ended_again_when_it_is_due(steps: ServiceSteps) -> None:
    steps.subscribe()
    steps.ring(5.0)
    call = steps.call()
    steps.complete(call, ANSWERED)
    assert [delivery.due_at for delivery in steps.claim(1e12)] == [call.placed_at]
    assert (steps.of(call).ending, steps.of(call).ended_at) == (ANSWERED, call.placed_at)
    assert len(steps.deliveries()) == 1


def test_a_call_completed_as_planned_is_explained_by_its_rule(steps: ServiceSteps) -> None:
    steps.hold()
    steps.change(prefer_rule, OutcomeRule(BUSY, "7915*"))
    assert steps.complete(steps.call()).explanation.outcome.startswith("outcome rule for 7915*: busy")


def test_completing_a_call_that_has_ended_says_how_and_one_that_is_unknown_is_not_found(steps: ServiceSteps) -> None:
    steps.hold()
    call = steps.call()
    run(steps.service.calls.end(call.verification_call_uuid, BUSY))
    with pytest.raises(Conflict, match=r"has ended already: busy \(q931_status 17, NO ANSWER\)"):
        steps.complete(call)
    with pytest.raises(NotFound, match="no call"):
        steps.complete(replace(call, verification_call_uuid="fa278be48dc2_117793"))


def test_letting_cdrs_go_is_for_later_calls(steps: ServiceSteps) -> None:
    steps.hold()
    held = steps.call()
    steps.hold(held=False)
    assert steps.call().state == "completed"
    assert steps.of(held).state == "ringing"


def test_only_webhooks_from_before_the_call_get_its_cdr_and_each_of_them(steps: ServiceSteps) -> None:
    steps.hold()
    early = steps.call()
    steps.subscribe()
    steps.subscribe(body=["did"])
    late = steps.call()
    for call in (early, late):
        steps.complete(call)
    uuid = late.verification_call_uuid
    assert [(d.verification_call_uuid, d.subscription) for d in steps.claim()] == [(uuid, 1), (uuid, 2)]


@pytest.mark.parametrize("has_cdr", [False, True])
def test_call_for_2fa_has_a_cdr_by_setting(has_cdr: bool) -> None:
    steps = ServiceSteps(call_for_2fa_cdr=has_cdr)
    steps.subscribe()
    steps.call(CALL_FOR_2FA)
    assert len(steps.deliveries()) == has_cdr


def test_nothing_is_left_to_do_for_a_call_of_a_closed_account(steps: ServiceSteps) -> None:
    steps.subscribe()
    call = steps.place()
    run(steps.service.accounts.close(ACCOUNT))
    run(steps.service.calls.answered(call.verification_call_uuid))
    assert run(steps.service.calls.end(call.verification_call_uuid)) is None
    with pytest.raises(NotFound):
        steps.of(call)


# Room


def test_too_many_pending_cdrs_refuse_a_call_that_would_add_one() -> None:
    steps = ServiceSteps(settings={"max_pending": 2})
    steps.subscribe()
    for n in (1, 2):
        assert run(steps.service.calls.is_overloaded()) is False, n
        steps.call()
    before = steps.contents()
    assert run(steps.service.why_not_ready()) == ["overloaded"]
    with pytest.raises(Refusal, match="2 CDRs are pending; at most 2 may be") as refused:
        steps.call()
    assert (refused.value.code, steps.contents()) == (RefusalCode.OVERLOADED, before)
    steps.call(CALL_FOR_2FA)
    steps.settle(steps.claim()[0])
    assert run(steps.service.why_not_ready()) == []
    steps.call()


def test_a_call_that_there_will_never_be_room_for_says_so() -> None:
    steps = ServiceSteps(settings={"max_pending": 1})
    for path in ("a", "b"):
        steps.subscribe(f"{HOOK}/{path}")
    with pytest.raises(Refusal, match="the call would add 2 CDRs; at most 1 may be pending"):
        steps.call()


def test_too_many_calls_that_ring_beside_those_that_are_listed_refuse_another() -> None:
    steps = ServiceSteps(settings={"max_pending": 1, "journal_size": 1})
    steps.hold()
    steps.call()
    steps.call()
    with pytest.raises(Refusal, match="1 unlisted calls ring or have a pending CDR"):
        steps.call()


# The answer


def test_an_answer_that_could_not_be_kept_is_kept_once_the_store_has_recovered(steps: ServiceSteps) -> None:
    steps.subscribe()
    call = steps.place()
    steps.storage.failing = {"answered"}
    run(steps.service.calls.answered(call.verification_call_uuid))
    run(steps.service.calls.until_answered())
    assert steps.claim() == [], "it is not known to the storage"
    run(steps.service.calls.recover())
    assert steps.storage.refused == ["answered", "answered"]
    steps.storage.recover()
    assert len(steps.claim()) == 1


def place_unkept(steps: ServiceSteps) -> None:
    steps.storage.failing = {"place"}
    with pytest.raises(StorageFailed):
        steps.call()
    steps.storage.failing = set()


def place_refused(steps: ServiceSteps) -> None:
    with pytest.raises(Refusal):
        steps.call(FOREIGN)


def place_and_reset(steps: ServiceSteps) -> None:
    steps.place()
    run(steps.service.reset())


@pytest.mark.parametrize("happening", [place_unkept, place_refused, place_and_reset])
def test_nobody_waits_for_an_answer_that_will_not_come(
    steps: ServiceSteps, happening: Callable[[ServiceSteps], None]
) -> None:
    happening(steps)
    run(steps.service.calls.until_answered())  # does not wait


def test_a_store_that_fails_leaves_what_it_refused_as_it_was(steps: ServiceSteps) -> None:
    steps.subscribe()
    before = steps.contents()
    place_unkept(steps)
    assert steps.contents() == before
    assert steps.call().verification_call_uuid == ServiceSteps().call().verification_call_uuid, "a draw was spent"
