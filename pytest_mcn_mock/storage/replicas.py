"""The messages between the processes on one database: events, requests, and the time put forward.

The database decides everything else. Messages are sent some milliseconds after a step was kept, and in bulk, because
commits that notify wait for one another. A process that may have missed messages says so to those who watch it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import psycopg
from sqlalchemy import BigInteger, bindparam, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode, StorageFailed
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import Service, events
from pytest_mcn_mock.service.calls import ANSWERS_S
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.service.ports import Storage
from pytest_mcn_mock.storage.engine import Step
from pytest_mcn_mock.storage.postgres import Postgres, reason
from pytest_mcn_mock.storage.sql import SqlStorage
from pytest_mcn_mock.storage.tables import as_array, is_one_of, numbers, requests

CHANNEL: Final = "mcn_mock"
FLUSH_S: Final = 0.05
"""How long a message waits for others."""
POLL_S: Final = 1.0
"""How often work is looked for that another process may have left, and the journal is tidied."""
LOOK_S: Final = 0.02
"""How often an advance looks whether other processes have answered."""
MAX_ITEMS: Final = 100
"""Items of a message: PostgreSQL takes 7,999 bytes."""
_PLACES: Final = 256
"""Processes that number requests without agreeing on the numbers."""
_UNITS: Final = 10_000
"""Of a second, in the number of a request."""

_NOTIFY: Final = select(func.pg_notify(CHANNEL, bindparam("payload")))
_INSERT: Final = insert(requests).on_conflict_do_nothing()
_LAST_BEFORE_RESET: Final = select(
    cast(func.floor(numbers.c.reset_at * _UNITS), BigInteger) * _PLACES + (_PLACES - 1)
).scalar_subquery()
"""See ``_last_before``."""
_OLDEST: Final = select(requests.c.seq).order_by(requests.c.seq.desc()).offset(bindparam("kept")).limit(1)
_IS_KEPT: Final = requests.c.seq > _LAST_BEFORE_RESET
_READ: Final = select(requests.c.data).where(is_one_of(requests.c.seq, "seqs"), _IS_KEPT)
_READ_LAST: Final = select(requests.c.data).where(_IS_KEPT).order_by(requests.c.seq.desc()).limit(bindparam("n"))
_TIDY: Final = delete(requests).where(requests.c.seq <= func.greatest(_LAST_BEFORE_RESET, _OLDEST.scalar_subquery()))
_PUT_FORWARD: Final = (
    update(numbers).values(forward_s=numbers.c.forward_s + bindparam("more")).returning(numbers.c.forward_s)
)
_READ_NUMBERS: Final = select(numbers.c.forward_s, numbers.c.reset_at)

_Key = tuple[str, str | int]
_log = logging.getLogger("mcn_mock")


def _parts_of(storage: Storage) -> tuple[SqlStorage, Postgres]:
    assert isinstance(storage, SqlStorage)  # noqa: S101 - see compose
    assert isinstance(storage.database, Postgres)  # noqa: S101 - see compose
    return storage, storage.database


class SharedNumbers:
    """Implements ``journal.Numbers``: in order of time, below 2**53, and no process on the database gives another's.

    A reset is at a moment by the database's clock. A request that follows its answer has a later number, at whichever
    process: it is the latest that the database's clock can be. One that was answered before the reset was asked for
    arrived earlier than that by several answers of the database; what is known of its clock is closer.
    """

    def __init__(self, storage: Storage) -> None:
        _, self._database = _parts_of(storage)
        self._place = self._database.process_number % _PLACES
        self._last = 0

    def take(self) -> int:
        """See ``journal.Numbers``."""
        self._last = max(self._last + 1, int(self._database.latest_now() * _UNITS))
        return self._last * _PLACES + self._place

    def last_before(self, reset_at: float) -> int:
        """See ``journal.Numbers``."""
        return _last_before(reset_at)


def _last_before(reset_at: float) -> int:
    return int(reset_at * _UNITS) * _PLACES + _PLACES - 1


class Replicas:
    """Exchanges events with the other processes on the database. ``name`` is the name of this process."""

    def __init__(
        self,
        service: Service,
        name: str,
        *,
        show: Callable[[Event], None],
        is_watched: Callable[[], bool],
        miss: Callable[[], None],
        look: Callable[[float], None],
    ) -> None:
        storage, self._database = _parts_of(service.storage)
        clock = service.clock
        assert isinstance(clock, SystemClock)  # noqa: S101 - see compose
        self._storage = storage
        self._clock = clock
        self._service = service
        self._show = show
        self._is_watched = is_watched
        self._miss = miss
        self._look = look
        self._name = f"{name}-{secrets.token_hex(4)}"
        self._told: dict[_Key, None] = {}
        self._requests: dict[int, ApiRequest] = {}
        """The requests that were not reported to the others yet."""
        self._reset_at = storage.reset_at
        """The last reset that is known, by the database's clock."""
        self._has_reset = False
        """Whether the state was reset here, and that was not reported to the others yet."""
        clock.move(None, self._database.now() - clock.now(None) + storage.forward_s)
        self._forward_s = storage.forward_s
        """How far the time of all is known to be put forward."""
        self._moved_s = clock.moved_s
        """How far this process's clock was moved when all knew of that."""
        self._unread: deque[int] = deque(maxlen=service.journal.size)
        """Requests that the others have reported, by their ``seq``."""
        self._reading = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._flushing = asyncio.Event()

    @property
    def session_key(self) -> bytes:
        """The key of the page's sessions, the same for every process on the database."""
        return self._database.session_key

    def hear(self, event: Event) -> None:
        """Remember an event of this process for the next message."""
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):
                self._told["call", call.verification_call_uuid] = None
            case events.AttemptMade(delivery) | events.DeliveryResent(delivery) | events.DeliverySettled(delivery):
                self._told["delivery", delivery.id] = None
            case events.AccountChanged(account_id) | events.AccountClosed(account_id):
                self._told["account", account_id] = None
            case events.RequestAnswered(request):
                self._requests[request.seq] = request
            case events.StateReset(at):
                self._has_reset = True
                self._told.clear()
                self._forget_before(at)
        self._flushing.set()

    async def run(self, on_hearing: Callable[[], object]) -> None:
        """Tell and listen, until cancelled. Call ``on_hearing`` whenever this process begins to hear of the others."""
        async with asyncio.TaskGroup() as tasks:
            for job in (self._tell, partial(self._listen, on_hearing), self._poll):
                tasks.create_task(_again_and_again(job))

    async def until_answered(self) -> None:
        """Wait until the others have answered the orders that were accepted so far, ANSWERS_S at most."""
        newest = await self._storage.calls(None, 0, 1, newest_first=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_S):
                while newest and await self._storage.has_unanswered(newest[0].seq, self._service.calls.open_orders):  # noqa: ASYNC110 - another process answers
                    await asyncio.sleep(LOOK_S)

    async def put_forward(self) -> None:
        """Tell the others now how far the time was put forward here."""
        async with self._moving:
            more = self._clock.moved_s - self._moved_s
            if more > 0:
                async with self._database.step() as step:
                    row = await step.first(_PUT_FORWARD, more=more)
                    await self._notify(step, [("forward", 0)])
                self._moved_s += more
                self._forward_s += more
                self._catch_up(row.forward_s)

    def _catch_up(self, forward_s: float) -> None:
        """Put the time forward as far as it is for all."""
        if (more := forward_s - self._forward_s) > 0:
            self._forward_s = forward_s
            self._moved_s += more
            self._clock.move(None, more)
            self._look(more)

    def _forget_before(self, reset_at: float) -> None:
        """Forget the requests before a reset that was not reported to the others yet."""
        self._reset_at = max(self._reset_at, reset_at)
        last = _last_before(self._reset_at)
        self._requests = {seq: request for seq, request in self._requests.items() if seq > last}

    async def _read_numbers(self) -> None:
        """Learn how far the time was put forward, and whether the state was reset."""
        async with self._moving:
            row = await self._database.first(_READ_NUMBERS)
            self._catch_up(row.forward_s)
        if row.reset_at > self._reset_at:
            self._forget_before(row.reset_at)
            self._service.journal.clear(row.reset_at)
            self._service.calls.forget_all()
            self._show(events.StateReset(row.reset_at))

    async def _tell(self) -> None:
        await self._flushing.wait()
        await asyncio.sleep(0 if self._has_reset else FLUSH_S)
        self._flushing.clear()
        has_reset, self._has_reset = self._has_reset, False
        told, made = list(self._told), list(self._requests.values())
        told += [("request", request.seq) for request in made]
        try:
            async with self._database.step() as step:
                if has_reset:
                    await self._notify(step, [("reset", 0)])
                if made:
                    await step.write(_INSERT, [{"seq": r.seq, "data": _encode(r)} for r in made])
                for i in range(0, len(told), MAX_ITEMS):
                    await self._notify(step, told[i : i + MAX_ITEMS])
        except StorageFailed:
            self._flushing.set()
            self._has_reset |= has_reset
            self._forget((), made[: -self._service.journal.size])
            raise
        except Exception:
            self._forget(told, made)  # they would fail again
            raise
        self._forget(told, made)

    def _forget(self, told: Sequence[_Key], made: Sequence[ApiRequest]) -> None:
        for key in told:
            self._told.pop(key, None)
        for request in made:
            self._requests.pop(request.seq, None)

    async def _notify(self, step: Step, told: Sequence[_Key]) -> None:
        await step.write(_NOTIFY, {"payload": json.dumps([self._name, told])})

    async def _listen(self, on_hearing: Callable[[], object]) -> None:
        async with await self._database.connect() as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            await self._read_numbers()
            self._service.journal.add(await self._read(_READ_LAST, n=self._service.journal.size))
            on_hearing()
            self._miss()
            async for notification in connection.notifies():
                try:
                    sender, told = json.loads(notification.payload)
                    if sender != self._name:
                        await self._hear_of([(kind, key) for kind, key in told])
                except (TypeError, ValueError):  # every user of the database may send such a message
                    _log.debug("a message of another program: %.80r", notification.payload)

    async def _hear_of(self, told: Sequence[_Key]) -> None:
        seqs = [int(key) for kind, key in told if kind == "request"]
        for kind, key in told:
            match kind:
                case "reset" | "forward":
                    await self._read_numbers()
                case "call" | "delivery" | "account" if self._is_watched():
                    with suppress(NotFound):
                        self._show(await self._event(kind, key))
        journal = self._service.journal
        journal.dropped += max(0, len(self._unread) + len(seqs) - journal.size)
        self._unread.extend(seqs)
        if self._is_watched():
            await self.read_requests()

    async def read_requests(self) -> None:
        """Enter in the journal the requests of the others that are not read yet: they are read when they are wanted."""
        async with self._reading:
            if not self._unread:
                return
            seqs = self._unread.copy()
            self._unread.clear()
            try:
                found = await self._read(_READ, seqs=as_array(seqs))
            except BaseException:
                self._unread.extendleft(reversed(seqs))
                raise
            self._service.journal.add(found)
        for request in found:
            self._show(events.RequestAnswered(request))

    async def _event(self, kind: str, key: str | int) -> Event:
        match kind:
            case "call":
                return events.CallPlaced(await self._storage.call(str(key)))
            case "delivery":
                return events.DeliveryResent(await self._storage.delivery(int(key)))
            case _:
                return events.AccountChanged(str(key))

    async def _read(self, query: Any, **values: Any) -> list[ApiRequest]:
        return [_decode(row.data) for row in await self._database.rows(query, **values)]

    async def _poll(self) -> None:
        await asyncio.sleep(POLL_S)
        await self._storage.renew_orders(self._service.calls.open_orders)
        await self._database.set_time()
        await self._database.end_still()
        await self.put_forward()
        await self._read_numbers()
        self._look(0.0)
        await self._storage.tidy()
        async with self._database.step() as step:
            await step.write(_TIDY, {"kept": self._service.journal.size})


async def _again_and_again(job: Callable[[], Awaitable[None]]) -> None:
    """Do it until cancelled. If the database fails it, try it again some time later."""
    while True:
        try:
            await job()
        except (psycopg.Error, StorageFailed) as error:
            _log.debug("the other replicas are out of reach: %s", reason(error))
            await asyncio.sleep(POLL_S)
        except Exception:
            _log.exception("the other replicas are out of reach")
            await asyncio.sleep(POLL_S)


def _plain(value: Any) -> Any:
    if isinstance(value, Refusal):
        return [value.code, value.message, value.parameter, value.reason]
    raise NotImplementedError


def _refusal(kind: type, value: Any) -> Any:
    if kind is Refusal:
        code, message, parameter, why = value
        return Refusal(RefusalCode(code), message if why is None else msgspec.convert(why, Reason), parameter)
    raise NotImplementedError


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)
_decode: Final = msgspec.json.Decoder(ApiRequest, dec_hook=_refusal).decode


def _encode(request: ApiRequest) -> str:
    return _ENCODER.encode(request).decode()
