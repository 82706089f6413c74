"""What has come on an account: told by its changes, so that a wait looks at nothing that an earlier one has seen."""

from __future__ import annotations

from contextlib import suppress
from heapq import heappop, heappush

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.service.ports import Storage

_ALL = 10**9


class Arrivals:
    """The calls and CDRs of an account that no wait has returned yet, and what is still to happen.

    Whoever asks is alone with the state (``testing.door``), so that each call and each CDR is given out once. Of those
    that are there the first comes first, in the order in which the calls were placed.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._touched: dict[str, None] = {}
        """Calls that something has happened to since the last look."""
        self._unfinished: dict[str, None] = {}
        """Calls that ring or owe a CDR."""
        self._known_calls: set[int] = set()
        self._known_deliveries: set[int] = set()
        self._returned: set[int] = set()
        self._calls: list[tuple[int, Call]] = []
        self._settled: list[tuple[int, int, Call, Delivery]] = []
        self._tried: dict[int, tuple[Call, Delivery]] = {}

    async def begin(self, account_id: str) -> None:
        """Look at the calls that are there already."""
        for call in await self._storage.calls(account_id, 0, _ALL):
            self._touched[call.verification_call_uuid] = None

    def note(self, verification_call_uuid: str) -> None:
        """Something has happened to the call."""
        self._touched[verification_call_uuid] = None

    async def next_call(self) -> Call | None:
        """The first call that was not given out yet."""
        await self._look()
        return heappop(self._calls)[1] if self._calls else None

    async def next_settled(self) -> tuple[Call, Delivery] | None:
        """The first CDR that was acknowledged or failed, and was not given out yet; with its call."""
        await self._look()
        while self._settled:
            _, delivery_id, call, delivery = heappop(self._settled)
            if self._give_out(delivery_id):
                return call, delivery
        return None

    async def give_out(self, delivery_id: int) -> None:
        """Somebody has the CDR, whom it was asked for by its call."""
        self._give_out(delivery_id)

    async def unexpected(self) -> tuple[Call, Delivery] | None:
        """A CDR that was sent, and was not given out yet; with its call."""
        await self._look()
        return next(iter(self._tried.values()), None)

    async def unfinished(self) -> list[tuple[Call, list[Delivery]]]:
        """The calls that ring or have a pending CDR, as they are now, with these CDRs."""
        await self._look()
        found = []
        for uuid in self._unfinished:
            with suppress(NotFound):
                deliveries = await self._storage.deliveries_of(uuid)
                pending = [d for d in deliveries if d.state is DeliveryState.PENDING]
                found.append((await self._storage.call(uuid), pending))
        return found

    async def _look(self) -> None:
        while self._touched:
            uuid, _ = self._touched.popitem()
            try:
                call, deliveries = await self._storage.call(uuid), await self._storage.deliveries_of(uuid)
            except NotFound:  # it has left the bounded journal
                self._unfinished.pop(uuid, None)
                continue
            if call.seq not in self._known_calls:
                self._known_calls.add(call.seq)
                heappush(self._calls, (call.seq, call))
            for delivery in deliveries:
                self._enter(call, delivery)
            if call.ending is None or any(delivery.state is DeliveryState.PENDING for delivery in deliveries):
                self._unfinished[uuid] = None
            else:
                self._unfinished.pop(uuid, None)

    def _enter(self, call: Call, delivery: Delivery) -> None:
        if delivery.attempts and delivery.id not in self._returned:
            self._tried[delivery.id] = call, delivery
        if delivery.state is not DeliveryState.PENDING and delivery.id not in self._known_deliveries:
            self._known_deliveries.add(delivery.id)
            heappush(self._settled, (call.seq, delivery.id, call, delivery))

    def _give_out(self, delivery_id: int) -> bool:
        self._tried.pop(delivery_id, None)
        is_new = delivery_id not in self._returned
        self._returned.add(delivery_id)
        return is_new
