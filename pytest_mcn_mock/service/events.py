"""Events: each kind is a type of its own, and is reported after it is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Attempt, Delivery
from pytest_mcn_mock.model.requests import ApiRequest

_log = logging.getLogger("mcn_mock")


class CallPlaced(NamedTuple):
    """An order was accepted and charged. The call may have ended with it: CallEnded follows then."""

    call: Call


class CallEnded(NamedTuple):
    """A call has ended."""

    call: Call


class AttemptMade(NamedTuple):
    """A CDR was sent, or could not be sent. DeliverySettled follows if that settles the delivery."""

    delivery: Delivery
    attempt: Attempt


class DeliveryResent(NamedTuple):
    """A tester has made a delivery pending again."""

    delivery: Delivery


class DeliverySettled(NamedTuple):
    """A delivery is delivered or failed. ``attempt`` is the one that settled it, None if none did."""

    delivery: Delivery
    attempt: Attempt | None


class AccountChanged(NamedTuple):
    """An account was opened, or its settings or its balance were changed."""

    account_id: str


class AccountClosed(NamedTuple):
    """An account was closed, and forgotten with its calls."""

    account_id: str


class RequestAnswered(NamedTuple):
    """The answer to a request to the vendor's API was sent, or could not be."""

    request: ApiRequest


class StateReset(NamedTuple):
    """Everything was forgotten, and the configured accounts are open. ``at`` is the result of ``Storage.reset``."""

    at: float


Event = (
    CallPlaced
    | CallEnded
    | AttemptMade
    | DeliveryResent
    | DeliverySettled
    | AccountChanged
    | AccountClosed
    | RequestAnswered
    | StateReset
)


class Events:
    """Reports each event to each subscriber, in order. An exception of a subscriber is only logged."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Event], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Report every event from now on to the subscriber."""
        self._subscribers.append(subscriber)

    def publish(self, event: Event) -> None:
        """Report an event to each subscriber."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                _log.exception("a subscriber to events failed")
