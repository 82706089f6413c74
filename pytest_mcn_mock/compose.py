"""From settings to a wired operator: the one place that chooses implementations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.delivery.dispatcher import Dispatcher
from pytest_mcn_mock.delivery.lanes import Sender
from pytest_mcn_mock.delivery.timers import Job
from pytest_mcn_mock.model.webhooks import Targets, make_targets
from pytest_mcn_mock.queue import CallQueue
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.service.account_settings import AccountSettings
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.service.calls import Calls
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.service.ports import Clock, Durability, Item, Observer
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.storage.memory import MemoryStore
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.feed import Feed
from pytest_mcn_mock.web.guard import Guard
from pytest_mcn_mock.web.readiness import Readiness

if TYPE_CHECKING:
    from pytest_mcn_mock.storage.sql import SqlStore
    from pytest_mcn_mock.web.admin_operations import Render
    from pytest_mcn_mock.web.http import Endpoints

_log = logging.getLogger("mcn_mock")


class Observers:
    """An observer that tells several. If one raises, that is logged: what it was told of has happened all the same."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def changed(self, account_id: str, item: Item | None = None, before: Item | None = None) -> None:
        """Tell each."""
        for observer in self._observers:
            try:
                observer.changed(account_id, item, before)
            except Exception:
                _log.exception("an observer failed")

    def closed(self, account_id: str) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.closed(account_id)

    def reset(self) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.reset()


class _OnceKept:
    """An observer that tells another of a change once that is kept, and never of one that was lost."""

    def __init__(self, observer: Observer, when_kept: Callable[[Callable[[], None]], None]) -> None:
        self._observer = observer
        self._when_kept = when_kept

    def changed(self, account_id: str, item: Item | None = None, before: Item | None = None) -> None:
        """Tell it later."""
        self._when_kept(lambda: self._observer.changed(account_id, item, before))

    def closed(self, account_id: str) -> None:
        """Tell it later."""
        self._when_kept(lambda: self._observer.closed(account_id))

    def reset(self) -> None:
        """Tell it later."""
        self._when_kept(self._observer.reset)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A wired operator: what it can do, its HTTP face, its courier, and what tells those who watch it.

    ``durability`` says whether what was said is kept, and is to be closed at the end.
    """

    operator: Operator
    application: Application
    dispatcher: Dispatcher
    clock: Clock
    feed: Feed
    readiness: Readiness
    durability: Durability


def compose(
    settings: Settings,
    post: Callable[[Job], None],
    *,
    clock: Clock | None = None,
    observers: Sequence[Observer] = (),
    restore: Callable[[Operator], None] = lambda _: None,
    guard: Guard | None = None,
    render_metrics: Render | None = None,
    make_sender: Callable[[Targets | None], Sender] | None = None,
) -> Exchange:
    """Wire an operator. ``post`` runs a function on the thread of the event loop that carries the CDRs, and ``restore``
    opens the accounts that it is configured with, at a reset.

    The rest is by default for a server of its own: the machine's time, CDRs over sockets, and a guard without a token.
    UsageError for settings that cannot be.
    """
    store = open_store(settings)
    clock = clock or SystemClock()
    # The time may have been put forward before the process that left the state ended.
    clock.move(None, max(0.0, store.latest - clock.now(None)))
    guard = guard or Guard()
    targets = None if settings.webhook_targets is None else make_targets(settings.webhook_targets)
    feed = Feed()
    queue: CallQueue | None = None
    if settings.when_overloaded == "wait":
        is_full = lambda: store.calls.count_pending() >= settings.max_pending  # noqa: E731
        queue = CallQueue(is_full, partial(_call_later, post), settings.max_wait_s)
    telling: Observer = Observers(feed, *observers)
    journal = Journal(clock, telling, settings.journal_size)  # requests are not part of the state
    if store.when_kept is not None:
        telling = _OnceKept(telling, store.when_kept)
    observer = telling if queue is None else Observers(telling, queue)
    dispatcher = Dispatcher(clock, post, partial(make_sender or make_http_sender, targets), store)
    deliveries = Deliveries(
        store.accounts, store.calls, clock, dispatcher, observer, settings.assumptions, store.when_kept
    )
    operator = Operator(
        accounts=Accounts(store.accounts, clock, observer, settings.tariff, targets),
        settings=AccountSettings(store.accounts, observer, targets),
        calls=Calls(
            store.calls,
            clock,
            dispatcher,
            deliveries,
            observer,
            store,
            settings.assumptions,
            max_pending=settings.max_pending,
            magic_numbers=settings.magic_numbers,
            queue=queue,
        ),
        deliveries=deliveries,
        journal=journal,
        assumptions=settings.assumptions,
        courier=dispatcher,
        observer=observer,
        restore=restore,
    )
    dispatcher.serve(operator)
    feed.serve(operator)
    readiness = Readiness()
    readiness.add(lambda: "overloaded" if operator.calls.is_overloaded() else None)
    readiness.add(lambda: "storage_failed" if store.failure else None)
    admin = partial(_admin_endpoints, operator, clock, feed, guard, readiness, render_metrics)
    application = Application(ClientApi(operator), admin, operator.journal, settings.assumptions, guard, store)

    def recover() -> None:
        store.reopen()
        deliveries.record_lost()
        operator.resume()

    store.on_recovery = lambda: post(recover)
    store.on_kept = lambda: post(store.tell_kept)
    return Exchange(operator, application, dispatcher, clock, feed, readiness, store)


def _admin_endpoints(
    operator: Operator, clock: Clock, feed: Feed, guard: Guard, readiness: Readiness, render_metrics: Render | None
) -> Endpoints:
    """The admin API and the page."""
    # Most tests never ask it, and its modules and routes take 12 ms.
    from pytest_mcn_mock import schemas
    from pytest_mcn_mock.web.admin_accounts import AccountsApi
    from pytest_mcn_mock.web.admin_monitoring import MonitoringApi
    from pytest_mcn_mock.web.admin_operations import OperationsApi
    from pytest_mcn_mock.web.admin_schemas import SchemasApi
    from pytest_mcn_mock.web.admin_server import ServerApi
    from pytest_mcn_mock.web.page import Page

    return {
        **AccountsApi(operator).endpoints(),
        **MonitoringApi(operator).endpoints(),
        **ServerApi(operator, clock, feed).endpoints(),
        **OperationsApi(readiness, guard, _version(), render_metrics).endpoints(),
        **SchemasApi(schemas.read).endpoints(),
        **Page().endpoints(),
    }


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("pytest-mcn-mock")


def preload() -> None:
    """Import and read now what is otherwise loaded when it is first needed: a test may replace the file system."""
    from pytest_mcn_mock import schemas
    from pytest_mcn_mock.web import (  # noqa: F401 - to have them loaded
        admin_accounts,
        admin_monitoring,
        admin_operations,
        admin_schemas,
        admin_server,
        page,
    )

    prepare_to_send(is_tls=False)
    _version()
    page.preload()
    for name in schemas.names():
        schemas.read(name)


def _call_later(post: Callable[[Job], None], seconds: float, job: Job) -> None:
    def begin() -> None:
        asyncio.get_running_loop().call_later(seconds, job)

    post(begin)


def open_store(settings: Settings) -> MemoryStore | SqlStore:
    """The store that the settings ask for. ConfigError where its database cannot be used."""
    if settings.state is None:
        return MemoryStore(settings.journal_size)
    # SQLAlchemy is of the sandbox's extra.
    from pytest_mcn_mock.storage.sql import SqlStore

    return SqlStore(settings.state, settings.journal_size)


def prepare_to_send(*, is_tls: bool) -> None:
    """Load what CDRs over sockets need. Later, in an attempt, there may be no file descriptor to read it with."""
    import pytest_mcn_mock.delivery.sender  # noqa: F401 - see make_http_sender

    if is_tls:
        from pytest_mcn_mock.certificates import make_context
        from pytest_mcn_mock.model.webhooks import MACHINE

        make_context(MACHINE)


def make_http_sender(targets: Targets | None = None) -> Sender:
    """What sends CDRs over sockets, to the targets alone if there are any."""
    # A test without a webhook never needs it, nor httptools.
    from pytest_mcn_mock.delivery.sender import HttpSender

    return HttpSender(targets)
