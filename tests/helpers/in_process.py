"""Calls in one process, without sockets, for what is about their cost. Shared with benchmarks/growth.py."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Exchange, compose
from pytest_mcn_mock.delivery.timers import Job
from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.flow import finish
from pytest_mcn_mock.model.calls import CallOrder
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.web.http import Request, answer_of

NUMBER = "79157777777"
BUSY = ending(Outcome.BUSY, unavailable_cause=20)


class Acknowledging:
    """A sender whose every CDR is acknowledged at once."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """204."""
        return CdrResponse(204, {}, b"")

    async def close(self) -> None:
        """Nothing to do."""


def make_exchange(*, journal_size: int = 100, post: Callable[[Job], None] = lambda _: None) -> Exchange:
    """An operator in virtual time; by default nobody carries its CDRs."""
    settings = Settings(journal_size=journal_size, max_pending=10_000_000)
    return compose(settings, post, clock=VirtualClock(), make_sender=lambda _: Acknowledging())


def open_account(
    exchange: Exchange, account_id: str = "1", *, subscriptions: int = 0, rules: tuple[OutcomeRule, ...] = ()
) -> None:
    """An account with money for as many calls as one likes."""
    exchange.operator.accounts.open(
        seed=1,
        balance="1000000000.00",
        account_id=account_id,
        token=f"t{account_id}",
        subscriptions=[make_subscription(f"http://127.0.0.1:1/{n}") for n in range(subscriptions)],
        outcome_rules=rules,
    )


def prepared(deliveries: Deliveries, delivery_id: int) -> CdrRequest | None:
    """The request that carries a delivery as it is due now."""
    try:
        delivery = deliveries.get(delivery_id)
    except NotFound:
        delivery = Delivery(delivery_id, "", "", 0, "")
    return deliveries.prepare(delivery)


def make_rules(count: int) -> tuple[OutcomeRule, ...]:
    """Rules of which none matches."""
    return tuple(OutcomeRule(BUSY, f"7916{n:07}") for n in range(count))


def place(exchange: Exchange, account_id: str = "1", login_did: str = NUMBER) -> None:
    """One call, as a request that arrives and an answer that is sent."""
    request = Request(
        "POST",
        f"/v2/rest/account/{account_id}/flash_call",
        f"login_did={login_did}&code=1234".encode(),
        {"authorization": f"Bearer t{account_id}", "host": "127.0.0.1"},
    )
    flow = exchange.application.serve(request)
    response = answer_of(flow)
    if response.status != 200:
        raise RuntimeError(str(response.body))
    finish(flow)


def seconds_of_calls(exchange: Exchange, count: int, account_id: str = "1") -> float:
    """How long so many calls take."""
    began = time.perf_counter()
    for _ in range(count):
        place(exchange, account_id)
    return time.perf_counter() - began


def fill(exchange: Exchange, count: int, account_id: str = "1") -> None:
    """Place so many calls without a request, which is faster."""
    calls, order = exchange.operator.calls, CallOrder(Method.FLASH_CALL, NUMBER)
    for _ in range(count):
        calls.release(calls.place(account_id, order).verification_call_uuid)
