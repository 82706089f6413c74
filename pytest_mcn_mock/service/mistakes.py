"""What strictness says of an account, for a test in this process and for one that asks over the admin API."""

from __future__ import annotations

from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.mistakes import Expectations, Mistake, find_mistakes
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.service.ports import Clock, Storage

_ALL = 10**9


class Mistakes:
    """Finds what went wrong on an account since it was opened. Raises NotFound if there is no such account."""

    def __init__(self, storage: Storage, clock: Clock, journal: Journal) -> None:
        self._storage = storage
        self._clock = clock
        self._journal = journal

    async def find(self, account_id: str, expected: Expectations, since: int | None = None) -> list[Mistake]:
        """Return what went wrong and was not expected. For ``since`` see ``heard``."""
        deliveries: list[Delivery] = []
        for state in (DeliveryState.PENDING, DeliveryState.FAILED):
            deliveries += await self._storage.deliveries(account_id, 0, _ALL, fields={"state": state.value})
        deliveries.sort(key=lambda delivery: delivery.id)
        return find_mistakes(account_id, await self.heard(account_id, since), deliveries, expected)

    async def heard(self, account_id: str, since: int | None = None) -> list[ApiRequest]:
        """Return every request that may be the account's: to its paths, and the refused ones that went elsewhere.

        Those carry the account's token, or name no account that is or was open: a straggler of an earlier test names
        that test's account. ``since`` is the last request before the account was opened, if the caller knows it.
        """
        since = self._journal.since_opening(account_id) if since is None else since
        requests = self._journal.since(since or 0)
        opened_at = await self._opened_at(account_id) if since is None else None
        return [
            request
            for request in requests
            if request.account_id == account_id
            or (await self._is_stray(request, account_id) and (opened_at is None or request.received_at >= opened_at))
        ]

    async def is_settled(self, account_id: str, until: float) -> bool:
        """Return whether no request is in flight, and nothing is still to be done that falls due by ``until``."""
        if any(r.account_id == account_id and not r.is_answered for r in self._journal.since(0)):
            return False
        calls = await self._storage.calls(account_id, 0, _ALL, fields={"state": "ringing"})
        pending = await self._storage.deliveries(account_id, 0, _ALL, fields={"state": DeliveryState.PENDING.value})
        due = [*(call.ends_at for call in calls), *(delivery.due_at for delivery in pending)]
        return all(due_at is None or due_at > until for due_at in due)

    async def _is_stray(self, request: ApiRequest, account_id: str) -> bool:
        if request.refusal is None:
            return False
        if request.token_account_id is not None:
            return request.token_account_id == account_id
        return request.account_id is None or not await self._storage.is_taken(request.account_id)

    async def _opened_at(self, account_id: str) -> float | None:
        """Return when an account was opened that this process has not opened; None if the ledger has forgotten it."""
        if not self._clock.is_shared:
            return None
        first = (await self._storage.ledger(account_id))[0]
        return first.at if first.kind is EntryKind.OPENING else None
