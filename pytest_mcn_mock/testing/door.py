"""Threads: one with an event loop, some that wait for a request, and the door through which all reach the state."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.flow import Done, go_on, step
from pytest_mcn_mock.web.http import Flow, Response, answer_of

_T = TypeVar("_T")

_END_S: Final = 2.0
"""How long ``stop`` waits for the loop to end: an application that hangs must not keep pytest from ending."""


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on real time, also while a test has stopped the clock."""

    def time(self) -> float:
        """Seconds of the real monotonic clock."""
        return monotonic()


class LoopThread:
    """An event loop on a thread of its own. It starts with the first thing that is posted to it.

    With an ``owned`` lock the loop holds it whenever it runs something, and leaves it while it waits for an event.
    """

    def __init__(self, name: str, owned: threading.RLock | None = None) -> None:
        self._name = name
        self._owned = owned
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Run again what is posted, after a ``stop``."""
        self._is_stopped = False

    def post(self, job: Callable[[], object]) -> None:
        """Run a function on the loop's thread: at once if this is that thread, else soon; never after a ``stop``."""
        if threading.current_thread() is self._thread:
            job()
            return
        with self._lock:
            if not self._is_stopped:
                self._running().call_soon_threadsafe(job)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop, after what was posted before. The future is cancelled if that has stopped."""
        with self._lock:
            if self._is_stopped:
                coroutine.close()
                stopped: Future[_T] = Future()
                stopped.cancel()
                return stopped
            return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def get(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running."""
        with self._lock:
            return self._running()

    def is_another_threads(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether this is the loop, and this thread not its own: green threads are one thread to asyncio."""
        return loop is self._loop and threading.current_thread() is not self._thread

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Run the coroutine function on the loop, then end the thread. Does nothing if nothing was posted.

        Leaves the thread alone, which is a daemon, if something on the loop does not end in time.
        """
        with self._lock:
            self._is_stopped = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        if last is not None:
            ending = asyncio.run_coroutine_threadsafe(last(), loop)
            with suppress(TimeoutError):
                ending.result(timeout=_END_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_END_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = RealTimeLoop(_leaving(self._owned) if self._owned else None)
            self._thread = threading.Thread(target=self._serve, args=(self._loop,), name=self._name, daemon=True)
            self._thread.start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._owned is not None:
            self._owned.acquire()
        try:
            loop.run_forever()
            loop.run_until_complete(cancel_all())  # the tasks that hung when it was stopped
        finally:
            loop.close()
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


async def cancel_all() -> None:
    """Cancel every other task of the loop, and wait for its end: for ``LoopThread.stop``."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Workers:
    """Gives each job to a thread that waits for one, or to a new thread if none does, so that no job waits for another:
    as ``socketserver.ThreadingMixIn`` does, which starts a thread for every request.

    ``start`` is called by one thread only, the one that accepts connections.
    """

    def __init__(self, work: Callable[..., object], name: str = "mcn-mock-request") -> None:
        self._work = work
        self._name = name
        self._jobs: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)

    def start(self, *job: Any) -> None:
        """Do the work with these arguments, in a thread."""
        if not self._idle.acquire(blocking=False):
            threading.Thread(target=self._run, daemon=True, name=self._name).start()
        self._jobs.put(job)

    def stop(self) -> None:
        """Let the threads end, each when its job has."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._work(*job)
            self._idle.release()
        self._jobs.put(None)  # the next one is to end too


class Door:
    """Runs a coroutine of the service for a thread. The thread steps it itself for as long as it does not wait; if it
    waits, the event loop that owns the state runs the rest. The holder of ``lock`` is alone with the state.

    A hop to the loop and back costs a hundred microseconds, and hardly anything that a test asks for waits.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.loop = LoopThread("mcn-mock-cdrs", self.lock)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of the coroutine, when it has ended."""
        __tracebackhide__ = True
        with self.lock:
            waits_for = step(coroutine)
        if isinstance(waits_for, Done):
            result: _T = waits_for.result
            return result
        return self.loop.run(go_on(coroutine, waits_for)).result()

    def start(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Return a future of the coroutine's result. Cancelling the future cancels the coroutine."""
        ended: Future[_T] = Future()
        with self.lock:
            try:
                waits_for = step(coroutine)
            except Exception as error:
                ended.set_exception(error)
                return ended
        if isinstance(waits_for, Done):
            ended.set_result(waits_for.result)
            return ended
        return self.loop.run(go_on(coroutine, waits_for))

    def answer(self, flow: Flow, watch: Callable[[Callable[[], object]], AbstractContextManager[None]]) -> Response:
        """Return the answer of a request. Call ``finish`` when it was sent. For ``watch`` see ``http.answer_of``."""
        with self.lock:
            waits_for = step(flow)
        if isinstance(waits_for, Response):
            return waits_for
        return self.loop.run(answer_of(flow, waits_for, watch)).result()

    def finish(self, flow: Flow) -> None:
        """Run the rest of the coroutine after the answer was sent or could not be sent."""
        with self.lock:
            waits_for = step(flow)
        if not isinstance(waits_for, Done):
            self.loop.run(go_on(flow, waits_for))
