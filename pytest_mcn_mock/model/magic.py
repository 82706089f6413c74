"""Magic numbers: a ``login_did`` that itself says how the call ends, for clients that cannot reach the admin API.

They begin with 7 000, where the Russian numbering plan has no subscribers: each is a Russian number that nobody can
have. They are ours, not the vendor's, and a server knows them only where it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.outcomes import MAX_CAUSE, MIN_CAUSE, Outcome


@dataclass(frozen=True, slots=True)
class Magic:
    """What a magic number forces: a refusal, an outcome, a Q.850 cause or, with none of them, a call that rings until
    it is completed by hand.
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
