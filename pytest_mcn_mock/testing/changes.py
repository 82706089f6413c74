"""Waiting for something to change in an account, without sleeping: in a thread or on an event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.real_time import monotonic
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.testing.arrivals import Arrivals
from pytest_mcn_mock.testing.door import LoopThread

_T = TypeVar("_T")
Wake = Callable[[], object]


class Job(Protocol):
    """Something to be done on one thread. It raises nothing that the thread would not raise by itself."""

    def run(self) -> None:
        """Do it."""

    def cancel(self) -> object:
        """Do it no more."""


class Inbox:
    """Jobs for one thread, which does them while it waits for something."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._wakes: list[Wake] = []
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Hand a job over, from any thread."""
        self._jobs.append(job)
        if self._is_closed:
            self.close()
        for wake in tuple(self._wakes):
            wake()

    def work(self) -> None:
        """Do what is there; on the thread itself."""
        while self._jobs:
            self._jobs.popleft().run()

    def close(self) -> None:
        """Cancel what is there, and what is still to come."""
        self._is_closed = True
        while self._jobs:
            with suppress(IndexError):  # another thread has taken it
                self._jobs.popleft().cancel()

    @contextmanager
    def woken(self, wake: Wake) -> Iterator[None]:
        """Wake the thread when a job comes."""
        self._wakes.append(wake)
        try:
            yield
        finally:
            self._wakes.remove(wake)


class Changes:
    """Wakes whoever waits on an account.

    A thread that has an inbox does the jobs in it while it waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Wake]] = {}
        self._arrivals: WeakValueDictionary[str, Arrivals] = WeakValueDictionary()
        self._inboxes: dict[int, Inbox] = {}
        self._is_stopping = False

    def start_waiting(self) -> None:
        """The server starts, perhaps again."""
        self._is_stopping = False

    def stop_waiting(self) -> None:
        """The server stops: nothing happens any more, so that nobody waits, now or from now on."""
        self._is_stopping = True
        self.wake_all()

    @property
    def is_stopping(self) -> bool:
        """Whether nobody waits, because the server was stopped."""
        return self._is_stopping

    def watch(self, account_id: str, arrivals: Arrivals) -> None:
        """Tell it of what changes in the account, for as long as somebody holds it."""
        with self._lock:
            self._arrivals[account_id] = arrivals

    def inbox(self) -> Inbox:
        """The inbox of the thread that asks."""
        return self._inboxes.setdefault(threading.get_ident(), Inbox())

    def count_jobs(self) -> int:
        """How many jobs wait for their thread."""
        return sum(map(len, tuple(self._inboxes.values())))

    def forget_inboxes(self) -> None:
        """Cancel the jobs that no thread has come to."""
        inboxes, self._inboxes = self._inboxes, {}
        for inbox in inboxes.values():
            inbox.close()

    def hear(self, event: Event) -> None:
        """Something has happened: a subscriber to ``service.events``."""
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):
                self._touch(call.account_id, call.verification_call_uuid)
            case events.AttemptMade(delivery) | events.DeliveryResent(delivery) | events.DeliverySettled(delivery):
                self._touch(delivery.account_id, delivery.verification_call_uuid)
            case events.RequestAnswered(request):
                self._touch(request.account_id or "")
            case events.AccountChanged(account_id) | events.AccountClosed(account_id):
                self._touch(account_id)
            case events.StateReset():
                self.wake_all()

    def _touch(self, account_id: str, verification_call_uuid: str | None = None) -> None:
        with self._lock:
            waiting = list(self._waiting.get(account_id, ()))
            arrivals = self._arrivals.get(account_id)
        if arrivals is not None and verification_call_uuid is not None:
            arrivals.note(verification_call_uuid)
        for wake in waiting:
            wake()

    def wake_all(self) -> None:
        """Let whoever waits look again."""
        with self._lock:
            waiting = [wake for wakes in self._waiting.values() for wake in wakes]
        for wake in waiting:
            wake()

    def wait(self, account_id: str, find: Callable[[], _T | None], timeout: float) -> _T | None:
        """What ``find`` finds, tried again after each change of the account; None after ``timeout`` seconds, and when
        the server is stopped.
        """
        __tracebackhide__ = True
        event = threading.Event()
        with self._woken(account_id, event.set) as work:
            deadline = _Deadline(timeout)
            work()
            while (found := find()) is None and not self._is_stopping and event.wait(deadline.left()):
                event.clear()
                work()
            return found if found is not None else find()

    def wait_done(self, future: Future[_T]) -> _T:
        """The future's result, once it is there."""
        event = threading.Event()
        future.add_done_callback(lambda _: event.set())
        with self._woken("", event.set) as work:
            work()
            while not future.done():
                event.wait()
                event.clear()
                work()
            return future.result()

    async def wait_async(self, account_id: str, find: Callable[[], _T | None], timeout: float) -> _T | None:
        """The same on the running event loop, of asyncio or trio, which goes on with other tasks meanwhile."""
        signal = make_signal()
        with self._woken(account_id, signal.set) as work:
            deadline = _Deadline(timeout)
            work()
            if (found := find()) is not None:
                return found
            # The loop's own time may stand still: a test may have stopped the clock.
            with _alarm(timeout, signal.set):
                while (found := find()) is None and not self._is_stopping and deadline.left() > 0:
                    await signal.wait()
                    work()
            return found if found is not None else find()

    async def wait_done_async(self, future: Future[_T]) -> _T:
        """The same on the running event loop. It is cancelled with the task that waits."""
        signal = make_signal()
        future.add_done_callback(lambda _: signal.set())
        with self._woken("", signal.set) as work:
            work()
            while not future.done():
                try:
                    await signal.wait()
                except BaseException:  # each kind of loop cancels a task by an exception of its own
                    future.cancel()
                    raise
                work()
            return future.result()

    @contextmanager
    def _woken(self, account_id: str, wake: Wake) -> Iterator[Callable[[], None]]:
        """Be woken by changes of the account and by jobs for this thread, which the function that is yielded does."""
        inbox = self._inboxes.get(threading.get_ident())
        with self._lock:
            self._waiting.setdefault(account_id, []).append(wake)
        try:
            if inbox is None:
                yield _nothing_to_do
            else:
                with inbox.woken(wake):
                    yield inbox.work
        finally:
            with self._lock:
                waiting = self._waiting[account_id]
                waiting.remove(wake)
                if not waiting:
                    del self._waiting[account_id]


def _nothing_to_do() -> None:
    pass


class Signal(Protocol):
    """Set on any thread, and waited for on the event loop on which it was made."""

    def set(self) -> None:
        """Let ``wait`` return."""

    async def wait(self) -> None:
        """Return once it is set; it is not set then."""


class _AsyncioSignal:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def set(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits on it any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()


class _TrioSignal:
    def __init__(self, trio: Any, token: Any) -> None:
        self._trio = trio
        self._token = token
        self._event = trio.Event()

    def set(self) -> None:
        with suppress(self._trio.RunFinishedError):  # as above
            self._token.run_sync_soon(lambda: self._event.set())  # noqa: PLW0108 - the event of that later moment

    async def wait(self) -> None:
        await self._event.wait()
        self._event = self._trio.Event()


def make_signal() -> Signal:
    """Return a signal for the event loop that runs on this thread; UsageError if it is neither asyncio's nor trio's."""
    if (token := _trio_token()) is not None:
        return _TrioSignal(sys.modules["trio"], token)
    try:
        return _AsyncioSignal(asyncio.get_running_loop())
    except RuntimeError:
        raise UsageError(
            "mcn.aio waits on an event loop of asyncio or trio, and none is running here; use the waits of mcn itself"
        ) from None


def is_on_a_loop(loop: LoopThread) -> bool:
    """Whether an event loop runs on this thread, which a wait would stop."""
    try:
        return not loop.is_another_threads(asyncio.get_running_loop())
    except RuntimeError:
        return _trio_token() is not None


def _trio_token() -> Any:
    # Whoever runs on trio has imported it.
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None


@contextmanager
def _alarm(seconds: float, ring: Wake) -> Iterator[None]:
    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Deadline:
    def __init__(self, timeout: float) -> None:
        self._at = monotonic() + timeout

    def left(self) -> float:
        return max(0.0, self._at - monotonic())
