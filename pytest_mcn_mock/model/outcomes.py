"""How a call ends: the article's table of callback statuses, and the rules and magic numbers that choose a row of it.

A magic number is a ``login_did`` that determines how the call ends, for clients that cannot reach the admin API. Magic
numbers begin with 7 000: a Russian number that no subscriber can have. They are ours, not the vendor's, and a server
knows them only if ``magic_numbers`` is on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from pytest_mcn_mock.errors import RefusalCode, UsageError, nearest
from pytest_mcn_mock.model.checks import check_seconds, show
from pytest_mcn_mock.reasons import Reason


class Outcome(StrEnum):
    """What happened to the call, in the article's terms ("Callback — статусы верификационного звонка")."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"


MIN_CAUSE, MAX_CAUSE = 1, 127
"""ITU-T Q.850: a cause value is seven bits, and 0 is not assigned."""

CAUSE_NAMES = {
    1: "unallocated number",
    2: "no route to transit network",
    3: "no route to destination",
    16: "normal call clearing",
    17: "user busy",
    18: "no user responding",
    19: "no answer from user",
    20: "subscriber absent",
    21: "call rejected",
    22: "number changed",
    27: "destination out of order",
    28: "invalid number format",
    31: "normal, unspecified",
    34: "no circuit available",
    38: "network out of order",
    41: "temporary failure",
    42: "switching equipment congestion",
    44: "requested circuit not available",
    88: "incompatible destination",
    102: "recovery on timer expiry",
    127: "interworking, unspecified",
}
"""ITU-T Q.850 (05/2018), table 1: the causes a tester is likely to ask for.

The vendor's list has 16 to 19, 21, 22, 31, 41, 42 and 44. For other methods it says that 41 is a billing error, and
that no call was made.
"""


class Ending(Struct, frozen=True, gc=False):
    """How a call ended. ``final_status`` is None if the article documents none for this ending."""

    outcome: Outcome
    q931_status: int
    final_status: str | None

    def values(self) -> dict[str, str]:
        """Return the values of a reason that says how a call ends."""
        final = f", {self.final_status or CAUSE_NAMES.get(self.q931_status, '')}".removesuffix(", ")
        return {"outcome": str(self.outcome), "detail": f"q931_status {self.q931_status}{final}"}

    def __str__(self) -> str:
        return "{outcome} ({detail})".format_map(self.values())


_DOCUMENTED = {
    Outcome.ANSWERED: (16, "ANSWERED"),
    Outcome.BUSY: (17, "NO ANSWER"),
    Outcome.NO_ANSWER: (16, "NO ANSWER"),
    Outcome.REJECTED: (31, None),
}
_BY_CAUSE = {16: Outcome.ANSWERED, 17: Outcome.BUSY, 31: Outcome.REJECTED}


def ending(outcome: Outcome | str | None = None, q931_status: int | None = None, *, unavailable_cause: int) -> Ending:
    """Return the row of the article's table for an outcome or for a Q.850 cause; give exactly one of them.

    Cause 16 means an answered call. Use ``Outcome.NO_ANSWER`` for the other row with 16.
    "Все прочие коды … номер недоступен": any cause but 16, 17 and 31 is UNAVAILABLE, without ``final_status``.
    ``unavailable_cause`` is the cause of UNAVAILABLE; the article names none.

    Raises UsageError for an unknown outcome, a cause outside 1 to 127, and for neither or both given.
    """
    if (outcome is None) == (q931_status is None):
        raise UsageError(Reason("outcome_or_cause"))
    if q931_status is not None:
        return _ending_of_cause(q931_status)
    try:
        known = Outcome(str(outcome))
    except ValueError:
        words = [str(o) for o in Outcome]
        raise UsageError(
            Reason("outcome_unknown", {"value": repr(str(outcome)[:40]), "hint": nearest(str(outcome), words)}),
            "outcome",
        ) from None
    if known is Outcome.UNAVAILABLE:
        return _ending_of_cause(unavailable_cause)
    cause, final_status = _DOCUMENTED[known]
    return Ending(known, cause, final_status)


def _ending_of_cause(cause: int) -> Ending:
    if isinstance(cause, bool) or not isinstance(cause, int) or not MIN_CAUSE <= cause <= MAX_CAUSE:
        raise UsageError(Reason("cause", {"value": show(cause), "least": MIN_CAUSE, "most": MAX_CAUSE}), "q931_status")
    outcome = _BY_CAUSE.get(cause, Outcome.UNAVAILABLE)
    return Ending(outcome, cause, _DOCUMENTED[outcome][1] if outcome in _DOCUMENTED else None)


_PATTERN = r"[0-9*?]{1,40}"


class OutcomeRule(Struct, frozen=True):
    """The ending of calls to each ``login_did`` that matches the pattern, ``delay_s`` seconds after the answer.

    The pattern has digits, ``*`` for any digits and ``?`` for one digit. If ``delay_s`` is None, the server's delay
    applies.
    """

    ending: Ending
    login_did: str = "*"
    delay_s: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.login_did, str) or not re.fullmatch(_PATTERN, self.login_did):
            raise UsageError(Reason("pattern", {"value": repr(str(self.login_did)[:40])}), "login_did")
        if self.delay_s is not None:
            check_seconds(self.delay_s, name="delay_s")

    def matches(self, login_did: str) -> bool:
        """Return whether the number matches the pattern."""
        return fnmatchcase(login_did, self.login_did)


class RuleIndex:
    """Finds the first matching rule by the number itself, by each of its beginnings, and by the other patterns.

    Rules for one number and for a beginning (``7915*``) are looked up, which takes the same time for ten and for a
    thousand rules. Rules with a ``?``, or with a ``*`` elsewhere, are tried in order.
    """

    def __init__(self, rules: Sequence[OutcomeRule]) -> None:
        self._rules = rules
        self._exact: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        self._others: list[int] = []
        for place, rule in enumerate(rules):
            beginning = rule.login_did.removesuffix("*")
            if "*" in beginning or "?" in beginning:
                self._others.append(place)
            else:
                kind = self._exact if beginning == rule.login_did else self._beginnings
                kind.setdefault(beginning, place)

    def first_match(self, login_did: str) -> OutcomeRule | None:
        """Return the first rule that matches, or None."""
        none = len(self._rules)
        first = self._exact.get(login_did, none)
        for end in range(len(login_did) + 1):
            first = min(first, self._beginnings.get(login_did[:end], none))
        for place in self._others:
            if place > first:
                break
            if self._rules[place].matches(login_did):
                first = place
        return None if first == none else self._rules[first]


class Magic(Struct, frozen=True):
    """The effect of a magic number: a refusal, an outcome or a Q.850 cause. With none of them the call rings until it
    is completed manually.
    """

    refusal: RefusalCode | None = None
    outcome: Outcome | None = None
    q931_status: int | None = None

    def __str__(self) -> str:
        cause = None if self.q931_status is None else f"q931_status {self.q931_status}"
        return self.refusal or self.outcome or cause or "rings until it is completed"


MAGIC_NUMBERS: Final[Mapping[str, Magic]] = MappingProxyType(
    {
        "70000000001": Magic(outcome=Outcome.ANSWERED),
        "70000000002": Magic(outcome=Outcome.BUSY),
        "70000000003": Magic(outcome=Outcome.NO_ANSWER),
        "70000000004": Magic(outcome=Outcome.REJECTED),
        "70000000005": Magic(outcome=Outcome.UNAVAILABLE),
        "70000000006": Magic(),
        "70000000400": Magic(RefusalCode.INVALID_PARAMETER),
        "70000000401": Magic(RefusalCode.UNAUTHORIZED),
        "70000000402": Magic(RefusalCode.INSUFFICIENT_FUNDS),
        "70000000403": Magic(RefusalCode.ACCOUNT_NOT_FOUND),
        "70000000453": Magic(RefusalCode.FOREIGN_NUMBER),
        "70000000429": Magic(RefusalCode.OVERLOADED),
        "70000000500": Magic(RefusalCode.INTERNAL_ERROR),
        "70000000503": Magic(RefusalCode.SERVICE_UNAVAILABLE),
        **{f"70000001{cause:03d}": Magic(q931_status=cause) for cause in range(MIN_CAUSE, MAX_CAUSE + 1)},
    }
)
"""Every magic number; ``70000001000`` plus a Q.850 cause forces that cause."""
