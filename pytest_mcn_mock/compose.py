"""Make a running fake from settings: the only place that chooses implementations."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.delivery.late import LateWorker
from pytest_mcn_mock.model.webhooks import Targets, make_targets
from pytest_mcn_mock.service import Opening, Service
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.events import Events
from pytest_mcn_mock.service.journal import Journal, Numbers, OwnNumbers
from pytest_mcn_mock.service.mistakes import Mistakes
from pytest_mcn_mock.service.ports import Clock, Storage, Worker
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.storage.memory import MemoryStorage
from pytest_mcn_mock.text import printable
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.dialects import DIALECTS
from pytest_mcn_mock.web.feed import Feed
from pytest_mcn_mock.web.guard import Guard
from pytest_mcn_mock.web.http import Endpoints

if TYPE_CHECKING:
    from pytest_mcn_mock.delivery.worker import DeliveryWorker, Sender

Subscriber = Callable[[Events], object]
"""Subscribes itself to the events that it wants."""
Post = Callable[[Callable[[], None]], None]
"""Runs a function on the event loop, soon; at once if it is called there."""
Replicate = Callable[[Callable[[], object]], Coroutine[Any, Any, None]]
"""Talks to the other processes on the same state until cancelled. Calls the function when it hears of all that happens
there.
"""
RenderMetrics = Callable[[], Awaitable[tuple[str, bytes]]]
"""The metrics' content type and text."""
Reload = Callable[[], Awaitable[Struct]]
"""Loads the configuration file again. Returns what came of it, as the admin API shows it."""


class Fake(Struct, frozen=True, eq=False):
    """A fake operator: the service, its HTTP API, the worker that sends its CDRs, and its live events."""

    service: Service
    application: Application
    late_worker: LateWorker
    feed: Feed
    replicate: Replicate | None = None
    """Talks to the other processes on the same state; None if it can have no others."""

    @property
    def worker(self) -> DeliveryWorker:
        """Return the worker. A server in a test's process asks ``late_worker`` in its place."""
        return self.late_worker.get()

    def use(self, settings: Settings) -> None:
        """Use these settings from now on, except those that are fixed when a fake is made: the state, the size of the
        journal and the targets of webhooks. An account keeps the tariff that it has.
        """
        assumptions, service = settings.assumptions, self.service
        service.assumptions = service.calls.assumptions = service.deliveries.assumptions = assumptions
        service.calls.max_pending, service.calls.magic_numbers = settings.max_pending, settings.magic_numbers
        service.accounts.default_tariff = settings.tariff
        self.worker.ack_timeout_s = assumptions.ack_timeout_s
        self.application.use(assumptions)


def compose(
    settings: Settings,
    *,
    post: Post | None = None,
    clock: Clock | None = None,
    subscribers: Sequence[Subscriber] = (),
    opening: Opening = lambda _: (),
    guard: Guard | None = None,
    render_metrics: RenderMetrics | None = None,
    reload: Reload | None = None,
    make_sender: Callable[[Targets | None], Sender] | None = None,
) -> Fake:
    """Make a fake. ``post`` reaches the event loop that owns its state from other threads, if other threads ask
    anything of the fake (see ``testing.door``). ``opening`` makes the accounts that it is configured with.

    By default it is a server of its own: the machine's time, CDRs over sockets, and a guard without a token.
    UsageError or ConfigError for invalid settings.
    """
    clock = clock or SystemClock()
    storage = open_storage(settings, has_one_time=clock.is_shared)
    # The time may have been put forward before the process that left the state ended.
    if not storage.has_replicas:
        clock.move(None, max(0.0, storage.latest - clock.now(None)))
    targets = None if settings.webhook_targets is None else make_targets(settings.webhook_targets)
    events, feed = Events(), Feed(storage)
    events.subscribe_to_all(feed.hear)
    for subscriber in subscribers:
        subscriber(events)
    assumptions = settings.assumptions
    sender = partial(make_sender or make_http_sender, targets)
    late = LateWorker(partial(_make_worker, storage, clock, post, sender, assumptions.ack_timeout_s))
    worker: Worker = late.get() if post is None else late
    # Requests are not part of the state; the processes that share one tell each other of them.
    journal = Journal(clock, events, settings.journal_size, _request_numbers(storage))
    service = Service(
        storage=storage,
        clock=clock,
        worker=worker,
        accounts=Accounts(storage, clock, worker, events, journal, settings.tariff, targets),
        calls=Calls(
            storage,
            clock,
            worker,
            events,
            assumptions,
            max_pending=settings.max_pending,
            magic_numbers=settings.magic_numbers,
        ),
        deliveries=Deliveries(storage, clock, worker, events, assumptions),
        journal=journal,
        mistakes=Mistakes(storage, clock, journal),
        events=events,
        assumptions=assumptions,
        opening=opening,
    )
    late.serve(service)
    storage.on_recovery = late.recover
    guard = guard or Guard()
    admin = partial(_admin_endpoints, service, feed, guard, store_name(settings), render_metrics, reload)
    client_apis = [ClientApi(service, dialect) for dialect in DIALECTS]
    application = Application(client_apis, admin, service.journal, assumptions, guard)
    replicate = _join_replicas(service, late.get(), feed, guard) if storage.has_replicas else None
    return Fake(service, application, late, feed, replicate)


def _make_worker(
    storage: Storage, clock: Clock, post: Post | None, make_sender: Callable[[], Sender], ack_timeout_s: float
) -> DeliveryWorker:
    from pytest_mcn_mock.delivery.worker import DeliveryWorker  # see LateWorker

    return DeliveryWorker(storage, clock, post, make_sender, ack_timeout_s)


def _join_replicas(service: Service, worker: DeliveryWorker, feed: Feed, guard: Guard) -> Replicate:
    from pytest_mcn_mock.storage.replicas import Replicas  # of the extra "postgres"

    replicas = Replicas(
        service, replica_name(), show=feed.hear, is_watched=feed.is_watched, miss=feed.miss, look=worker.look
    )
    service.events.subscribe_to_all(replicas.hear)
    service.until_others_answered = replicas.until_answered
    service.put_forward = replicas.put_forward
    service.read_requests = replicas.read_requests
    guard.set_session_key(replicas.session_key)
    return replicas.run


def _request_numbers(storage: Storage) -> Numbers:
    if not storage.has_replicas:
        return OwnNumbers()
    from pytest_mcn_mock.storage.replicas import SharedNumbers  # of the extra "postgres"

    return SharedNumbers(storage)


def _admin_endpoints(
    service: Service,
    feed: Feed,
    guard: Guard,
    store: str,
    render_metrics: RenderMetrics | None,
    reload: Reload | None,
) -> Endpoints:
    """Return the endpoints of the admin API and the page."""
    # Most tests never ask it, and its modules and routes take 12 ms.
    from pytest_mcn_mock import schemas
    from pytest_mcn_mock.web.admin import AdminApi
    from pytest_mcn_mock.web.page import Page

    return {
        **AdminApi(
            service,
            feed,
            guard,
            version=version(),
            store=store,
            replica=replica_name(),
            render_metrics=render_metrics,
            reload=reload,
            read_schema=schemas.read,
        ).endpoints(),
        **Page().endpoints(),
    }


@cache
def version() -> str:
    """Return the version of the package. To find it takes 5 ms, and a start does not need it."""
    from importlib import metadata

    return metadata.version("pytest-mcn-mock")


@cache
def replica_name() -> str:
    """Return the name of this process among those that share its state: MCN_MOCK_REPLICA, or host name and process."""
    import socket

    return printable(os.environ.get("MCN_MOCK_REPLICA") or f"{socket.gethostname()}-{os.getpid()}", 100)


def store_name(settings: Settings) -> str:
    """Return the kind of the state: ``memory``, ``sqlite`` or ``postgresql``."""
    return "memory" if settings.state is None else settings.state.partition(":")[0]


def preload() -> None:
    """Load now everything that is otherwise loaded later, because a test may replace the file system."""
    from pytest_mcn_mock import schemas
    from pytest_mcn_mock.web import admin, page  # noqa: F401 - to have them loaded

    prepare_to_send()
    version()
    replica_name()
    page.preload()
    for name in schemas.names():
        schemas.read(name)


def open_storage(settings: Settings, *, has_one_time: bool) -> Storage:
    """Return the storage that the settings name. Raises ConfigError if its database cannot be used."""
    if settings.state is None:
        return MemoryStorage(settings.journal_size, has_one_time=has_one_time)
    # SQLAlchemy is of the sandbox's extra.
    from pytest_mcn_mock.storage.database import is_postgres
    from pytest_mcn_mock.storage.sql import SqlStorage
    from pytest_mcn_mock.storage.transactions import Transactions

    if not is_postgres(settings.state):
        return SqlStorage(partial(Transactions, settings.state), settings.journal_size)
    from pytest_mcn_mock.storage.postgres import Postgres  # of the extra "postgres"

    return SqlStorage(partial(Postgres, settings.state), settings.journal_size)


def prepare_to_send() -> None:
    """Load the modules that CDRs over sockets need. Later, during an attempt, no file descriptor may be free."""
    import pytest_mcn_mock.delivery.client  # see make_http_sender
    import pytest_mcn_mock.delivery.worker  # noqa: F401 - see LateWorker


def make_http_sender(targets: Targets | None = None) -> Sender:
    """Return the sender of CDRs over sockets. With targets it connects to nothing else."""
    # A test without a webhook never needs it, nor httptools.
    from pytest_mcn_mock.delivery.client import HttpSender

    return HttpSender(targets)
