"""The fake operator: a coroutine for each thing that a client or a tester can do. No sockets, no threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct

from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.events import Events
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.service.mistakes import Mistakes
from pytest_mcn_mock.service.ports import Clock, Storage, Worker

Opening = Callable[[Accounts], Iterable[tuple[Account, int]]]
"""Makes the accounts that a server is configured with, each with its opening balance in kopecks."""


async def _stay() -> None:
    """Do nothing, because no other process has the same state."""


class Service(Struct, eq=False):
    """The parts of an operator, over one storage. Reading goes to the storage itself."""

    storage: Storage
    clock: Clock
    worker: Worker
    accounts: Accounts
    calls: Calls
    deliveries: Deliveries
    journal: Journal
    mistakes: Mistakes
    events: Events
    assumptions: Assumptions
    opening: Opening
    is_stopping: bool = False
    until_others_answered: Callable[[], Awaitable[None]] = _stay
    """Waits for the answers to orders that other processes on the same state have accepted."""
    put_forward: Callable[[], Awaitable[None]] = _stay
    """Reports the time put forward to the other processes on the same state."""
    read_requests: Callable[[], Awaitable[None]] = _stay
    """Enters in the journal the requests that other processes on the same state have reported."""

    async def why_not_ready(self) -> list[str]:
        """Return the reasons why no new call is accepted; empty if calls are accepted."""
        reasons = ["stopping"] if self.is_stopping else []
        if self.storage.failure is not None:
            return [*reasons, "storage_failed"]
        try:
            is_overloaded = await self.calls.is_overloaded()
        except StorageFailed:
            return [*reasons, "storage_failed"]
        return [*reasons, "overloaded"] if is_overloaded else reasons

    async def requests(
        self, is_wanted: Callable[[ApiRequest], bool], after: int, limit: int, *, newest_first: bool = False
    ) -> Sequence[ApiRequest]:
        """Return requests of the journal, also those that the other processes on the same state have reported; see
        ``Journal.page``.
        """
        await self.read_requests()
        return self.journal.page(is_wanted, after, limit, newest_first=newest_first)

    async def advance(self, seconds: float) -> None:
        """Put the time forward for every account, when the orders that were accepted before are answered; see
        ``Worker.advance``.
        """
        await self.calls.until_answered()
        await self.until_others_answered()
        try:
            await self.worker.advance(seconds)
        finally:
            await self.put_forward()

    async def reset(self) -> None:
        """Go back to the configured state: every account, call, delivery and request is forgotten."""
        at = await self.accounts.reset(self.opening(self.accounts))
        self.calls.forget_all()
        self.journal.clear(at)
