"""A call and a delivery as a test sees them: always as they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model import calls, deliveries
from pytest_mcn_mock.model.calls import CdrValue, Explanation
from pytest_mcn_mock.model.deliveries import Attempt, CdrRequest, CdrResponse, DeliveryState
from pytest_mcn_mock.model.money import Method, format_roubles, to_decimal
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.testing.access import Access
from pytest_mcn_mock.text import printable


class Call:
    """An accepted call. Two of them are equal if they are the same call."""

    def __init__(self, record: calls.Call, access: Access, after_completion: Callable[[Delivery], None]) -> None:
        self._record = record
        self._access = access
        self._after_completion = after_completion

    def __repr__(self) -> str:
        now = self._now
        how = str(now.ending) if now.ending else now.state
        return printable(
            f"<Call {now.verification_call_uuid} {now.method} {now.caller_did} -> {now.login_did}, "
            f"{format_roubles(now.price)} roubles, {how}>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and other.verification_call_uuid == self.verification_call_uuid

    def __hash__(self) -> int:
        return hash(self.verification_call_uuid)

    @property
    def _now(self) -> calls.Call:
        # Once it left the bounded journal, or its account is closed, it stays as it was last seen.
        with suppress(NotFound):
            self._record = self._access.run(self._access.storage.call(self._record.verification_call_uuid))
        return self._record

    @property
    def verification_call_uuid(self) -> str:
        """``<call id>_<account_id>``; ties the CDR to the request."""
        return self._record.verification_call_uuid

    @property
    def account_id(self) -> str:
        """The account that paid."""
        return self._record.account_id

    @property
    def method(self) -> Method:
        """``flash_call`` or ``call_for_2fa``."""
        return self._record.method

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
        """The country of the number that called, 643 or 703; None for call_for_2fa."""
        return self._record.country_id

    @property
    def price(self) -> Decimal:
        """What was charged, in roubles."""
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
        """``ANSWERED`` or ``NO ANSWER``; None where none is documented, and while it rings."""
        how = self._now.ending
        return how.final_status if how else None

    @property
    def ends_at(self) -> float | None:
        """When it ends, in seconds since the epoch; None while it is held."""
        return self._now.ends_at

    @property
    def explanation(self) -> Explanation:
        """Which rules chose the country, the number, the price and the outcome."""
        return self._now.explanation

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries of its CDR, a subscription each."""
        try:
            found = self._access.run(self._access.storage.deliveries_of(self.verification_call_uuid))
        except NotFound:
            return []
        return [Delivery(delivery, self, self._access) for delivery in found]

    def complete(self, outcome: Outcome | str | None = None, *, q931_status: int | None = None) -> Delivery | None:
        """End a ringing call now, as planned or as said, and send its CDR.

        Returns the delivery (the first, where the account has several subscriptions) once it was tried, or None where
        no CDR is pending. On an event loop it returns at once; ``await mcn.aio.complete(call, …)`` waits there.

        UsageError for a call that has ended.
        """
        how = None
        if outcome is not None or q931_status is not None:
            cause = self._access.service.assumptions.unavailable_cause
            how = ending(outcome, q931_status, unavailable_cause=cause)
        self._record = self._access.run(self._access.service.calls.complete(self.verification_call_uuid, how))
        delivery = next(iter(self.deliveries), None)
        if delivery is not None:
            self._after_completion(delivery)
        return delivery


class Delivery:
    """The delivery of a call's CDR to a subscription. Two of them are equal if they are the same delivery."""

    def __init__(self, record: deliveries.Delivery, call: Call, access: Access) -> None:
        self._record = record
        self._access = access
        self.call = call

    def __repr__(self) -> str:
        now = self._now
        attempts = "; ".join(map(str, now.attempts)) or "not tried yet"
        fault = f" ({now.note})" if now.note else ""
        return printable(
            f"<Delivery {now.id} of {now.verification_call_uuid} to {now.url}, {now.state}{fault}: {attempts}>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delivery) and (other.id, other.call) == (self.id, self.call)

    def __hash__(self) -> int:
        return hash((self.id, self.call))

    @property
    def _now(self) -> deliveries.Delivery:
        # As for a call.
        with suppress(NotFound):
            self._record = self._access.run(self._access.storage.delivery(self._record.id))
        return self._record

    @property
    def id(self) -> int:
        """Numbers the deliveries of a server."""
        return self._record.id

    @property
    def url(self) -> str:
        """Where the CDR goes."""
        return self._record.url

    @property
    def state(self) -> DeliveryState:
        """``pending``, ``delivered`` or ``failed``."""
        return self._now.state

    @property
    def note(self) -> str:
        """The fault that alters it; empty where there is none."""
        return self._now.note

    @property
    def due_at(self) -> float | None:
        """When it is tried next, in seconds since the epoch; None while its call is held, and when none is pending."""
        return self._now.due_at

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every try so far."""
        return self._now.attempts

    @property
    def cdr(self) -> Mapping[str, CdrValue] | None:
        """The CDR as it was sent; None while the call rings."""
        return self._now.cdr

    @property
    def status(self) -> int | None:
        """The HTTP status of the last answer; None where there was none."""
        attempts = self._now.attempts
        return attempts[-1].status if attempts else None

    @property
    def request(self) -> CdrRequest | None:
        """The request that carries the CDR; None while the call rings."""
        return self._now.request

    @property
    def response(self) -> CdrResponse | None:
        """The last answer; None where there was none."""
        attempts = self._now.attempts
        return attempts[-1].response if attempts else None
