"""Waiting: for calls, for CDRs and for quiet, each on a condition; in a thread, or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from pytest_mcn_mock.domain import accounts
from pytest_mcn_mock.domain.deliveries import DeliveryState
from pytest_mcn_mock.domain.outcomes import Outcome, check_seconds
from pytest_mcn_mock.errors import WaitTimeout
from pytest_mcn_mock.testing import story
from pytest_mcn_mock.testing.handle import Backing, Handle
from pytest_mcn_mock.testing.views import Call, Delivery

DEFAULT_TIMEOUT_S = 5.0
MAX_ADVANCE_S = 10 * 365 * 86_400.0
_T = TypeVar("_T")


class Waiting(Handle):
    """Waits of a synchronous test. Each raises WaitTimeout, which tells what is pending, after ``timeout`` seconds."""

    def __init__(self, opened: accounts.Account, backing: Backing) -> None:
        super().__init__(opened, backing)
        self._last_call_found = 0
        self._cdrs_found: set[int] = set()
        self.aio = AsyncWaiting(self)
        """The same waits for a test on an event loop."""
        self.clock = AccountClock(self)
        """The account's time."""

    def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """The next call that no ``wait_for_call`` has returned yet."""
        __tracebackhide__ = True
        return self._wait(self._find_call, timeout, "no call was placed")

    def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """The delivery of the call's CDR once it was acknowledged or given up.

        Without a call it is the next delivery that no ``wait_for_cdr`` has returned yet.
        """
        __tracebackhide__ = True
        return self._wait(lambda: self._find_cdr(call), timeout, _no_cdr(call))

    def assert_no_cdr(self, within: float = 0.2) -> None:
        """AssertionError as soon as a CDR is sent within so many seconds, or was sent and not yet waited for."""
        __tracebackhide__ = True
        sent = self._backing.changes.wait(self.account_id, self._find_sent, within)
        if sent is not None:
            raise AssertionError(_unexpected(sent))

    def settle(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """Wait until no request is in flight and no CDR that is due is unsent. What is held or due later may stay."""
        __tracebackhide__ = True
        self._wait(lambda: self._is_settled() or None, timeout, "the account has not settled")

    def _wait(self, find: Callable[[], _T | None], timeout: float, otherwise: str) -> _T:
        __tracebackhide__ = True
        found = self._backing.changes.wait(self.account_id, find, timeout)
        if found is None:
            raise self._timeout(timeout, otherwise)
        return found

    def _timeout(self, timeout: float, otherwise: str) -> WaitTimeout:
        pending = story.tell_pending(self, self._operator, self._now())
        return WaitTimeout(f"{otherwise} within {timeout:g} s\n{pending}")

    def story(self) -> str:
        """What happened on the account: requests, calls, charges, CDR attempts, what is owed and when it is due.

        A failing test's report shows it. Tokens are not in it.
        """
        return story.tell(self, self._operator, self._now())

    def _find_all_answered(self) -> bool | None:
        return True if all(request.is_answered for request in self.requests) else None

    def _find_call(self) -> Call | None:
        found = self._operator.calls.page(self.account_id, after=self._last_call_found, limit=1)
        if not found:
            return None
        self._last_call_found = found[0].seq
        return Call(found[0], self._operator, self._after_completion)

    def _find_cdr(self, call: Call | None) -> Delivery | None:
        for delivery in self.deliveries if call is None else call.deliveries:
            is_new = call is not None or delivery.id not in self._cdrs_found
            if is_new and delivery.state is not DeliveryState.OWED:
                self._cdrs_found.add(delivery.id)
                return delivery
        return None

    def _find_sent(self) -> Delivery | None:
        return next((d for d in self.deliveries if d.attempts and d.id not in self._cdrs_found), None)

    def _after_completion(self, delivery: Delivery) -> None:
        if not _is_on_a_loop():
            timeout = self._operator.deliveries.ack_timeout_s + 1
            self._backing.changes.wait(self.account_id, lambda: _was_tried(delivery), timeout)


class AsyncWaiting:
    """``mcn.aio``: the waits for a test whose application, perhaps, runs on the test's own event loop."""

    def __init__(self, account: Waiting) -> None:
        self._account = account

    async def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """As ``mcn.wait_for_call``."""
        return await self._wait(self._account._find_call, timeout, "no call was placed")

    async def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """As ``mcn.wait_for_cdr``."""
        return await self._wait(lambda: self._account._find_cdr(call), timeout, _no_cdr(call))

    async def assert_no_cdr(self, within: float = 0.2) -> None:
        """As ``mcn.assert_no_cdr``."""
        changes = self._account._backing.changes
        sent = await changes.wait_async(self._account.account_id, self._account._find_sent, within)
        if sent is not None:
            raise AssertionError(_unexpected(sent))

    async def settle(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """As ``mcn.settle``."""
        await self._wait(lambda: self._account._is_settled() or None, timeout, "the account has not settled")

    async def complete(
        self, call: Call, outcome: Outcome | str | None = None, *, q931_status: int | None = None
    ) -> Delivery | None:
        """As ``call.complete``: it returns once the CDR was tried."""
        delivery = call.complete(outcome, q931_status=q931_status)
        if delivery is not None:
            timeout = self._account._operator.deliveries.ack_timeout_s + 1
            changes = self._account._backing.changes
            await changes.wait_async(self._account.account_id, lambda: _was_tried(delivery), timeout)
        return delivery

    async def advance(self, seconds: float) -> None:
        """As ``mcn.clock.advance``."""
        check_seconds(seconds, name="seconds", most=MAX_ADVANCE_S)
        changes = self._account._backing.changes
        await changes.wait_async(self._account.account_id, self._account._find_all_answered, DEFAULT_TIMEOUT_S)
        await asyncio.wrap_future(self._account.clock._advance(seconds))

    async def _wait(self, find: Callable[[], _T | None], timeout: float, otherwise: str) -> _T:
        found = await self._account._backing.changes.wait_async(self._account.account_id, find, timeout)
        if found is None:
            raise self._account._timeout(timeout, otherwise)
        return found


class AccountClock:
    """``mcn.clock``: the account's time, which a test can put forward."""

    def __init__(self, account: Waiting) -> None:
        self._account = account

    @property
    def now(self) -> float:
        """Seconds since the epoch, by the account's time."""
        return self._account._now()

    def advance(self, seconds: float) -> None:
        """Put the time forward. What falls due happens, in order: calls end, CDRs and their retries are sent.

        Returns when all of it has happened.
        """
        check_seconds(seconds, name="seconds", most=MAX_ADVANCE_S)
        self._account._backing.changes.wait(
            self._account.account_id, self._account._find_all_answered, DEFAULT_TIMEOUT_S
        )
        self._advance(seconds).result()

    def _advance(self, seconds: float) -> Future[None]:
        backing = self._account._backing
        return backing.background.run(backing.exchange.dispatcher.advance_account(self._account.account_id, seconds))


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _was_tried(delivery: Delivery) -> bool | None:
    return True if delivery.attempts or delivery.state is not DeliveryState.OWED else None


def _no_cdr(call: Call | None) -> str:
    return "no CDR was delivered" if call is None else f"no CDR was delivered for {call!r}"


def _unexpected(delivery: Delivery) -> str:
    return f"a CDR was sent, and none was expected: {delivery!r}"
