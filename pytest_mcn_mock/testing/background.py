"""An event loop on a thread of its own, for the CDRs of a synchronous test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from pytest_mcn_mock.real_time import monotonic

_T = TypeVar("_T")

_END_S: Final = 2.0
"""How long ``stop`` waits for what runs on the loop. An application that hangs does not keep pytest from ending."""


class RealTimeLoop(asyncio.SelectorEventLoop):
    """Goes by the time that really passes, also while a test has stopped the clock."""

    def time(self) -> float:
        """Seconds of the real monotonic clock."""
        return monotonic()


class BackgroundLoop:
    """Starts with the first function posted to it, so that a test that sends no CDR has no thread for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Run again what is posted, after a ``stop``."""
        self._is_stopped = False

    def post(self, job: Callable[[], None]) -> None:
        """Run a function on the loop's thread, soon; not at all once it is stopped."""
        with self._lock:
            if not self._is_stopped:
                self._running().call_soon_threadsafe(job)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop, after what was posted before."""
        with self._lock:
            return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def is_another_threads(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is this loop and this thread is not its own: green threads are one thread to asyncio."""
        return loop is self._loop and threading.current_thread() is not self._thread

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the coroutine function on the loop, then end the thread. Does nothing if nothing was posted.

        Leaves the thread alone, which is a daemon, if something on the loop does not end in time.
        """
        with self._lock:
            self._is_stopped = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        ending = asyncio.run_coroutine_threadsafe(last(), loop)
        with suppress(TimeoutError):
            ending.result(timeout=_END_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_END_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = RealTimeLoop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name="mcn-mock-cdrs", daemon=True)
            self._thread.start()
        return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(cancel_all())  # what hung when it was stopped
    finally:
        loop.close()


async def cancel_all() -> None:
    """End what else runs on the loop, and wait for its end: for ``BackgroundLoop.stop``."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
