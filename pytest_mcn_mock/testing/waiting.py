"""Waits for calls, for CDRs and until all is settled. The same coroutines serve a thread and an event loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from typing import TypeVar

from pytest_mcn_mock.errors import NotFound, Refusal, UsageError, WaitTimeout
from pytest_mcn_mock.model import calls, deliveries
from pytest_mcn_mock.model.checks import check_seconds, check_timeout, show
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.outcomes import Outcome
from pytest_mcn_mock.testing import report
from pytest_mcn_mock.testing.changes import Signal, run_blocking
from pytest_mcn_mock.testing.views import AccountView, Call, Delivery

DEFAULT_TIMEOUT_S = 5.0
_MAX_ADVANCE_S = 10 * 365 * 86_400.0
_ALL = 10**9
_T = TypeVar("_T")


class Arrivals:
    """The calls and CDRs of an account that no wait has returned yet, and the events that are still to come.

    A wait looks at nothing that an earlier one has seen. The account is watched from the first wait on: if nobody
    waits, that costs nothing. Whoever asks is alone with the state (``testing.door``), so that each call and each CDR
    is given out once. Of those that are there the first comes first, in the order in which the calls were placed.
    """

    def __init__(self, view: AccountView) -> None:
        self._view = view
        self._is_watching = False
        self._touched: dict[str, None] = {}
        """Calls that have changed since the last look."""
        self._unfinished: dict[str, None] = {}
        """Calls that ring or have a pending CDR."""
        self._known_calls: set[int] = set()
        self._known_deliveries: set[int] = set()
        self._returned: set[int] = set()
        self._calls: list[tuple[int, calls.Call]] = []
        self._settled: list[tuple[int, int, calls.Call, deliveries.Delivery]] = []
        self._tried: dict[int, tuple[calls.Call, deliveries.Delivery]] = {}

    async def next_call(self) -> Call | None:
        """Return the first call that was not returned yet."""
        await self._look()
        return Call(heappop(self._calls)[1], self._view) if self._calls else None

    async def next_settled(self) -> Delivery | None:
        """Return the first CDR that was acknowledged or failed, and was not returned yet."""
        await self._look()
        while self._settled:
            _, delivery_id, call, delivery = heappop(self._settled)
            if delivery_id not in self._returned:
                await self.give_out(delivery_id)
                return self._show(call, delivery)
        return None

    async def give_out(self, delivery_id: int) -> None:
        """Note that a wait has returned the CDR."""
        self._tried.pop(delivery_id, None)
        self._returned.add(delivery_id)

    async def next_sent(self) -> Delivery | None:
        """Return a CDR that was sent, and was not returned yet."""
        await self._look()
        return next((self._show(*sent) for sent in self._tried.values()), None)

    async def has_due(self, now: float) -> bool:
        """Return whether a call is to end, or a CDR to be sent, by that moment."""
        await self._look()
        storage = self._view.storage
        for uuid in list(self._unfinished):
            with suppress(NotFound):
                call, made = await storage.call(uuid), await storage.deliveries_of(uuid)
                due = [delivery.due_at for delivery in made if delivery.state is DeliveryState.PENDING]
                due += [call.ends_at] if call.ending is None else []
                if any(due_at is not None and due_at <= now for due_at in due):
                    return True
        return False

    def note(self, verification_call_uuid: str) -> None:
        """Note that the call has changed."""
        self._touched[verification_call_uuid] = None

    async def _look(self) -> None:
        storage = self._view.storage
        if not self._is_watching:
            self._is_watching = True
            self._view.changes.watch(self._view.account_id, self.note)
            for call in await storage.calls(self._view.account_id, 0, _ALL):
                self.note(call.verification_call_uuid)
        while self._touched:
            uuid, _ = self._touched.popitem()
            try:
                call, made = await storage.call(uuid), await storage.deliveries_of(uuid)
            except NotFound:  # it has left the bounded journal
                self._unfinished.pop(uuid, None)
                continue
            if call.seq not in self._known_calls:
                self._known_calls.add(call.seq)
                heappush(self._calls, (call.seq, call))
            for delivery in made:
                self._enter(call, delivery)
            if call.ending is None or any(delivery.state is DeliveryState.PENDING for delivery in made):
                self._unfinished[uuid] = None
            else:
                self._unfinished.pop(uuid, None)

    def _enter(self, call: calls.Call, delivery: deliveries.Delivery) -> None:
        if delivery.attempts and delivery.id not in self._returned:
            self._tried[delivery.id] = call, delivery
        if delivery.state is not DeliveryState.PENDING and delivery.id not in self._known_deliveries:
            self._known_deliveries.add(delivery.id)
            heappush(self._settled, (call.seq, delivery.id, call, delivery))

    def _show(self, call: calls.Call, delivery: deliveries.Delivery) -> Delivery:
        return Delivery(delivery, Call(call, self._view), self._view)


class AsyncWaits:
    """``mcn.aio``: the waits for an asynchronous test, whose application may run on the same event loop.

    With signals that block the thread they are the waits of ``mcn`` itself. Each raises WaitTimeout, which says what
    is pending, after ``timeout`` seconds.
    """

    def __init__(self, view: AccountView, arrivals: Arrivals, make_signal: Callable[[float | None], Signal]) -> None:
        self._view = view
        self._arrivals = arrivals
        self._make_signal = make_signal

    async def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """As ``mcn.wait_for_call``."""
        __tracebackhide__ = True
        return await self._wait(lambda: self._view.run(self._arrivals.next_call()), timeout, "no call was placed")

    async def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """As ``mcn.wait_for_cdr``."""
        __tracebackhide__ = True
        if call is not None and not isinstance(call, Call):
            raise UsageError(f"call is {show(call)}; use a Call, such as mcn.calls[0], or None for the next CDR")
        if call is not None and call.account_id != self._view.account_id:
            raise UsageError(f"invalid call {call!r}: use a call of account {self._view.account_id}")
        what = "no CDR was delivered" if call is None else f"no CDR was delivered for {call!r}"
        return await self._wait(partial(self._find_cdr, call), timeout, what)

    async def assert_no_cdr(self, within: float = 0.2) -> None:
        """As ``mcn.assert_no_cdr``."""
        __tracebackhide__ = True
        check_timeout(within, name="within")
        sent = await self._look_for(lambda: self._view.run(self._arrivals.next_sent()), within)
        if sent is not None:
            raise AssertionError(f"expected no CDR, but one was sent: {sent!r}")

    async def settle(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """As ``mcn.settle``."""
        __tracebackhide__ = True
        check_timeout(timeout)
        if not self._is_settled():  # as it is at the end of most tests
            await self._wait(lambda: self._is_settled() or None, timeout, "the account has not settled")

    async def complete(
        self, call: Call, outcome: Outcome | str | None = None, *, q931_status: int | None = None
    ) -> Delivery | None:
        """As ``call.complete``. It returns when the CDR has been attempted."""
        __tracebackhide__ = True
        if not isinstance(call, Call):
            raise UsageError(f"call is {show(call)}; use a Call, such as mcn.calls[0]")
        delivery = call.complete(outcome, q931_status=q931_status)
        if delivery is not None:
            await self._view.until_tried(delivery, self._make_signal(self._view.tried_within_s))
        return delivery

    async def advance(self, seconds: float) -> None:
        """As ``mcn.clock.advance``."""
        __tracebackhide__ = True
        check_seconds(seconds, name="seconds", most=_MAX_ADVANCE_S)
        view = self._view
        in_flight = [request for request in view.requests() if not request.is_answered]
        await self._look_for(lambda: all(request.is_answered for request in in_flight) or None, DEFAULT_TIMEOUT_S)
        advanced = view.door.start(view.fake.late_worker.advance(seconds, view.account_id))
        try:
            await view.changes.wait_done(advanced, self._make_signal(None))
        except Refusal as refusal:
            raise WaitTimeout(f"{refusal.message}\n{report.describe_pending(view)}") from None

    async def _wait(self, find: Callable[[], _T | None], timeout: float, otherwise: str) -> _T:
        __tracebackhide__ = True
        check_timeout(timeout)
        found = await self._look_for(find, timeout)
        if found is None:
            when = "before the server was stopped" if self._view.changes.is_stopping else f"within {timeout:g} s"
            raise WaitTimeout(f"{otherwise} {when}\n{report.describe_pending(self._view)}")
        return found

    async def _look_for(self, find: Callable[[], _T | None], timeout: float) -> _T | None:
        __tracebackhide__ = True
        return await self._view.changes.wait(self._view.account_id, find, self._make_signal(timeout))

    def _find_cdr(self, call: Call | None) -> Delivery | None:
        __tracebackhide__ = True
        view = self._view
        if call is None:
            found = view.run(self._arrivals.next_settled())
        else:
            found = next((d for d in call.deliveries if d.state is not DeliveryState.PENDING), None)
            if found is not None:
                view.run(self._arrivals.give_out(found.id))
        if view.applications.has_raised:
            view.raise_raised([found] if found else view.deliveries() if call is None else call.deliveries)
        return found

    def _is_settled(self) -> bool:
        """Return whether no request is in flight, and no due work is left."""
        view = self._view
        return all(request.is_answered for request in view.requests()) and not view.run(
            self._arrivals.has_due(view.now())
        )


class AccountClock:
    """``mcn.clock``: the account's time, which a test can put forward."""

    def __init__(self, view: AccountView, waits: AsyncWaits) -> None:
        self._view = view
        self._waits = waits

    @property
    def now(self) -> float:
        """The account's time, in seconds since the epoch."""
        return self._view.now()

    def advance(self, seconds: float) -> None:
        """Put the time forward, and do everything that falls due, in order: end calls, send CDRs and retry them.

        Returns when that is done. It does not wait for calls that are placed in the meantime.

        Raises WaitTimeout if an attempt does not end, or if the server is stopped meanwhile.
        """
        __tracebackhide__ = True
        run_blocking(self._waits.advance(seconds))
