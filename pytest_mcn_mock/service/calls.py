"""Placing calls and ending them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, Refusal, RefusalCode, StorageFailed
from pytest_mcn_mock.flow import on_loop
from pytest_mcn_mock.model.accounts import take_fault
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, account_of, add_reasons, end
from pytest_mcn_mock.model.cdr import Cdr
from pytest_mcn_mock.model.deliveries import Delivery, apply_cdr_fault, filter_deliveries, make_deliveries
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.outcomes import Ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.events import CallEnded, CallPlaced, Events
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision, Clock, Ended, Storage, Worker

ANSWERS_S: Final = 5.0
"""How long an advance waits for answers that are not sent yet: a client may be slow."""


class Calls:
    """The switch: an order is decided, charged and recorded in one step; its end and its CDRs follow the answer.

    Which answers are still being sent here is known only here; the storage notes that one was sent. ``assumptions``,
    ``max_pending`` and ``magic_numbers`` are for the orders from now on: they may be replaced at any time.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        worker: Worker,
        events: Events,
        assumptions: Assumptions,
        *,
        max_pending: int,
        magic_numbers: bool,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._worker = worker
        self._events = events
        self.assumptions = assumptions
        self.max_pending = max_pending
        self.magic_numbers = magic_numbers
        self._unanswered: set[str] = set()
        self.open_orders: set[str] = set()
        """Calls whose order is not answered yet."""
        self._unkept_answers: set[str] = set()
        """Calls whose answer was sent while the storage could not keep that."""
        self._waits: list[tuple[set[str], Callable[[], object]]] = []

    async def place(self, account_id: str, order: CallOrder) -> Call:
        """Accept an order and charge for it. Raises a Refusal with the reason if the order is refused.

        Call ``answered`` when the answer was sent: the call ends, and its CDRs are sent, after that. With the fault
        ``cdr_early`` the CDR comes before the answer.
        """
        decided = await self._storage.place(account_id, partial(self._decide, order))
        call = decided.call
        self._unanswered.add(call.verification_call_uuid)
        self.open_orders.add(call.verification_call_uuid)
        self._events.publish(CallPlaced(call))
        if call.ending is not None:
            self._events.publish(CallEnded(call))
        if call.cdr_fault is not None and call.cdr_fault.kind is FaultKind.CDR_EARLY and decided.deliveries:
            await self._send_early(call)
        return call

    async def answered(self, verification_call_uuid: str) -> None:
        """Make the work of a call due: the answer to its order was sent."""
        self.open_orders.discard(verification_call_uuid)
        try:
            due_at = await self._storage.answered(verification_call_uuid)
        except StorageFailed:
            self._unkept_answers.add(verification_call_uuid)
            return
        finally:
            self.wait_no_more(verification_call_uuid)
        if due_at is not None:
            self._worker.wake(account_of(verification_call_uuid), due_at)

    def wait_no_more(self, verification_call_uuid: str) -> None:
        """Let no advance wait for the call's answer: it was sent, or a fault delays it."""
        self._unanswered.discard(verification_call_uuid)
        for uuids, tell in self._waits:
            uuids.discard(verification_call_uuid)
            if not uuids:
                tell()

    async def until_answered(self) -> None:
        """Wait until every order that was accepted so far was answered, ANSWERS_S at most."""
        if not self._unanswered:
            return
        import asyncio

        await on_loop()
        loop, is_over = asyncio.get_running_loop(), asyncio.Event()
        waiting = set(self._unanswered), lambda: loop.call_soon_threadsafe(is_over.set)
        self._waits.append(waiting)
        try:
            async with asyncio.timeout(ANSWERS_S):
                await is_over.wait()
        except TimeoutError:
            pass
        finally:
            self._waits.remove(waiting)

    def forget_all(self) -> None:
        """Wait for no call's answer any more: every call is forgotten."""
        self._unkept_answers.clear()
        for uuid in tuple(self._unanswered):
            self.wait_no_more(uuid)

    async def recover(self) -> None:
        """Keep which orders were answered while the storage failed: it works again."""
        lost, self._unkept_answers = self._unkept_answers, set()
        for uuid in lost:
            await self.answered(uuid)

    async def end(self, verification_call_uuid: str, how: Ending | None = None) -> Ended | None:
        """End a ringing call, as planned if ``how`` is None. Return None if it has ended, or is gone."""

        def decide(call: Call, deliveries: Sequence[Delivery]) -> Ended:
            now = self._clock.now(call.account_id)
            call = end(call, how or call.planned, now)
            due_at = now + self.assumptions.cdr_delay_s
            return Ended(*self._follow_end(call, [replace(delivery, due_at=due_at) for delivery in deliveries]))

        ended = await self._storage.end_call(verification_call_uuid, decide)
        if ended is not None:
            self._events.publish(CallEnded(ended.call))
            for due_at in {delivery.due_at for delivery in ended.deliveries if delivery.due_at is not None}:
                self._worker.wake(ended.call.account_id, due_at)
        return ended

    async def complete(self, verification_call_uuid: str, how: Ending | None = None) -> Call:
        """End a ringing call manually, now, and return it: the lists may no longer have it.

        Raise NotFound if there is no such call, and Conflict if it has ended.
        """
        ended = await self.end(verification_call_uuid, how)
        if ended is None:
            call = await self._storage.call(verification_call_uuid)
            raise Conflict(Reason("call_ended", {"uuid": verification_call_uuid, "ending": str(call.ending)}))
        return ended.call

    async def is_overloaded(self) -> bool:
        """Return whether a call that would add a CDR is refused now, because too many are pending."""
        counts = await self._storage.counts()
        return max(counts.unlisted, counts.pending) >= self.max_pending

    def _decide(self, order: CallOrder, snapshot: AccountSnapshot) -> CallDecision:
        account = snapshot.account
        call = place(
            account,
            snapshot.balance,
            snapshot.accepted_calls,
            order,
            self.assumptions,
            self._clock.now(account.id),
            magic_numbers=self.magic_numbers,
            seq=snapshot.next_call,
        )
        if not self.assumptions.has_cdr(call.method):
            return CallDecision(call, (), account)
        deliveries = make_deliveries(call, account, snapshot.next_delivery, self.assumptions.cdr_delay_s)
        self._check_load(len(deliveries), snapshot)
        if account.faults:
            fault, account = take_fault(account, of_cdr=True)
            call = replace(call, cdr_fault=fault)
        if call.ending is not None and deliveries:
            call, deliveries = self._follow_end(call, deliveries)
        return CallDecision(call, deliveries, account)

    def _follow_end(self, call: Call, deliveries: list[Delivery]) -> tuple[Call, list[Delivery]]:
        """Return a call that has just ended, and its deliveries after its webhooks' filters and its fault."""
        if any(delivery.filter for delivery in deliveries):
            deliveries, why = filter_deliveries(deliveries, Cdr(call, self.assumptions))
            call = add_reasons(call, why)
        if call.cdr_fault is not None:
            deliveries = apply_cdr_fault(call.cdr_fault, call, deliveries)
        return call, deliveries

    def _check_load(self, added: int, snapshot: AccountSnapshot) -> None:
        if added > self.max_pending:  # there will never be room
            raise Refusal(RefusalCode.OVERLOADED, Reason("overloaded_call", {"n": added, "most": self.max_pending}))
        if added and snapshot.pending + added > self.max_pending:
            raise Refusal(
                RefusalCode.OVERLOADED, Reason("overloaded_pending", {"n": snapshot.pending, "most": self.max_pending})
            )
        if snapshot.unlisted >= self.max_pending:
            raise Refusal(
                RefusalCode.OVERLOADED,
                Reason("overloaded_unlisted", {"n": self.max_pending}),
            )

    async def _send_early(self, call: Call) -> None:
        """Send the CDR before the answer; return when that was tried, or is impossible. The call goes its usual way if
        the state cannot be written now.
        """
        await on_loop()
        uuid = call.verification_call_uuid
        if call.ending is None:
            try:
                ended = await self.end(uuid)
            except StorageFailed:
                return
            if ended is None or not ended.deliveries:  # it is gone, or no filter lets it through
                return
        tried = self._worker.expect_attempt(uuid)
        await self.answered(uuid)
        if uuid not in self._unkept_answers:
            await tried
