"""What a case is: data that says what is sent, what is sound, why, and how to mend what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pytest_mcn_mock.conformance.messages import Message, Writer
from pytest_mcn_mock.conformance.webhook import Form

Rounds = Sequence[Sequence[Message]]
"""Messages of a round are sent at once; the next round follows when all of them are answered."""

EVERY_FORM: Final = frozenset(Form)
JSON_ONLY: Final = frozenset({Form.JSON})


class Expect(StrEnum):
    """What a sound endpoint does."""

    ACKNOWLEDGED = "acknowledged"
    """It is a record of a login's call: any 2xx."""
    UNKNOWN = "unknown"
    """It is a record of a call that the endpoint cannot know: 2xx, or a 4xx, which is reported as a warning."""
    ANSWERED = "answered"
    """It is no sound record: any 2xx or 4xx, as long as it is no 5xx."""


SOUND: Final = {
    Expect.ACKNOWLEDGED: "answers 2xx within the operator's time-out",
    Expect.UNKNOWN: "answers 2xx (a 4xx is no crash, but the operator counts it as a failure and tries again)",
    Expect.ANSWERED: "answers 2xx or 4xx, never 5xx",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the contract.

    ``sends`` is what is sent, to go on after "answered 500 to". ``why`` is the reason that it may arrive, and
    ``source`` where that is written. ``hint`` says how to mend an endpoint that fails. ``forms`` are those that it
    makes sense in. What an ``optional`` case finds is a warning. ``is_repeat`` says that every message is the same
    record, so that the answers have to agree; ``is_crowd``, that all of them are under way at once; ``in_turn``, that a
    round goes one by one over one kept connection; ``may_close``, that no answer at all is a warning. ``tolerated`` are
    statuses that are sound here although they would not be elsewhere.
    """

    name: str
    sends: str
    why: str
    source: str
    hint: str
    write: Callable[[Writer], Rounds]
    expect: Expect = Expect.ACKNOWLEDGED
    forms: frozenset[Form] = EVERY_FORM
    optional: bool = False
    is_repeat: bool = False
    is_crowd: bool = False
    in_turn: bool = False
    may_close: bool = False
    tolerated: frozenset[int] = frozenset()

    @property
    def sound(self) -> str:
        """What a sound endpoint does."""
        same = ", and the same for a repeat" if self.is_repeat else ""
        return f"{SOUND[self.expect]}{same}"


ARTICLE: Final = "Callback — статусы верификационного звонка"
"""The section of the article that the records come from."""
