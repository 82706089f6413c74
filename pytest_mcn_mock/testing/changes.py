"""Waiting for something to change in an account, without sleeping: in a thread or on an event loop."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import Struct

from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.events import Events
from pytest_mcn_mock.testing.door import Door, LoopThread

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

_T = TypeVar("_T")


class Signal(ABC):
    """It may be set on any thread. The thread or loop that made it waits for it. It sets itself after the time-out."""

    def __init__(self, timeout: float | None = None) -> None:
        """``timeout`` is in seconds; None for no end."""
        self._ends_at = None if timeout is None else monotonic() + timeout

    @property
    def left_s(self) -> float | None:
        """Seconds until the time is up, at least 0; None if it has no end."""
        return None if self._ends_at is None else max(0.0, self._ends_at - monotonic())

    @abstractmethod
    def set(self) -> None:
        """Let ``wait`` return."""

    @abstractmethod
    async def wait(self) -> None:
        """Return once it is set; it is not set then."""

    def close(self) -> None:  # noqa: B027 - most have nothing to do then
        """Release it, because nothing waits for it any more."""


class ThreadSignal(Signal):
    """Blocks the waiting thread. A coroutine that waits for nothing else never suspends; see ``run_blocking``."""

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__(timeout)
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        self._event.wait(self.left_s)
        self._event.clear()


class _LoopSignal(Signal):
    """Lets the event loop go on with other tasks meanwhile.

    ``make_event`` makes an event of the loop, and ``post`` runs a function on the loop from any thread.
    """

    _alarm: threading.Timer | None = None

    def __init__(
        self, timeout: float | None, make_event: Callable[[], Any], post: Callable[[Callable[[], object]], object]
    ) -> None:
        super().__init__(timeout)
        self._make_event = make_event
        self._post = post
        self._event = make_event()

    def set(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nothing waits on it any more
            self._post(lambda: self._event.set())  # noqa: PLW0108 - the event of that later moment

    async def wait(self) -> None:
        # The loop's own time may stand still: a test may have stopped the clock.
        if self._alarm is None and (left_s := self.left_s) is not None:
            self._alarm = threading.Timer(left_s, self._end)
            self._alarm.daemon = True
            self._alarm.start()
        await self._event.wait()
        self._event = self._make_event()

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _end(self) -> None:
        self._ends_at = 0.0
        self.set()


def loop_signal(timeout: float | None = None) -> Signal:
    """Return a signal for the event loop that runs on this thread. Raise UsageError if none of asyncio or trio does."""
    if (token := _trio_token()) is not None:
        return _LoopSignal(timeout, sys.modules["trio"].Event, token.run_sync_soon)
    if (loop := running_loop()) is not None:
        return _LoopSignal(timeout, sys.modules["asyncio"].Event, loop.call_soon_threadsafe)
    raise UsageError(
        "mcn.aio waits on an event loop of asyncio or trio, and none is running here; use the waits of mcn itself"
    )


def run_blocking(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a coroutine that waits for a ThreadSignal only."""
    __tracebackhide__ = True
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise AssertionError("a coroutine was to block the thread, and has suspended")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of asyncio that runs on this thread, or None."""
    if "asyncio" not in sys.modules:  # then none does, and it need not be loaded to say so
        return None
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_on_a_loop(loop: LoopThread) -> bool:
    """Return whether an event loop runs on this thread, which a wait would stop."""
    if (running := running_loop()) is not None:
        return not loop.is_another_threads(running)
    return _trio_token() is not None


def _trio_token() -> Any:
    # A test that runs on trio has imported it.
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None


class Job(Protocol):
    """Something to be done on one thread. It raises nothing that the thread would not raise by itself."""

    def run(self) -> None:
        """Do it."""

    def cancel(self) -> object:
        """Do it no more."""


class _Wait(Struct, frozen=True):
    """A wait on a thread for changes of an account."""

    account_id: str
    thread: int
    signal: Signal


class Changes:
    """Wakes the waits on an account. A thread that was given jobs does them while it waits.

    Every access needs the door's lock, which the service holds when it publishes an event.
    """

    def __init__(self, door: Door) -> None:
        self._lock = door.lock
        self._waits: list[_Wait] = []
        self._watchers: dict[str, Callable[[str], None]] = {}
        self._jobs: dict[int, deque[Job]] = {}
        self.touched: set[str] = set()
        """The accounts on which something has happened since the set was last emptied."""
        self.is_stopping = False
        """The server was stopped, so all waits end at once."""

    def stop(self) -> None:
        """End all waits, now and from now on."""
        with self._lock:
            self.is_stopping = True
            self._wake()

    def watch(self, account_id: str, note: Callable[[str], None]) -> None:
        """Call ``note`` with the ``verification_call_uuid`` of each call that changes, until the account is closed."""
        with self._lock:
            self._watchers[account_id] = note

    def put(self, thread: int, job: Job) -> None:
        """Give the thread with that number something to do while it waits."""
        with self._lock:
            self._jobs.setdefault(thread, deque()).append(job)
            for wait in self._waits:
                if wait.thread == thread:
                    wait.signal.set()

    def count_jobs(self) -> int:
        """Return how many jobs wait for their thread."""
        with self._lock:
            return sum(map(len, self._jobs.values()))

    def cancel_jobs(self) -> None:
        """Cancel the jobs that no thread has come to."""
        with self._lock:
            jobs, self._jobs = self._jobs, {}
        for job in (job for of_thread in jobs.values() for job in of_thread):
            job.cancel()

    def subscribe_to(self, publisher: Events) -> None:
        """Hear what happens from now on."""
        publisher.subscribe(events.CallPlaced, self._hear_of_call)
        publisher.subscribe(events.CallEnded, self._hear_of_call)
        publisher.subscribe(events.AttemptMade, self._hear_of_delivery)
        publisher.subscribe(events.DeliveryResent, self._hear_of_delivery)
        publisher.subscribe(events.DeliverySettled, self._hear_of_delivery)
        publisher.subscribe(events.RequestAnswered, lambda event: self._wake(event.request.account_id or ""))
        publisher.subscribe(events.AccountChanged, lambda event: self._wake(event.account_id))
        publisher.subscribe(events.AccountClosed, self._hear_of_closing)
        publisher.subscribe(events.StateReset, lambda _: self._wake())

    def _hear_of_call(self, event: events.CallPlaced | events.CallEnded) -> None:
        self._note(event.call.account_id, event.call.verification_call_uuid)

    def _hear_of_delivery(self, event: events.AttemptMade | events.DeliveryResent | events.DeliverySettled) -> None:
        self._note(event.delivery.account_id, event.delivery.verification_call_uuid)

    def _hear_of_closing(self, event: events.AccountClosed) -> None:
        self._watchers.pop(event.account_id, None)
        self._wake(event.account_id)

    def _note(self, account_id: str, verification_call_uuid: str) -> None:
        if (note := self._watchers.get(account_id)) is not None:
            note(verification_call_uuid)
        self._wake(account_id)

    def _wake(self, account_id: str | None = None) -> None:
        """Wake the waits on the account or, without an account, all waits."""
        if account_id is not None:
            self.touched.add(account_id)
        for wait in self._waits:
            if account_id in (None, wait.account_id):
                wait.signal.set()

    async def wait(self, account_id: str, find: Callable[[], _T | None], signal: Signal) -> _T | None:
        """Return the result of ``find``, which is called again after each change of the account, until it is not None.
        Return None if the signal times out or the server is stopped.
        """
        __tracebackhide__ = True
        with self._waiting(account_id, signal):
            self._work()
            while (found := find()) is None and not self.is_stopping and signal.left_s != 0:
                await signal.wait()
                self._work()
            return found if found is not None else find()

    async def wait_done(self, future: Future[_T], signal: Signal) -> _T:
        """Return the future's result. The future is cancelled with the task that waits."""
        __tracebackhide__ = True
        future.add_done_callback(lambda _: signal.set())
        with self._waiting("", signal):
            self._work()
            while not future.done():
                try:
                    await signal.wait()
                except BaseException:  # each kind of loop cancels a task by an exception of its own
                    future.cancel()
                    raise
                self._work()
        return future.result()

    @contextmanager
    def _waiting(self, account_id: str, signal: Signal) -> Iterator[None]:
        wait = _Wait(account_id, threading.get_ident(), signal)
        with self._lock:
            self._waits.append(wait)
        try:
            yield
        finally:
            with self._lock:
                self._waits.remove(wait)
            signal.close()

    def _work(self) -> None:
        """Do the jobs of this thread."""
        while (job := self._next_job()) is not None:
            job.run()

    def _next_job(self) -> Job | None:
        with self._lock:
            jobs = self._jobs.get(threading.get_ident())
            return jobs.popleft() if jobs else None
