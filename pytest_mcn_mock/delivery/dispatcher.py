"""The courier: ends calls and tries deliveries when they are due, on one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from pytest_mcn_mock.delivery.advances import Advance
from pytest_mcn_mock.delivery.lanes import Lane, Load, Sender, Work
from pytest_mcn_mock.delivery.timers import Job, Timer, Timers
from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode, SendError, StorageFailed
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import CdrResponse, Delivery
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.service.ports import Clock, Durability

PER_HOST = 32
"""Attempts under way to one host; more wait, so that an endpoint that hangs delays nobody else's CDRs."""
ANSWERS_S = 5.0
"""How long the time is not put forward because an answer has not been sent, its client perhaps being slow."""
STOPPED: Final = "the server was stopped meanwhile"

_log = logging.getLogger("mcn_mock")


class Dispatcher:
    """Implements ``service.ports.Courier``.

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
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: dict[str, set[Work]] = {}
        self._begun: dict[tuple[int, float | None, int], Work] = {}
        self._advances: dict[str | None, Advance] = {}
        self._advancing: set[asyncio.Task[None]] = set()
        self._awaited: set[Future[None]] = set()
        self._is_used = False
        self._is_stopping = False
        self._draining = False

    def serve(self, operator: Operator) -> None:
        """Carry out what this operator asks for."""
        self._operator = operator

    def end_call(self, call: Call) -> None:
        self._is_used = True
        due, uuid = call.ends_at, call.verification_call_uuid
        if due is not None:
            self._post(lambda: self._schedule(due, call.account_id, uuid, lambda: self._end(uuid)))

    def deliver(self, delivery: Delivery) -> None:
        self._is_used = True
        self._post(lambda: self._enqueue(delivery))

    def forget(self, account_id: str) -> None:
        if self._is_used:  # a loop that nobody needs is not started for this
            self._post(lambda: self._forget(account_id))

    def forget_all(self) -> None:
        self._post(self._forget_all)

    def start_waiting(self) -> None:
        self._is_stopping = False

    def stop_waiting(self) -> None:
        self._is_stopping = True
        for done in tuple(self._awaited):
            _fail(done, STOPPED)

    def advance(self, seconds: float, after: Future[None] | None = None, account_id: str | None = None) -> Future[None]:
        """See ``Courier.advance``; with ``account_id`` for that account alone, if it has a time of its own."""
        done: Future[None] = Future()

        async def run() -> None:
            if after is not None:
                await asyncio.wait((asyncio.wrap_future(after),), timeout=ANSWERS_S)
            if account_id is None:
                await self._advance_all(seconds)
            else:
                await self.advance_account(account_id, seconds)

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(run())
            self._advancing.add(task)
            task.add_done_callback(partial(self._advanced, done))
            done.add_done_callback(lambda _: self._post(cancel) if done.cancelled() else None)  # nobody waits for it

            def cancel() -> None:
                task.cancel()

        self._awaited.add(done)
        done.add_done_callback(self._awaited.discard)
        if not self._is_stopping:
            self._post(begin)
        if self._is_stopping:  # asked again: it may have been told to stop meanwhile
            _fail(done, STOPPED)
        return done

    async def advance_account(self, account_id: str | None, seconds: float) -> None:
        """Put an account's time forward, or with None everyone's, if they share it.

        What was handed over before and falls due on the way happens, in order, one thing after the other; so does what
        an attempt that fails makes due again within the time. What comes meanwhile is not waited for, and happens when
        it is due. Two advances of the same time come one after the other.

        Raises Refusal if no attempt ends within twice the time that one may take: the time stays where it is then.
        """
        await asyncio.sleep(0)  # what was posted before comes first
        while (other := self._advances.get(account_id)) is not None:
            await other.over.wait()
        advance = self._advances[account_id] = self._make_advance(account_id, seconds)
        moved = 0.0
        try:
            while advance.timers or advance.pending:
                await advance.wait_for_next(self._operator.deliveries.ack_timeout_s if self._operator else 0.0)
                for timer in advance.take_due():
                    step = min(max(0.0, timer.due - self._clock.now(account_id)), seconds - moved)
                    moved += step
                    self._move(account_id, step)
                    self._run(timer.job)
                await asyncio.sleep(0)
            self._move(account_id, seconds - moved)
        finally:
            del self._advances[account_id]
            for timer in advance.take_all():
                timer.is_over = False
                self._add_timer(timer)
            self._set_alarm()
            advance.over.set()

    def load(self) -> Load:
        """What there is to do now."""
        waiting = [next(iter(lane.urgent or lane.waiting)) for lane in self._lanes.values() if len(lane)]
        due = [work.delivery.due_at for work in (*waiting, *self._begun.values()) if work.delivery.due_at is not None]
        queued = sum(len(lane) for lane in self._lanes.values())
        return Load(queued, len(self._begun), min(due, default=None))

    async def drain(self, timeout_s: float) -> None:
        """Do now what is due later, once, and wait until all that is under way has ended, ``timeout_s`` at most.

        What fails is not tried again. The operator's ``deliveries.pending()`` tells what is left.
        """
        self._draining = True
        await _cancel(self._advancing)  # what they have taken out is due later too
        while timers := self._timers.take_all():
            for timer in timers:
                self._run(timer.job)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    async def close(self) -> None:
        """Stop at once what is under way, and forget what was handed over: ``Operator.resume`` hands it over again."""
        self._draining = True
        await _cancel(self._advancing)
        self._timers.clear()
        self._set_alarm()
        await _cancel(self._tasks)
        self._forget_all()
        self._lanes.clear()
        if self._sender is not None:
            await self._sender.close()
            self._sender = None
        self._draining = False

    def _advanced(self, done: Future[None], task: asyncio.Task[None]) -> None:
        self._advancing.discard(task)
        error = None if task.cancelled() else task.exception()
        with suppress(InvalidStateError):  # who waited has been told to stop, or has left
            if task.cancelled():
                _fail(done, STOPPED)
            elif error is not None:
                done.set_exception(error)
            else:
                done.set_result(None)

    async def _advance_all(self, seconds: float) -> None:
        if self._clock.is_shared or self._operator is None:
            await self.advance_account(None, seconds)
            return
        advances = [self.advance_account(account.id, seconds) for account in self._operator.accounts.all()]
        for failure in filter(None, await asyncio.gather(*advances, return_exceptions=True)):
            raise failure

    def _make_advance(self, key: str | None, seconds: float) -> Advance:
        target = self._clock.now(key) + seconds
        timers = [(timer.due, timer.order, timer) for timer in self._timers.take_due(key, target)]
        self._set_alarm()
        started = self._started.values() if key is None else (self._started.get(key, set()),)
        pending = {work for works in started for work in works}
        newest = [] if self._operator is None else self._operator.calls.page(newest_first=True, limit=1)
        now, is_shared = asyncio.get_running_loop().time(), self._clock.is_shared
        time_of = partial(self._clock.now, None) if is_shared else None
        return Advance(target, newest[0].seq if newest else 0, timers, pending, now, time_of)

    def _advance_of(self, account_id: str, verification_call_uuid: str) -> Advance | None:
        """The advance that does what is due for the call; None if there is none, or the call came after it."""
        if not self._advances or self._operator is None:
            return None
        advance = self._advances.get(None if self._clock.is_shared else account_id)
        with suppress(NotFound):
            if advance and self._operator.calls.get(verification_call_uuid).seq <= advance.newest_call:
                return advance
        return None

    def _forget(self, account_id: str) -> None:
        self._timers.forget(account_id)
        self._set_alarm()
        for advance in self._advances.values():
            advance.forget(account_id)
        for work in tuple(self._started.get(account_id, ())):
            if (lane := self._lanes.get(work.host)) is not None and lane.drop(work):
                self._finished(work)

    def _forget_all(self) -> None:
        self._timers.clear()
        self._set_alarm()
        for advance in self._advances.values():
            advance.forget()
        for lane in self._lanes.values():
            for work in lane.all():
                lane.drop(work)
                self._finished(work)

    def _schedule(self, due: float, account_id: str, verification_call_uuid: str, job: Job) -> None:
        timer = self._timers.make(due, account_id, job)
        advance = self._advance_of(account_id, verification_call_uuid)
        if advance is not None and due <= advance.target:
            advance.push(timer)
        else:
            self._add_timer(timer)
            self._set_alarm()

    def _add_timer(self, timer: Timer) -> None:
        wait = max(0.0, timer.due - self._clock.now(timer.account_id))
        time_of = None if self._clock.is_shared else timer.account_id
        self._timers.add(time_of, asyncio.get_running_loop().time() + wait, timer)

    def _move(self, account_id: str | None, seconds: float) -> None:
        if seconds > 0:
            self._clock.move(account_id, seconds)
            self._timers.forward(account_id, seconds)
            self._set_alarm()

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
        if (delivery.id, delivery.due_at, delivery.resent) in self._begun:
            return  # it was handed over again because the state was read again
        if delivery.due_at is None or delivery.due_at <= self._clock.now(delivery.account_id):
            self._start(delivery)
        elif not self._draining:
            uuid = delivery.verification_call_uuid
            self._schedule(delivery.due_at, delivery.account_id, uuid, lambda: self._start(delivery))

    def _start(self, delivery: Delivery) -> None:
        host = urlsplit(delivery.url).netloc
        work = Work(delivery, host)
        self._started.setdefault(delivery.account_id, set()).add(work)
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = Lane()
        advance = self._advance_of(delivery.account_id, delivery.verification_call_uuid)
        if advance is None:
            lane.waiting[work] = None
        else:
            lane.urgent[work] = None
            advance.pending.add(work)
        if lane.workers < PER_HOST:
            lane.workers += 1
            task = asyncio.get_running_loop().create_task(self._work(host, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, host: str, lane: Lane) -> None:
        try:
            while len(lane):
                work = lane.take()
                self._begun[work.handed] = work
                try:
                    await self._attempt(work)
                except StorageFailed:
                    pass  # the store has said so, and it is handed over again once it can be kept
                except Exception:
                    _log.exception("delivery %d could not be tried", work.delivery.id)
                finally:
                    self._begun.pop(work.handed, None)
                    self._finished(work)
        finally:
            lane.workers -= 1
            if not lane.workers and not len(lane) and self._lanes.get(host) is lane:
                del self._lanes[host]

    async def _attempt(self, work: Work) -> None:
        if self._operator is None:
            return
        deliveries, delivery = self._operator.deliveries, work.delivery
        if (kept := self._durability.settled(delivery.id)) is not None:
            await asyncio.wrap_future(kept)
        at, started = self._clock.now(delivery.account_id), asyncio.get_running_loop().time()
        response: CdrResponse | None = None
        error: str | None = None
        try:
            request = deliveries.prepare(delivery)
            if request is None or self._durability.failure is not None:
                return
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
        took = asyncio.get_running_loop().time() - started
        again = deliveries.record(delivery, at, took, response, error)
        self._begun.pop(work.handed, None)  # what is due again may be so at the same moment
        if again is not None:
            self._enqueue(again)

    def _finished(self, work: Work) -> None:
        delivery = work.delivery
        works = self._started.get(delivery.account_id)
        if works is not None:
            works.discard(work)
            if not works:
                del self._started[delivery.account_id]
        for advance in self._advances.values():
            advance.ended(work)
        if self._operator is not None:
            self._operator.deliveries.let_go(delivery.id)


def _fail(waited: Future[None], why: str) -> None:
    with suppress(InvalidStateError):
        waited.set_exception(Refusal(RefusalCode.SERVICE_UNAVAILABLE, why))


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
