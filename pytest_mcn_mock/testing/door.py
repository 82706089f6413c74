"""Threads: one with an event loop, some that wait for a request, and the door through which all reach the state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mcn_mock.flow import Done, go_on, step
from pytest_mcn_mock.web.http import Flow, Response, answer_of

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from pytest_mcn_mock.testing.loops import RunningLoop

_T = TypeVar("_T")


class LoopThread:
    """An event loop on a thread of its own. It is made for the first thing that is posted to it: most tests post
    nothing, and asyncio takes 8 ms to load.

    With an ``owned`` lock the loop holds it whenever it runs something, and leaves it while it waits for an event.
    """

    def __init__(self, name: str, owned: threading.RLock | None = None) -> None:
        self._name = name
        self._owned = owned
        self._lock = threading.Lock()
        self._running: RunningLoop | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Run again what is posted, after a ``stop``."""
        self._is_stopped = False

    def post(self, job: Callable[[], object]) -> None:
        """Run a function on the loop's thread: at once if this is that thread, else soon; never after a ``stop``."""
        running = self._running
        if running is not None and threading.current_thread() is running.thread:
            job()
            return
        with self._lock:
            if not self._is_stopped:
                self._started().loop.call_soon_threadsafe(job)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop, after what was posted before. The future is cancelled if that has stopped."""
        with self._lock:
            if not self._is_stopped:
                return self._started().run(coroutine)
        coroutine.close()
        stopped: Future[_T] = _new_future()
        stopped.cancel()
        return stopped

    def get(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running."""
        with self._lock:
            return self._started().loop

    def is_another_threads(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether this is the loop, and this thread not its own: green threads are one thread to asyncio."""
        running = self._running
        return running is not None and loop is running.loop and threading.current_thread() is not running.thread

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Run the coroutine function on the loop, then end the thread. Does nothing if nothing was posted."""
        with self._lock:
            self._is_stopped = True
            running, self._running = self._running, None
        if running is not None:
            running.stop(last)

    def _started(self) -> RunningLoop:
        if self._running is None:
            from pytest_mcn_mock.testing.loops import RunningLoop

            self._running = RunningLoop(self._name, self._owned)
        return self._running


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
        ended: Future[_T] = _new_future()
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


def _new_future() -> Future[Any]:
    from concurrent.futures import Future

    return Future()
