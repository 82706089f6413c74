"""Runs the sandbox: one process, one event loop, the API and the CDRs on it."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pytest_mcn_mock.certificates import make_context
from pytest_mcn_mock.cli import logs
from pytest_mcn_mock.cli.banner import greeting, page_url
from pytest_mcn_mock.cli.config import Config
from pytest_mcn_mock.cli.listening import on_signals, open_listener, resolve
from pytest_mcn_mock.cli.logs import dropped_lines, redacted, without_secrets
from pytest_mcn_mock.cli.metrics import Gauges, Metrics
from pytest_mcn_mock.cli.opening import open_accounts, opening
from pytest_mcn_mock.cli.output import Outlet
from pytest_mcn_mock.cli.reloading import Reloader
from pytest_mcn_mock.cli.tls import prepared
from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.compose import Fake, compose, prepare_to_send, replica_name, store_name, version
from pytest_mcn_mock.errors import ConfigError, NotFound, StorageFailed
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.webhooks import MACHINE
from pytest_mcn_mock.service.ports import AccountState, Storage
from pytest_mcn_mock.web.guard import Guard
from pytest_mcn_mock.web.server import HttpServer

if TYPE_CHECKING:
    from pytest_mcn_mock.cli.demo import Demo

STOP_S = 10.0
"""How long a stop may take: first the requests in flight, then the pending CDRs."""
MAX_CONNECTIONS = 1024
"""Connections that are served at once; MAX_WAITING more wait in the kernel's queue. Fewer if descriptors are scarce."""
RESERVE: Final = 1024
"""File descriptors for everything but the clients' connections: CDRs, the state, modules that are imported late."""
HEAD_TIMEOUT_S = 10.0
"""How long a request's head may take to arrive, and how long a connection may be idle."""
HEAR_S: Final = 5.0
"""How long a start waits until it hears of the other processes on its state."""
_MANY = 10**9

_log = logging.getLogger("mcn_mock")


def serve(
    config: Config,
    outlet: Outlet,
    demo: Demo | None = None,
    *,
    opens_page: bool = False,
    load: Callable[[], Config] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. ``outlet`` takes lines for the person who started it, ``demo`` fills a day in, and
    ``opens_page`` opens the page in a browser. ``load`` reads the configuration again, at SIGHUP; without it, SIGHUP
    ends the sandbox.

    ConfigError if the address cannot be listened on, OutputLost if the first line cannot be written.
    """
    _collect_seldom()
    asyncio.run(_serve(config, outlet, demo, opens_page=opens_page, load=load))


def _collect_seldom() -> None:
    """Let the garbage collector come when there are 100,000 objects more than before, and spare it the program itself.

    A full journal is some 30,000 objects, of which none is in a cycle. The usual 700 have it go through them all again
    and again, for tens of milliseconds in which nobody is answered, and finds nothing.
    """
    gc.freeze()
    gc.set_threshold(100_000)


async def _serve(
    config: Config, outlet: Outlet, demo: Demo | None, *, opens_page: bool, load: Callable[[], Config] | None
) -> None:
    address = await resolve(config.host)
    is_open = not ip_address(address).is_loopback
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloader = None if load is None else Reloader(config, load)
    on_signals(
        lambda: loop.is_closed() or loop.call_soon_threadsafe(stop.set),
        None if reloader is None else lambda: loop.is_closed() or loop.call_soon_threadsafe(reloader.start),
    )
    is_drawn = is_open and config.admin_token is None
    if is_drawn:
        config = replace(config, admin_token=secrets.token_urlsafe(24))
    max_connections = _connections_within_limit(MAX_CONNECTIONS)
    with prepared(config.tls, config.host) as tls, closing(open_listener(address, config.port)) as listener:
        fake = await _open(config, demo, reloader)
        watching = [asyncio.get_running_loop().create_task(fake.service.storage.watch())]
        try:
            if fake.replicate is not None:
                hears = asyncio.Event()
                watching.append(asyncio.get_running_loop().create_task(fake.replicate(hears.set)))
                with suppress(TimeoutError):  # the database has gone away meanwhile
                    await asyncio.wait_for(hears.wait(), HEAR_S)
            server = HttpServer(
                fake.application,
                max_connections=max_connections,
                head_timeout_s=HEAD_TIMEOUT_S,
                tls=None if tls is None else tls.context(),
            )
            server.start(listener)
            drawn = config.admin_token if is_drawn else None
            accounts = await _accounts(config, fake.service.storage)
            port = listener.getsockname()[1]
            outlet.put(greeting(config, accounts, port, tls, drawn))
            if opens_page:
                open_page(page_url(config.host, port, tls))
            try:
                await _until_stopped(stop, outlet)
            finally:
                await _stop(fake, server, has_state=config.settings.state is not None)
            farewell = await _farewell(fake.service.storage)
        finally:
            for task in watching:
                task.cancel()
            await fake.service.storage.close()
    outlet.put(f"{farewell}\n")


def open_page(url: str) -> None:
    """Open a page in the browser. A thread does it: some browsers return when they are closed."""
    import webbrowser

    def run() -> None:
        if not webbrowser.open(url):
            _log.warning("no browser could be started; open %s yourself", url)

    threading.Thread(target=run, name="mcn-mock-browser", daemon=True).start()


async def _until_stopped(stop: asyncio.Event, outlet: Outlet) -> None:
    """Wait until the sandbox is to stop. OutputLost if its first line cannot be written; later it needs no reader."""
    stopped, written = asyncio.ensure_future(stop.wait()), asyncio.wrap_future(outlet.first)
    await asyncio.wait((stopped, written), return_when=asyncio.FIRST_COMPLETED)
    if written.done():
        written.result()
    else:
        written.cancel()
    await stopped


async def _open(config: Config, demo: Demo | None, reloader: Reloader | None) -> Fake:
    """Return a fake with its accounts, whose pending work goes on."""
    if demo is not None and config.settings.state is not None:
        raise ConfigError("mcn-mock", ["--demo fills a sandbox whose state is in memory; leave one of the two out"])
    if config.reset_state and config.settings.state is None:
        raise ConfigError("mcn-mock", ["--reset-state is for a sandbox with a state; give --state, or leave it out"])
    prepare_to_send()
    if config.settings.state is not None:  # which may have webhooks with https
        make_context(MACHINE)
    fake = _compose(config, demo, reloader)
    try:
        if config.reset_state:
            await fake.service.reset()
        else:
            await open_accounts(config, fake.service)
        await fake.worker.resume()
    except StorageFailed as error:
        await fake.service.storage.close()
        raise ConfigError("state", [error.message]) from error
    except ConfigError:
        await fake.service.storage.close()
        raise
    if demo is not None:
        await demo.fill(fake)
    return fake


async def _accounts(config: Config, storage: Storage) -> Sequence[AccountState]:
    """Return the configured accounts that are open, or the first open one."""
    found = []
    for account in config.accounts:
        with suppress(NotFound):
            found.append(await storage.account(account.id))
    return found or await storage.accounts(0, 1)


def _compose(config: Config, demo: Demo | None, reloader: Reloader | None) -> Fake:
    """Return a fake with its log and metrics. To be called on the loop that is to send its CDRs."""
    clock = SystemClock() if demo is None else demo.clock
    guard = Guard(allowed_hosts=config.allowed_hosts, admin_token=config.admin_token, is_tls=config.tls.is_on)
    metrics = Metrics(version, clock, store=store_name(config.settings), replica=replica_name())
    fake = compose(
        config.settings,
        clock=clock,
        subscribers=[metrics.subscribe_to, logs.subscribe_to],
        opening=partial(opening, config),
        guard=guard,
        render_metrics=metrics.render,
        reload=None if reloader is None else reloader.reload,
        make_sender=None if demo is None else demo.make_sender,
    )
    if reloader is not None:
        reloader.serve(fake, guard)
    metrics.watch(lambda: _gauges(fake, guard))
    return fake


async def _gauges(fake: Fake, guard: Guard) -> Gauges:
    service, load = fake.service, await fake.worker.load()
    counts = await service.storage.counts()
    lag_s = 0.0 if load.oldest_due_at is None else service.clock.now(None) - load.oldest_due_at
    return Gauges(
        pending=counts.pending,
        max_pending=service.calls.max_pending,
        waiting=load.waiting,
        under_way=load.under_way,
        lag_s=max(0.0, lag_s),
        dropped={
            "requests": service.journal.dropped,
            "calls": counts.dropped,
            "events": fake.feed.dropped,
            "log_lines": dropped_lines(),
        },
        guarded=guard.refused,
        is_ready=not await service.why_not_ready(),
    )


async def _stop(fake: Fake, server: HttpServer, *, has_state: bool) -> None:
    """Answer requests in flight, then try once more to send pending CDRs.

    With a state file only those that are due: the others are sent when they are due, after the next start.
    """
    fake.service.is_stopping = True
    fake.feed.close()
    fake.worker.stop_waiting()
    await server.stop(STOP_S)
    await fake.worker.drain(STOP_S, fake.service.clock.now(None) if has_state else math.inf)
    await fake.worker.close()


def _connections_within_limit(wanted: int) -> int:
    """Return how many of the wanted connections can be served, at least one.

    First raise the soft limit of descriptors, as far as needed and as the hard limit allows. If that is not enough,
    keep a quarter of the descriptors for CDRs and the state, and log that.
    """
    limit = _raise_limit(wanted + RESERVE)
    if limit is None:
        return wanted
    possible = max(1, limit - min(RESERVE, max(32, limit // 4)))
    if possible >= wanted:
        return wanted
    _log.warning(
        "at most %d connections are served at once, not %d: this process may open %d files; raise the hard limit, "
        "ulimit -Hn, to %d",
        possible,
        wanted,
        limit,
        wanted + RESERVE,
    )
    return possible


def _raise_limit(needed: int) -> int | None:
    """Raise the limit of descriptors to ``needed`` if possible. Return the limit, or None if there is none."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None if soft == resource.RLIM_INFINITY else soft
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):  # macOS may allow less than its hard limit says
        return soft
    return raised


async def _farewell(storage: Storage) -> str:
    try:
        left = await storage.pending(_MANY)
    except StorageFailed as error:
        return f"mcn-mock stopped; {error.message}"
    if not left:
        return "mcn-mock stopped; no CDR is pending"
    lines = [f"mcn-mock stopped; {len(left)} CDR{'s' if len(left) > 1 else ''} still pending:"]
    lines += [f"  {_pending(delivery)}" for delivery in left[:20]]
    if len(left) > 20:
        lines.append(f"  and {len(left) - 20} more")
    return "\n".join(lines)


def _pending(delivery: Delivery) -> str:
    tried = without_secrets(str(delivery.attempts[-1]), delivery) if delivery.attempts else "no answer yet"
    return f"{delivery.verification_call_uuid} to {redacted(delivery.url)}; {tried}"
