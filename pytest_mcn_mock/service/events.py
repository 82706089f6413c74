"""Events: each kind is a type of its own, and is reported after it is kept."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar, get_args

from msgspec import Struct

from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Attempt, Delivery
from pytest_mcn_mock.model.requests import ApiRequest

_log = logging.getLogger("mcn_mock")


class CallPlaced(Struct, frozen=True):
    """An order was accepted and charged. The call may have ended with it: CallEnded follows then."""

    call: Call


class CallEnded(Struct, frozen=True):
    """A call has ended."""

    call: Call


class AttemptMade(Struct, frozen=True):
    """A CDR was sent, or could not be sent. DeliverySettled follows if that settles the delivery."""

    delivery: Delivery
    attempt: Attempt


class DeliveryResent(Struct, frozen=True):
    """A tester has made a delivery pending again."""

    delivery: Delivery


class DeliverySettled(Struct, frozen=True):
    """A delivery is delivered or failed. ``attempt`` is the one that settled it, None if none did."""

    delivery: Delivery
    attempt: Attempt | None


class AccountChanged(Struct, frozen=True):
    """An account was opened, or its settings or its balance were changed."""

    account_id: str


class AccountClosed(Struct, frozen=True):
    """An account was closed, and forgotten with its calls."""

    account_id: str


class RequestAnswered(Struct, frozen=True):
    """The answer to a request to the vendor's API was sent, or could not be."""

    request: ApiRequest


class StateReset(Struct, frozen=True):
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


_Kind = TypeVar("_Kind", bound=Event)


class Events:
    """Reports each event to the subscribers to its kind, in order. An exception of a subscriber is only logged."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[type, list[Callable[[Any], object]]] = defaultdict(list)

    def subscribe(self, kind: type[_Kind], subscriber: Callable[[_Kind], object]) -> None:
        """Report every event of this kind from now on to the subscriber."""
        self._subscribers[kind].append(subscriber)

    def subscribe_to_all(self, subscriber: Callable[[Event], object]) -> None:
        """Report every event from now on to the subscriber."""
        for kind in get_args(Event):
            self.subscribe(kind, subscriber)

    def publish(self, event: Event) -> None:
        """Report an event to its subscribers."""
        for subscriber in self._subscribers[type(event)]:
            try:
                subscriber(event)
            except Exception:
                _log.exception("a subscriber to events failed")
