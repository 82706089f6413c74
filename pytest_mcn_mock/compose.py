"""From settings to a wired operator: the one place that chooses implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.operator.accounts import Accounts
from pytest_mcn_mock.operator.calls import Calls
from pytest_mcn_mock.operator.deliveries import Deliveries
from pytest_mcn_mock.operator.journal import Journal
from pytest_mcn_mock.operator.ports import Clock, Observer
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.store.memory import MemoryStore
from pytest_mcn_mock.web.admin_api import AdminApi
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.webhooks.dispatcher import Dispatcher, Sender
from pytest_mcn_mock.webhooks.timers import Job


class Unobserved:
    """An observer for a server that nobody waits on."""

    def changed(self, account_id: str) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A wired operator: what it can do, its HTTP face, and its courier."""

    operator: Operator
    application: Application
    dispatcher: Dispatcher
    clock: Clock


def compose(
    settings: Settings,
    post: Callable[[Job], None],
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    make_sender: Callable[[], Sender] | None = None,
) -> Exchange:
    """Wire an operator. ``post`` runs a function on the thread of the event loop that carries the CDRs.

    The rest is by default for a server of its own: the machine's time, nobody who waits, and CDRs over sockets.
    """
    clock = clock or SystemClock()
    observer = observer or Unobserved()
    store = MemoryStore(settings.journal_size)
    dispatcher = Dispatcher(clock, post, make_sender or make_http_sender)
    deliveries = Deliveries(store.accounts, store.calls, clock, dispatcher, observer, settings.assumptions)
    operator = Operator(
        accounts=Accounts(store.accounts, clock, settings.tariff),
        calls=Calls(store.calls, clock, dispatcher, deliveries, observer, settings.assumptions),
        deliveries=deliveries,
        journal=Journal(clock, observer, settings.journal_size),
        assumptions=settings.assumptions,
    )
    dispatcher.serve(operator)
    application = Application(
        ClientApi(operator), AdminApi(operator, version("pytest-mcn-mock")), operator.journal, settings.assumptions
    )
    return Exchange(operator, application, dispatcher, clock)


def make_http_sender() -> Sender:
    """What sends CDRs over sockets."""
    # aiohttp takes longer to import than everything else together, and a test without a webhook never needs it.
    from pytest_mcn_mock.webhooks.sender import HttpSender

    return HttpSender()
