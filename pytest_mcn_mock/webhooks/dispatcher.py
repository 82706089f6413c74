"""The courier: ends calls and tries deliveries when they are due, on one event loop."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol
from urllib.parse import urlsplit

from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.operator.ports import Clock

PER_HOST = 32
"""Attempts under way to one host; more wait, so that an endpoint that hangs delays nobody else's CDRs."""

_log = logging.getLogger("mcn_mock")
Job = Callable[[], None]


class Sender(Protocol):
    """What carries a request; see ``HttpSender``."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class _Lane:
    """The deliveries that wait for one host, and how many workers carry them."""

    waiting: deque[int] = field(default_factory=deque)
    workers: int = 0


class Dispatcher:
    """Implements ``operator.ports.Courier``.

    ``post`` runs a function on the event loop's thread, soon. The two methods of the port may be called from any
    thread; every other one is called on the loop.
    """

    def __init__(self, clock: Clock, post: Callable[[Job], None], make_sender: Callable[[], Sender]) -> None:
        self._clock = clock
        self._post = post
        self._make_sender = make_sender
        self._operator: Operator | None = None
        self._sender: Sender | None = None
        self._timers: list[tuple[float, int, Job]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def serve(self, operator: Operator) -> None:
        """Carry out what this operator asks for."""
        self._operator = operator

    def end_call(self, verification_call_uuid: str, at: float) -> None:
        self._post(lambda: self._schedule(at, lambda: self._end(verification_call_uuid)))

    def deliver(self, delivery: Delivery) -> None:
        self._post(lambda: self._enqueue(delivery))

    async def drain(self, timeout_s: float) -> None:
        """Do now what is due later, once, and wait until all that is under way has ended, ``timeout_s`` at most.

        What fails is not tried again. The operator's ``deliveries.owed()`` tells what is left.
        """
        self._draining = True
        while self._timers:
            self._run(heapq.heappop(self._timers)[2])
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    async def close(self) -> None:
        """Stop at once what is under way."""
        self._draining = True
        if self._timer is not None:
            self._timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
            self._sender = None
        self._draining = False

    def _schedule(self, at: float, job: Job) -> None:
        heapq.heappush(self._timers, (at, next(self._order), job))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timers:
            wait = max(0.0, self._timers[0][0] - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._run_due)

    def _run_due(self) -> None:
        self._timer = None
        while self._timers and self._timers[0][0] <= self._clock.now():
            self._run(heapq.heappop(self._timers)[2])
        self._set_timer()

    def _run(self, job: Job) -> None:
        try:
            job()
        except Exception:
            _log.exception("a timed step failed")

    def _end(self, verification_call_uuid: str) -> None:
        if self._operator is not None:
            self._operator.calls.end(verification_call_uuid)

    def _enqueue(self, delivery: Delivery) -> None:
        if delivery.due_at is None or delivery.due_at <= self._clock.now():
            self._start(delivery)
        elif not self._draining:
            self._schedule(delivery.due_at, lambda: self._start(delivery))

    def _start(self, delivery: Delivery) -> None:
        host = urlsplit(delivery.url).netloc
        lane = self._lanes.setdefault(host, _Lane())
        lane.waiting.append(delivery.id)
        if lane.workers < PER_HOST:
            lane.workers += 1
            task = asyncio.get_running_loop().create_task(self._work(host, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, host: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                delivery_id = lane.waiting.popleft()
                try:
                    await self._attempt(delivery_id)
                except Exception:
                    _log.exception("delivery %d could not be tried", delivery_id)
        finally:
            lane.workers -= 1
            if not lane.workers and not lane.waiting:
                self._lanes.pop(host, None)

    async def _attempt(self, delivery_id: int) -> None:
        if self._operator is None:
            return
        deliveries = self._operator.deliveries
        request = deliveries.prepare(delivery_id)
        if request is None:
            return
        if self._sender is None:
            self._sender = self._make_sender()
        at = self._clock.now()
        response: CdrResponse | None = None
        error: str | None = None
        try:
            response = await self._sender.send(request, deliveries.ack_timeout_s)
        except SendError as failure:
            error = str(failure)
        again = deliveries.record(delivery_id, at, self._clock.now() - at, response, error)
        if again is not None:
            self._enqueue(again)
