"""Delivering CDRs: what is sent, and what an attempt leads to. Sending itself is the courier's."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, NotFound, StorageFailed
from pytest_mcn_mock.model import accounts as account_rules
from pytest_mcn_mock.model.accounts import Account, look_up_subscription
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, render_cdr
from pytest_mcn_mock.model.deliveries import (
    NEXT_CALL,
    Attempt,
    CdrRequest,
    CdrResponse,
    Delivery,
    DeliveryState,
    is_acknowledgement,
    is_still_due,
    next_retry,
    outcome_of_attempt,
    without_answer,
)
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.service.answers import KeptAnswers
from pytest_mcn_mock.service.cdr_requests import make_request
from pytest_mcn_mock.service.ports import AccountStore, CallStore, Clock, Courier, Observer

MAX_ATTEMPTS: Final = 1000
"""Attempts after which a delivery cannot be sent again manually."""
_log = logging.getLogger("mcn_mock")


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """An attempt that was made for a delivery, as it was handed over. ``at`` is when it began."""

    handed: Delivery
    at: float
    duration_s: float
    response: CdrResponse | None
    error: str | None


class Deliveries:
    """Prepares each attempt, records it, and decides between delivered, again and failed."""

    def __init__(
        self,
        accounts: AccountStore,
        calls: CallStore,
        clock: Clock,
        courier: Courier,
        observer: Observer,
        assumptions: Assumptions,
        when_kept: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._accounts = accounts
        self._calls = calls
        self._clock = clock
        self._courier = courier
        self._observer = observer
        self._assumptions = assumptions
        self._answers = KeptAnswers(self._is_listed)
        self._when_kept = when_kept
        self._unkept: dict[_Result, None] = {}
        """Results that the store may still lose, in order: such an attempt was made all the same."""
        self._first_attempts: dict[int, tuple[str, Future[None]]] = {}
        self._is_stopping = False
        self._parked: defaultdict[str, deque[Delivery]] = defaultdict(deque)

    @property
    def ack_timeout_s(self) -> float:
        """How long an endpoint may take to acknowledge, in seconds."""
        return self._assumptions.ack_timeout_s

    def dispatch(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over what the end of a call made due, and keep back what has to wait for another delivery."""
        for delivery in deliveries:
            if delivery.waits_for == NEXT_CALL:
                self._parked[delivery.account_id].append(delivery)
            elif delivery.due_at is not None:
                self._courier.deliver(delivery)

    def first_attempt(self, verification_call_uuid: str) -> Future[None]:
        """Done once the call's CDR was tried, or cannot be any more, or none is pending, or the server stops."""
        future: Future[None] = Future()
        pending = [d for d in self._calls.deliveries_of(verification_call_uuid) if d.state is DeliveryState.PENDING]
        if not pending or pending[0].attempts:
            future.set_result(None)
            return future
        delivery_id = pending[0].id
        self._first_attempts[delivery_id] = pending[0].account_id, future
        if self._is_stopping:
            self.let_go(delivery_id)
        return future

    def let_go(self, delivery_id: int) -> None:
        """Nobody waits for the delivery's first attempt any more: it was made, or will not be."""
        _, first_attempt = self._first_attempts.pop(delivery_id, ("", None))
        if first_attempt is not None and first_attempt.set_running_or_notify_cancel():
            first_attempt.set_result(None)

    def start_waiting(self) -> None:
        """The server starts, perhaps again."""
        self._is_stopping = False

    def stop_waiting(self) -> None:
        """The server stops: nobody waits for a first attempt, now or from now on."""
        self._is_stopping = True
        for delivery_id in tuple(self._first_attempts):
            self.let_go(delivery_id)

    def prepare(self, handed: Delivery) -> CdrRequest | None:
        """Return the request to send for a pending delivery whose call has ended, or None if nothing is to be sent.

        ``handed`` is the delivery as it was handed over: it may have been settled, or sent again manually, since.
        """
        delivery_id = handed.id
        try:
            delivery = self._calls.delivery(delivery_id)
            call = self._calls.get(delivery.verification_call_uuid)
            account = self._accounts.get(delivery.account_id)
        except NotFound:  # the account was closed before the attempt
            self.let_go(delivery_id)
            return None
        if not is_still_due(delivery, handed) or call.ending is None:
            return None
        subscription = look_up_subscription(account, delivery.subscription)
        if subscription is None:
            self._give_up(delivery_id, "the webhook was removed")
            return None
        if delivery.request is not None:
            return _trusting(delivery.request, subscription)
        record = render_cdr(_as_told(call, delivery), subscription.body, subscription.constants)
        request = make_request(subscription, record)
        self._calls.change_delivery(delivery_id, lambda d: replace(d, cdr=record, request=request))
        return _trusting(request, subscription)

    def record(
        self, handed: Delivery, at: float, duration_s: float, response: CdrResponse | None, error: str | None
    ) -> Delivery | None:
        """Record an attempt; return the delivery if it is due again, and None if that was all.

        ``handed`` is the delivery as it was handed over for the attempt, and ``at`` is when that began; ``error`` says
        why there is no response.
        """
        if response is not None:
            response = response.beginning()
        if response is not None and not is_acknowledgement(response.status):
            error = f"HTTP {response.status}, not acknowledged"
        recorded = self._record(_Result(handed, at, duration_s, response, error))
        if recorded is None:
            return None
        before, delivery = recorded
        if delivery.state is DeliveryState.PENDING:
            return delivery if is_still_due(before, handed) else None
        if before.state is DeliveryState.PENDING:
            self._follow_up(delivery)
        return None

    def record_lost(self) -> None:
        """The store has lost what was not kept, and takes steps again: record the attempts whose results it lost."""
        lost, self._unkept = self._unkept, {}
        for result in lost:
            with suppress(StorageFailed):  # it has failed again; _record sees to that
                self.prepare(result.handed)  # whose CDR the store may have lost too
            self._record(result)

    def resend(self, delivery_id: int) -> Delivery:
        """Owe the CDR again and send it now, whatever became of it; retries follow as if it were the first time.

        NotFound if there is none, Conflict for one whose call has not ended or whose webhook was removed.
        """
        delivery = self._calls.delivery(delivery_id)
        account = self._accounts.get(delivery.account_id)
        if self._calls.get(delivery.verification_call_uuid).ending is None:
            raise Conflict(f"delivery {delivery_id} has no CDR yet: its call has not ended; complete the call first")
        if look_up_subscription(account, delivery.subscription) is None:
            raise Conflict(f"delivery {delivery_id} has nowhere to go: its webhook was removed")
        if len(delivery.attempts) >= MAX_ATTEMPTS:
            raise Conflict(f"delivery {delivery_id} was tried {MAX_ATTEMPTS} times; place another call")
        now = self._clock.now(account.id)

        before: list[Delivery] = []

        def owe_again(delivery: Delivery) -> Delivery:
            before.append(delivery)
            return replace(
                delivery,
                state=DeliveryState.PENDING,
                due_at=now,
                waits_for=None,
                earlier_attempts=len(delivery.attempts),
                resent=delivery.resent + 1,
            )

        delivery = self._calls.change_delivery(delivery_id, owe_again)
        self._courier.deliver(delivery)
        self._observer.changed(account.id, delivery, before[-1])
        return delivery

    def get(self, delivery_id: int) -> Delivery:
        """The delivery; NotFound if there is none."""
        return self._calls.delivery(delivery_id)

    def of_call(self, verification_call_uuid: str) -> Sequence[Delivery]:
        """The deliveries of a call, a subscription each."""
        return self._calls.deliveries_of(verification_call_uuid)

    def page(
        self, account_id: str | None = None, after: int = 0, limit: int = 100, *, newest_first: bool = False
    ) -> Sequence[Delivery]:
        """Deliveries of an account, or of all, in order or the newest first, behind the one whose id is ``after``."""
        return self._calls.page_of_deliveries(account_id, after, limit, newest_first=newest_first)

    def resume(self) -> None:
        """Hand over what is pending, as if its call had just ended, and make due what waits for what is settled."""
        listed = self._calls.page_of_deliveries(None, 0, sys.maxsize)
        self._forget_answers(self._answers.count_anew(iter(listed)))
        for delivery in self._calls.pending():
            if self._calls.get(delivery.verification_call_uuid).ending is None:
                continue
            if delivery.waits_for is None or not self._is_to_wait(delivery):
                self._release(delivery)
            else:
                self.dispatch([delivery])

    def forget(self, account_id: str) -> None:
        """The account is closed: nothing of it has to wait any more."""
        self._parked.pop(account_id, None)
        for delivery_id, (owner, _) in tuple(self._first_attempts.items()):
            if owner == account_id:
                self.let_go(delivery_id)

    def forget_all(self) -> None:
        """Every account is gone, and every delivery."""
        self._answers.clear()
        self._parked.clear()
        for delivery_id in tuple(self._first_attempts):
            self.let_go(delivery_id)

    def count_pending(self) -> int:
        """How many deliveries are still pending."""
        return self._calls.count_pending()

    def pending(self) -> Sequence[Delivery]:
        """Every delivery that is still pending."""
        return self._calls.pending()

    def _is_listed(self, delivery_id: int) -> bool:
        try:
            self._calls.delivery(delivery_id)
        except NotFound:
            return False
        return True

    def _forget_answers(self, oldest: Iterable[tuple[int, int]]) -> None:
        """Keep no more of these answers than their status: there are too many of them."""
        for delivery_id, number in oldest:
            with suppress(NotFound, StorageFailed):  # it is listed no more
                self._calls.change_delivery(delivery_id, partial(without_answer, number=number))

    def _give_up(self, delivery_id: int, why: str) -> None:
        before: list[Delivery] = []

        def give_up(delivery: Delivery) -> Delivery:
            before.append(delivery)
            return replace(delivery, state=DeliveryState.FAILED, due_at=None, note=why)

        delivery = self._calls.change_delivery(delivery_id, give_up)
        self._follow_up(delivery)
        self.let_go(delivery_id)
        self._observer.changed(delivery.account_id, delivery, before[-1])

    def _follow_up(self, settled: Delivery) -> None:
        """Make due what a fault let wait for this delivery."""
        try:
            own = self._calls.deliveries_of(settled.verification_call_uuid)
        except NotFound:  # the call is listed no more, and this was the last that it had pending
            own = ()
        followers = [delivery for delivery in own if delivery.waits_for == settled.id]
        if parked := self._parked.get(settled.account_id):
            for _ in range(len(parked)):  # one may be added meanwhile, on another thread
                delivery = parked.popleft()
                is_own = delivery.verification_call_uuid == settled.verification_call_uuid
                if is_own:
                    parked.append(delivery)
                else:
                    followers.append(delivery)
        for delivery in followers:
            self._release(delivery)

    def _release(self, delivery: Delivery) -> None:
        """Hand over a pending delivery; one that waited for another waits no more."""
        if delivery.waits_for is not None:
            now = self._clock.now(delivery.account_id)
            delivery = self._calls.change_delivery(delivery.id, lambda d: replace(d, due_at=now, waits_for=None))
        self._courier.deliver(delivery)

    def _is_to_wait(self, delivery: Delivery) -> bool:
        """Whether what the delivery waits for was not settled while nobody was there to notice."""
        if delivery.waits_for != NEXT_CALL:
            others = self._calls.deliveries_of(delivery.verification_call_uuid)
            return any(other.id == delivery.waits_for and other.state is DeliveryState.PENDING for other in others)
        later = self._calls.page_of_deliveries(delivery.account_id, delivery.id, sys.maxsize)
        return not any(
            other.state is not DeliveryState.PENDING and other.verification_call_uuid != delivery.verification_call_uuid
            for other in later
        )

    def _record(self, result: _Result) -> tuple[Delivery, Delivery] | None:
        """Record an attempt; return the delivery before and after. None if its account was closed, or if it cannot be
        kept now: it is recorded then once it can be.
        """
        was: list[tuple[Delivery, Account]] = []

        def settle(delivery: Delivery, account: Account) -> tuple[Delivery, Account]:
            was.append((delivery, account))
            attempt = Attempt(len(delivery.attempts) + 1, result.at, result.duration_s, result.response, result.error)
            subscription = look_up_subscription(account, delivery.subscription)
            wait = None
            if result.error is not None and subscription is not None and subscription.retry:
                wait = next_retry(self._assumptions.retry_after_s, attempt.number - delivery.earlier_attempts)
            due_at = None if wait is None else self._clock.now(account.id) + wait
            after = outcome_of_attempt(delivery, result.handed, attempt, due_at)
            return after, self._count_failures(account, delivery, after)

        if self._when_kept is not None:
            self._unkept[result] = None
        try:
            delivery, account = self._calls.settle(result.handed.id, settle)
        except NotFound:  # the account was closed while the attempt was under way
            self._unkept.pop(result, None)
            return None
        except StorageFailed:
            return None
        finally:
            self.let_go(result.handed.id)
        if self._when_kept is not None:
            self._when_kept(lambda: self._unkept.pop(result, None))
        if result.response is not None:
            self._forget_answers(self._answers.add(delivery.id, delivery.attempts[-1].number, result.response))
        before, account_before = was[-1]
        if account is not account_before:
            self._tell_disabled(account_before, account, delivery.subscription)
        self._observer.changed(delivery.account_id, delivery, before)
        return before, delivery

    def _count_failures(self, account: Account, before: Delivery, after: Delivery) -> Account:
        """The account after an attempt: failed CDRs in a row are counted, and too many of them disable the webhook."""
        if after.state is DeliveryState.PENDING:
            return account
        is_acknowledged = after.attempts[-1].error is None
        failed = before.state is DeliveryState.PENDING and after.state is DeliveryState.FAILED
        subscription = look_up_subscription(account, after.subscription)
        if subscription is None or not (failed or (is_acknowledged and subscription.failed_in_a_row)):
            return account
        in_a_row = subscription.failed_in_a_row + 1 if failed else 0
        counted = replace(subscription, failed_in_a_row=in_a_row)
        too_many = in_a_row >= self._assumptions.disable_after and not subscription.never_disable
        if too_many and subscription.enabled:
            counted = replace(counted, enabled=False, disabled_at=self._clock.now(account.id))
        return account_rules.replace_subscription(account, counted)

    def _tell_disabled(self, before: Account, after: Account, number: int) -> None:
        """Warn that the webhook was disabled, if it was."""
        was, now = look_up_subscription(before, number), look_up_subscription(after, number)
        if was is None or now is None or now.enabled or not was.enabled:
            return

        def warn() -> None:
            _log.warning(
                "%s; enable it with: mcn-mock webhooks enable %s %d",
                now.why_disabled, after.id, now.number, extra={"account_id": after.id},
            )  # fmt: skip

        if self._when_kept is None:
            warn()
        else:
            self._when_kept(warn)
        self._observer.changed(after.id)


def _trusting(request: CdrRequest, subscription: Subscription) -> CdrRequest:
    """Return the request with what its webhook trusts now."""
    return request if request.trust == subscription.trust else replace(request, trust=subscription.trust)


def _as_told(call: Call, delivery: Delivery) -> Call:
    """The call as its CDR tells it, which a fault may let lie."""
    if delivery.says is None and delivery.of_uuid is None:
        return call
    uuid = delivery.of_uuid or call.verification_call_uuid
    return replace(call, ending=delivery.says or call.ending, verification_call_uuid=uuid)
