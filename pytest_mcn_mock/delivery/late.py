"""Makes the delivery worker when there is first something for it to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_mcn_mock.delivery.worker import DeliveryWorker
    from pytest_mcn_mock.service import Service


class LateWorker:
    """Stands for the worker of a server in a test's process. Implements ``service.ports.Worker``.

    A test without a webhook needs neither the worker nor asyncio, which takes 8 ms to load.
    """

    def __init__(self, make: Callable[[], DeliveryWorker]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: DeliveryWorker | None = None
        self._service: Service | None = None
        self._is_stopping = False

    def get(self) -> DeliveryWorker:
        """Return the worker itself. Any thread may call this."""
        with self._lock:
            if self._made is None:
                made = self._make()
                if self._service is not None:
                    made.serve(self._service)
                if self._is_stopping:
                    made.stop_waiting()
                self._made = made
            return self._made

    def serve(self, service: Service) -> None:
        """See ``DeliveryWorker``, as for the next ones."""
        self._service = service
        if self._made is not None:
            self._made.serve(service)

    def wake(self, account_id: str, due_at: float) -> None:
        self.get().wake(account_id, due_at)

    def expect_attempt(self, verification_call_uuid: str) -> Awaitable[None]:
        return self.get().expect_attempt(verification_call_uuid)

    def forget(self, account_id: str | None = None) -> None:
        if self._made is not None:
            self._made.forget(account_id)

    async def advance(self, seconds: float, account_id: str | None = None) -> None:
        await self.get().advance(seconds, account_id)

    def recover(self) -> None:
        self.get().recover()

    async def resume(self) -> None:
        await self.get().resume()

    def start_waiting(self) -> None:
        self._is_stopping = False
        if self._made is not None:
            self._made.start_waiting()

    def stop_waiting(self) -> None:
        self._is_stopping = True
        if self._made is not None:
            self._made.stop_waiting()

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()
