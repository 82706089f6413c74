"""A storage and the steps that its tests take, without a service: each runs on a loop of its own until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from pytest_mcn_mock.model.accounts import Account, add_subscription
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.deliveries import (
    NEXT_CALL,
    Attempt,
    CdrRequest,
    CdrResponse,
    Delivery,
    DeliveryState,
    make_deliveries,
    outcome_of_attempt,
)
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision, Claimed, Ended, Settled, Storage
from pytest_mcn_mock.storage.sql import SqlStorage

T = TypeVar("T")
ORDER = CallOrder(Method.FLASH_CALL, "79157777777")
ASSUMPTIONS = Assumptions(ring_s=1.0)
OPENING, PRICE = 100_000, 15
Decide = Callable[[AccountSnapshot], CallDecision]


def account(account_id: str = "1", *urls: str) -> Account:
    """An account with a webhook at each URL."""
    opened = Account(account_id, f"token-{account_id}", int(account_id))
    for url in urls or ("http://localhost/",):
        opened = add_subscription(opened, make_subscription(url))
    return opened


def accept(snapshot: AccountSnapshot, *, placed_at: float = 0.0, holds: bool = False) -> CallDecision:
    """A call that rings for a second, or until it is completed."""
    call = place(
        snapshot.account,
        snapshot.balance,
        snapshot.accepted_calls,
        ORDER,
        ASSUMPTIONS,
        placed_at,
        seq=snapshot.next_call,
    )
    call = replace(call, ends_at=None if holds else call.ends_at)
    return CallDecision(call, make_deliveries(call, snapshot.account, snapshot.next_delivery, 0.0), snapshot.account)


def accept_ended(snapshot: AccountSnapshot) -> CallDecision:
    """A call that ends as it is placed, at 0.0."""
    decided = accept(snapshot)
    call = end(decided.call, decided.call.planned, 0.0)
    return CallDecision(call, [replace(d, due_at=0.0) for d in decided.deliveries], decided.account)


def finish(call: Call, deliveries: Sequence[Delivery]) -> Ended:
    """Its CDRs are due at 1.0."""
    return Ended(end(call, call.planned, 1.0), [replace(delivery, due_at=1.0) for delivery in deliveries])


def finish_twice_told(call: Call, deliveries: Sequence[Delivery]) -> Ended:
    """Each CDR is sent again when it was settled."""
    ended = finish(call, deliveries)
    again = [replace(delivery, id=0, due_at=None, waits_for=delivery.id) for delivery in ended.deliveries]
    return Ended(ended.call, [*ended.deliveries, *again])


def reorder(call: Call, deliveries: Sequence[Delivery]) -> Ended:
    """Its CDRs wait for one of the account's next call."""
    ended = finish(call, deliveries)
    return Ended(ended.call, [replace(d, due_at=None, waits_for=NEXT_CALL) for d in ended.deliveries])


def fail(*args: object) -> Any:
    """A rule that raises."""
    raise ZeroDivisionError


def render(delivery: Delivery, call: Call, of: Account) -> Delivery:
    """The CDR of a delivery, which is rendered once."""
    if delivery.request is not None:
        return delivery
    request = CdrRequest("POST", delivery.url, {"A": "b"}, f"{call.seq} of {of.id}".encode())
    return replace(delivery, cdr={"q931_status": 16}, request=request)


class Steps:
    """A storage, and the steps of its tests in short. ``run`` runs one that has no short form."""

    def __init__(self, storage: Storage, loop: asyncio.AbstractEventLoop) -> None:
        self.storage = storage
        self.loop = loop
        self.handed: list[Delivery] = []
        self.has_ended = False
        self._watch = loop.create_task(storage.watch())

    @property
    def has_replicas(self) -> bool:
        return self.storage.has_replicas

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)

    def end(self) -> None:
        """Close the storage."""
        self.has_ended = True
        self._watch.cancel()
        self.run(asyncio.wait([self._watch]))
        self.run(self.storage.close())

    def open(self, account_id: str = "1", *urls: str) -> Account:
        return self.run(self.storage.open_account(account(account_id, *urls), OPENING, 0.25))

    def place(self, account_id: str = "1", decide: Decide = accept, *, answered: bool = True) -> Call:
        call = self.run(self.storage.place(account_id, decide)).call
        if answered:
            self.answer(call.verification_call_uuid)
        if isinstance(self.storage, SqlStorage) and self.storage.has_replicas:
            self.run(self.storage.tidy())  # which a running sandbox does every second
        return call

    def answer(self, verification_call_uuid: str) -> float | None:
        """Note that an order's answer was sent; return when its work is due."""
        due_at = self.run(self.storage.answered(verification_call_uuid))
        if self.has_replicas:  # the next claim notes it
            self.claim(limit=0)
        return due_at

    def answered_at(self, due_at: float | None) -> float | None:
        """Return what ``answer`` returns for a call whose work is due then."""
        return 0.0 if self.has_replicas else due_at

    def finish(self, call: Call, decide: Callable[[Call, Sequence[Delivery]], Ended] = finish) -> Ended | None:
        return self.run(self.storage.end_call(call.verification_call_uuid, decide))

    def claim(
        self,
        until: float = 10.0,
        *,
        prepare: Callable[..., Delivery] = render,
        lease_s: float = 60,
        limit: int = 100,
        account_id: str | None = None,
        newest_call: int | None = None,
        under_way: Mapping[str, int] | None = None,
        per_host: int = 100,
    ) -> Claimed:
        work, next_due_at, lacks_room = self.run(
            self.storage.claim(
                until,
                prepare,
                lease_s=lease_s,
                limit=limit,
                account_id=account_id,
                newest_call=newest_call,
                under_way=under_way or {},
                per_host=per_host,
            )
        )
        return Claimed(tuple(work), next_due_at, lacks_room)

    def claimed(self, until: float = 10.0, **how: Any) -> list[Delivery]:
        """The deliveries that a claim took."""
        return [due.delivery for due in self.claim(until, **how).work if due.delivery is not None]

    def settle(
        self, handed: Delivery, *, error: str | None = None, due_at: float | None = None, response: Any = None
    ) -> Settled:
        """The attempt is acknowledged or, with an error, due again at ``due_at``, or was the last one."""

        def decide(delivery: Delivery, of: Account) -> tuple[Delivery, Account]:
            answer = response or CdrResponse(204 if error is None else 500, {"Server": "x"}, b"\xff\x00")
            attempt = Attempt(len(delivery.attempts) + 1, 2.0, 0.25, answer, error)
            return outcome_of_attempt(delivery, handed, attempt, due_at, ignores_response=False), of

        return self.run(self.storage.settle(handed, 3.0, decide))

    def deliver(self, call: Call) -> None:
        """End a call, and acknowledge each of its CDRs."""
        self.finish(call)
        for delivery in self.deliveries_of(call):
            self.change(delivery, state=DeliveryState.DELIVERED, due_at=None)

    def change(self, delivery: Delivery, **changes: Any) -> tuple[Delivery, Delivery]:
        return self.run(self.storage.change_delivery(delivery.id, lambda d, call, of: replace(d, **changes)))

    def resend(self, delivery: Delivery, at: float) -> Delivery:
        changes = {"state": DeliveryState.PENDING, "due_at": at, "resent": delivery.resent + 1, "waits_for": None}
        return self.change(delivery, **changes)[1]

    def deliveries_of(self, call: Call) -> Sequence[Delivery]:
        return self.run(self.storage.deliveries_of(call.verification_call_uuid))

    def balance(self, account_id: str = "1") -> int:
        """What both the account and its ledger say it is."""
        balance = self.run(self.storage.account(account_id)).balance
        entries = self.run(self.storage.ledger(account_id))
        assert balance == entries[-1].balance == sum(entry.kopecks for entry in entries)
        return balance

    def contents(self) -> dict[str, object]:
        """All that can be read."""
        storage, run = self.storage, self.run
        states = run(storage.accounts(0, 1000))
        everyone = [None, *(state.account.id for state in states)]
        calls = run(storage.calls(None, 0, 1000))
        pending = run(storage.pending(1000))
        counts = run(storage.counts())
        assert counts.pending == len(pending)
        return {
            "accounts": states,
            "ledgers": [run(storage.ledger(state.account.id)) for state in states],
            "taken": [n for n in range(1, 10) if run(storage.is_taken(str(n)))],
            "calls": [run(storage.calls(whose, 0, 1000)) for whose in everyone],
            "newest": run(storage.calls(None, 0, 1000, newest_first=True)),
            "deliveries": [run(storage.deliveries(whose, 0, 1000)) for whose in everyone],
            "of each call": [self.deliveries_of(call) for call in calls],
            "pending": pending,
            "counts": counts,
        }
