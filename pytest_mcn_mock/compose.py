"""From settings to a wired operator: the one place that chooses implementations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.operator.accounts import Accounts
from pytest_mcn_mock.operator.calls import Calls
from pytest_mcn_mock.operator.deliveries import Deliveries
from pytest_mcn_mock.operator.ports import Observer
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.store.memory import MemoryStore
from pytest_mcn_mock.web.admin_api import AdminApi
from pytest_mcn_mock.web.application import Application
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.webhooks.dispatcher import Dispatcher, Job, Sender


class SystemClock:
    """The machine's time, read once and carried on by the monotonic clock, so that it never goes back."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset + time.monotonic()


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


def compose(settings: Settings, post: Callable[[Job], None], observer: Observer | None = None) -> Exchange:
    """Wire an operator. ``post`` runs a function on the thread of the event loop that carries the CDRs."""
    clock = SystemClock()
    observer = observer or Unobserved()
    store = MemoryStore(settings.journal_size)
    dispatcher = Dispatcher(clock, post, _make_sender)
    operator = Operator(
        accounts=Accounts(store.accounts, clock, settings.tariff),
        calls=Calls(store.calls, clock, dispatcher, observer, settings.assumptions),
        deliveries=Deliveries(store.accounts, store.calls, observer, settings.assumptions),
        assumptions=settings.assumptions,
    )
    dispatcher.serve(operator)
    application = Application(ClientApi(operator), AdminApi(operator, version("pytest-mcn-mock")), settings.assumptions)
    return Exchange(operator, application, dispatcher)


def _make_sender() -> Sender:
    # aiohttp takes longer to import than everything else together, and a test without a webhook never needs it.
    from pytest_mcn_mock.webhooks.sender import HttpSender

    return HttpSender()
