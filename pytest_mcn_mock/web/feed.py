"""Server-sent events: what changes on the server, for whoever watches it live.

The format is that of the HTML standard, 9.2 "Server-sent events".
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.web.admin_views import show_account, show_call, show_delivery, show_request
from pytest_mcn_mock.web.http import utf8

MAX_LISTENERS: Final = 32
MAX_PENDING: Final = 1000
"""Items that changed since a listener last took them; a slower one is told how many it missed."""
MAX_MESSAGE: Final = 1_048_576
"""Bytes that are sent to a listener at once, and one event more."""

_Key = tuple[str, str | int]
_Item = Call | Delivery | ApiRequest | None


class Feed:
    """Implements ``service.ports.Observer``: tells every listener what changed. Costs nothing while there is none."""

    def __init__(self) -> None:
        self._operator: Operator | None = None
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self.dropped = 0
        """Items that slow listeners missed."""

    def serve(self, operator: Operator) -> None:
        """Show the accounts of this operator."""
        self._operator = operator

    def changed(self, account_id: str, item: _Item = None, before: _Item = None) -> None:
        if not self._listeners:
            return
        with self._lock:
            for listener in self._listeners:
                if item is not None:
                    listener.put(_key(item), item)
                if item is None or isinstance(item, Call):  # what a call costs changes the account
                    listener.put(("account", account_id), None)
                listener.wake()

    def closed(self, account_id: str) -> None:
        self.changed(account_id)

    def reset(self) -> None:
        with self._lock:
            for listener in self._listeners:
                listener.put(("reset", 0), None)
                listener.wake()

    def listen(self, account_id: str | None = None) -> Listener:
        """A new listener for what changes from now on, of an account or of all; Refusal ``service_unavailable``
        for too many.
        """
        with self._lock:
            if len(self._listeners) >= MAX_LISTENERS:
                raise Refusal(RefusalCode.SERVICE_UNAVAILABLE, f"{MAX_LISTENERS} listen already; close one")
            listener = Listener(self, account_id)
            self._listeners.append(listener)
            return listener

    def leave(self, listener: Listener) -> None:
        """The listener has gone."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def close(self) -> None:
        """The server stops: every stream ends."""
        with self._lock:
            for listener in self._listeners:
                listener.has_ended = True
                listener.wake()

    def take(self, listener: Listener) -> bytes:
        """The events that wait for a listener, each item as it was last; empty where there is none.

        What is more than MAX_MESSAGE bytes waits for the next time.
        """
        events, size = [], 0
        while size < MAX_MESSAGE:
            with self._lock:
                if not listener.pending:
                    break
                key, item = listener.pending.popitem(last=False)
            events.append(self._event(*key, item))
            size += len(events[-1])
        with self._lock:
            missed, listener.missed = listener.missed, 0
            self.dropped += missed
            if listener.pending:
                listener.wake()
        if missed:
            events.append(_format("dropped", {"count": missed}))
        return utf8("".join(events))

    def _event(self, kind: str, number: str | int, item: _Item) -> str:
        if isinstance(item, Call):
            return _format(kind, show_call(item))
        if isinstance(item, Delivery):
            return _format(kind, show_delivery(item))
        if isinstance(item, ApiRequest):
            return _format(kind, show_request(item))
        if kind == "reset" or self._operator is None:
            return _format("reset", {})
        try:
            account = self._operator.accounts.get(str(number))
            return _format(kind, show_account(account, self._operator.accounts.balance(account.id)))
        except NotFound:
            return _format("closed", {"id": int(number)})


class Listener:
    """One stream of events. ``wake_by`` sets what is called when there is something to take."""

    def __init__(self, feed: Feed, account_id: str | None) -> None:
        self._feed = feed
        self._account_id = account_id
        self._wake: Callable[[], object] = lambda: None
        self.pending: OrderedDict[_Key, _Item] = OrderedDict()
        self.missed = 0
        self.has_ended = False

    def wake_by(self, wake: Callable[[], object]) -> None:
        """Call this, from any thread, whenever something changed."""
        self._wake = wake

    def wake(self) -> None:
        """There is something to take, or the stream has ended."""
        self._wake()

    def put(self, key: _Key, item: _Item) -> None:
        """An item changed; an older state of it that still waits is not sent."""
        if self._account_id is not None and not self._is_of_account(key, item):
            return
        self.pending[key] = item
        if len(self.pending) > MAX_PENDING:
            self.pending.popitem(last=False)
            self.missed += 1

    def take(self) -> bytes:
        """The events that wait; empty where there is none."""
        return self._feed.take(self)

    def close(self) -> None:
        """Nobody listens any more."""
        self._feed.leave(self)

    def _is_of_account(self, key: _Key, item: _Item) -> bool:
        return key[0] == "reset" or (key[1] if item is None else item.account_id) == self._account_id


def _key(item: Call | Delivery | ApiRequest) -> _Key:
    if isinstance(item, Call):
        return "call", item.seq
    if isinstance(item, Delivery):
        return "delivery", item.id
    return "request", item.seq


def _format(event: str, data: dict[str, Any]) -> str:
    """JSON has no line breaks outside its strings, and escapes those inside."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
