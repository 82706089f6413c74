"""A test's views of an account, a call and a delivery. They always show the present state."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeVar

from msgspec.structs import replace

from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.errors import NotFound, WebhookRaised
from pytest_mcn_mock.model import accounts, calls, deliveries
from pytest_mcn_mock.model.calls import Explanation
from pytest_mcn_mock.model.deliveries import Attempt, CdrRequest, CdrResponse, DeliveryState
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.mistakes import Expectations
from pytest_mcn_mock.model.money import Method, format_roubles, to_decimal
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.requests import ApiRequest, Level
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.service.ports import Storage
from pytest_mcn_mock.testing.applications import Applications
from pytest_mcn_mock.testing.changes import Changes, Signal, ThreadSignal, is_on_a_loop, run_blocking
from pytest_mcn_mock.testing.door import Door
from pytest_mcn_mock.text import printable

_ALL = 10**9
_T = TypeVar("_T")


class AccountView:
    """A test's view of an account that it has opened, and its access to the fake."""

    def __init__(
        self,
        opened: accounts.Account,
        fake: Fake,
        door: Door,
        changes: Changes,
        applications: Applications,
        base_url: str,
        paid_url: str,
        opening: int,
        draw_seed: Callable[[], int],
        *,
        is_id_given: bool,
        on_close: Callable[[AccountView], None],
    ) -> None:
        self.opened = opened
        self._opening = opening
        self._draw_seed = draw_seed
        self.is_id_given = is_id_given
        self.on_close = on_close
        self.is_strict = True
        """Whether mistakes on the account fail a test that is strict."""
        self._expect_nothing()
        self.fake = fake
        self.door = door
        self.changes = changes
        self.applications = applications
        self.base_url = base_url
        self.paid_url = paid_url
        self._first_request = fake.service.journal.last_seq()

    def reopen(self) -> None:
        """Open the account again as it was opened, with a new seed unless its seed was given."""
        settings = replace(self.opened, seed=self._draw_seed())
        self.opened = self.run(self.service.accounts.reopen(settings, self._opening))
        self._first_request = self.service.journal.last_seq()
        self._expect_nothing()

    def is_open(self) -> bool:
        """Return whether the account is open."""
        try:
            self.run(self.storage.account(self.account_id))
        except NotFound:
            return False
        return True

    def _expect_nothing(self) -> None:
        self.expected = Expectations()
        """What the test expects to go wrong."""
        self.fidelity: Level | None = None
        """What the test has required of the application, None if it has not."""

    @property
    def account_id(self) -> str:
        """The id, as in the path."""
        return self.opened.id

    @property
    def service(self) -> Service:
        """The fake's service."""
        return self.fake.service

    @property
    def storage(self) -> Storage:
        """What it remembers."""
        return self.fake.service.storage

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of a coroutine of the service, which has exclusive access to the state."""
        __tracebackhide__ = True
        return self.door.run(coroutine)

    def now(self) -> float:
        """Return the account's time, in seconds since the epoch."""
        return self.service.clock.now(self.account_id)

    def since(self, mark: int | None) -> int:
        """Return the last request before the account was opened, or before the mark if that is later."""
        return max(self._first_request, mark or 0)

    def requests(self) -> list[ApiRequest]:
        """Return the requests to paths of the account, as they arrived."""
        return [request for request in self._since_opening() if request.account_id == self.account_id]

    def heard(self) -> list[ApiRequest]:
        """Return every request that may be this test's: to a path of the account, and the refused ones that went
        elsewhere.
        """
        return self.run(self.service.mistakes.heard(self.account_id, self._first_request))

    def calls(self) -> list[Call]:
        """Return the accepted calls, in order of arrival."""
        return [Call(call, self) for call in self.run(self.storage.calls(self.account_id, 0, _ALL))]

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries of CDRs, in order of their calls."""
        return [delivery for call in self.calls() for delivery in call.deliveries]

    def raise_raised(self, deliveries: Iterable[Delivery]) -> None:
        """Raise WebhookRaised, once, if the application raised when it got one of these."""
        __tracebackhide__ = True
        for delivery in deliveries:
            attempts, request = delivery.attempts, delivery.request
            if request is None or not attempts or attempts[-1].error is None:
                continue
            if (error := self.applications.take_raised(request)) is not None:
                raise WebhookRaised(
                    f"the application raised {type(error).__name__} when it got the CDR: {delivery!r}"
                ) from error

    async def until_tried(self, delivery: Delivery, signal: Signal) -> None:
        """Wait for the first attempt at a due delivery, at most as long as an attempt may take.

        Raises WebhookRaised, once, if the application raised.
        """
        __tracebackhide__ = True

        def is_tried() -> bool | None:
            is_due = delivery.due_at is not None and delivery.due_at <= self.now()
            return True if delivery.attempts or delivery.state is not DeliveryState.PENDING or not is_due else None

        await self.changes.wait(self.account_id, is_tried, signal)
        self.raise_raised([delivery])

    @property
    def tried_within_s(self) -> float:
        """How long the first attempt at a delivery may take, in seconds."""
        return self.service.assumptions.ack_timeout_s + 1

    def _since_opening(self) -> Sequence[ApiRequest]:
        return self.service.journal.since(self._first_request)


class Call:
    """An accepted call. Two of them are equal if they are the same call."""

    def __init__(self, record: calls.Call, view: AccountView) -> None:
        self._record = record
        self._view = view

    def __repr__(self) -> str:
        now = self._now
        how = str(now.ending) if now.ending else now.state
        return printable(
            f"<Call {now.verification_call_uuid} {now.label} {now.caller_did} -> {now.login_did}, "
            f"{format_roubles(now.price)} roubles, {how}>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and other.verification_call_uuid == self.verification_call_uuid

    def __hash__(self) -> int:
        return hash(self.verification_call_uuid)

    @property
    def _now(self) -> calls.Call:
        # When it is no longer in the bounded journal, or its account is closed, it remains as it was last seen.
        with suppress(NotFound):
            self._record = self._view.run(self._view.storage.call(self._record.verification_call_uuid))
        return self._record

    @property
    def verification_call_uuid(self) -> str:
        """``<call id>_<account_id>``. It connects the CDR to the request."""
        return self._record.verification_call_uuid

    @property
    def account_id(self) -> str:
        """The account that paid."""
        return self._record.account_id

    @property
    def method(self) -> Method:
        """The kind of call: ``flash_call`` or ``call_for_2fa``, also if its dialect spells it differently."""
        return self._record.method

    @property
    def dialect(self) -> Dialect:
        """The form of the API in which it was ordered: ``api_mcn`` or ``paidmethods``."""
        return self._record.dialect

    @property
    def label(self) -> str:
        """The method, with its dialect if that is not ``api_mcn``."""
        return self._record.label

    @property
    def login_did(self) -> str:
        """The number that was called."""
        return self._record.login_did

    @property
    def caller_did(self) -> str:
        """The number that called."""
        return self._record.caller_did

    @property
    def code(self) -> str:
        """The last four digits of the number that called."""
        return self._record.code

    @property
    def country_id(self) -> int | None:
        """The country of the number that called, 643, 703 or 398; None for call_for_2fa."""
        return self._record.country_id

    @property
    def price(self) -> Decimal:
        """The price that was charged, in roubles."""
        return to_decimal(self._record.price)

    @property
    def state(self) -> str:
        """``ringing`` or ``completed``."""
        return self._now.state

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it rings."""
        how = self._now.ending
        return how.outcome if how else None

    @property
    def q931_status(self) -> int | None:
        """The Q.850 cause; None while it rings."""
        how = self._now.ending
        return how.q931_status if how else None

    @property
    def final_status(self) -> str | None:
        """``ANSWERED`` or ``NO ANSWER``; None if none is documented, and while it rings."""
        how = self._now.ending
        return how.final_status if how else None

    @property
    def ends_at(self) -> float | None:
        """When it ends, in seconds since the epoch; None while it is held."""
        return self._now.ends_at

    @property
    def explanation(self) -> Explanation:
        """The rules that chose the country, the number, the price and the outcome."""
        return self._now.explanation

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries of its CDR, one for each subscription."""
        try:
            found = self._view.run(self._view.storage.deliveries_of(self.verification_call_uuid))
        except NotFound:
            return []
        return [Delivery(delivery, self, self._view) for delivery in found]

    def complete(self, outcome: Outcome | str | None = None, *, q931_status: int | None = None) -> Delivery | None:
        """End a ringing call now and send its CDR. Without arguments it ends as planned.

        Returns the delivery (the first, if the account has several subscriptions) once it was tried, at once if it is
        due later, or None if no CDR is pending. On an event loop it returns at once;
        ``await mcn.aio.complete(call, …)`` waits there.

        Raises UsageError if the call has ended.
        """
        __tracebackhide__ = True
        view = self._view
        how = None
        if outcome is not None or q931_status is not None:
            how = ending(outcome, q931_status, unavailable_cause=view.service.assumptions.unavailable_cause)
        self._record = view.run(view.service.calls.complete(self.verification_call_uuid, how))
        delivery = next(iter(self.deliveries), None)
        if delivery is not None and not is_on_a_loop(view.door.loop):
            run_blocking(view.until_tried(delivery, ThreadSignal(view.tried_within_s)))
        return delivery


class Delivery:
    """The delivery of a call's CDR to a subscription. Two of them are equal if they are the same delivery."""

    def __init__(self, record: deliveries.Delivery, call: Call, view: AccountView) -> None:
        self._record = record
        self._view = view
        self.call = call

    def __repr__(self) -> str:
        return str(self._now)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delivery) and (other.id, other.call) == (self.id, self.call)

    def __hash__(self) -> int:
        return hash((self.id, self.call))

    @property
    def _now(self) -> deliveries.Delivery:
        # As for a call.
        with suppress(NotFound):
            self._record = self._view.run(self._view.storage.delivery(self._record.id))
        return self._record

    @property
    def id(self) -> int:
        """The number of the delivery on its server."""
        return self._record.id

    @property
    def url(self) -> str:
        """The URL of the webhook."""
        return self._record.url

    @property
    def state(self) -> DeliveryState:
        """``pending``, ``delivered`` or ``failed``."""
        return self._now.state

    @property
    def note(self) -> str:
        """The fault that alters it; empty if there is none."""
        return self._now.note

    @property
    def due_at(self) -> float | None:
        """When the next attempt is due, in seconds since the epoch; None while its call is held, and if not pending."""
        return self._now.due_at

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt so far."""
        return self._now.attempts

    @property
    def cdr(self) -> Mapping[str, Any] | None:
        """The CDR as it was sent; None while the call rings."""
        return self._now.cdr

    @property
    def status(self) -> int | None:
        """The HTTP status of the last answer; None if there was no answer."""
        attempts = self._now.attempts
        return attempts[-1].status if attempts else None

    @property
    def request(self) -> CdrRequest | None:
        """The request that carries the CDR; None while the call rings."""
        return self._now.request

    @property
    def response(self) -> CdrResponse | None:
        """The last answer; None if there was no answer."""
        attempts = self._now.attempts
        return attempts[-1].response if attempts else None
