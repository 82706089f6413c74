"""Faults: errors between an application and a telephone operator that a test switches on.

A fault of a request alters an answer of the API. A fault of a CDR alters the delivery to the webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.checks import check_bool, check_number, check_seconds, check_whole, show
from pytest_mcn_mock.model.draws import draw_chance, draw_share
from pytest_mcn_mock.reasons import Reason


class FaultKind(StrEnum):
    """The kinds of faults."""

    STATUS = "status"
    """The API answers with a server error."""
    DELAY = "delay"
    """The answer comes late."""
    RESET = "reset"
    """The connection is reset instead of an answer."""
    CUT_OFF = "cut_off"
    """The connection ends in the middle of the answer."""
    MALFORMED = "malformed"
    """The answer is complete, but is not JSON."""
    DRIP = "drip"
    """The answer comes byte by byte."""

    CDR_EARLY = "cdr_early"
    """The CDR arrives before the answer to the request."""
    CDR_DUPLICATED = "cdr_duplicated"
    """The CDR is sent again after it was acknowledged."""
    CDR_REORDERED = "cdr_reordered"
    """The CDR is sent after the CDR of the next call."""
    CDR_LATE = "cdr_late"
    """The CDR is sent ``delay_s`` seconds late."""
    CDR_LOST = "cdr_lost"
    """The CDR is never sent."""
    CDR_CONTRADICTED = "cdr_contradicted"
    """A second CDR contradicts the first: busy after answered, answered after anything else."""
    CDR_UNKNOWN_UUID = "cdr_unknown_uuid"
    """The CDR names a call that does not exist."""

    @property
    def is_of_cdr(self) -> bool:
        """Return whether it alters the CDR, not the answer."""
        return self.startswith("cdr_")


MAX_TIMES: Final = 10**9
_TIMED: Final = {FaultKind.DELAY, FaultKind.DRIP, FaultKind.CDR_LATE}


class Fault(Struct, frozen=True):
    """A fault that is switched on.

    ``times`` is how many more requests or CDRs it alters, None for all; ``probability`` is the chance for each one.
    ``delay_s`` and ``jitter_s`` are seconds: a delay lasts ``delay_s`` plus up to ``jitter_s``, and so does a whole
    drip. Chance and jitter are drawn from the account's seed. With ``accepted`` an altered request is still accepted
    and charged, so that an application that retries pays twice.

    Raises UsageError if a value is not valid.
    """

    kind: FaultKind
    times: int | None = 1
    probability: float = 1.0
    status: int = 503
    delay_s: float = 0.0
    jitter_s: float = 0.0
    accepted: bool = True

    def __post_init__(self) -> None:
        if self.times is not None:
            check_whole(self.times, name="times", least=1, most=MAX_TIMES, also=", or None for every time")
        check_number(self.probability, name="probability", more_than=0, most=1)
        check_whole(self.status, name="status", least=500, most=599)
        check_bool(self.accepted, name="accepted")
        check_seconds(self.delay_s, name="delay_s")
        check_seconds(self.jitter_s, name="jitter_s")
        if self.kind in _TIMED and not self.delay_s + self.jitter_s:
            raise UsageError(Reason("fault_needs_delay", {"kind": self.kind}), "delay_s")

    def __str__(self) -> str:
        how_often = "every time" if self.times is None else f"{self.times} more"
        chance = f", {self.probability:.0%} of them" if self.probability < 1 else ""
        return f"{self.kind} ({how_often}{chance})"


def fault_kind(kind: str) -> FaultKind:
    """Return the kind of that name; raise UsageError, with the nearest name, if there is none."""
    try:
        return FaultKind(str(kind))
    except ValueError:
        raise UsageError(
            Reason("fault_unknown", {"value": show(str(kind)), "hint": nearest(str(kind), list(FaultKind))}), "kind"
        ) from None


def draw_fault(faults: Sequence[Fault], *, of_cdr: bool, seed: int, n: int) -> tuple[Fault | None, tuple[Fault, ...]]:
    """Return the fault that strikes now, or None, and the remaining faults.

    Faults are tried in order. ``n`` numbers the draws of the account, so that the same seed gives the same faults. The
    ``jitter_s`` of the returned fault is the drawn part of it: the delay is ``delay_s + jitter_s``.
    """
    for index, fault in enumerate(faults):
        if fault.kind.is_of_cdr is not of_cdr or draw_chance(seed, n, index) >= fault.probability:
            continue
        left = [] if fault.times == 1 else [fault if fault.times is None else replace(fault, times=fault.times - 1)]
        struck = replace(fault, jitter_s=fault.jitter_s * draw_share(seed, n, index)) if fault.jitter_s else fault
        return struck, (*faults[:index], *left, *faults[index + 1 :])
    return None, tuple(faults)
