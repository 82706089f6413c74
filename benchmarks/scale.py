"""Replicas on one PostgreSQL: ``python benchmarks/scale.py rates|latency|trips|rows|plans``, or all without a word.

It starts a PostgreSQL of its own (Debian: ``postgresql``), the sandboxes, the load and the receiver of the CDRs, all on
this machine. A cycle is an order that is accepted, charged and answered, and whose CDR is acknowledged. ``--disk`` lets
PostgreSQL wait for the disk with each commit, which it otherwise leaves to the operating system.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.load import Talk, answer, order
from helpers.postgres import PORT, Cluster
from serving import cpu_s, serving

CLIENTS: Final = 32
UNFINISHED: Final = 4 * CLIENTS
"""Orders whose CDR has not arrived yet, at the most. Without a bound orders run ahead of their CDRs, and take the
processor from them.
"""
LOCK: Final = "ORDER BY accounts.id FOR UPDATE"
ACCOUNTS: Final = 16
WARM_UP_S: Final = 1.5
CONFIG: Final = """
[[account]]
id = {id}
token = "t{id}"
balance = "10000000.00"
[[account.webhook]]
url = "http://127.0.0.1:{port}/"
"""


def config_of(port: int) -> str:
    """The configuration of a sandbox whose CDRs go to the port, with a journal that tidies nothing away in a run."""
    accounts = "".join(CONFIG.format(id=n + 1, port=port) for n in range(ACCOUNTS))
    return f"journal_size = 1000000\n{accounts}"


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *map(int, children)]


@dataclass
class Result:
    """What a run came to: cycles and their seconds, the seconds of a processor by program, and each order's."""

    cycles: int = 0
    seconds: float = 0.0
    refused: int = 0
    port: int = 0
    """Where the CDRs arrived."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    orders_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Cycles a second."""
        return self.cycles / self.seconds

    def p(self, share: float) -> float:
        """The milliseconds within which a share of the orders was answered."""
        return 1000 * sorted(self.orders_s)[int(share * (len(self.orders_s) - 1))]

    def __str__(self) -> str:
        costs = ", ".join(f"{name} {1000 * s / self.cycles:.2f}" for name, s in self.cpu_s.items())
        refused = f", {self.refused} refused" if self.refused else ""
        return (
            f"{self.rate:6,.0f} cycles/s; an order p50 {self.p(0.5):5.1f} ms, p99 {self.p(0.99):6.1f} ms; "
            f"ms of a processor a cycle: {costs}{refused}"
        )


async def load(  # noqa: C901 - a run from beginning to end
    cluster: Cluster,
    folder: Path,
    *,
    replicas: int,
    accounts: int,
    seconds: float,
    pace: float | None = None,
    state: str | None = None,
    port: int = 0,
) -> Result:
    """Place orders for some seconds, after WARM_UP_S that do not count, and wait for the last CDR. Each client places
    the next order when it has an answer, and fewer than UNFINISHED orders wait for their CDR. With a ``pace`` so many
    are placed a second, by any client that is free.
    """
    loop, result = asyncio.get_running_loop(), Result()
    placed = accepted = arrived = 0
    is_over = False
    complete = asyncio.Event()

    def acknowledged(_: bytes, __: bytes) -> bytes:
        nonlocal arrived
        arrived += 1
        if is_over and arrived >= accepted:
            complete.set()
        if (free := next((client for client in clients if client.may_place()), None)) is not None:
            free.place()
        return answer(204)

    class Client:
        """Places one order after the other on its connection."""

        def __init__(self, number: int) -> None:
            account = number % accounts + 1
            self.order = order(account, f"t{account}")
            self.talk = Talk(self.answered)
            self.sent_at = 0.0
            self.is_free = True

        def place(self) -> None:
            nonlocal placed
            placed += 1
            self.sent_at, self.is_free = loop.time(), False
            self.talk.send(self.order)

        def answered(self, head: bytes, _: bytes) -> bytes:
            nonlocal accepted
            result.orders_s.append(loop.time() - self.sent_at)
            if b" 200 " in head[:20]:
                accepted += 1
            else:
                result.refused += 1
            self.is_free = True
            if self.may_place():
                self.place()
            return b""

        def may_place(self) -> bool:
            """Return whether the next order is to be placed now, without a pace."""
            return self.is_free and pace is None and not is_over and placed - arrived < UNFINISHED

    clients: list[Client] = []
    receiver = await loop.create_server(lambda: Talk(acknowledged), "127.0.0.1", port)
    result.port = port = receiver.sockets[0].getsockname()[1]
    state = state or cluster.new_url()
    with ExitStack() as stack:
        served = [stack.enter_context(serving(folder, config_of(port), state)) for _ in range(replicas)]
        clients += [Client(n) for n in range(CLIENTS)]
        for n, client in enumerate(clients):
            host, _, at = served[n // accounts % replicas if accounts < replicas else n % replicas][0].partition(":")
            await loop.create_connection(lambda client=client: client.talk, host, int(at))  # type: ignore[misc]
        programs = {"sandbox": [pid for _, pid in served], "load": [os.getpid()]}

        async def pass_s(seconds: float) -> None:
            """Load the sandboxes for so long."""
            began, first = loop.time(), placed
            while pace is not None and (now := loop.time()) < began + seconds:
                if placed - first < (now - began) * pace and (free := next((c for c in clients if c.is_free), None)):
                    free.place()
                else:
                    await asyncio.sleep(0.0005)
            await asyncio.sleep(began + seconds - loop.time())

        if pace is None:
            for client in clients:
                client.place()
        await pass_s(WARM_UP_S)  # each process compiles its statements, each connection prepares them
        programs["postgres"] = family(cluster.pid)
        result.orders_s.clear()
        before = {name: cpu_s(*pids) for name, pids in programs.items()}
        began, first = loop.time(), arrived
        await pass_s(seconds)
        result.cycles, result.seconds = arrived - first, loop.time() - began
        for name, pids in programs.items():
            result.cpu_s[name] = cpu_s(*pids) - before[name]
        is_over = True
        if arrived < accepted:
            async with asyncio.timeout(60):
                await complete.wait()
    receiver.close()
    return result


def rates(cluster: Cluster, folder: Path, seconds: float, rounds: int) -> dict[int, float]:
    """Print the cycles a second by replicas and accounts, taken in turn; return the highest by accounts."""
    runs = [(replicas, accounts) for accounts in (1, ACCOUNTS) for replicas in (1, 2, 3)]
    found: dict[tuple[int, int], list[Result]] = {run: [] for run in runs}
    for _ in range(rounds):
        for replicas, accounts in runs:
            result = asyncio.run(load(cluster, folder, replicas=replicas, accounts=accounts, seconds=seconds))
            found[replicas, accounts].append(result)
            print(f"replicas {replicas}, accounts {accounts:2}: {result}", flush=True)
    medians = {run: statistics.median(result.rate for result in results) for run, results in found.items()}
    print("\n| accounts | 1 replica | 2 replicas | 3 replicas |\n|---|---|---|---|")
    for accounts in (1, ACCOUNTS):
        print(f"| {accounts} | " + " | ".join(f"{medians[replicas, accounts]:,.0f}" for replicas in (1, 2, 3)) + " |")
    return {accounts: max(medians[replicas, accounts] for replicas in (1, 2, 3)) for accounts in (1, ACCOUNTS)}


def latency(cluster: Cluster, folder: Path, seconds: float, highest: dict[int, float]) -> None:
    """Print how long an order takes at half the highest rate."""
    for accounts in (1, ACCOUNTS):
        pace = highest[accounts] / 2
        result = asyncio.run(load(cluster, folder, replicas=1, accounts=accounts, seconds=seconds, pace=pace))
        print(f"{accounts:2} accounts at {pace:,.0f} orders/s: {result}", flush=True)


@dataclass
class Trip:
    """A round trip: its connection, when it began and ended, and what was asked in it."""

    connection: int
    began: float
    asked: list[str]
    ended: float = 0.0


class Tap:
    """Stands between a sandbox and PostgreSQL, and notes what goes over and when. A round trip begins when the client
    speaks after the server.
    """

    def __init__(self, folder: Path, behind: Path) -> None:
        self._path = str(folder / f".s.PGSQL.{PORT}")
        self._behind = str(behind / f".s.PGSQL.{PORT}")
        self.trips: list[Trip] = []
        self._connections = 0

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: C901 - a parser
        self._connections += 1
        names: dict[bytes, str] = {}
        number, left, has_begun = self._connections, b"", False
        to_server = await asyncio.open_unix_connection(self._behind)
        speaks = "server"

        async def back() -> None:
            nonlocal speaks
            while data := await to_server[0].read(65536):
                speaks = "server"
                mine = [trip for trip in self.trips if trip.connection == number]
                if mine:
                    mine[-1].ended = time.perf_counter()
                writer.write(data)

        answering = asyncio.create_task(back())
        try:
            while data := await reader.read(65536):
                left += data
                asked: list[str] = []
                while len(left) >= 5:
                    head = 0 if has_begun else -1
                    (size,) = struct.unpack_from("!I", left, head + 1)
                    whole = head + 1 + size
                    if len(left) < whole:
                        break
                    message, left = left[:whole], left[whole:]
                    if not has_begun:
                        has_begun = message[4:8] != struct.pack("!I", 80877103)
                        continue
                    kind, body = message[:1], message[5:]
                    if kind == b"P":
                        name, text = body.split(b"\0", 2)[:2]
                        names[name] = text.decode()
                    elif kind == b"B":
                        asked.append(names.get(body.split(b"\0", 2)[1], "?"))
                    elif kind == b"Q":
                        asked.append(body[:-1].decode())
                mine = [trip for trip in self.trips if trip.connection == number]
                if asked and (speaks == "server" or not mine):
                    self.trips.append(Trip(number, time.perf_counter(), asked))
                elif asked:
                    mine[-1].asked.extend(asked)
                speaks = "client"
                to_server[1].write(data)
        finally:
            answering.cancel()
            to_server[1].close()


def trips(cluster: Cluster, folder: Path) -> None:
    """Print what a step asks in each of its round trips, for one order and its CDR alone."""
    asyncio.run(_trips(cluster, folder))


async def _trips(cluster: Cluster, folder: Path) -> None:
    loop, delivered, accepted = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def acknowledged(_: bytes, __: bytes) -> bytes:
        delivered.set()
        return answer(204)

    def answered(_: bytes, __: bytes) -> bytes:
        accepted.set()
        return b""

    receiver = await loop.create_server(lambda: Talk(acknowledged), "127.0.0.1", 0)
    tap = Tap(folder, cluster.folder)
    await tap.start()
    (folder / f".s.PGSQL.{PORT}").chmod(0o777)
    state = cluster.new_url().replace(str(cluster.folder), str(folder))
    serve = serving(folder, config_of(receiver.sockets[0].getsockname()[1]), state)
    netloc, _ = await asyncio.to_thread(serve.__enter__)
    talk, (host, _, port) = Talk(answered), netloc.partition(":")
    await loop.create_connection(lambda: talk, host, int(port))
    held: list[float] = []
    for _ in range(40):  # so that every statement is prepared
        tap.trips.clear()
        delivered.clear()
        accepted.clear()
        began = time.perf_counter()
        talk.send(order(1, "t1"))
        await asyncio.wait_for(accepted.wait(), 20)
        after = time.perf_counter() - began
        await asyncio.wait_for(delivered.wait(), 20)
        await asyncio.sleep(0.3)
        place = next(n for n, trip in enumerate(tap.trips) if any(LOCK in text for text in trip.asked))
        commit = next(trip for trip in tap.trips[place + 1 :] if trip.connection == tap.trips[place].connection)
        held.append(commit.ended - tap.trips[place].began)
    for trip in tap.trips:
        print(
            f"{1000 * (trip.began - began):7.2f} to {1000 * (trip.ended - began):.2f} ms, connection {trip.connection}"
        )
        for text in trip.asked:
            print(f"            {' '.join(text.split())[:150]}")
    print(f"an account's row is held for less than {1000 * statistics.median(held):.2f} ms, in the median")
    print(f"answered after {1000 * after:.2f} ms; round trips: {len(tap.trips)}")
    await asyncio.to_thread(serve.__exit__, None, None, None)


_GENERATE: Final = (
    """INSERT INTO calls SELECT copy.* FROM generate_series({first}, {last}) AS n, calls AS one,
       jsonb_populate_record(one, jsonb_build_object('seq', n, 'verification_call_uuid',
       md5(n::text) || '_' || account_id)) AS copy
       WHERE one.account_id = (n % 16 + 1)::text AND one.seq IN (SELECT min(seq) FROM calls GROUP BY account_id)""",
    """INSERT INTO deliveries SELECT copy.* FROM generate_series({first}, {last}) AS n, deliveries AS one,
       jsonb_populate_record(one, jsonb_build_object('id', n, 'call_seq', n, 'verification_call_uuid',
       md5(n::text) || '_' || account_id)) AS copy
       WHERE one.account_id = (n % 16 + 1)::text AND one.id IN (SELECT min(id) FROM deliveries GROUP BY account_id)""",
    """INSERT INTO ledger (account_id, n, kind, kopecks, balance, at, verification_call_uuid)
       SELECT (n % 16 + 1)::text, n + 10, 'charge', -15, 0, n, md5(n::text) || '_1'
       FROM generate_series({first}, {last}) AS n""",
)
_FIRST: Final = 1_000_000_000
"""Numbers that no sandbox of a benchmark gets to."""


def fill(connection: psycopg.Connection[Any], count: int) -> None:
    """Add ``count`` calls with their deliveries and ledger entries: copies of those that are there."""
    for statement in _GENERATE:
        connection.execute(statement.format(first=_FIRST, last=_FIRST + count).encode())
    connection.execute("VACUUM (ANALYZE)")


def rows(cluster: Cluster, folder: Path, count: int, seconds: float) -> None:
    """Print what a table of ``count`` calls costs: its size, and cycles a second before and after."""
    state = cluster.new_url()
    before = asyncio.run(load(cluster, folder, replicas=1, accounts=ACCOUNTS, seconds=seconds, state=state))
    print(f"{before.cycles:,} calls: {before}", flush=True)
    with psycopg.connect(state, autocommit=True, options="-c search_path=mcn_mock") as connection:
        fill(connection, count)
        found = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'mcn_mock'::regnamespace ORDER BY 2 DESC LIMIT 3"
        ).fetchall()
        print(", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in found), flush=True)
        # PostgreSQL counts how often a table was read from end to end.
        scans = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'mcn_mock' AND n_live_tup > 10000"
        earlier: dict[str, int] = dict(connection.execute(scans.encode()).fetchall())
        after = asyncio.run(
            load(cluster, folder, replicas=1, accounts=ACCOUNTS, seconds=seconds, state=state, port=before.port)
        )
        print(f"{count:,} calls more: {after}", flush=True)
        connection.execute("SELECT pg_stat_force_next_flush()")
        scanned = {name: n - earlier.get(name, 0) for name, n in connection.execute(scans.encode()).fetchall()}
        print(f"sequential scans meanwhile: {scanned}", flush=True)
        began = time.perf_counter()
        connection.execute("DELETE FROM deliveries WHERE call_seq < %s", [_FIRST + 10_000])
        connection.execute("DELETE FROM calls WHERE seq >= %s AND seq < %s", [_FIRST, _FIRST + 10_000])
        print(f"10,000 calls were deleted in {time.perf_counter() - began:.2f} s")


def plans(cluster: Cluster, folder: Path, count: int) -> None:
    """Print how PostgreSQL finds the rows of each statement that orders and their CDRs need, with ``count`` calls."""
    state, log = cluster.new_url(), cluster.folder / "log"
    first = asyncio.run(load(cluster, folder, replicas=1, accounts=ACCOUNTS, seconds=1, state=state))
    with psycopg.connect(state, autocommit=True, options="-c search_path=mcn_mock") as connection:
        fill(connection, count)
        for setting in ("session_preload_libraries = auto_explain", "auto_explain.log_min_duration = 0"):
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting}".encode())
    before = log.stat().st_size
    # So many orders that PostgreSQL chooses a plan for all values of a statement.
    asyncio.run(
        load(cluster, folder, replicas=1, accounts=ACCOUNTS, seconds=2, state=state, port=first.port, pace=60.0)
    )
    found: dict[str, list[str]] = {}
    for entry in log.read_text(encoding="utf-8")[before:].split(" plan:\n\tQuery Text: ")[1:]:
        lines = [line.strip() for line in entry.splitlines() if line.startswith("\t") or line == entry.splitlines()[0]]
        begin = next(n for n, line in enumerate(lines) if "(cost=" in line)
        scans = [line.partition("  (cost=")[0].removeprefix("->  ") for line in lines[begin:] if " Scan" in line]
        found[" ".join(lines[:begin])] = list(dict.fromkeys(scans))  # the last plan is the one that stays
    for statement, scans in found.items():
        if scans:
            print(f"{statement[:150]}\n" + "\n".join(f"    {scan}" for scan in scans), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="rates, latency, trips, rows or plans; all without a word")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--disk", action="store_true", help="wait for the disk with each commit")
    given = parser.parse_args(arguments)
    what = given.what or ["trips", "rates", "latency", "rows", "plans"]
    cluster = Cluster("" if given.disk else "-F")
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            highest: dict[int, float] = {}
            if "trips" in what:
                trips(cluster, folder)
            if "rates" in what:
                highest = rates(cluster, folder, given.seconds, given.rounds)
            if "latency" in what:
                latency(cluster, folder, given.seconds, highest or {1: 450.0, ACCOUNTS: 900.0})
            if "rows" in what:
                rows(cluster, folder, given.rows, given.seconds)
            if "plans" in what:
                plans(cluster, folder, given.rows)
    finally:
        cluster.end()


if __name__ == "__main__":
    main()
