"""What went wrong on an account and was not expected: the rules of docs/how-to/strictness.md."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, field

from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.requests import ApiRequest, Level
from pytest_mcn_mock.text import printable


class MistakeCode(StrEnum):
    """The kind of a mistake."""

    REFUSED = "refused"
    """A request was refused, and that was not expected."""
    NOT_REFUSED = "not_refused"
    """A refusal was expected, and did not come."""
    CDR_FAILED = "cdr_failed"
    """A webhook has not acknowledged a CDR, which is not sent again."""
    CDR_NOT_ACKNOWLEDGED = "cdr_not_acknowledged"
    """A webhook has not acknowledged a CDR yet: its last attempt failed."""
    UNDOCUMENTED = "undocumented"
    """A request relied on behaviour beyond the level of fidelity."""


class Mistake(Struct, frozen=True):
    """One mistake. ``request`` is the ``seq`` of a request, ``delivery`` the id of a delivery, and ``refusal`` the code
    of a refusal; each is None if the mistake has none.
    """

    code: MistakeCode
    message: str
    request: int | None = None
    refusal: RefusalCode | None = None
    delivery: int | None = None
    verification_call_uuid: str | None = None

    def __str__(self) -> str:
        return self.message


class Expectations(Struct):
    """What a test expects to go wrong: refusals by their codes, and CDRs that nobody acknowledges. ``fidelity`` is the
    level that its application may rely on.
    """

    refusals: set[RefusalCode] = field(default_factory=set)
    undelivered: bool = False
    fidelity: Level = Level.ASSUMED


def find_mistakes(
    account_id: str, heard: Iterable[ApiRequest], deliveries: Iterable[Delivery], expected: Expectations
) -> list[Mistake]:
    """Return the mistakes among the requests and the deliveries of an account.

    ``heard`` are the requests that may be the account's: those to its paths, and refused ones that went elsewhere.
    """
    heard = list(heard)
    refused = {request.refusal.code for request in heard if request.refusal is not None}
    return [
        *(_refused(r, r.refusal.code) for r in heard if r.refusal is not None and _is_unexpected(r, expected)),
        *(
            Mistake(MistakeCode.NOT_REFUSED, f"expected a refusal {code}, got none", refusal=code)
            for code in sorted(expected.refusals - refused)
        ),
        *(() if expected.undelivered else (_unacknowledged(d) for d in deliveries if is_unacknowledged(d))),
        *_undocumented([request for request in heard if request.account_id == account_id], expected),
    ]


def is_unacknowledged(delivery: Delivery) -> bool:
    """Return whether the webhook has not taken the CDR: it failed, or its last attempt failed.

    Not if a fault altered it, which is a scenario.
    """
    if delivery.note or delivery.state is DeliveryState.DELIVERED:
        return False
    return bool(delivery.attempts) or delivery.state is DeliveryState.FAILED


def _is_unexpected(request: ApiRequest, expected: Expectations) -> bool:
    return request.is_mistake and request.refusal is not None and request.refusal.code not in expected.refusals


def _refused(request: ApiRequest, code: RefusalCode) -> Mistake:
    return Mistake(MistakeCode.REFUSED, f"refused: {request}", request=request.seq, refusal=code)


def _unacknowledged(delivery: Delivery) -> Mistake:
    has_failed = delivery.state is DeliveryState.FAILED
    code = MistakeCode.CDR_FAILED if has_failed else MistakeCode.CDR_NOT_ACKNOWLEDGED
    said = "failed" if has_failed else "not acknowledged"
    uuid = delivery.verification_call_uuid
    attempts = "; ".join(map(str, delivery.attempts)) or "not tried"
    text = printable(f"{said}: the CDR of call {uuid} to {delivery.url} (delivery {delivery.id}): {attempts}")
    return Mistake(code, text, delivery=delivery.id, verification_call_uuid=uuid)


def _undocumented(requests: Iterable[ApiRequest], expected: Expectations) -> list[Mistake]:
    """Return each thing that requests relied on once, with the first request that did."""
    found: dict[str, Mistake] = {}
    for request in requests:
        for use in request.undocumented:
            if not expected.fidelity.allows(use.level):
                text = f"relied on: {request.method} …/{request.path.rstrip('/').rpartition('/')[2]}: {use}"
                uuid = request.verification_call_uuid
                found.setdefault(
                    text,
                    Mistake(MistakeCode.UNDOCUMENTED, text, request=request.seq, verification_call_uuid=uuid),
                )
    return list(found.values())
