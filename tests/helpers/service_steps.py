"""The service over the storage in memory, with one account: its steps in short, a scripted sender, and a storage that
can be made to fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self
from unittest import mock

from msgspec.structs import replace

from pytest_mcn_mock import compose as composing
from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.errors import SendError, StorageFailed
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.money import Entry, Method
from pytest_mcn_mock.model.outcomes import Ending, Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.deliveries import Result
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.service.ports import Clock
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.storage.memory import MemoryStorage

from .in_process import run

ACCOUNT, TOKEN, CONNECTED = "12345678", "test-token", "79158888888"
HOOK = "http://localhost/hook"
FLASH = CallOrder(Method.FLASH_CALL, "79157777777")
FROM_SLOVAKIA = replace(FLASH, country_id="703")
CALL_FOR_2FA = CallOrder(Method.CALL_FOR_2FA, "79157777777", caller_did=CONNECTED)
BUSY, ANSWERED = (ending(outcome, unavailable_cause=18) for outcome in (Outcome.BUSY, Outcome.ANSWERED))


class FailingStorage:
    """The storage in memory, whose steps that are named in ``failing`` cannot be kept."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self.failing: set[str] = set()
        self.refused: list[str] = []
        """The steps that failed, in order."""
        self.on_recovery: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        if name in self.failing:
            return self._fail(name)
        return getattr(self._storage, name)

    def recover(self) -> None:
        """Every step can be kept again."""
        self.failing.clear()
        self.on_recovery()

    def _fail(self, name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def fail(*_: Any, **__: Any) -> None:
            self.refused.append(name)
            raise StorageFailed("the disk is full")

        return fail


class ScriptedSender:
    """A sender. Attempts to a URL get the statuses of its list in turn, 204 when there are no more; None is no answer.

    An attempt to a URL in ``held`` waits until ``answer``.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, list[int | None]] = {}
        self.held: set[str] = set()
        self.sent: list[CdrRequest] = []
        self.raising: list[Exception] = []
        """What the next attempts raise."""
        self._waiting: dict[int, asyncio.Future[int]] = {}

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """What the script says."""
        number = len(self.sent)
        self.sent.append(request)
        if self.raising:
            raise self.raising.pop(0)
        statuses = self.statuses.get(request.url, [])
        status = statuses.pop(0) if statuses else 204
        if request.url in self.held:
            self._waiting[number] = asyncio.get_running_loop().create_future()
            status = await self._waiting[number]
        if status is None:
            raise SendError("no answer")
        return CdrResponse(status, {}, b"")

    def answer(self, number: int, status: int = 204) -> None:
        """Let an attempt be answered, by the order in which they were made, from 0."""
        self._waiting[number].set_result(status)

    def urls(self) -> list[str]:
        """Where what was sent went, in order."""
        return [request.url for request in self.sent]

    async def close(self) -> None:
        """Nothing is open."""


class ServiceSteps:
    """A fake with one account, which has 100 roubles and a number, and an event for each thing that happens.

    Without a running worker (``steps``) nothing is sent but by ``attempt``. ``async with`` runs the worker on the loop
    of the test.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        balance: str = "100.00",
        settings: dict[str, Any] | None = None,
        **assumed: Any,
    ) -> None:
        self.clock = clock or VirtualClock()
        made = Settings(assumptions=Assumptions(**assumed), **settings or {})
        self.storage = FailingStorage(MemoryStorage(made.journal_size, has_one_time=self.clock.is_shared))
        self.sender = ScriptedSender()
        self.events: list[Event] = []
        self._is_running = False
        with mock.patch.object(composing, "open_storage", return_value=self.storage):
            self.fake: Fake = compose(
                made,
                post=lambda job: job() if self._is_running else None,
                clock=self.clock,
                subscribers=[lambda events: events.subscribe_to_all(self.events.append)],
                make_sender=lambda _: self.sender,
            )
        self.service = self.fake.service
        self.worker = self.fake.worker
        self.open(ACCOUNT, token=TOKEN, balance=balance, numbers=[CONNECTED])
        self.events.clear()

    async def __aenter__(self) -> Self:
        self._is_running = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.close()

    # Accounts

    def open(self, account_id: str, *, balance: str = "100.00", **how: Any) -> Account:
        return run(self.service.accounts.open(seed=1, balance=balance, account_id=account_id, **how))

    def change(self, change: Callable[..., Account], *values: Any, account_id: str = ACCOUNT) -> Account:
        """Change an account by a function of ``model.accounts``."""
        return run(self.service.accounts.change(account_id, lambda account: change(account, *values))).account

    def subscribe(self, url: str = HOOK, *, account_id: str = ACCOUNT, **settings: Any) -> None:
        self.change(rules.add_subscription, make_subscription(url, **settings), account_id=account_id)

    def ring(self, delay_s: float, how: Ending = BUSY, account_id: str = ACCOUNT) -> None:
        """Calls from now on ring for so long."""
        self.change(rules.prefer_rule, OutcomeRule(how, "*", delay_s), account_id=account_id)

    def hold(self, *, held: bool = True) -> None:
        """Calls from now on ring until they are completed, or do not."""
        self.change(lambda account: replace(account, calls_held=held))

    def inject(self, kind: FaultKind, **how: Any) -> None:
        self.change(rules.add_fault, Fault(kind, **how))

    def account(self, account_id: str = ACCOUNT) -> Account:
        return run(self.service.accounts.get(account_id))

    def balance(self) -> int:
        return run(self.service.accounts.balance(ACCOUNT))

    def ledger(self) -> Sequence[Entry]:
        return run(self.service.storage.ledger(ACCOUNT))

    # Calls

    def place(self, order: CallOrder = FLASH, account_id: str = ACCOUNT) -> Call:
        """A call whose answer has not been sent."""
        return run(self.service.calls.place(account_id, order))

    def call(self, order: CallOrder = FLASH, account_id: str = ACCOUNT) -> Call:
        placed = self.place(order, account_id)
        run(self.service.calls.answered(placed.verification_call_uuid))
        return placed

    def calls(self) -> list[Call]:
        return list(run(self.service.storage.calls(None, 0, 1000)))

    def complete(self, call: Call, how: Ending | None = None) -> Call:
        return run(self.service.calls.complete(call.verification_call_uuid, how))

    def of(self, call: Call) -> Call:
        """The call as it is now."""
        return run(self.service.storage.call(call.verification_call_uuid))

    # Deliveries

    def deliveries(self) -> list[Delivery]:
        return list(run(self.service.storage.deliveries(None, 0, 1000)))

    def delivery(self, delivery_id: int = 1) -> Delivery:
        return run(self.service.storage.delivery(delivery_id))

    def states(self) -> list[str]:
        return [str(delivery.state) for delivery in self.deliveries()]

    def claim(self, until: float | None = None, account_id: str = ACCOUNT) -> list[Delivery]:
        """Take the deliveries that are due, or that will be by then, and end the calls that are."""
        now = self.clock.now(account_id) if until is None else until
        claimed = self.service.storage.claim(
            now,
            self.service.deliveries.prepare,
            lease_s=60,
            limit=100,
            account_id=account_id,
            under_way={},
            per_host=100,
        )
        work = run(claimed).work
        for due in work:
            if due.delivery is None:
                run(self.service.calls.end(due.call.verification_call_uuid))
        return [due.delivery for due in work if due.delivery is not None]

    def settle(self, claimed: Delivery, status: int | None = 204) -> Delivery:
        """The endpoint answers an attempt with the status, or not at all."""
        response = None if status is None else CdrResponse(status, {}, b"")
        result = Result(self.clock.now(ACCOUNT), 0.01, response, None if response else "no answer")
        run(self.service.deliveries.settle(claimed, result))
        return self.delivery(claimed.id)

    def attempt(self, status: int | None = 204) -> Delivery:
        """Make the one attempt that is due."""
        (claimed,) = self.claim()
        return self.settle(claimed, status)

    def contents(self) -> tuple[object, ...]:
        """All that a refused step has to leave as it was."""
        return (self.account(), self.balance(), self.ledger(), self.calls(), self.deliveries())


async def spin() -> None:
    """Let everything happen that needs no time to pass."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what needs a little time to pass."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.001)
