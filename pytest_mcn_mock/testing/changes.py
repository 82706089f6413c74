"""Waiting for something to change in an account, without sleeping: in a thread or on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

_T = TypeVar("_T")
Wake = Callable[[], object]


class Changes:
    """Implements ``operator.ports.Observer``: wakes whoever waits on an account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Wake]] = {}

    def changed(self, account_id: str, item: object = None) -> None:
        with self._lock:
            waiting = list(self._waiting.get(account_id, ()))
        for wake in waiting:
            wake()

    def reset(self) -> None:
        with self._lock:
            waiting = [wake for wakes in self._waiting.values() for wake in wakes]
        for wake in waiting:
            wake()

    def wait(self, account_id: str, find: Callable[[], _T | None], timeout: float) -> _T | None:
        """What ``find`` finds, tried again after each change of the account; None after ``timeout`` seconds."""
        event = threading.Event()
        with self._woken(account_id, event.set):
            deadline = _Deadline(timeout)
            while (found := find()) is None and event.wait(deadline.left()):
                event.clear()
            return found if found is not None else find()

    async def wait_async(self, account_id: str, find: Callable[[], _T | None], timeout: float) -> _T | None:
        """The same on the running event loop, which goes on with other tasks meanwhile."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # it is closed, and nobody waits on it any more
                loop.call_soon_threadsafe(event.set)

        with self._woken(account_id, wake):
            deadline = _Deadline(timeout)
            while (found := find()) is None:
                try:
                    await asyncio.wait_for(event.wait(), deadline.left())
                except TimeoutError:
                    return find()
                event.clear()
            return found

    @contextmanager
    def _woken(self, account_id: str, wake: Wake) -> Iterator[None]:
        with self._lock:
            self._waiting.setdefault(account_id, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                waiting = self._waiting[account_id]
                waiting.remove(wake)
                if not waiting:
                    del self._waiting[account_id]


class _Deadline:
    def __init__(self, timeout: float) -> None:
        self._at = time.monotonic() + timeout

    def left(self) -> float:
        return max(0.0, self._at - time.monotonic())
