"""The event loops of the fixture: on real time, and beside other threads."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from pytest_mcn_mock.clocks import monotonic

_T = TypeVar("_T")

_END_S: Final = 2.0
"""How long ``stop`` waits for the loop to end: an application that hangs must not keep pytest from ending."""


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on real time, also while a test has stopped the clock."""

    def time(self) -> float:
        """Seconds of the real monotonic clock."""
        return monotonic()


class RunningLoop:
    """The loop of a ``door.LoopThread``, running on its ``thread``."""

    def __init__(self, name: str, owned: threading.RLock | None) -> None:
        self.loop = RealTimeLoop(_leaving(owned) if owned else None)
        self._owned = owned
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        """Run the coroutine function on the loop, then end the thread.

        Leaves the thread alone, which is a daemon, if something on the loop does not end in time.
        """
        if last is not None:
            ending = self.run(last())
            with suppress(TimeoutError):
                ending.result(timeout=_END_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(_END_S)

    def _serve(self) -> None:
        if self._owned is not None:
            self._owned.acquire()
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(_cancel_all())  # the tasks that hung when it was stopped
        finally:
            self.loop.close()
            if self._owned is not None:
                self._owned.release()


def _leaving(lock: threading.RLock) -> selectors.BaseSelector:
    """Return a selector that leaves the lock while it waits."""
    selector = selectors.DefaultSelector()
    select = selector.select

    def wait(timeout: float | None = None) -> Any:
        lock.release()
        try:
            return select(timeout)
        finally:
            lock.acquire()

    selector.select = wait  # type: ignore[method-assign]
    return selector


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
