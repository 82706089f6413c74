"""What an endpoint did with one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pytest_mcn_mock.conformance.messages import Message
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse


class Trouble(StrEnum):
    """Why there is no whole answer."""

    UNREACHABLE = "unreachable"
    """No connection, or no TLS on it."""
    NOT_ACCEPTED = "not_accepted"
    """The endpoint's system did not accept the connection within the time-out: its backlog is full."""
    NO_ANSWER = "no_answer"
    """Nothing within the time-out, on a connection that was accepted."""
    UNFINISHED = "unfinished"
    """A status within the time-out, but not the end of the body."""
    CLOSED = "closed"
    """The connection was closed before an answer."""
    GARBLED = "garbled"
    """What came is no HTTP."""
    RAISED = "raised"
    """An application object raised an exception, which a server would make a 500 of."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message and what became of it. ``response`` is None where no status arrived. ``detail`` describes the trouble
    further, and has no secret and no control character in it.
    """

    message: Message
    duration_s: float
    response: CdrResponse | None = None
    trouble: Trouble | None = None
    detail: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status, or None where there was none."""
        return self.response.status if self.response else None

    @property
    def request(self) -> CdrRequest:
        """The request that was sent."""
        return self.message.request

    @property
    def cdr(self) -> Mapping[str, Any] | None:
        """The record that was sent; None where it was none."""
        return self.message.cdr

    @property
    def shown(self) -> str:
        """The status or the trouble, in a word."""
        return str(self.status) if self.trouble is None else self.trouble.replace("_", " ")


class Transport(Protocol):
    """Brings messages to the endpoint."""

    def deliver(self, messages: Sequence[Message], timeout_s: float, *, in_turn: bool = False) -> list[Exchange]:
        """Send the messages at once, or in turn over one kept connection; an exchange for each, in their order."""

    def close(self) -> None:
        """Let go of threads and connections."""
