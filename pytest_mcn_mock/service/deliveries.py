"""Delivering CDRs: render them, and record the results of attempts. The worker sends them."""

from __future__ import annotations

import logging
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, NotFound
from pytest_mcn_mock.model import accounts as account_rules
from pytest_mcn_mock.model.accounts import Account, look_up_subscription
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.cdr import Cdr, why_unmet
from pytest_mcn_mock.model.deliveries import (
    Attempt,
    CdrRequest,
    CdrResponse,
    Delivery,
    DeliveryState,
    is_acknowledgement,
    next_retry,
    outcome_of_attempt,
)
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import EXAMPLE_NUMBER
from pytest_mcn_mock.model.outcomes import Ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.rendering import render
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.events import (
    AccountChanged,
    AttemptMade,
    DeliveryResent,
    DeliverySettled,
    Events,
)
from pytest_mcn_mock.service.ports import Clock, Settled, Storage, Worker

MAX_ATTEMPTS: Final = 1000
"""Attempts after which a delivery cannot be sent again manually."""
_RECENT: Final = 20
"""The newest calls of an account, among which a preview looks for one that has ended."""
_log = logging.getLogger("mcn_mock")


class Result(Struct, frozen=True):
    """The result of an attempt that began ``at`` a moment, in seconds since the epoch, and took ``duration_s`` seconds:
    a response, or the ``error`` with the reason why there is none.
    """

    at: float
    duration_s: float
    response: CdrResponse | None
    error: str | None = None


class Preview(Struct, frozen=True):
    """The request that a webhook would get for a call.

    ``call`` is the account's newest call that has ended and has a CDR or, if there is none, an invented one. ``note``
    says why the webhook's filter would not let it through; None if it would.
    """

    call: Call
    is_made_up: bool
    request: CdrRequest
    note: Reason | None


class Deliveries:
    """Renders each CDR, records each attempt, and decides between delivered, again and failed.

    ``assumptions`` may be replaced at any time.
    """

    def __init__(
        self, storage: Storage, clock: Clock, worker: Worker, events: Events, assumptions: Assumptions
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._worker = worker
        self._events = events
        self.assumptions = assumptions

    async def settle(self, claimed: Delivery, result: Result) -> None:
        """Record the result of an attempt at a delivery, as it was claimed for it.

        Does nothing if its account was closed meanwhile. Raises StorageFailed if the result cannot be kept.
        """
        response, error = result.response, result.error
        if response is not None:
            response = response.beginning()
            if not is_acknowledgement(response.status):
                error = f"HTTP {response.status}, not acknowledged"

        def decide(delivery: Delivery, account: Account) -> tuple[Delivery, Account]:
            attempt = Attempt(len(delivery.attempts) + 1, result.at, result.duration_s, response, error)
            subscription = look_up_subscription(account, delivery.subscription)
            wait_s = None
            if error is not None and subscription is not None and subscription.retry:
                wait_s = next_retry(self.assumptions.retry_after_s, attempt.number - delivery.earlier_attempts)
            due_at = None if wait_s is None else self._clock.now(account.id) + wait_s
            ignores = subscription is not None and subscription.ignore_response
            after = outcome_of_attempt(delivery, claimed, attempt, due_at, ignores_response=ignores)
            return after, self._count_failures(account, subscription, delivery, after)

        try:
            settled = await self._storage.settle(claimed, self._clock.now(claimed.account_id), decide)
        except NotFound:  # the account was closed during the attempt
            return
        attempt = settled.delivery.attempts[-1]
        self._events.publish(AttemptMade(settled.delivery, attempt))
        self._tell(settled, attempt)

    async def fail(self, claimed: Delivery, why: Reason) -> None:
        """Mark a claimed delivery as failed without an attempt, with ``why`` as its note."""

        def decide(delivery: Delivery, account: Account) -> tuple[Delivery, Account]:
            if delivery.state is not DeliveryState.PENDING:
                return delivery, account
            return replace(delivery, state=DeliveryState.FAILED, due_at=None, why=why), account

        self._tell(await self._storage.settle(claimed, self._clock.now(claimed.account_id), decide), None)

    async def resend(self, delivery_id: int) -> Delivery:
        """Make a delivery in any state pending again, and due now. Retries follow as for the first time.

        Raises NotFound if there is no such delivery. Raises Conflict if its call has not ended, its webhook was
        removed, or it was tried MAX_ATTEMPTS times.
        """

        def decide(delivery: Delivery, call: Call, account: Account) -> Delivery:
            if call.ending is None:
                raise Conflict(Reason("delivery_no_cdr", {"delivery": delivery_id}))
            if look_up_subscription(account, delivery.subscription) is None:
                raise Conflict(Reason("delivery_no_webhook", {"delivery": delivery_id}))
            if len(delivery.attempts) >= MAX_ATTEMPTS:
                raise Conflict(Reason("delivery_too_often", {"delivery": delivery_id, "most": MAX_ATTEMPTS}))
            return replace(
                delivery,
                state=DeliveryState.PENDING,
                due_at=self._clock.now(account.id),
                waits_for=None,
                earlier_attempts=len(delivery.attempts),
                resent=delivery.resent + 1,
            )

        _, delivery = await self._storage.change_delivery(delivery_id, decide)
        self._events.publish(DeliveryResent(delivery))
        self._worker.wake(delivery.account_id, delivery.due_at or 0.0)
        return delivery

    def prepare(self, delivery: Delivery, call: Call, account: Account) -> Delivery:
        """Return the delivery with its CDR and its request. It is returned unchanged if it has them already, or if its
        webhook was removed.
        """
        subscription = look_up_subscription(account, delivery.subscription)
        if delivery.request is not None or subscription is None:
            return delivery
        cdr = Cdr(_as_told(call, delivery), self.assumptions)
        # The moment when it is due, because an advance claims it before it puts the clock there.
        rendered = render(subscription, cdr, delivery.due_at or self._clock.now(account.id))
        return replace(delivery, cdr=rendered.record, request=rendered.request)

    async def preview(self, account: Account, subscription: Subscription, how: Ending | None = None) -> Preview:
        """Return the request that a subscription would get for a call, without changing anything.

        With ``how``, the call is treated as if it had ended in that way.
        """
        recent = await self._storage.calls(account.id, 0, _RECENT, newest_first=True)
        found = next((call for call in recent if call.ending and self.assumptions.has_cdr(call.method)), None)
        call = found or self._make_up_call(account)
        if how is not None:
            call = replace(call, ending=how)
        cdr = Cdr(call, self.assumptions)
        unmet = why_unmet(subscription.filter, cdr)
        note = Reason("filtered", {"why": unmet}) if unmet else None
        at = (call.ended_at or call.placed_at) + self.assumptions.cdr_delay_s
        request = render(subscription, cdr, at).request
        return Preview(call, found is None, request, note)

    def _make_up_call(self, account: Account) -> Call:
        """Return a flash call of the account's that has ended as its rules say."""
        now = self._clock.now(account.id)
        order = CallOrder(Method.FLASH_CALL, EXAMPLE_NUMBER)
        call = place(replace(account, unlimited=True), 0, 0, order, self.assumptions, now)
        return call if call.ending is not None else end(call, call.planned, call.ends_at or now)

    def _tell(self, settled: Settled, attempt: Attempt | None) -> None:
        before, delivery = settled.before, settled.delivery
        if delivery.state is not before.state:
            self._events.publish(DeliverySettled(delivery, attempt))
        if settled.account is not settled.account_before:
            self._tell_disabled(settled)
        for due_at in (delivery.due_at, settled.follower_due_at):
            if due_at is not None:
                self._worker.wake(delivery.account_id, due_at)

    def _count_failures(
        self, account: Account, subscription: Subscription | None, before: Delivery, after: Delivery
    ) -> Account:
        """Return the account after an attempt. Failed CDRs in a row are counted, and too many disable the webhook."""
        is_acknowledged = after.state is DeliveryState.DELIVERED
        has_failed = before.state is DeliveryState.PENDING and after.state is DeliveryState.FAILED
        if subscription is None or not (has_failed or (is_acknowledged and subscription.failed_in_a_row)):
            return account
        in_a_row = subscription.failed_in_a_row + 1 if has_failed else 0
        counted = replace(subscription, failed_in_a_row=in_a_row)
        if in_a_row >= self.assumptions.disable_after and subscription.enabled:
            counted = replace(counted, enabled=False, disabled_at=self._clock.now(account.id))
        return account_rules.replace_subscription(account, counted)

    def _tell_disabled(self, settled: Settled) -> None:
        number = settled.delivery.subscription
        was = look_up_subscription(settled.account_before, number)
        now = look_up_subscription(settled.account, number)
        if was is not None and now is not None and was.enabled and not now.enabled:
            _log.warning(
                "%s; enable it with: mcn-mock webhooks enable %s %d",
                now.why_disabled(), settled.account.id, now.number, extra={"account_id": settled.account.id},
            )  # fmt: skip
            self._events.publish(AccountChanged(settled.account.id))


def _as_told(call: Call, delivery: Delivery) -> Call:
    """Return the call as its CDR reports it; a fault may alter ending or uuid."""
    if delivery.says is None and delivery.of_uuid is None:
        return call
    uuid = delivery.of_uuid or call.verification_call_uuid
    return replace(call, ending=delivery.says or call.ending, verification_call_uuid=uuid)
