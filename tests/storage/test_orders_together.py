"""Orders, answers and results that come at the same moment: each is decided by what those before it have left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from helpers.storage_steps import PRICE, Steps, accept_ended, account, render

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.deliveries import Attempt, CdrResponse, Delivery, outcome_of_attempt
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision

AFFORDABLE, ORDERS = 20, 30


def accept_if_affordable(snapshot: AccountSnapshot) -> CallDecision:
    if snapshot.balance < PRICE:
        raise Refusal(RefusalCode.INSUFFICIENT_FUNDS, "no money")
    return accept_ended(snapshot)


def delivered(before: Delivery, of: Account) -> tuple[Delivery, Account]:
    attempt = Attempt(len(before.attempts) + 1, 2.0, 0.25, CdrResponse(200, {}, b""), None)
    return outcome_of_attempt(before, before, attempt, None, ignores_response=False), of


def test_orders_at_once_are_charged_one_after_the_other(make_steps: Callable[..., Steps]) -> None:
    steps = make_steps(100)
    steps.run(steps.storage.open_account(account("1", "http://a/", "http://b/"), AFFORDABLE * PRICE, 0.0))

    async def place_all() -> list[CallDecision | BaseException]:
        orders = (steps.storage.place("1", accept_if_affordable) for _ in range(ORDERS))
        return await asyncio.gather(*orders, return_exceptions=True)

    decided = steps.run(place_all())
    accepted = [each for each in decided if isinstance(each, CallDecision)]
    assert len(accepted) == AFFORDABLE
    assert all(isinstance(each, Refusal) for each in decided if each not in accepted)
    assert len({each.call.verification_call_uuid for each in accepted}) == AFFORDABLE
    assert len({each.call.seq for each in accepted}) == AFFORDABLE
    ledger = steps.run(steps.storage.ledger("1"))
    assert [entry.balance for entry in ledger] == [PRICE * left for left in range(AFFORDABLE, -1, -1)]
    assert steps.run(steps.storage.account("1")).balance == 0
    assert steps.run(steps.storage.counts()).pending == 2 * AFFORDABLE

    async def answer_and_settle_all() -> None:
        uuids = [each.call.verification_call_uuid for each in accepted]
        due = await asyncio.gather(*map(steps.storage.answered, [*uuids, "unknown_1"]))
        assert due == [0.0] * AFFORDABLE + [steps.answered_at(None)]
        claimed = await steps.storage.claim(1.0, render, lease_s=9.0, limit=100, under_way={}, per_host=AFFORDABLE)
        work = [each.delivery for each in claimed.work if each.delivery is not None]
        assert len({delivery.id for delivery in work}) == 2 * AFFORDABLE
        settled = await asyncio.gather(*(steps.storage.settle(delivery, 2.0, delivered) for delivery in work))
        assert {(each.before.id, each.delivery.state) for each in settled} == {(d.id, "delivered") for d in work}

    steps.run(answer_and_settle_all())
    assert steps.run(steps.storage.counts()).pending == 0


@pytest.mark.parametrize("token", ["token-1\0", "\0", "token-\ud83d", "'", "токен", "x" * 5000])
def test_a_token_that_no_account_can_have_is_unknown_and_disturbs_no_other(
    make_steps: Callable[..., Steps], token: str
) -> None:
    steps = make_steps(100)
    steps.run(steps.storage.open_account(account(), 1000, 0.0))

    async def look_up_all() -> list[Account | None]:
        return await asyncio.gather(*(steps.storage.account_of_token(each) for each in ("token-1", token, "token-1")))

    known, unknown, again = steps.run(look_up_all())
    assert known == again
    assert known is not None
    assert unknown is None


def test_an_order_that_fails_leaves_those_beside_it(make_steps: Callable[..., Steps]) -> None:
    steps = make_steps(100)
    steps.run(steps.storage.open_account(account(), 1000, 0.0))

    def fail(snapshot: AccountSnapshot) -> CallDecision:
        raise ZeroDivisionError

    async def place_all() -> list[CallDecision | BaseException]:
        rules = (accept_ended, fail, accept_ended)
        return await asyncio.gather(*(steps.storage.place("1", rule) for rule in rules), return_exceptions=True)

    kinds = [type(each) for each in steps.run(place_all())]
    assert kinds == [CallDecision, ZeroDivisionError, CallDecision]
    assert steps.run(steps.storage.account("1")).balance == 1000 - 2 * PRICE
