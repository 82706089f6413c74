"""Delivering CDRs: what is sent, and what an attempt leads to. Sending itself is the courier's."""

from __future__ import annotations

import json
import logging
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from pytest_mcn_mock.domain import accounts as account_rules
from pytest_mcn_mock.domain import cdr
from pytest_mcn_mock.domain.accounts import Account, look_up_subscription
from pytest_mcn_mock.domain.assumptions import Assumptions
from pytest_mcn_mock.domain.calls import Call
from pytest_mcn_mock.domain.deliveries import (
    Attempt,
    CdrRequest,
    CdrResponse,
    Delivery,
    DeliveryState,
    changed,
    is_acknowledgement,
    outcome_of_attempt,
    without_answer,
)
from pytest_mcn_mock.domain.faults import NEXT_CALL
from pytest_mcn_mock.domain.retry import next_retry
from pytest_mcn_mock.domain.subscriptions import Subscription, WebhookMethod
from pytest_mcn_mock.errors import Conflict, StorageFailed, UnknownItem
from pytest_mcn_mock.operator.answers import KeptAnswers
from pytest_mcn_mock.operator.ports import AccountStore, CallStore, Clock, Courier, Observer

MAX_ATTEMPTS: Final = 1000
"""Attempts after which a delivery cannot be sent again by hand."""
_log = logging.getLogger("mcn_mock")
_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder each time


class Deliveries:
    """Prepares each attempt, records it, and decides between delivered, again and given up."""

    def __init__(
        self,
        accounts: AccountStore,
        calls: CallStore,
        clock: Clock,
        courier: Courier,
        observer: Observer,
        assumptions: Assumptions,
    ) -> None:
        self._accounts = accounts
        self._calls = calls
        self._clock = clock
        self._courier = courier
        self._observer = observer
        self._assumptions = assumptions
        self._answers = KeptAnswers()
        self._first_attempts: dict[int, Future[None]] = {}
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
        """Done once the call's CDR was tried, or cannot be any more, or where none is owed."""
        future: Future[None] = Future()
        owed = [d for d in self._calls.deliveries_of(verification_call_uuid) if d.state is DeliveryState.OWED]
        if not owed or owed[0].attempts:
            future.set_result(None)
        else:
            self._first_attempts[owed[0].id] = future
        return future

    def prepare(self, delivery_id: int, due_at: float | None) -> CdrRequest | None:
        """The request to send for an owed delivery whose call has ended; None where nothing is to be sent.

        ``due_at`` is that of the delivery when it was handed over: it may have been settled, or sent again by hand,
        since.
        """
        try:
            delivery = self._calls.delivery(delivery_id)
            call = self._calls.get(delivery.verification_call_uuid)
            account = self._accounts.get(delivery.account_id)
        except UnknownItem:  # the account was closed before the attempt
            self._tried(delivery_id)
            return None
        if delivery.state is not DeliveryState.OWED or delivery.due_at != due_at or call.ending is None:
            return None
        subscription = look_up_subscription(account, delivery.subscription)
        if subscription is None:
            self._give_up(delivery_id, "the webhook was removed")
            return None
        if delivery.request is not None:
            return _trusting(delivery.request, subscription)
        record = cdr.render(_as_told(call, delivery), subscription.body, subscription.constants)
        request = make_request(subscription, record)
        self._calls.change_delivery(delivery_id, lambda d: changed(d, cdr=record, request=request))
        return _trusting(request, subscription)

    def record(
        self, delivery_id: int, at: float, duration_s: float, response: CdrResponse | None, error: str | None
    ) -> Delivery | None:
        """Record an attempt; return the delivery if it is due again, and None if that was all.

        ``at`` is when the attempt began; ``error`` says why there is no response.
        """
        if response is not None:
            response = response.beginning()
        if response is not None and not is_acknowledgement(response.status):
            error = f"HTTP {response.status}, not acknowledged"
        try:
            delivery = self._calls.delivery(delivery_id)
            account = self._accounts.get(delivery.account_id)
            subscription = look_up_subscription(account, delivery.subscription)
            is_retried = subscription is not None and subscription.retry

            def change(delivery: Delivery) -> Delivery:
                attempt = Attempt(len(delivery.attempts) + 1, at, duration_s, response, error)
                wait = None
                if error is not None and is_retried:
                    wait = next_retry(self._assumptions.retry_after_s, attempt.number - delivery.earlier_attempts)
                due_at = None if wait is None else self._clock.now(account.id) + wait
                return outcome_of_attempt(delivery, attempt, due_at)

            # Counted before the result is seen: who waited for the last failure finds the webhook disabled.
            if error is not None or (subscription is not None and subscription.failed_in_a_row):
                self._count_failures(account, change(delivery))
            delivery = self._calls.change_delivery(delivery_id, change)
            if response is not None:
                self._forget_answers(self._answers.add(delivery.id, delivery.attempts[-1].number, response))
            if delivery.state is not DeliveryState.OWED:
                self._follow_up(delivery)
        except UnknownItem:  # the account was closed while the attempt was under way
            return None
        finally:
            self._tried(delivery_id)
        self._observer.changed(delivery.account_id, delivery)
        return delivery if delivery.state is DeliveryState.OWED else None

    def resend(self, delivery_id: int) -> Delivery:
        """Owe the CDR again and send it now, whatever became of it; retries follow as if it were the first time.

        UnknownItem if there is none, Conflict for one whose call has not ended or whose webhook was removed.
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

        def owe_again(delivery: Delivery) -> Delivery:
            return replace(
                delivery,
                state=DeliveryState.OWED,
                due_at=now,
                waits_for=None,
                earlier_attempts=len(delivery.attempts),
            )

        delivery = self._calls.change_delivery(delivery_id, owe_again)
        self._courier.deliver(delivery)
        self._observer.changed(account.id, delivery)
        return delivery

    def get(self, delivery_id: int) -> Delivery:
        """The delivery; UnknownItem if there is none."""
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
        """Hand over what is owed, as if its call had just ended, and make due what waits for what is settled."""
        listed = self._calls.page_of_deliveries(None, 0, sys.maxsize)
        self._forget_answers(self._answers.count_anew(iter(listed)))
        for delivery in self._calls.owed():
            if self._calls.get(delivery.verification_call_uuid).ending is None:
                continue
            if delivery.waits_for is None or not self._is_to_wait(delivery):
                self._release(delivery)
            else:
                self.dispatch([delivery])

    def forget(self, account_id: str) -> None:
        """The account is closed: nothing of it has to wait any more."""
        self._parked.pop(account_id, None)

    def forget_all(self) -> None:
        """Every account is gone, and every delivery."""
        self._answers.clear()
        self._parked.clear()
        for delivery_id in list(self._first_attempts):
            self._tried(delivery_id)

    def count_owed(self) -> int:
        """How many deliveries are still owed."""
        return self._calls.count_owed()

    def owed(self) -> Sequence[Delivery]:
        """Every delivery that is still owed."""
        return self._calls.owed()

    def _forget_answers(self, oldest: Iterable[tuple[int, int]]) -> None:
        """Keep no more of these answers than their status: there are too many of them."""
        for delivery_id, number in oldest:
            with suppress(UnknownItem, StorageFailed):  # it is listed no more
                self._calls.change_delivery(delivery_id, partial(without_answer, number=number))

    def _give_up(self, delivery_id: int, why: str) -> None:
        delivery = self._calls.change_delivery(
            delivery_id, lambda d: replace(d, state=DeliveryState.GIVEN_UP, due_at=None, note=why)
        )
        self._follow_up(delivery)
        self._tried(delivery_id)
        self._observer.changed(delivery.account_id, delivery)

    def _tried(self, delivery_id: int) -> None:
        """Let go who waits for the first attempt: a request waits with no time limit."""
        first_attempt = self._first_attempts.pop(delivery_id, None)
        if first_attempt is not None:
            first_attempt.set_result(None)

    def _follow_up(self, settled: Delivery) -> None:
        """Make due what a fault let wait for this delivery."""
        try:
            own = self._calls.deliveries_of(settled.verification_call_uuid)
        except UnknownItem:  # the call is listed no more, and this was the last that it owed
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
        """Hand over an owed delivery; one that waited for another waits no more."""
        if delivery.waits_for is not None:
            now = self._clock.now(delivery.account_id)
            delivery = self._calls.change_delivery(delivery.id, lambda d: replace(d, due_at=now, waits_for=None))
        self._courier.deliver(delivery)

    def _is_to_wait(self, delivery: Delivery) -> bool:
        """Whether what the delivery waits for was not settled while nobody was there to notice."""
        if delivery.waits_for != NEXT_CALL:
            others = self._calls.deliveries_of(delivery.verification_call_uuid)
            return any(other.id == delivery.waits_for and other.state is DeliveryState.OWED for other in others)
        later = self._calls.page_of_deliveries(delivery.account_id, delivery.id, sys.maxsize)
        return not any(
            other.state is not DeliveryState.OWED and other.verification_call_uuid != delivery.verification_call_uuid
            for other in later
        )

    def _count_failures(self, account: Account, delivery: Delivery) -> None:
        """Count the CDRs given up in a row, and disable the webhook after too many."""
        if delivery.state is DeliveryState.OWED:
            return
        failed = delivery.state is DeliveryState.GIVEN_UP
        subscription = look_up_subscription(account, delivery.subscription)
        if subscription is None or not (failed or subscription.failed_in_a_row):
            return

        def count(account: Account) -> Account:
            subscription = look_up_subscription(account, delivery.subscription)
            if subscription is None:
                return account
            in_a_row = subscription.failed_in_a_row + 1 if failed else 0
            changed = replace(subscription, failed_in_a_row=in_a_row)
            too_many = in_a_row >= self._assumptions.disable_after and not subscription.never_disable
            if too_many and subscription.enabled:
                changed = replace(changed, enabled=False, disabled_at=self._clock.now(account.id))
            return account_rules.replace_subscription(account, changed)

        changed = look_up_subscription(self._accounts.change(account.id, count), delivery.subscription)
        if changed is not None and not changed.enabled and subscription.enabled:
            _log.warning(
                "%s; enable it with: mcn-mock webhooks enable %s %d",
                changed.why_disabled, account.id, changed.number, extra={"account_id": account.id},
            )  # fmt: skip
            self._observer.changed(account.id)


def _trusting(request: CdrRequest, subscription: Subscription) -> CdrRequest:
    """Return the request with what its webhook trusts now."""
    return request if request.trust == subscription.trust else replace(request, trust=subscription.trust)


def _as_told(call: Call, delivery: Delivery) -> Call:
    """The call as its CDR tells it, which a fault may let lie."""
    if delivery.says is None and delivery.of_uuid is None:
        return call
    uuid = delivery.of_uuid or call.verification_call_uuid
    return replace(call, ending=delivery.says or call.ending, verification_call_uuid=uuid)


def make_request(subscription: Subscription, record: dict[str, cdr.Value]) -> CdrRequest:
    """The request that carries a rendered CDR to a subscription's endpoint."""
    url, body = subscription.url, b""
    query: Mapping[str, cdr.Value] = subscription.query
    headers = {"Accept": "*/*", "User-Agent": "mcn-mock"}
    if subscription.method is WebhookMethod.GET:
        query = {**query, **record}
    else:
        headers["Content-Type"] = "application/json"
        body = _encode(record).encode()
    if query:
        url = _with_query(url, {name: _text(value) for name, value in query.items()})
    if subscription.headers:
        overridden = {name.lower() for name in subscription.headers}
        kept = {name: value for name, value in headers.items() if name.lower() not in overridden}
        headers = {**kept, **subscription.headers}
    return CdrRequest(subscription.method, url, headers, body)


def _text(value: cdr.Value) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _with_query(url: str, query: dict[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))
