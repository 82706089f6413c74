"""From settings to a wired operator: the one place that chooses implementations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from pytest_mcn_mock import schemas
from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.domain.calls import Call
from pytest_mcn_mock.domain.deliveries import Delivery
from pytest_mcn_mock.domain.requests import ApiRequest
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.operator.account_settings import AccountSettings
from pytest_mcn_mock.operator.accounts import Accounts
from pytest_mcn_mock.operator.calls import Calls
from pytest_mcn_mock.operator.deliveries import Deliveries
from pytest_mcn_mock.operator.journal import Journal
from pytest_mcn_mock.operator.ports import Clock, Observer
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.store.memory import MemoryStore
from pytest_mcn_mock.web.admin_accounts import AccountsApi
from pytest_mcn_mock.web.admin_monitoring import MonitoringApi
from pytest_mcn_mock.web.admin_schemas import SchemasApi
from pytest_mcn_mock.web.admin_server import ServerApi
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.feed import Feed
from pytest_mcn_mock.webhooks.dispatcher import Dispatcher, Sender
from pytest_mcn_mock.webhooks.timers import Job


class Observers:
    """An observer that tells several."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def changed(self, account_id: str, item: Call | Delivery | ApiRequest | None = None) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.changed(account_id, item)

    def reset(self) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.reset()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A wired operator: what it can do, its HTTP face, its courier, and what tells those who watch it."""

    operator: Operator
    application: Application
    dispatcher: Dispatcher
    clock: Clock
    feed: Feed


def compose(
    settings: Settings,
    post: Callable[[Job], None],
    *,
    clock: Clock | None = None,
    observers: Sequence[Observer] = (),
    restore: Callable[[Operator], None] = lambda _: None,
    make_sender: Callable[[], Sender] | None = None,
) -> Exchange:
    """Wire an operator. ``post`` runs a function on the thread of the event loop that carries the CDRs, and ``restore``
    opens the accounts that it is configured with, at a reset.

    The rest is by default for a server of its own: the machine's time, and CDRs over sockets.
    """
    clock = clock or SystemClock()
    feed = Feed()
    observer = Observers(feed, *observers)
    store = MemoryStore(settings.journal_size)
    dispatcher = Dispatcher(clock, post, make_sender or make_http_sender)
    deliveries = Deliveries(store.accounts, store.calls, clock, dispatcher, observer, settings.assumptions)
    operator = Operator(
        accounts=Accounts(store.accounts, clock, observer, settings.tariff),
        settings=AccountSettings(store.accounts, observer),
        calls=Calls(
            store.calls,
            clock,
            dispatcher,
            deliveries,
            observer,
            settings.assumptions,
            magic_numbers=settings.magic_numbers,
        ),
        deliveries=deliveries,
        journal=Journal(clock, observer, settings.journal_size),
        assumptions=settings.assumptions,
        courier=dispatcher,
        observer=observer,
        restore=restore,
    )
    dispatcher.serve(operator)
    feed.serve(operator)
    admin = {
        **AccountsApi(operator).endpoints(),
        **MonitoringApi(operator).endpoints(),
        **ServerApi(operator, clock, feed, version("pytest-mcn-mock")).endpoints(),
        **SchemasApi(schemas.read).endpoints(),
    }
    application = Application(ClientApi(operator), admin, operator.journal, settings.assumptions)
    return Exchange(operator, application, dispatcher, clock, feed)


def make_http_sender() -> Sender:
    """What sends CDRs over sockets."""
    # aiohttp takes longer to import than everything else together, and a test without a webhook never needs it.
    from pytest_mcn_mock.webhooks.sender import HttpSender

    return HttpSender()
