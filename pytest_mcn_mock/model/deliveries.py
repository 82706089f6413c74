"""The deliveries of a call's CDR, one to each webhook: their attempts, and how a fault alters them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.cdr import Cdr, Condition, why_unmet
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.outcomes import Ending, Outcome, ending
from pytest_mcn_mock.model.webhooks import MACHINE, HidesSecrets, Trust
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.text import printable

SENT_HEADERS = ("Accept", "User-Agent", "Content-Type")
"""Headers of every CDR's request. All others are the user's own, and may be secret."""

_SHOWN = 200
"""Characters of an endpoint's answer that people see."""


MAX_KEPT: Final = 4096
"""Bytes of an answer's body, and characters of its headers, that an attempt keeps: as many as are shown."""


class DeliveryState(StrEnum):
    """``pending`` until the CDR was acknowledged or failed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class CdrRequest(HidesSecrets, frozen=True, gc=False):
    """The request that carries a CDR. ``headers`` may hold the user's secrets, so they are not in the repr.

    ``trust`` is for an https endpoint: the webhook's at the time of the attempt. It is not kept with a delivery.
    """

    _hidden = ("headers",)

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    trust: Trust = MACHINE


class CdrResponse(Struct, frozen=True, gc=False):
    """The answer of the endpoint. A recorded one has at most the first 4 KiB of the body, and of the headers.

    Both are empty in an old one: see ``storage.MAX_ANSWERS_SIZE``. With ``sent_twice`` the request was sent before on a
    kept connection, which the endpoint closed without an answer. So the endpoint may have the CDR twice.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_twice: bool = False

    def size(self) -> int:
        """Return about how many bytes its text has."""
        return len(self.body) + sum(map(len, self.headers)) + sum(map(len, self.headers.values()))

    def beginning(self) -> CdrResponse:
        """Return the part that is kept: MAX_KEPT bytes of its body, and as many characters of its headers."""
        if self.size() <= MAX_KEPT:
            return self
        headers, left = {}, MAX_KEPT
        for name, value in self.headers.items():
            if left <= len(name):
                break
            headers[name] = value[: left - len(name)]
            left -= len(name) + len(headers[name])
        return replace(self, headers=headers, body=self.body[:MAX_KEPT])


class Attempt(Struct, frozen=True, gc=False):
    """One attempt to deliver. ``number`` starts at 1; ``at`` is in seconds since the epoch; ``error`` says why the CDR
    was not acknowledged, and is None if it was.
    """

    number: int
    at: float
    duration_s: float
    response: CdrResponse | None
    error: str | None

    @property
    def status(self) -> int | None:
        """The HTTP status of the answer, or None if there was none."""
        return self.response.status if self.response else None

    def __str__(self) -> str:
        if self.error is None:
            again = ", sent twice" if self.response and self.response.sent_twice else ""
            return f"attempt {self.number}: {self.status}, acknowledged{again}"
        answer = _beginning(self.response.body) if self.response else ""
        return printable(f"attempt {self.number}: {self.error}{answer and ': '}{answer}")


def describe_state(state: DeliveryState, attempts: Sequence[Attempt]) -> str:
    """Return the state of a delivery, for people, with a remark if only ``ignore_response`` made it delivered."""
    is_acknowledged = any(attempt.error is None for attempt in attempts)
    return f"{state} (ignore_response)" if state is DeliveryState.DELIVERED and not is_acknowledged else str(state)


def _beginning(body: bytes) -> str:
    """Return the first characters of an endpoint's answer, quoted and escaped; nothing for an empty one."""
    text = body[: 4 * _SHOWN].decode(errors="replace").strip()
    return text and repr(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")


class Delivery(Struct, frozen=True, gc=False):
    """The delivery of a CDR to one webhook.

    ``due_at`` is the time of the next attempt, in seconds since the epoch. It is None while the call is held, and if
    the delivery is not pending. ``cdr`` and ``request`` are None until the call has ended. ``cdr`` is the flat object
    or the whole event that is sent or, for a text, its variables. ``id`` numbers the deliveries of a storage from 1.
    """

    id: int
    verification_call_uuid: str
    account_id: str
    subscription: int
    url: str
    state: DeliveryState = DeliveryState.PENDING
    due_at: float | None = None
    attempts: tuple[Attempt, ...] = ()
    cdr: Mapping[str, Any] | None = None
    request: CdrRequest | None = None
    why: Reason | None = None
    """What is special about it: the fault that alters it, or why it failed without an attempt."""
    waits_for: int | None = None
    """The delivery that must be settled before this one is due. 0 means a delivery of the account's next call."""
    earlier_attempts: int = 0
    """The attempts before the last manual resend. They do not count in the schedule of retries."""
    says: Ending | None = None
    """The false ending in the CDR, if a fault changes it."""
    resent: int = 0
    """How often it was sent again manually."""
    of_uuid: str | None = None
    """The ``verification_call_uuid`` in the CDR, if a fault changes it."""
    filter: tuple[Condition, ...] = ()
    """The webhook's filter at the time when the call was placed."""

    def __str__(self) -> str:
        attempts = "; ".join(map(str, self.attempts)) or "not tried yet"
        fault = f" ({self.note})" if self.note else ""
        state = describe_state(self.state, self.attempts)
        return printable(
            f"<Delivery {self.id} of {self.verification_call_uuid} to {self.url}, {state}{fault}: {attempts}>"
        )

    @property
    def note(self) -> str:
        """The text of ``why``, for people; empty if there is none."""
        return "" if self.why is None else str(self.why)


NEXT_CALL: Final = 0
"""The value of ``waits_for`` that means the next settled delivery of another call."""


def make_deliveries(call: Call, account: Account, first_id: int, delay_s: float) -> list[Delivery]:
    """Return a call's deliveries to the account's enabled webhooks, numbered from ``first_id``.

    They are due ``delay_s`` seconds after the call's end.
    """
    due_at = None if call.ends_at is None else call.ends_at + delay_s
    made: list[Delivery] = []
    for subscription in account.subscriptions:
        if subscription.enabled:
            delivery = Delivery(
                id=first_id + len(made),
                verification_call_uuid=call.verification_call_uuid,
                account_id=account.id,
                subscription=subscription.number,
                url=subscription.url,
                due_at=due_at,
                filter=subscription.filter,
            )
            made.append(delivery)
    return made


def filter_deliveries(deliveries: Sequence[Delivery], cdr: Cdr) -> tuple[list[Delivery], list[Reason]]:
    """Return the deliveries of a call that has ended whose filter lets it through, and why it is not sent to others."""
    kept, why = [], []
    for delivery in deliveries:
        unmet = why_unmet(delivery.filter, cdr)
        if unmet:
            why.append(Reason("cdr_filtered", {"n": delivery.subscription, "why": unmet}))
        else:
            kept.append(delivery)
    return kept, why


def apply_cdr_fault(fault: Fault, call: Call, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries of a call that has just ended after the fault has altered them. A new one has the id 0."""
    altered: list[Delivery] = []
    for delivery in deliveries:
        altered += _apply(fault, call, replace(delivery, why=Reason("fault", {"kind": str(fault.kind)})))
    return altered


def _apply(fault: Fault, call: Call, delivery: Delivery) -> list[Delivery]:
    again = replace(delivery, id=0, due_at=None, waits_for=delivery.id)
    match fault.kind:
        case FaultKind.CDR_DUPLICATED:
            return [delivery, again]
        case FaultKind.CDR_CONTRADICTED:
            return [delivery, replace(again, says=_contradiction(call))]
        case FaultKind.CDR_REORDERED:
            return [replace(delivery, due_at=None, waits_for=NEXT_CALL)]
        case FaultKind.CDR_EARLY:
            return [replace(delivery, due_at=call.ended_at)]
        case FaultKind.CDR_LATE:
            due = delivery.due_at or 0.0
            return [replace(delivery, due_at=due + fault.delay_s + fault.jitter_s)]
        case FaultKind.CDR_LOST:
            return [replace(delivery, due_at=None, state=DeliveryState.FAILED)]
        case FaultKind.CDR_UNKNOWN_UUID:
            call_id, _, account_id = call.verification_call_uuid.partition("_")
            # The id has the right form, and another call is as unlikely to draw it as any other id.
            return [replace(delivery, of_uuid=f"{int(call_id, 16) ^ (1 << 47):012x}_{account_id}")]
        case _:
            return [delivery]


def _contradiction(call: Call) -> Ending:
    was_answered = call.ending is not None and call.ending.outcome is Outcome.ANSWERED
    return ending(Outcome.BUSY if was_answered else Outcome.ANSWERED, unavailable_cause=18)


@lru_cache(maxsize=1024)
def host_of(url: str) -> str:
    """Return the host of a webhook's URL with its port: attempts to one host are limited together."""
    return urlsplit(url).netloc.rpartition("@")[2]


def without_answer(delivery: Delivery, number: int) -> Delivery:
    """Return the delivery without headers and body of the answer to its attempt of that number."""
    attempts = tuple(
        replace(attempt, response=replace(attempt.response, headers={}, body=b""))
        if attempt.number == number and attempt.response is not None
        else attempt
        for attempt in delivery.attempts
    )
    return replace(delivery, attempts=attempts)


def is_acknowledgement(status: int) -> bool:
    """Return whether the status acknowledges a CDR: any 2xx does."""
    return 200 <= status <= 299


def is_still_due(delivery: Delivery, handed: Delivery) -> bool:
    """Return whether a delivery is still pending as it was when it was handed over to the client."""
    return delivery.state is DeliveryState.PENDING and (delivery.due_at, delivery.resent) == (
        handed.due_at,
        handed.resent,
    )


def outcome_of_attempt(
    delivery: Delivery, handed: Delivery, attempt: Attempt, due_at: float | None, *, ignores_response: bool
) -> Delivery:
    """Return the delivery after an attempt: delivered, due again at ``due_at``, or failed if that is None.

    With ``ignores_response`` the delivery is delivered, whatever the attempt's result is. ``handed`` is the delivery at
    the beginning of this attempt. If it was sent again manually in the meantime, a failure of this older attempt does
    not count. An acknowledgement of either attempt counts.
    """
    attempts = (*delivery.attempts, attempt)
    if attempt.error is None or ignores_response:
        return replace(delivery, state=DeliveryState.DELIVERED, due_at=None, attempts=attempts)
    if not is_still_due(delivery, handed):
        return replace(delivery, attempts=attempts, earlier_attempts=delivery.earlier_attempts + 1)
    if due_at is None:
        return replace(delivery, state=DeliveryState.FAILED, due_at=None, attempts=attempts)
    return replace(delivery, due_at=due_at, attempts=attempts)


def next_retry(retry_after_s: Sequence[float], failures: int) -> float | None:
    """Return the seconds until the next attempt, or None if the CDR has failed.

    ``failures`` counts the attempts that failed, so it is 1 after the first. ``retry_after_s`` is the schedule: its
    first item is the wait after the first failure, and there is one attempt more than it has items.
    """
    return retry_after_s[failures - 1] if failures <= len(retry_after_s) else None
