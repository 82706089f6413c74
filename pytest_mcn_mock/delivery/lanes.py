"""Attempts that were started: at most so many to one host at once, and the others in a line for it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, Delivery


class Sender(Protocol):
    """What carries a request; see ``HttpSender``."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The endpoint's answer; SendError where none arrives within ``timeout_s`` seconds."""
        ...

    async def close(self) -> None:
        """Nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the courier has to do now. ``under_way`` counts attempts that wait for an answer, ``waiting`` those that
    wait for one of these to end; ``oldest_due_at`` is in seconds since the epoch, None where there is neither.
    """

    waiting: int
    under_way: int
    oldest_due_at: float | None


@dataclass(slots=True, eq=False)
class Work:
    """An attempt that was started: it waits for its turn in a lane, or is under way."""

    delivery: Delivery
    host: str

    @property
    def handed(self) -> tuple[int, float | None, int]:
        """What tells it from another attempt at the same delivery."""
        return self.delivery.id, self.delivery.due_at, self.delivery.resent


@dataclass(slots=True)
class Lane:
    """The attempts that wait for one host, and how many workers carry them. ``urgent`` ones go first: an advance waits
    for them, and not for what came after it.
    """

    urgent: OrderedDict[Work, None] = field(default_factory=OrderedDict)
    waiting: OrderedDict[Work, None] = field(default_factory=OrderedDict)
    workers: int = 0

    def __len__(self) -> int:
        return len(self.urgent) + len(self.waiting)

    def take(self) -> Work:
        """Take out the next one, which there must be."""
        return (self.urgent or self.waiting).popitem(last=False)[0]

    def drop(self, work: Work) -> bool:
        """Take this one out; whether it was there."""
        for queue in (self.urgent, self.waiting):
            if work in queue:
                del queue[work]
                return True
        return False

    def all(self) -> list[Work]:
        """All that wait, in order."""
        return [*self.urgent, *self.waiting]
