"""Server-sent events: the changes on the server, for live clients and for requests that wait.

The format is that of the HTML standard, 9.2 "Server-sent events".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode, StorageFailed
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.service.ports import Storage
from pytest_mcn_mock.web.http import dump
from pytest_mcn_mock.web.waits import Waits

MAX_LISTENERS: Final = 32
MAX_PENDING: Final = 1000
"""Changed items that wait for a listener. A slower listener gets the number of items that it missed."""
MAX_MESSAGE: Final = 1_048_576
"""Bytes that are sent to a listener at once, and one event more."""

_Key = tuple[str, str | int]
_Item = Call | Delivery | ApiRequest | None
_States = Mapping[int, Sequence[tuple[int, DeliveryState]]]


class Feed:
    """Reports ``service.events`` to every listener, and to ``waits``. Costs nothing while there is none."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._listeners: list[Listener] = []
        self.waits = Waits()
        """The requests that wait for an event."""
        self.dropped = 0
        """Items that slow listeners missed."""

    def hear(self, event: Event) -> None:
        """Report an event to the listeners and to the requests that wait."""
        if not self._listeners and not self.waits.under_way:
            return
        self.waits.hear(event)
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):
                self._tell(call.account_id, ("call", call.seq), call)
                self._tell(call.account_id, ("account", call.account_id))  # the price of a call changes the account
            case events.AttemptMade(delivery) | events.DeliveryResent(delivery) | events.DeliverySettled(delivery):
                self._tell(delivery.account_id, ("delivery", delivery.id), delivery)
            case events.AccountChanged(account_id) | events.AccountClosed(account_id):
                self._tell(account_id, ("account", account_id))
            case events.RequestAnswered(request):
                self._tell(request.account_id, ("request", request.seq), request)
            case events.StateReset():
                for listener in self._listeners:
                    listener.put(("reset", 0), None)

    def is_watched(self) -> bool:
        """Return whether anybody listens, or waits."""
        return bool(self._listeners or self.waits.under_way)

    def miss(self) -> None:
        """Tell every listener, and every request that waits, that it may have missed something."""
        self.waits.look_again()
        for listener in self._listeners:
            listener.missed += 1
            listener.wake()

    def listen(self, account_id: str | None = None) -> Listener:
        """Return a new listener for the events of an account, or of all, from now on. Raises Refusal
        ``service_unavailable`` if there are too many.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            raise Refusal(RefusalCode.SERVICE_UNAVAILABLE, Reason("listeners", {"n": MAX_LISTENERS}))
        listener = Listener(self, account_id)
        self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener that has gone."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def open(self) -> None:
        """Let requests wait again: the server starts."""
        self.waits.open()

    def close(self) -> None:
        """End every stream and every wait: the server stops."""
        self.waits.close()
        for listener in self._listeners:
            listener.has_ended = True
            listener.wake()

    async def take(self, listener: Listener) -> bytes:
        """Return the events that wait for a listener, each item in its last state; empty if there is none.

        Events above MAX_MESSAGE bytes wait for the next call.
        """
        told, size = [], 0
        states = await self._states_of([item for item in listener.pending.values() if isinstance(item, Call)])
        while listener.pending and size < MAX_MESSAGE:
            key, item = listener.pending.popitem(last=False)
            try:
                told.append(await self._show(*key, item, states))
            except StorageFailed:  # the stream continues, and a state that cannot be read counts as missed
                listener.missed += 1
            else:
                size += len(told[-1])
        if listener.pending:
            listener.wake()
        missed, listener.missed = listener.missed, 0
        if missed:
            self.dropped += missed
            told.append(await self._show("dropped", missed, None))
        return b"".join(told)

    async def _states_of(self, calls: Sequence[Call]) -> _States | None:
        """Return the states of the calls' deliveries; None if they cannot be read now."""
        try:
            return await self._storage.states_of(calls) if calls else {}
        except StorageFailed:
            return None

    def _tell(self, account_id: str | None, key: _Key, item: _Item = None) -> None:
        for listener in self._listeners:
            if listener.account_id in (None, account_id):
                listener.put(key, item)

    async def _show(self, kind: str, number: str | int, item: _Item, states: _States | None = None) -> bytes:
        from pytest_mcn_mock.web import admin_types as types  # noqa: PLC0415 - 15 ms; most servers have no listener

        data: Struct
        match item:
            case Call():
                data = types.CallJson.of(item, None if states is None else states.get(item.seq, ()))
            case Delivery():
                data = types.DeliveryJson.of(item)
            case ApiRequest():
                data = types.RequestJson.of(item)
            case _ if kind == "reset":
                data = types.NothingJson()
            case _ if kind == "dropped":
                data = types.DroppedJson(count=int(number))
            case _:
                try:
                    state = await self._storage.account(str(number))
                    data = types.AccountJson.of(state.account, state.balance)
                except NotFound:
                    kind, data = "closed", types.ClosedJson(id=int(number))
        return _format(kind, data)


class Listener:
    """One stream of events, of an account or of all. Implements ``http.Stream``."""

    def __init__(self, feed: Feed, account_id: str | None) -> None:
        self._feed = feed
        self.account_id = account_id
        self.wake: Callable[[], object] = lambda: None
        self.pending: OrderedDict[_Key, _Item] = OrderedDict()
        self.missed = 0
        self.has_ended = False

    def wake_by(self, wake: Callable[[], object]) -> None:
        """See ``http.Stream``, here and for ``take`` and ``close``."""
        self.wake = wake

    def put(self, key: _Key, item: _Item) -> None:
        """Add an item that changed. An older state of it that still waits is not sent."""
        self.pending[key] = item
        if len(self.pending) > MAX_PENDING:
            self.pending.popitem(last=False)
            self.missed += 1
        self.wake()

    async def take(self) -> bytes:
        """Return the events to send now."""
        return await self._feed.take(self)

    def close(self) -> None:
        """End the listener."""
        self._feed.leave(self)


def _format(event: str, data: Struct) -> bytes:
    """Return the event as it is sent. JSON on one line has no line break, also not in its strings."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), dump(data))
