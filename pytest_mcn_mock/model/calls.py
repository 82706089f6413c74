"""A call from the order to its end, and its record (CDR): the variables that a webhook can ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, Ending, Outcome


class CallOrder(Struct, frozen=True):
    """An order with checked parameters. An optional parameter that is left out or empty is None."""

    method: Method
    login_did: str
    code: str | None = None
    country_id: str | None = None
    caller_did: str | None = None


class Explanation(Struct, frozen=True):
    """Why the call is as it is: a sentence each on the country, the caller's number, the price and the outcome.

    ``cdr`` says why a webhook does not get the call's CDR; it is empty if every webhook gets it.
    """

    country: str
    number: str
    price: str
    outcome: str
    cdr: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.country, self.number, self.price, self.outcome, self.cdr)))


class Call(Struct, frozen=True):
    """One accepted call.

    ``price`` is in kopecks; ``placed_at``, ``ends_at`` and ``ended_at`` are seconds since the epoch. ``planned`` is how
    the call will end, at ``ends_at`` or, if that is None, when somebody completes it. ``ending`` and ``ended_at`` are
    None until it has ended. ``country_id`` is the country of the number that calls, None for a call_for_2fa.
    ``cdr_fault`` is the fault that alters its CDR. ``seq`` numbers the calls of a storage as they arrive, from 1.
    """

    verification_call_uuid: str
    account_id: str
    method: Method
    login_did: str
    caller_did: str
    code: str
    country_id: int | None
    price: int
    explanation: Explanation
    placed_at: float
    planned: Ending
    ends_at: float | None
    seq: int = 0
    ending: Ending | None = None
    ended_at: float | None = None
    cdr_fault: Fault | None = None

    @property
    def state(self) -> str:
        """``ringing`` until the call has ended, ``completed`` afterwards."""
        return "ringing" if self.ending is None else "completed"


def account_of(verification_call_uuid: str) -> str:
    """Return the id of the account that a call's uuid names: ``<call id>_<account id>``."""
    return verification_call_uuid.rpartition("_")[2]


def end(call: Call, how: Ending, now: float) -> Call:
    """Return the call after it has ended in this way."""
    explanation = call.explanation
    if how != call.planned:
        explanation = replace(explanation, outcome=f"completed manually: {how}")
    return replace(call, ending=how, ended_at=now, ends_at=now, explanation=explanation)


CdrValue = str | int | bool
DEFAULT_VARIABLES = ("verification_call_uuid", "q931_status", "final_status")
"""The three variables that the article documents."""


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _answer_time(call: Call) -> str | None:
    answered = call.ending is not None and call.ending.outcome is Outcome.ANSWERED
    # The call is dropped as soon as it is picked up, so the two moments are one.
    return _time(call.ended_at) if answered else None


def _hangup_cause(call: Call) -> str | None:
    return CAUSE_NAMES.get(call.ending.q931_status, "unspecified") if call.ending else None


VARIABLES: Mapping[str, Callable[[Call], CdrValue | None]] = MappingProxyType(
    {
        # documented
        "verification_call_uuid": lambda call: call.verification_call_uuid,
        "q931_status": lambda call: call.ending.q931_status if call.ending else None,
        "final_status": lambda call: call.ending.final_status if call.ending else None,
        # names observed, values assumed
        "account_id": lambda call: call.account_id,
        "start_time": lambda call: _time(call.placed_at),
        "answer_time": _answer_time,
        "stop_time": lambda call: _time(call.ended_at),
        "hangup_cause": _hangup_cause,
        "number": lambda call: call.login_did,
        "did": lambda call: call.caller_did,
        "orig": lambda _: True,
        "uniqueid": lambda call: call.verification_call_uuid.partition("_")[0],
    }
)
"""Every variable of a subscription's body, and its value for a call that has ended; None if there is none."""


def render_cdr(call: Call, body: Iterable[str], constants: Mapping[str, CdrValue]) -> dict[str, CdrValue]:
    """Return the CDR of a call that has ended: the requested variables in their order, then the constants.

    A variable without a value is absent, not null: the article documents no ``final_status`` for a refused call.
    """
    record = {name: value for name in body if (value := VARIABLES[name](call)) is not None}
    return {**record, **constants}
