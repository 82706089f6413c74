"""The sandbox alone: the CDRs' lag under load, its memory after many calls, and its cycles with a state file."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import durable_calls
from helpers.load import Talk, answer, order
from rates import CLIENTS, Figures, load
from rivals import RIVALS, SILENT, SUBSCRIBED, Receiver, Rival, running

WARM_CALLS = 12_000
"""Before anything is measured: more than the sandbox's journal holds, so that each later call drops an older one."""
AT_SAME = "at the same rate"
SHARE = 0.8
"""Of the highest rate, at which the lag is measured."""
ORDER = order(int(SUBSCRIBED), "test-token")


class _Exchange:
    """Clients and the receiver of the CDRs, on one event loop, so that one clock times both.

    A lag is from the moment an order was due to be sent to the arrival of its CDR. From the answer it would be nothing:
    unloaded, the two arrive in the same turn of this loop.
    """

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.ordered_at: dict[bytes, float] = {}
        self.arrived_at: dict[bytes, float] = {}
        self.idle: deque[Talk] = deque()
        self.due: deque[float] = deque()
        self.asks_again: Callable[[], bool] = lambda: False
        self._order_at: dict[int, float] = {}

    def receive(self, _: bytes, body: bytes) -> bytes:
        """A CDR has arrived."""
        uuid, now = _uuid(body), time.perf_counter()
        ordered = self.ordered_at.pop(uuid, None)
        if ordered is None:  # it was read before the answer, which was sent first
            self.arrived_at[uuid] = now
        else:
            self.lags.append(now - ordered)
        return answer(204)

    def client(self) -> Talk:
        """A connection, idle at first."""

        def heard(_: bytes, body: bytes) -> bytes:
            uuid, ordered = _uuid(body), self._order_at.pop(id(talk))
            arrived = self.arrived_at.pop(uuid, None)
            if arrived is None:
                self.ordered_at[uuid] = ordered
            else:
                self.lags.append(arrived - ordered)
            if self.due:
                self.send(talk, self.due.popleft())
            elif self.asks_again():
                self.send(talk, time.perf_counter())
            else:
                self.idle.append(talk)
            return b""

        talk = Talk(heard)
        return talk

    def send(self, talk: Talk, at: float) -> None:
        """Send an order that was due at that time."""
        self._order_at[id(talk)] = at
        talk.send(ORDER)

    def take_lags(self) -> list[float]:
        """The lags, once."""
        lags, self.lags = self.lags, []
        return lags


def _uuid(body: bytes) -> bytes:
    return body.partition(b'"verification_call_uuid"')[2].split(b'"', 2)[1]


async def _measure_lag(rival: Rival, seconds: float, rate: float | None = None) -> Figures:
    loop = asyncio.get_running_loop()
    exchange = _Exchange()
    receiver = await loop.create_server(lambda: Talk(exchange.receive), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
    with running(rival, url) as server:
        talks = [(await loop.create_connection(exchange.client, "127.0.0.1", server.port))[1] for _ in range(CLIENTS)]
        while not exchange.arrived_at:  # noqa: ASYNC110 - the CDR of the call that showed it to be ready
            await asyncio.sleep(0.001)
        exchange.arrived_at.clear()
        await _run_freely(exchange, talks, lambda: len(exchange.lags) < WARM_CALLS)
        exchange.take_lags()
        exchange.idle.clear()

        for number in range(1, 401):  # unloaded: one call after another, each after the CDR of the last
            exchange.send(talks[0], time.perf_counter())
            while len(exchange.lags) < number:  # noqa: ASYNC110 - an event would add to what is measured
                await asyncio.sleep(0)
        unloaded = statistics.median(exchange.take_lags()[100:])
        exchange.idle.clear()

        until = time.perf_counter() + seconds
        await _run_freely(exchange, talks, lambda: time.perf_counter() < until)
        highest = len(exchange.take_lags()) / seconds

        # a steady rate, whatever the answers do
        began, sent, rate = time.perf_counter(), 0, rate or SHARE * highest
        while (now := time.perf_counter()) < began + seconds:
            while (at := began + sent / rate) <= now:
                sent += 1
                if exchange.idle:
                    exchange.send(exchange.idle.popleft(), at)
                else:
                    exchange.due.append(at)
            await asyncio.sleep(0.0005)
        ended = time.perf_counter()
        await _empty(exchange)
        emptied = time.perf_counter() - ended
    receiver.close()
    lags = sorted(exchange.take_lags())
    return {
        "highest": highest,
        "unloaded_ms": 1000 * unloaded,
        "p50_ms": 1000 * lags[len(lags) // 2],
        "p99_ms": 1000 * lags[len(lags) * 99 // 100],
        "emptied_s": emptied,
        "lost": float(sent - len(lags)),
    }


async def _run_freely(exchange: _Exchange, talks: Sequence[Talk], goes_on: Callable[[], bool]) -> None:
    """The highest rate: every client asks again at once."""
    exchange.asks_again = goes_on
    for talk in talks:
        exchange.send(talk, time.perf_counter())
    while goes_on():  # noqa: ASYNC110 - what it asks is the time, or a count that grows by thousands a second
        await asyncio.sleep(0.001)
    await _empty(exchange)
    exchange.asks_again = lambda: False


async def _empty(exchange: _Exchange) -> None:
    """Wait until every client is idle and every CDR has arrived, five seconds at most."""
    until = time.perf_counter() + 5
    while time.perf_counter() < until:
        if len(exchange.idle) == CLIENTS and not exchange.ordered_at:
            return
        await asyncio.sleep(0.001)


def measure_lag(rivals: Sequence[Rival], rounds: int, seconds: float) -> dict[str, list[Figures]]:
    """Milliseconds from an order to its CDR, unloaded and at a share of the highest rate, of each rival in turn.
    AT_SAME is the first rival at the rate of the last one.
    """
    found: dict[str, list[Figures]] = {name: [] for name in (*(rival.name for rival in rivals), AT_SAME)}
    for _ in range(rounds):
        for rival in rivals:
            found[rival.name].append(asyncio.run(_measure_lag(rival, seconds)))
        rate = SHARE * found[rivals[-1].name][-1]["highest"]
        found[AT_SAME].append(asyncio.run(_measure_lag(rivals[0], seconds, rate)))
    return found


def measure_memory(receiver: Receiver, early: int, late: int, *, subscribed: bool) -> Figures:
    """MiB that the sandbox holds after so many calls, and after so many more. One run: it takes minutes."""
    account = SUBSCRIBED if subscribed else SILENT
    calls = 0.0
    found: Figures = {}
    with running(RIVALS[0], receiver.url) as server:
        for name, target in (("early", early), ("late", late)):
            rate = 5_000.0
            while calls < target:
                seen = load(server, account, max(1, min(20, (target - calls) / rate)))
                calls += seen["answers"]
                rate = seen["answers"] / seen["seconds"]
            found |= {f"{name}_calls": calls, f"{name}_mib": server.resident_kib() / 1024}
    return found


def measure_durable(rounds: int, seconds: float) -> list[Figures]:
    """Cycles a second in memory and with a state file, in turn."""
    durable_calls.SECONDS = seconds
    found = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            memory, _ = asyncio.run(durable_calls.measure(Path(name)))
            state = f"sqlite:///{name}/state-{number}.db"
            sqlite, _ = asyncio.run(durable_calls.measure(Path(name), state))
            found.append({"memory": memory, "sqlite": sqlite})
    return found


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        print(json.dumps({"lag": measure_lag(RIVALS[:1], 1, 2), "durable": measure_durable(1, 2)}, indent=1))
