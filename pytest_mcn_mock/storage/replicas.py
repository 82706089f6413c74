"""What the processes on one database tell one another: what has happened, the requests, and the time put forward.

The database decides everything else. Messages are sent some milliseconds after a step was kept, and in bulk, because
commits that notify wait for one another. A process that may have missed messages says so to those who watch it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
import psycopg
from sqlalchemy import bindparam, delete, func, insert, select, update

from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode, StorageFailed
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service import Service, events
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.storage.postgres import Postgres, reason
from pytest_mcn_mock.storage.sql import SqlStorage
from pytest_mcn_mock.storage.tables import numbers, requests

CHANNEL: Final = "mcn_mock"
FLUSH_S: Final = 0.05
"""How long a message waits for others."""
POLL_S: Final = 1.0
"""How often work is looked for that another process may have left, and the journal is tidied."""
MAX_ITEMS: Final = 100
"""Items of a message: PostgreSQL takes 7,999 bytes."""
_PLACES: Final = 256
"""Processes that number requests without agreeing on the numbers."""
_UNITS: Final = 10_000
"""Of a second, in the number of a request."""

_NOTIFY: Final = select(func.pg_notify(CHANNEL, bindparam("payload")))
_INSERT: Final = insert(requests)
_READ: Final = select(requests.c.data).where(requests.c.seq.in_(bindparam("seqs", expanding=True)))
_READ_LAST: Final = select(requests.c.data).order_by(requests.c.seq.desc()).limit(bindparam("n"))
_TIDY: Final = delete(requests).where(
    requests.c.seq
    <= select(requests.c.seq).order_by(requests.c.seq.desc()).offset(bindparam("kept")).limit(1).scalar_subquery()
)
_CLEAR: Final = delete(requests)
_PUT_FORWARD: Final = update(numbers).values(forward_s=numbers.c.forward_s + bindparam("more"))
_READ_FORWARD: Final = select(numbers.c.forward_s)

_log = logging.getLogger("mcn_mock")


def request_numbers() -> Iterator[int]:
    """Yield numbers for requests in order of time, which no other process is likely to give: below 2**53."""
    place, last = secrets.randbelow(_PLACES), 0
    while True:
        last = max(last + 1, int(time.time() * _UNITS))
        yield last * _PLACES + place


class Replicas:
    """Tells the other processes on the database what happens here, and this one what happens there. ``name`` is this
    process's.
    """

    def __init__(
        self,
        service: Service,
        name: str,
        *,
        show: Callable[[Event], None],
        miss: Callable[[], None],
        look: Callable[[], None],
    ) -> None:
        storage, clock = service.storage, service.clock
        assert isinstance(storage, SqlStorage)  # noqa: S101 - see compose
        assert isinstance(storage.database, Postgres)  # noqa: S101 - see compose
        assert isinstance(clock, SystemClock)  # noqa: S101 - see compose
        self._storage = storage
        self._database = storage.database
        self._clock = clock
        self._service = service
        self._show = show
        self._miss = miss
        self._look = look
        self._name = f"{name}-{secrets.token_hex(4)}"
        self._told: dict[tuple[str, str | int], None] = {}
        self._requests: list[ApiRequest] = []
        clock.move(None, self._database.ahead_s + storage.forward_s)
        self._forward_s = storage.forward_s
        """How far the time of all is known to be put forward."""
        self._moved_s = clock.moved_s
        self._flushing = asyncio.Event()

    def hear(self, event: Event) -> None:
        """Remember what has happened here, for the next message."""
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):
                self._told["call", call.verification_call_uuid] = None
            case events.AttemptMade(delivery) | events.DeliveryResent(delivery) | events.DeliverySettled(delivery):
                self._told["delivery", delivery.id] = None
            case events.AccountChanged(account_id) | events.AccountClosed(account_id):
                self._told["account", account_id] = None
            case events.RequestAnswered(request):
                self._requests.append(request)
            case events.StateReset():
                self._told["reset", 0] = None
        self._flushing.set()

    async def run(self) -> None:
        """Tell and listen, until cancelled."""
        for data in reversed(await self._read(_READ_LAST, n=self._service.journal.size)):
            self._service.journal.add(data)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_on())
            tasks.create_task(self._listen())
            tasks.create_task(self._poll())

    async def put_forward(self) -> None:
        """Tell the others now how far the time was put forward here."""
        more = self._clock.moved_s - self._moved_s
        if more > 0:
            self._moved_s += more
            self._forward_s += more
            async with self._database.step() as step:
                await step.write(_PUT_FORWARD, {"more": more})
                await step.write(_NOTIFY, {"payload": json.dumps([self._name, [["forward", 0]]])})

    async def _tell_on(self) -> None:
        while True:
            await self._flushing.wait()
            await asyncio.sleep(FLUSH_S)
            self._flushing.clear()
            told, made = list(self._told), self._requests
            self._told, self._requests = {}, []
            told += [("request", request.seq) for request in made]
            try:
                async with self._database.step() as step:
                    if ("reset", 0) in told:
                        await step.write(_CLEAR)
                    if made:
                        await step.write(_INSERT, [{"seq": r.seq, "data": _encode(r)} for r in made])
                    for i in range(0, len(told), MAX_ITEMS):
                        await step.write(_NOTIFY, {"payload": json.dumps([self._name, told[i : i + MAX_ITEMS]])})
            except StorageFailed as error:
                _log.debug("the other replicas are not told: %s", error.message)

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._database.connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._miss()
                    async for notification in connection.notifies():
                        sender, told = json.loads(notification.payload)
                        if sender != self._name:
                            await self._hear_of(told)
            except (psycopg.Error, StorageFailed) as error:
                _log.debug("the other replicas are not heard: %s", reason(error))
            await asyncio.sleep(POLL_S)

    async def _hear_of(self, told: list[tuple[str, Any]]) -> None:
        seqs = [key for kind, key in told if kind == "request"]
        for kind, key in told:
            with suppress(NotFound):
                match kind:
                    case "call":
                        self._show(events.CallPlaced(await self._storage.call(key)))
                    case "delivery":
                        self._show(events.DeliveryResent(await self._storage.delivery(key)))
                    case "account":
                        self._show(events.AccountChanged(key))
                    case "reset":
                        self._service.journal.clear()
                        self._service.calls.forget_all()
                        self._show(events.StateReset())
                    case "forward":
                        await self._catch_up()
        for request in await self._read(_READ, seqs=seqs) if seqs else ():
            self._service.journal.add(request)
            self._show(events.RequestAnswered(request))

    async def _catch_up(self) -> None:
        """Put the time forward as far as others have."""
        forward_s = (await self._database.first(_READ_FORWARD)).forward_s
        if (more := forward_s - self._forward_s) > 0:
            self._forward_s = forward_s
            self._moved_s += more
            self._clock.move(None, more)
            self._look()

    async def _read(self, query: Any, **values: Any) -> list[ApiRequest]:
        return [_decode(row.data) for row in await self._database.rows(query, **values)]

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with suppress(StorageFailed):
                await self._catch_up()
                await self._storage.tidy()
                await self._storage.renew_orders(self._service.calls.open_orders)
                async with self._database.step() as step:
                    await step.write(_TIDY, {"kept": self._service.journal.size})
                self._look()


def _plain(value: Any) -> Any:
    if isinstance(value, Refusal):
        return [value.code, value.message, value.parameter]
    raise NotImplementedError


def _refusal(kind: type, value: Any) -> Any:
    if kind is Refusal:
        code, message, parameter = value
        return Refusal(RefusalCode(code), message, parameter)
    raise NotImplementedError


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)
_decode: Final = msgspec.json.Decoder(ApiRequest, dec_hook=_refusal).decode


def _encode(request: ApiRequest) -> str:
    return _ENCODER.encode(request).decode()
