"""The call's record (CDR): the variables that a subscription can ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, Outcome

if TYPE_CHECKING:  # subscriptions needs the names of the variables, and calls needs subscriptions
    from pytest_mcn_mock.model.calls import Call

Value = str | int | bool
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


VARIABLES: Mapping[str, Callable[[Call], Value | None]] = MappingProxyType(
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
"""Every variable of a subscription's body, and its value for a call that has ended; None where there is none."""


def render(call: Call, body: Iterable[str], constants: Mapping[str, Value]) -> dict[str, Value]:
    """The CDR of a call that has ended: the variables asked for, in their order, then the constants.

    A variable without a value is absent, not null: the article documents no ``final_status`` for a refused call.
    """
    record = {name: value for name in body if (value := VARIABLES[name](call)) is not None}
    return {**record, **constants}
