"""The courier: ends calls and tries deliveries when they are due, on one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from pytest_mcn_mock.domain.calls import Call
from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.errors import SendError, StorageFailed
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.operator.ports import Clock, Durability
from pytest_mcn_mock.webhooks.timers import Job, Timers

PER_HOST = 32
"""Attempts under way to one host; more wait, so that an endpoint that hangs delays nobody else's CDRs."""
ANSWERS_S = 5.0
"""How long the time is not put forward because an answer has not been sent, its client perhaps being slow."""

_log = logging.getLogger("mcn_mock")


class Sender(Protocol):
    """What carries a request; see ``HttpSender``."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The endpoint's answer; SendError where none arrives within ``timeout_s`` seconds."""
        ...

    async def close(self) -> None:
        """Nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the courier has to do now. ``under_way`` counts attempts that wait for an answer, ``waiting`` those that
    wait for one of these to end; ``oldest_due_at`` is in seconds since the epoch, None where there is neither.
    """

    waiting: int
    under_way: int
    oldest_due_at: float | None


@dataclass(slots=True)
class _Lane:
    """The deliveries that wait for one host, and how many workers carry them."""

    waiting: deque[Delivery] = field(default_factory=deque)
    workers: int = 0


class Dispatcher:
    """Implements ``operator.ports.Courier``.

    ``post`` runs a function on the event loop's thread, soon. The methods of the port may be called from any
    thread; every other one is called on the loop. Nothing is sent before what it tells is kept: see ``durability``.
    """

    def __init__(
        self, clock: Clock, post: Callable[[Job], None], make_sender: Callable[[], Sender], durability: Durability
    ) -> None:
        self._clock = clock
        self._durability = durability
        self._post = post
        self._make_sender = make_sender
        self._operator: Operator | None = None
        self._sender: Sender | None = None
        self._timers = Timers()
        self._alarm: asyncio.TimerHandle | None = None
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()
        self._idle: dict[str | None, asyncio.Event] = {}
        self._draining = False
        self._tried: dict[int, Delivery] = {}

    def serve(self, operator: Operator) -> None:
        """Carry out what this operator asks for."""
        self._operator = operator

    def end_call(self, call: Call) -> None:
        due = call.ends_at
        if due is not None:
            self._post(lambda: self._schedule(due, call.account_id, lambda: self._end(call.verification_call_uuid)))

    def deliver(self, delivery: Delivery) -> None:
        self._post(lambda: self._enqueue(delivery))

    def forget_all(self) -> None:
        self._post(self._forget_all)

    def advance(self, seconds: float, after: Future[None] | None = None) -> Future[None]:
        done: Future[None] = Future()

        async def run() -> None:
            try:
                if after is not None:
                    await asyncio.wait((asyncio.wrap_future(after),), timeout=ANSWERS_S)
                await self._advance_all(seconds)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self._post(lambda: self._add_task(run()))
        return done

    async def advance_account(self, account_id: str | None, seconds: float) -> None:
        """Put an account's time forward, or with None everyone's, where they share it.

        What falls due on the way happens, in order, one thing after the other.

        What an attempt that fails makes due again within the time happens too.
        """
        moved = 0.0
        await self._wait_idle(account_id)
        self._timers.hold(account_id)  # nothing falls due by itself meanwhile, before its turn
        try:
            while (timer := self._timers.first(account_id)) is not None:
                step = max(0.0, timer.due - self._clock.now(account_id))
                if moved + step > seconds:
                    break
                moved += step
                self._move(account_id, step)
                self._timers.pop_first(account_id)
                self._run(timer.job)
                await self._wait_idle(account_id)
            self._move(account_id, seconds - moved)
        finally:
            self._timers.let_go(account_id)
            self._set_alarm()

    def load(self) -> Load:
        """What there is to do now."""
        waiting = [lane.waiting[0] for lane in self._lanes.values() if lane.waiting]
        due = [delivery.due_at for delivery in (*waiting, *self._tried.values()) if delivery.due_at is not None]
        queued = sum(len(lane.waiting) for lane in self._lanes.values())
        return Load(queued, len(self._tried), min(due, default=None))

    async def drain(self, timeout_s: float) -> None:
        """Do now what is due later, once, and wait until all that is under way has ended, ``timeout_s`` at most.

        What fails is not tried again. The operator's ``deliveries.owed()`` tells what is left.
        """
        self._draining = True
        while timers := self._timers.take_all():
            for timer in timers:
                self._run(timer.job)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    async def close(self) -> None:
        """Stop at once what is under way."""
        self._draining = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
            self._sender = None
        self._draining = False

    async def _advance_all(self, seconds: float) -> None:
        if self._clock.is_shared or self._operator is None:
            await self.advance_account(None, seconds)
        else:
            for account in self._operator.accounts.all():
                await self.advance_account(account.id, seconds)

    def _forget_all(self) -> None:
        self._timers.clear()
        self._set_alarm()
        for lane in self._lanes.values():
            for delivery in lane.waiting:
                self._finished(delivery.account_id)
            lane.waiting.clear()

    def _add_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _schedule(self, due: float, account_id: str, job: Job) -> None:
        wait = max(0.0, due - self._clock.now(account_id))
        time_of = None if self._clock.is_shared else account_id
        self._timers.add(time_of, asyncio.get_running_loop().time() + wait, due, account_id, job)
        self._set_alarm()

    def _move(self, account_id: str | None, seconds: float) -> None:
        self._clock.move(account_id, seconds)
        self._timers.forward(account_id, seconds)

    def _set_alarm(self) -> None:
        deadline = self._timers.next_deadline()
        if self._alarm is not None:
            if self._alarm.when() == deadline:
                return
            self._alarm.cancel()
            self._alarm = None
        if deadline is not None:
            self._alarm = asyncio.get_running_loop().call_at(deadline, self._run_due)

    def _run_due(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        while (deadline := self._timers.next_deadline()) is not None and deadline <= now:
            timer = self._timers.pop()
            self._clock.reach(timer.account_id, timer.due)
            self._run(timer.job)
        self._set_alarm()

    def _run(self, job: Job) -> None:
        try:
            job()
        except StorageFailed:
            pass  # as in _work
        except Exception:
            _log.exception("a timed step failed")

    def _end(self, verification_call_uuid: str) -> None:
        if self._operator is not None:
            self._operator.calls.end(verification_call_uuid)

    def _enqueue(self, delivery: Delivery) -> None:
        if delivery.due_at is None or delivery.due_at <= self._clock.now(delivery.account_id):
            self._start(delivery)
        elif not self._draining:
            self._schedule(delivery.due_at, delivery.account_id, lambda: self._start(delivery))

    def _start(self, delivery: Delivery) -> None:
        self._under_way[delivery.account_id] += 1
        host = urlsplit(delivery.url).netloc
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = _Lane()
        lane.waiting.append(delivery)
        if lane.workers < PER_HOST:
            lane.workers += 1
            self._add_task(self._work(host, lane))

    async def _work(self, host: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                delivery = lane.waiting.popleft()
                try:
                    await self._attempt(delivery)
                except StorageFailed:
                    pass  # the store has said so, and it is handed over again once it can be kept
                except Exception:
                    _log.exception("delivery %d could not be tried", delivery.id)
                finally:
                    self._finished(delivery.account_id)
        finally:
            lane.workers -= 1
            if not lane.workers and not lane.waiting:
                self._lanes.pop(host, None)

    async def _attempt(self, delivery: Delivery) -> None:
        if self._operator is None:
            return
        deliveries = self._operator.deliveries
        if (kept := self._durability.settled(delivery.id)) is not None:
            await asyncio.wrap_future(kept)
        at, started = self._clock.now(delivery.account_id), asyncio.get_running_loop().time()
        response: CdrResponse | None = None
        error: str | None = None
        try:
            request = deliveries.prepare(delivery.id, delivery.due_at)
            if request is None or self._durability.failure is not None:
                return
            self._tried[delivery.id] = delivery
            if self._sender is None:
                self._sender = self._make_sender()
            response = await self._sender.send(request, deliveries.ack_timeout_s)
        except StorageFailed:
            raise
        except SendError as failure:
            error = str(failure)
        except OSError as failure:  # no file descriptor is free, say
            error = f"the attempt failed: {failure.strerror or failure}"[:300]
        except Exception as failure:
            _log.exception("an attempt of delivery %d failed", delivery.id)
            error = f"the attempt failed: {type(failure).__name__}, see the log"
        finally:
            self._tried.pop(delivery.id, None)  # a delivery that was sent again manually may be under way twice
        took = asyncio.get_running_loop().time() - started
        again = deliveries.record(delivery.id, at, took, response, error)
        if again is not None:
            self._enqueue(again)

    def _finished(self, account_id: str) -> None:
        self._under_way[account_id] -= 1
        if not self._under_way[account_id]:
            del self._under_way[account_id]
            self._wake(account_id)
        if not self._under_way:
            self._wake(None)

    def _wake(self, account_id: str | None) -> None:
        idle = self._idle.pop(account_id, None)
        if idle is not None:
            idle.set()

    async def _wait_idle(self, account_id: str | None) -> None:
        """Wait until no attempt of the account, or of any, is under way, those that follow one another included."""
        await asyncio.sleep(0)  # what was posted before comes first
        while self._under_way if account_id is None else self._under_way[account_id]:
            await self._idle.setdefault(account_id, asyncio.Event()).wait()
            await asyncio.sleep(0)
