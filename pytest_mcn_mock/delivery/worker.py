"""The worker: claims what is due, ends calls and sends CDRs, on one event loop."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode, SendError, StorageFailed
from pytest_mcn_mock.flow import Done, go_on, on_loop, step
from pytest_mcn_mock.model.accounts import look_up_subscription
from pytest_mcn_mock.model.calls import account_of
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, Delivery, host_of
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.service.deliveries import Result
from pytest_mcn_mock.service.ports import Claimed, Clock, Due, Storage

PER_HOST: Final = 32
"""Attempts in flight to one host. More wait, so that an endpoint that hangs delays only its own CDRs."""
LEASE_S: Final = 15.0
"""How long a claim is valid. It is renewed during the attempt, and expires if the process dies."""
RETRY_S: Final = 1.0
"""How long after a failure of the storage a step is tried again."""
STALL_S: Final = 5.0
"""How much longer than two attempts may take an advance waits for the next one to end, before it fails."""
GRAIN_S: Final = 0.1
"""If the time passes by itself, an advance does all work at once that is due within so many seconds. One piece after
the other, a slow webhook would make the advance take longer than the time that it skips.
"""
HELD_S: Final = 0.02
"""How often an advance checks whether other processes have done their claimed work."""
STOPPED: Final = Reason("stopped")
_AT_ONCE: Final = 1000
"""Pieces of work that are claimed in one step."""
_NO_LIMIT: Final = 10**9

_log = logging.getLogger("mcn_mock")

Key = str | None
"""An account's id if it has a time of its own, None for the time that all share."""


class Sender(Protocol):
    """Sends requests; see ``HttpSender``. ``send`` is no task until it awaits ``flow.on_loop``."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """Return the endpoint's answer. Raises SendError if none arrives within ``timeout_s`` seconds."""
        ...

    async def close(self) -> None:
        """Close the connections: nothing more is sent."""


class Load(Struct, frozen=True):
    """The worker's load. ``under_way`` counts attempts that wait for an answer, ``waiting`` the deliveries
    that are due and not claimed. ``oldest_due_at`` is in seconds since the epoch, None if there is neither.
    """

    waiting: int
    under_way: int
    oldest_due_at: float | None


class DeliveryWorker:
    """Implements ``service.ports.Worker``.

    ``wake``, ``forget`` and ``stop_waiting`` may be called by any thread that has exclusive access to the state; every
    other method is called on the event loop. ``post`` runs a function there, soon; None if there are no other threads.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        post: Callable[[Callable[[], None]], None] | None,
        make_sender: Callable[[], Sender],
        ack_timeout_s: float,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._post = post
        self._make_sender = make_sender
        self.ack_timeout_s = ack_timeout_s
        self._service: Service | None = None
        self._sender: Sender | None = None
        self._alarms = Alarms(clock, self._look_soon)
        self._to_look: set[Key] = set()
        self._claiming = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._under_way: dict[_Run, Due] = {}
        self._per_host: defaultdict[str, int] = defaultdict(int)
        self._starved: set[Key] = set()
        self._expected: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
        self._advances: dict[asyncio.Task[None], Key] = {}
        self._turns: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._renewing: asyncio.TimerHandle | None = None
        self._is_used = self._is_stopping = self._is_draining = False

    def serve(self, service: Service) -> None:
        """End the calls, and settle the deliveries, of this service."""
        self._service = service

    # For the service

    def wake(self, account_id: str, due_at: float) -> None:
        self._is_used = True
        key = self._key(account_id)
        if key not in self._to_look:  # the look to come finds this too, or sets the alarm
            self._on_loop(partial(self._alarms.set, key, due_at))

    def expect_attempt(self, verification_call_uuid: str) -> asyncio.Future[None]:
        expected = asyncio.get_running_loop().create_future()
        if self._is_stopping:
            expected.set_result(None)
        else:
            self._expected[verification_call_uuid].append(expected)
        return expected

    def forget(self, account_id: str | None = None) -> None:
        if self._is_used:  # do not start an unused loop only for this
            self._on_loop(partial(self._forget, account_id))

    # For a server

    async def resume(self) -> None:
        """Begin, or go on, with the work that the storage has."""
        await on_loop()
        self._is_stopping = self._is_draining = False
        await self._storage.resume()
        self._is_used = True
        for key in await self._keys():
            self._look_soon(key)

    def look(self, forward_s: float = 0.0) -> None:
        """Look for work that is due now: another process on the same state may have left it, or has put the time of all
        forward by so many seconds.
        """
        self._alarms.put_forward(None, forward_s)
        self._look_soon(None)

    def recover(self) -> None:
        """Keep what the service could not keep: the storage works again. The worker's own steps try again by
        themselves.
        """
        if self._service is not None:
            self._start(self._service.calls.recover())

    def stop_waiting(self) -> None:
        """End all waits for attempts, and let ``advance`` raise a Refusal from now on, because the server stops."""
        self._is_stopping = True
        if self._is_used:
            self._on_loop(self._let_go)

    def start_waiting(self) -> None:
        """Let ``advance`` work again: the server starts."""
        self._is_stopping = False

    async def advance(self, seconds: float, account_id: str | None = None) -> None:
        """Put the time forward: that of an account that has its own, or with None that of all.

        Work of calls that were placed before, and that falls due on the way, is done in order, one piece after the
        other. Retries that fall due on the way are done too. Work of calls that are placed meanwhile is not waited for,
        and is done when it is due. Two advances of the same time follow one another.

        Raises Refusal if no attempt ends within twice the time that one may take and STALL_S more; the time stays where
        it is then. Raises Refusal if the server is stopped meanwhile.
        """
        if self._is_stopping:
            raise Refusal(RefusalCode.SERVICE_UNAVAILABLE, STOPPED)
        await on_loop()
        self._is_used = True
        keys = await self._keys() if account_id is None else [self._key(account_id)]
        tasks = [asyncio.get_running_loop().create_task(self._advance(key, seconds)) for key in keys]
        self._advances.update(zip(tasks, keys, strict=True))
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            for task, key in zip(tasks, keys, strict=True):
                task.cancel()
                self._advances.pop(task, None)
                self._look_soon(key)  # the places that were reserved for the advance are free
        if any(task.cancelled() for task in tasks):
            raise Refusal(RefusalCode.SERVICE_UNAVAILABLE, STOPPED)
        for task in tasks:
            task.result()

    async def load(self) -> Load:
        """Return the load at this moment."""
        backlog = await self._storage.backlog(self._clock.now(None))
        oldest = [due.due_at for due in self._under_way.values()]
        if backlog.oldest_due_at is not None:
            oldest.append(backlog.oldest_due_at)
        return Load(backlog.waiting, len(self._under_way), min(oldest, default=None))

    async def drain(self, timeout_s: float, due_by: float = math.inf) -> None:
        """Do once now all work that is due by a moment, in seconds since the epoch, and wait until it has ended,
        ``timeout_s`` seconds at most. By default that is also the work that is due later.

        Failed attempts are not tried again. ``Storage.pending`` returns the deliveries that are left.
        """
        self._is_draining = True
        await _cancel(self._advances)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        tried = {due.delivery.id for due in self._under_way.values() if due.delivery is not None}
        while (left_s := until - loop.time()) > 0:
            if self._storage.has_replicas:  # other replicas send the rest
                with suppress(StorageFailed):
                    await self._claim(None, due_by, limit=0)  # so that they know which orders were answered
                if self._under_way:
                    await asyncio.wait(self._under_way, timeout=left_s)
                break
            with suppress(StorageFailed):
                claimed = await self._claim(None, due_by)
                for due in claimed.work:
                    if due.delivery is None or due.delivery.id not in tried:
                        await self._begin(due)
                tried |= {due.delivery.id for due in claimed.work if due.delivery is not None}
                if claimed.work:
                    await asyncio.sleep(0)
                    continue
            if not self._under_way:
                break
            await asyncio.wait(self._under_way, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Stop all work at once. ``resume`` continues it."""
        self._is_draining = True
        self._alarms.clear()
        self._to_look.clear()
        self._let_go()
        await _cancel((*self._advances, *self._under_way, *self._tasks))
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None
        if self._sender is not None:
            await self._sender.close()
            self._sender = None
        # Locks belong to the loop on which they were awaited.
        self._claiming = asyncio.Lock()
        self._turns.clear()

    def _on_loop(self, job: Callable[[], None]) -> None:
        if self._post is None:
            job()
        else:
            self._post(job)

    # Claiming

    def _key(self, account_id: str) -> Key:
        return None if self._clock.is_shared else account_id

    async def _keys(self) -> list[Key]:
        if self._clock.is_shared:
            return [None]
        return [state.account.id for state in await self._storage.accounts(0, _NO_LIMIT)]

    def _look_soon(self, key: Key) -> None:
        if key not in self._to_look:
            self._to_look.add(key)
            asyncio.get_running_loop().call_soon(self._begin_to_look, key)

    def _begin_to_look(self, key: Key) -> None:
        if self._is_draining:
            self._to_look.discard(key)
        else:
            self._start(self._look(key))

    async def _look(self, key: Key) -> None:
        """Claim the work that is due now, and begin it."""
        try:
            async with self._claiming:
                self._to_look.discard(key)  # only now: those who have asked meanwhile need no look of their own
                while True:
                    claimed = await self._claim(key, self._clock.now(key))
                    for due in claimed.work:
                        await self._begin(due)
                    if len(claimed.work) < _AT_ONCE:
                        break
                if len(claimed.work) > 1 and self._storage.gather_s:
                    await asyncio.sleep(self._storage.gather_s)
        except StorageFailed:
            asyncio.get_running_loop().call_later(RETRY_S, self._look_soon, key)
            return
        if claimed.next_due_at is not None:
            self._alarms.set_if_none(key, claimed.next_due_at)

    async def _claim(self, key: Key, until: float, *, limit: int = _AT_ONCE, newest_call: int | None = None) -> Claimed:
        if self._service is None:
            return Claimed((), None)
        is_of_advance = newest_call is not None
        # An advance does not wait for newer work: half of each host's room is left to the advance.
        per_host = PER_HOST if is_of_advance or not self._advances else PER_HOST // 2
        claimed = await self._storage.claim(
            until,
            self._service.deliveries.prepare,
            lease_s=LEASE_S,
            limit=limit,
            account_id=key,
            newest_call=newest_call,
            under_way=self._per_host,
            # An advance that does one piece of work after the other needs no limit.
            per_host=_NO_LIMIT if is_of_advance and not self._clock.is_shared else per_host,
        )
        if claimed.lacks_room:
            self._starved.add(key)
        return claimed

    # Working

    async def _begin(self, due: Due) -> None:
        """End the call, or begin the attempt."""
        if due.delivery is None:
            await self._end(due.call.verification_call_uuid)
            return
        attempt = _Run(self._attempt(due, due.delivery), self._ended)
        self._under_way[attempt] = due
        self._per_host[host_of(due.delivery.url)] += 1
        attempt.step_on()
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().call_later(LEASE_S / 3, self._renew)

    async def _end(self, verification_call_uuid: str) -> None:
        if self._service is None:
            return
        try:
            await self._service.calls.end(verification_call_uuid)
        except StorageFailed:
            asyncio.get_running_loop().call_later(RETRY_S, lambda: self._start(self._end(verification_call_uuid)))
        except Exception:
            _log.exception("a call could not be ended")

    async def _attempt(self, due: Due, delivery: Delivery) -> None:
        if self._service is None:
            return
        deliveries = self._service.deliveries
        subscription = look_up_subscription(due.account, delivery.subscription)
        try:
            if subscription is None or delivery.request is None:
                await _until_kept(partial(deliveries.fail, delivery, Reason("webhook_removed")))
            else:
                result = await self._send(delivery, delivery.request, subscription)
                await _until_kept(partial(deliveries.settle, delivery, result))
        except NotFound:  # the account was closed meanwhile
            pass
        except Exception:
            _log.exception("delivery %d could not be tried", delivery.id)

    async def _send(self, delivery: Delivery, request: CdrRequest, subscription: Subscription) -> Result:
        at, began = self._clock.now(delivery.account_id), monotonic()
        response: CdrResponse | None = None
        error: str | None = None
        try:
            if self._sender is None:
                self._sender = self._make_sender()
            if request.trust != subscription.trust:
                request = replace(request, trust=subscription.trust)
            response = await self._sender.send(request, self.ack_timeout_s)
        except SendError as failure:
            error = str(failure)
        except OSError as failure:  # such as: no file descriptor is free
            error = f"the attempt failed: {failure.strerror or failure}"[:300]
        except Exception as failure:
            _log.exception("an attempt of delivery %d failed", delivery.id)
            error = f"the attempt failed: {type(failure).__name__}, see the log"
        return Result(at, monotonic() - began, response, error)

    def _ended(self, attempt: _Run) -> None:
        due = self._under_way.pop(attempt)
        if due.delivery is not None:
            host = host_of(due.delivery.url)
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]
        self._release(due.call.verification_call_uuid)
        if self._starved:
            starved, self._starved = self._starved, set()
            for key in starved:
                self._look_soon(key)

    def _renew(self) -> None:
        self._renewing = None
        held = [due.delivery.id for due in self._under_way.values() if due.delivery is not None]
        if held:
            self._start(self._renewed(held))
            self._renewing = asyncio.get_running_loop().call_later(LEASE_S / 3, self._renew)

    async def _renewed(self, delivery_ids: list[int]) -> None:
        with suppress(StorageFailed):  # then the CDR may be sent twice
            await self._storage.renew(delivery_ids, LEASE_S)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Step the coroutine here; if it waits, run the rest as a task."""
        waits_for = step(work)
        if not isinstance(waits_for, Done):
            task = asyncio.get_running_loop().create_task(go_on(work, waits_for))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _forget(self, account_id: str | None) -> None:
        if account_id is None:
            self._alarms.clear()
        elif not self._clock.is_shared:
            self._alarms.forget(account_id)
            self._turns.pop(account_id, None)
        for uuid in tuple(self._expected):
            if account_id in (None, account_of(uuid)):
                self._release(uuid)

    def _release(self, verification_call_uuid: str) -> None:
        for expected in self._expected.pop(verification_call_uuid, ()):
            if not expected.done():
                expected.set_result(None)

    def _let_go(self) -> None:
        for uuid in tuple(self._expected):
            self._release(uuid)
        for task in tuple(self._advances):
            task.cancel()

    # Putting the time forward

    async def _advance(self, key: Key, seconds: float) -> None:
        async with self._turns[key]:
            newest = [call.seq for call in await self._storage.calls(None, 0, 1, newest_first=True)]
            await self._pass(key, seconds, newest[0] if newest else 0)

    async def _pass(self, key: Key, seconds: float, newest_call: int) -> None:
        moved, next_due_at = 0.0, None
        while True:
            await self._until_free(key, newest_call, next_due_at)
            async with self._claiming:
                # If the time passes by itself, it is later at the end by as much as the way there takes.
                until = self._clock.now(key) + seconds - moved
                claimed = await self._claim(key, until, limit=1, newest_call=newest_call)
                if claimed.work:
                    due_at = claimed.work[0].due_at
                    step_s = min(max(0.0, due_at - self._clock.now(key)), seconds - moved)
                    moved += step_s
                    self._move(key, step_s)
                    await self._begin(claimed.work[0])
                    if self._clock.is_shared:
                        more = await self._claim(key, min(until, due_at + GRAIN_S), newest_call=newest_call)
                        for due in more.work:
                            await self._begin(due)
                        next_due_at = more.next_due_at
            if not claimed.work:
                next_due_at = None
                if not self._of(key, newest_call):
                    # Other processes do their claimed work, until their claims expire.
                    if not (self._storage.has_replicas and await self._storage.is_held(until, newest_call)):
                        break
                    await asyncio.sleep(HELD_S)
            await asyncio.sleep(0)
        self._move(key, seconds - moved)

    async def _until_free(self, key: Key, newest_call: int, next_due_at: float | None) -> None:
        """Wait until no attempt that the advance waits for is under way or, if the time passes by itself, until the
        next work is due. Raises Refusal if no attempt ends for too long.
        """
        patience_s = 2 * self.ack_timeout_s + STALL_S
        while attempts := self._of(key, newest_call):
            wait_s = patience_s
            if self._clock.is_shared and next_due_at is not None:
                wait_s = next_due_at - self._clock.now(key)
                if wait_s <= 0:
                    return
            done, _ = await asyncio.wait(attempts, timeout=min(wait_s, patience_s), return_when=asyncio.FIRST_COMPLETED)
            if not done and wait_s >= patience_s:
                raise Refusal(
                    RefusalCode.SERVICE_UNAVAILABLE,
                    Reason("advance_stalled", {"seconds": f"{patience_s:g}", "n": len(attempts)}),
                )

    def _of(self, key: Key, newest_call: int) -> list[_Run]:
        return [
            attempt
            for attempt, due in self._under_way.items()
            if due.call.seq <= newest_call and key in (None, due.account.id)
        ]

    def _move(self, key: Key, seconds: float) -> None:
        if seconds > 0:
            self._clock.move(key, seconds)
            self._alarms.put_forward(key, seconds)


async def _until_kept(keep: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Repeat a step until the storage keeps it, because the attempt has been made."""
    while True:
        try:
            await keep()
        except StorageFailed:
            await asyncio.sleep(RETRY_S)
        else:
            return


async def _cancel(futures: Iterable[asyncio.Future[Any]]) -> None:
    ending = tuple(futures)
    for future in ending:
        future.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


class _Run(asyncio.Future[None]):
    """Runs a coroutine as a task does, but begins at once, and the loop calls it once for each future that it waits
    for: a task is called twice more, to begin and to end. It is done when the coroutine has ended; ``when_over`` is
    called just before.

    The coroutine becomes a task when it awaits ``flow.on_loop``, as it must before it uses functions that need a task.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], when_over: Callable[[_Run], None]) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._when_over = when_over
        self._waits_for: asyncio.Future[Any] | None = None
        self._must_cancel = False

    def step_on(self, _: object = None) -> None:
        """Step the coroutine: it begins, or what it waited for is done."""
        self._waits_for = None
        coroutine = self._coroutine
        is_cancelled, self._must_cancel = self._must_cancel, False
        try:
            waits_for = coroutine.throw(asyncio.CancelledError()) if is_cancelled else coroutine.send(None)
        except StopIteration:
            self._end(is_cancelled=False)
        except asyncio.CancelledError:
            self._end(is_cancelled=True)
        else:
            if waits_for is None:  # flow.on_loop asks for a task
                self._waits_for = self.get_loop().create_task(go_on(coroutine, None))
                self._waits_for.add_done_callback(lambda task: self._end(is_cancelled=task.cancelled()))
            else:
                self._waits_for = waits_for
                waits_for.add_done_callback(self.step_on)

    def cancel(self, msg: object = None) -> bool:
        """Cancel what the coroutine waits for or, if that is done, the next step, as a task does."""
        if self.done():
            return False
        self._must_cancel = self._waits_for is None or not self._waits_for.cancel(msg)
        return True

    def _end(self, *, is_cancelled: bool) -> None:
        self._when_over(self)
        if is_cancelled:
            super().cancel()
        else:
            self.set_result(None)


class _AlarmsOfTime(Struct, eq=False):
    """The alarms of one time: the deadline of each on the loop's clock, and the moment it stands for. ``forward`` is
    how far the time was put forward so far; a deadline has it added when it is entered, so that a later advance brings
    it nearer.
    """

    entries: list[tuple[float, float]] = field(default_factory=list)
    forward: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Alarms:
    """Calls ``ring`` with the key of a time when a moment of it has come, on the event loop.

    A time that stands still is put forward to the moment then: as many seconds after the alarm was set as the moment
    was ahead.
    """

    def __init__(self, clock: Clock, ring: Callable[[Key], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._of: dict[Key, _AlarmsOfTime] = {}

    def set(self, key: Key, moment: float) -> None:
        """Ring at that moment."""
        wait_s = moment - self._clock.now(key)
        if wait_s <= 0:
            self._ring(key)
            return
        alarms = self._of.setdefault(key, _AlarmsOfTime())
        deadline = asyncio.get_running_loop().time() + wait_s + alarms.forward
        if self._clock.is_shared and alarms.entries and alarms.entries[0][0] <= deadline:
            return  # when the first one rings, the next one is set
        heapq.heappush(alarms.entries, (deadline, moment))
        self._set_timer(key, alarms)

    def set_if_none(self, key: Key, moment: float) -> None:
        """Ring at that moment, unless an earlier alarm is set: its handler then sets the next one."""
        alarms = self._of.get(key)
        if alarms is None or all(known > moment for _, known in alarms.entries):
            self.set(key, moment)

    def put_forward(self, key: Key, seconds: float) -> None:
        """Bring the alarms of a time nearer: it was put forward."""
        if seconds and (alarms := self._of.get(key)) is not None:
            alarms.forward += seconds
            self._set_timer(key, alarms)

    def forget(self, key: Key) -> None:
        """Ring no more for that time."""
        alarms = self._of.pop(key, None)
        if alarms is not None and alarms.timer is not None:
            alarms.timer.cancel()

    def clear(self) -> None:
        """Ring no more."""
        for key in tuple(self._of):
            self.forget(key)

    def _set_timer(self, key: Key, alarms: _AlarmsOfTime) -> None:
        deadline = alarms.entries[0][0] - alarms.forward
        if alarms.timer is not None:
            if alarms.timer.when() == deadline:
                return
            alarms.timer.cancel()
        alarms.timer = asyncio.get_running_loop().call_at(deadline, self._on_time, key, alarms)

    def _on_time(self, key: Key, alarms: _AlarmsOfTime) -> None:
        alarms.timer = None
        now = asyncio.get_running_loop().time() + alarms.forward
        while alarms.entries and alarms.entries[0][0] <= now:
            self._clock.reach(key, heapq.heappop(alarms.entries)[1])
        if alarms.entries:
            self._set_timer(key, alarms)
        else:
            del self._of[key]
        self._ring(key)
