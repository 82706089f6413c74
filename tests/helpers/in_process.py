"""Calls in one process, without sockets, for what is about their cost. Shared with benchmarks/growth.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.flow import Done, step
from pytest_mcn_mock.model.calls import CallOrder
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.web.http import Request, Response

NUMBER = "79157777777"
BUSY = ending(Outcome.BUSY, unavailable_cause=18)
_T = TypeVar("_T")


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine returns that never waits, as none of the storage in memory does."""
    done = step(coroutine)
    assert isinstance(done, Done), f"it waits for {done}"
    result: _T = done.result
    return result


class Acknowledging:
    """A sender whose every CDR is acknowledged at once."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """204."""
        return CdrResponse(204, {}, b"")

    async def close(self) -> None:
        """Nothing to do."""


def make_fake(*, journal_size: int = 100, post: Callable[[Callable[[], None]], None] | None = lambda _: None) -> Fake:
    """A fake in virtual time; by default nobody sends its CDRs."""
    settings = Settings(journal_size=journal_size, max_pending=10_000_000)
    return compose(settings, post=post, clock=VirtualClock(), make_sender=lambda _: Acknowledging())


def open_account(
    fake: Fake, account_id: str = "1", *, subscriptions: int = 0, rules: tuple[OutcomeRule, ...] = ()
) -> None:
    """An account with money for as many calls as one likes."""
    run(
        fake.service.accounts.open(
            seed=1,
            balance="1000000000.00",
            account_id=account_id,
            token=f"t{account_id}",
            subscriptions=[make_subscription(f"http://127.0.0.1:1/{n}") for n in range(subscriptions)],
            outcome_rules=rules,
        )
    )


def make_rules(count: int) -> tuple[OutcomeRule, ...]:
    """Rules of which none matches."""
    return tuple(OutcomeRule(BUSY, f"7916{n:07}") for n in range(count))


def place(fake: Fake, account_id: str = "1", login_did: str = NUMBER) -> None:
    """One call, as a request that arrives and an answer that is sent."""
    request = Request(
        "POST",
        f"/v2/rest/account/{account_id}/flash_call",
        f"login_did={login_did}&code=1234".encode(),
        {"authorization": f"Bearer t{account_id}", "host": "127.0.0.1"},
    )
    flow = fake.application.serve(request)
    response = step(flow)
    if not isinstance(response, Response) or response.status != 200:
        raise RuntimeError(str(response))
    step(flow)


def seconds_of_calls(fake: Fake, count: int, account_id: str = "1") -> float:
    """How long so many calls take."""
    began = time.perf_counter()
    for _ in range(count):
        place(fake, account_id)
    return time.perf_counter() - began


def fill(fake: Fake, count: int, account_id: str = "1") -> None:
    """Place so many calls without a request, which is faster."""
    calls, order = fake.service.calls, CallOrder(Method.FLASH_CALL, NUMBER)
    for _ in range(count):
        run(calls.answered(run(calls.place(account_id, order)).verification_call_uuid))
