"""Waiting: for calls, for CDRs and for quiet, each on a condition; in a thread, or on an event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from pytest_mcn_mock.errors import Refusal, UsageError, WaitTimeout, WebhookRaised
from pytest_mcn_mock.model import accounts, calls, deliveries
from pytest_mcn_mock.model.checks import check_seconds, check_timeout, show
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.outcomes import Outcome
from pytest_mcn_mock.testing import story
from pytest_mcn_mock.testing.access import Access
from pytest_mcn_mock.testing.arrivals import Arrivals
from pytest_mcn_mock.testing.changes import is_on_a_loop
from pytest_mcn_mock.testing.handle import Handle
from pytest_mcn_mock.testing.views import Call, Delivery

DEFAULT_TIMEOUT_S = 5.0
MAX_ADVANCE_S = 10 * 365 * 86_400.0
_T = TypeVar("_T")


class Waiting(Handle):
    """Waits of a synchronous test. Each raises WaitTimeout, which tells what is pending, after ``timeout`` seconds."""

    def __init__(self, opened: accounts.Account, access: Access) -> None:
        super().__init__(opened, access)
        self._found: Arrivals | None = None
        self._told: list[BaseException] = []
        self.aio = AsyncWaiting(self)
        """The same waits for a test on an event loop."""
        self.clock = AccountClock(self)
        """The account's time."""

    def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """The next call that no ``wait_for_call`` has returned yet: of several the one that was placed first.

        Of threads that wait at the same time, each gets a call of its own.
        """
        __tracebackhide__ = True
        return self._wait(self._find_call, timeout, "no call was placed")

    def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """The delivery of the call's CDR once it was acknowledged or failed.

        Without a call it is the next delivery that no ``wait_for_cdr`` has returned yet: of several the one whose call
        was placed first. Of threads that wait at the same time, each gets a delivery of its own.

        WebhookRaised, at once, if the application raised when it got the CDR.
        """
        __tracebackhide__ = True
        self._check_call(call)
        return self._wait(lambda: self._find_cdr(call), timeout, _no_cdr(call))

    def assert_no_cdr(self, within: float = 0.2) -> None:
        """AssertionError as soon as a CDR is sent within so many seconds, or was sent and not yet waited for."""
        __tracebackhide__ = True
        check_timeout(within, name="within")
        sent = self._access.changes.wait(self.account_id, self._find_unexpected, within)
        if sent is not None:
            raise AssertionError(_unexpected(sent))

    def settle(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """Wait until no request is in flight and no CDR that is due is unsent. What is held or due later may stay."""
        __tracebackhide__ = True
        self._wait(lambda: self._is_settled() or None, timeout, "the account has not settled")

    def _wait(self, find: Callable[[], _T | None], timeout: float, otherwise: str) -> _T:
        __tracebackhide__ = True
        check_timeout(timeout)
        found = self._access.changes.wait(self.account_id, find, timeout)
        if found is None:
            raise self._timeout(timeout, otherwise)
        return found

    def _timeout(self, timeout: float, otherwise: str) -> WaitTimeout:
        when = "before the server was stopped" if self._access.changes.is_stopping else f"within {timeout:g} s"
        return WaitTimeout(f"{otherwise} {when}\n{self._tell_pending()}")

    def _not_advanced(self, refusal: Refusal) -> WaitTimeout:
        return WaitTimeout(f"{refusal.message}\n{self._tell_pending()}")

    def _tell_pending(self) -> str:
        pending = story.tell_pending(self, self._heard(), self._access, self._now())
        if count := self._access.applications.waiting_for_thread():
            pending += f"\n  {count} of the CDRs wait for the thread that subscribed with on_test_thread=True to wait"
        return pending

    def story(self) -> str:
        """What happened on the account: requests, calls, charges, CDR attempts, what is pending and when it is due.

        A failing test's report shows it. Tokens are not in it.
        """
        return story.tell(self, self._heard(), self._access, self._now())

    def _in_flight(self) -> Callable[[], bool | None]:
        """Whether the requests that are in flight now have been answered: for a wait that no later one makes longer."""
        unanswered = [request for request in self.requests if not request.is_answered]
        return lambda: True if all(request.is_answered for request in unanswered) else None

    def _arrivals(self) -> Arrivals:
        """What has come, watched from the first wait on: an account on which nobody waits pays nothing for it."""
        return self._access.run(self._watched())

    async def _watched(self) -> Arrivals:
        if self._found is None:
            self._found = Arrivals(self._access.storage)
            self._access.changes.watch(self.account_id, self._found)
            await self._found.begin(self.account_id)
        return self._found

    def _is_settled(self) -> bool:
        """Whether no request is in flight, and nothing that is due is still to be done."""
        now = self._now()
        return all(request.is_answered for request in self.requests) and not any(
            (call.ending is None and call.ends_at is not None and call.ends_at <= now)
            or any(delivery.due_at is not None and delivery.due_at <= now for delivery in pending)
            for call, pending in self._access.run(self._arrivals().unfinished())
        )

    def _find_call(self) -> Call | None:
        found = self._access.run(self._arrivals().next_call())
        return None if found is None else self._as_seen(found)

    def _find_cdr(self, call: Call | None) -> Delivery | None:
        __tracebackhide__ = True
        arrivals = self._arrivals()
        if call is None:
            settled = self._access.run(arrivals.next_settled())
            found = None if settled is None else self._delivery(*settled)
        else:
            found = next((d for d in call.deliveries if d.state is not DeliveryState.PENDING), None)
            if found is not None:
                self._access.run(arrivals.give_out(found.id))
        if self._access.applications.raised:
            candidates = [found] if found is not None else self.deliveries if call is None else call.deliveries
            self._tell_raised(candidates)
        return found

    def _find_unexpected(self) -> Delivery | None:
        sent = self._access.run(self._arrivals().unexpected())
        return None if sent is None else self._delivery(*sent)

    def _check_call(self, call: object) -> None:
        __tracebackhide__ = True
        if call is not None and not isinstance(call, Call):
            raise UsageError(f"call is {show(call)}; use a Call, such as mcn.calls[0], or None for the next CDR")
        if isinstance(call, Call) and call.account_id != self.account_id:
            raise UsageError(f"call is {call!r}, which is not a call of account {self.account_id}")

    def _tell_raised(self, deliveries: Sequence[Delivery]) -> None:
        """Raise, once, what the application raised when it got one of these."""
        __tracebackhide__ = True
        for delivery in deliveries:
            attempts, request = delivery.attempts, delivery.request
            if request is None or not attempts or attempts[-1].error is None:
                continue
            error = self._access.applications.error_of(request)
            if error is not None and not any(error is told for told in self._told):
                self._told.append(error)
                raise WebhookRaised(
                    f"the application raised {type(error).__name__} when it got the CDR: {delivery!r}"
                ) from error

    def _as_seen(self, call: calls.Call) -> Call:
        return Call(call, self._access, self._after_completion)

    def _delivery(self, call: calls.Call, delivery: deliveries.Delivery) -> Delivery:
        return Delivery(delivery, self._as_seen(call), self._access)

    def _after_completion(self, delivery: Delivery) -> None:
        if not is_on_a_loop(self._access.door.loop):
            timeout = self.ack_timeout_s + 1
            self._access.changes.wait(self.account_id, lambda: _was_tried(delivery), timeout)
            self._tell_raised([delivery])


class AsyncWaiting:
    """``mcn.aio``: the waits for a test whose application, perhaps, runs on the test's own event loop."""

    def __init__(self, account: Waiting) -> None:
        self._account = account

    async def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """As ``mcn.wait_for_call``."""
        return await self._wait(self._account._find_call, timeout, "no call was placed")

    async def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """As ``mcn.wait_for_cdr``."""
        self._account._check_call(call)
        return await self._wait(lambda: self._account._find_cdr(call), timeout, _no_cdr(call))

    async def assert_no_cdr(self, within: float = 0.2) -> None:
        """As ``mcn.assert_no_cdr``."""
        check_timeout(within, name="within")
        changes = self._account._access.changes
        sent = await changes.wait_async(self._account.account_id, self._account._find_unexpected, within)
        if sent is not None:
            raise AssertionError(_unexpected(sent))

    async def settle(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """As ``mcn.settle``."""
        await self._wait(lambda: self._account._is_settled() or None, timeout, "the account has not settled")

    async def complete(
        self, call: Call, outcome: Outcome | str | None = None, *, q931_status: int | None = None
    ) -> Delivery | None:
        """As ``call.complete``: it returns once the CDR was tried."""
        if not isinstance(call, Call):
            raise UsageError(f"call is {show(call)}; use a Call, such as mcn.calls[0]")
        delivery = call.complete(outcome, q931_status=q931_status)
        if delivery is not None:
            timeout = self._account.ack_timeout_s + 1
            changes = self._account._access.changes
            await changes.wait_async(self._account.account_id, lambda: _was_tried(delivery), timeout)
            self._account._tell_raised([delivery])
        return delivery

    async def advance(self, seconds: float) -> None:
        """As ``mcn.clock.advance``."""
        check_seconds(seconds, name="seconds", most=MAX_ADVANCE_S)
        account = self._account
        changes = account._access.changes
        await changes.wait_async(account.account_id, account._in_flight(), DEFAULT_TIMEOUT_S)
        try:
            await changes.wait_done_async(account.clock._advance(seconds))
        except Refusal as refusal:
            raise account._not_advanced(refusal) from None

    async def _wait(self, find: Callable[[], _T | None], timeout: float, otherwise: str) -> _T:
        check_timeout(timeout)
        found = await self._account._access.changes.wait_async(self._account.account_id, find, timeout)
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

        Returns when all of it has happened. What comes meanwhile is not waited for.

        WaitTimeout if a CDR that is sent does not end, and if the server is stopped meanwhile.
        """
        check_seconds(seconds, name="seconds", most=MAX_ADVANCE_S)
        account = self._account
        changes = account._access.changes
        changes.wait(account.account_id, account._in_flight(), DEFAULT_TIMEOUT_S)
        try:
            changes.wait_done(self._advance(seconds))
        except Refusal as refusal:
            raise account._not_advanced(refusal) from None

    def _advance(self, seconds: float) -> Future[None]:
        access = self._account._access
        return access.door.start(access.fake.worker.advance(seconds, self._account.account_id))


def _was_tried(delivery: Delivery) -> bool | None:
    return True if delivery.attempts or delivery.state is not DeliveryState.PENDING else None


def _no_cdr(call: Call | None) -> str:
    return "no CDR was delivered" if call is None else f"no CDR was delivered for {call!r}"


def _unexpected(delivery: Delivery) -> str:
    return f"a CDR was sent, and none was expected: {delivery!r}"
