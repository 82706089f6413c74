"""Placing calls and ending them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, NotFound, Overloaded, Refusal, RefusalCode
from pytest_mcn_mock.flow import until
from pytest_mcn_mock.model.accounts import take_fault
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.deliveries import Delivery, apply_cdr_fault, make_deliveries
from pytest_mcn_mock.model.outcomes import Ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.service.deliveries import Deliveries
from pytest_mcn_mock.service.ports import (
    AccountSnapshot,
    CallDecision,
    CallStore,
    Clock,
    Courier,
    Durability,
    Observer,
    Queue,
)


@dataclass(slots=True, eq=False)
class _Answers:
    """Somebody waits until these calls are answered."""

    missing: set[str]
    done: Future[None]


class Calls:
    """The switch: an order is decided, charged and recorded in one step; its end and its CDRs follow the answer."""

    def __init__(
        self,
        store: CallStore,
        clock: Clock,
        courier: Courier,
        deliveries: Deliveries,
        observer: Observer,
        durability: Durability,
        assumptions: Assumptions,
        *,
        max_pending: int,
        magic_numbers: bool = False,
        queue: Queue | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._courier = courier
        self._deliveries = deliveries
        self._observer = observer
        self._durability = durability
        self._assumptions = assumptions
        self._max_pending = max_pending
        self._magic_numbers = magic_numbers
        self._queue = queue
        self._until_answered: dict[str, Sequence[Delivery] | None] = {}
        self._held_answers: set[str] = set()
        self._awaiting: list[_Answers] = []

    def place(self, account_id: str, order: CallOrder, *, in_turn: bool = False) -> Call:
        """Accept an order and charge for it, or raise the Refusal that says why not.

        No CDR of it is sent before ``release`` was called, so that none overtakes the answer. An order that would owe
        one comes after those that wait already, unless it is ``in_turn``, the first of them.
        """

        def decide(standing: AccountSnapshot) -> CallDecision:
            account, balance, n, seq, first_delivery = standing
            call = place(
                account,
                balance,
                n,
                order,
                self._assumptions,
                self._clock.now(account_id),
                magic_numbers=self._magic_numbers,
                seq=seq,
            )
            if not self._assumptions.has_cdr(call.method):
                return CallDecision(call, (), account)
            deliveries = make_deliveries(call, account, first_delivery)
            self._check_load(len(deliveries), in_turn)
            fault, account = take_fault(account, of_cdr=True)
            if fault is not None:
                call = replace(call, cdr_fault=fault)
                deliveries = deliveries if call.ending is None else apply_cdr_fault(fault, call, deliveries)
            return CallDecision(call, deliveries, account)

        call, deliveries = self._store.place(account_id, decide)
        self._until_answered[call.verification_call_uuid] = None if call.ending is None else deliveries
        self._observer.changed(account_id, call)
        return call

    async def order(self, account_id: str, order: CallOrder, *, waits: bool) -> Call:
        """Place a call: wait until there is room for its CDRs, if it ``waits`` and the settings say so, and then until
        it is kept.

        Raises the Refusal that says why it was not placed.
        """
        try:
            call = self.place(account_id, order)
        except Overloaded as refusal:
            if self._queue is None or not waits:
                raise
            turn = self._queue.join(refusal, partial(self.place, account_id, order, in_turn=True))
            try:
                call = await until(turn)
            except CancelledError:  # the client has left
                raise refusal from None
        if (kept := self._durability.settled()) is not None:
            await until(kept)
        return call

    def release(self, verification_call_uuid: str) -> None:
        """The answer to the request was sent: send the CDRs of the call, or let it end when it is due.

        A call that is held, or gone, stays so.
        """
        try:
            deliveries = self._until_answered.get(verification_call_uuid)
            if deliveries is not None:
                self._deliveries.dispatch(deliveries)
                return
            try:
                call = self._store.get(verification_call_uuid)
            except NotFound:
                return
            if call.ends_at is not None and call.ending is None:
                self._courier.end_call(call)
        finally:
            self._until_answered.pop(verification_call_uuid, None)
            if self._awaiting or self._held_answers:
                self._held_answers.discard(verification_call_uuid)
                for waiting in tuple(self._awaiting):
                    waiting.missing.discard(verification_call_uuid)
                self._tell_answered()

    def hold_answer(self, verification_call_uuid: str) -> None:
        """A fault holds the answer back: ``all_answered`` does not wait for it."""
        self._held_answers.add(verification_call_uuid)

    def all_answered(self) -> Future[None]:
        """Done once every call that was placed so far has been released."""
        waiting = _Answers(set(self._until_answered) - self._held_answers, Future())
        self._awaiting.append(waiting)
        # Another thread may have released one since, and heard of nobody who waits.
        for uuid in tuple(waiting.missing):
            if uuid not in self._until_answered:
                waiting.missing.discard(uuid)
        self._tell_answered()
        return waiting.done

    def end(self, verification_call_uuid: str, how: Ending | None = None) -> Sequence[Delivery]:
        """End a ringing call as planned, or as said, and send its CDRs; return what is pending for it.

        Does nothing for a call that has ended or is gone.
        """
        ended = self._end(verification_call_uuid, how)
        return () if ended is None else self._follow(*ended)

    def complete(self, verification_call_uuid: str, how: Ending | None = None) -> Call:
        """End a ringing call manually, now, and return it: it may be listed no more.

        NotFound if there is no such call, Conflict if it has ended.
        """
        ended = self._end(verification_call_uuid, how)
        if ended is None:
            call = self._store.get(verification_call_uuid)
            raise Conflict(f"call {verification_call_uuid} has ended already: {call.ending}")
        before, after, deliveries = ended
        self._follow(before, after, deliveries)
        return after

    def get(self, verification_call_uuid: str) -> Call:
        """The call; NotFound if there is none."""
        return self._store.get(verification_call_uuid)

    def page(
        self, account_id: str | None = None, after: int = 0, limit: int = 100, *, newest_first: bool = False
    ) -> Sequence[Call]:
        """Calls of an account, or of all, in order of arrival or the newest first, behind the one with that ``seq``."""
        return self._store.page(account_id, after, limit, newest_first=newest_first)

    def resume(self) -> None:
        """Let the calls that ring end when they are due; what is held stays so."""
        for call in self._store.ringing():
            if call.ends_at is not None:
                self._courier.end_call(call)

    def is_overloaded(self) -> bool:
        """Whether as many CDRs are pending as may be, so that a call which would owe one more is refused, or waits."""
        if self._store.count_unlisted() >= self._max_pending:
            return True
        return self._store.count_pending() >= self._max_pending or self.count_waiting() > 0

    def count_waiting(self) -> int:
        """How many calls wait for room."""
        return 0 if self._queue is None else len(self._queue)

    def start_waiting(self) -> None:
        """The server starts, perhaps again: calls may wait, where the settings say so."""
        if self._queue is not None:
            self._queue.open()

    def stop_waiting(self) -> None:
        """The server stops: calls that wait are refused."""
        if self._queue is not None:
            self._queue.close()

    def count_dropped(self) -> int:
        """How many calls are listed no more, because the journal was full."""
        return self._store.count_dropped()

    def forget_all(self) -> None:
        """Every account is gone, and every call."""
        self._until_answered.clear()
        self._held_answers.clear()
        for waiting in self._awaiting:
            waiting.missing.clear()
        self._tell_answered()
        if self._queue is not None:
            self._queue.refuse_all()

    def _tell_answered(self) -> None:
        for waiting in tuple(self._awaiting):
            if not waiting.missing:
                with suppress(ValueError):  # another thread has done it
                    self._awaiting.remove(waiting)
                    waiting.done.set_result(None)

    def _check_load(self, owing: int, in_turn: bool) -> None:
        """Within the store's step, so that no two calls take the same last place."""
        pending = self._store.count_pending()
        if owing and (pending + owing > self._max_pending or (self._queue and not in_turn)):
            if owing > self._max_pending:  # there will never be room
                raise Refusal(
                    RefusalCode.OVERLOADED, f"it would owe {owing} CDRs; at most {self._max_pending} may be pending"
                )
            raise Overloaded(f"{pending} CDRs are pending; at most {self._max_pending} may be")
        if self._store.count_unlisted() >= self._max_pending:
            raise Refusal(
                RefusalCode.OVERLOADED,
                f"{self._max_pending} calls ring or owe a CDR beside those that are listed; wait until one ends",
            )

    def _follow(self, before: Call, call: Call, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        self._deliveries.dispatch(deliveries)
        self._observer.changed(call.account_id, call, before)
        return deliveries

    def _end(self, verification_call_uuid: str, how: Ending | None) -> tuple[Call, Call, Sequence[Delivery]] | None:
        """The call before, the call after, and its deliveries; None for one that has ended or is gone."""
        ringing: list[Call] = []

        def finish(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
            ringing.append(call)
            now = self._clock.now(call.account_id)
            call = end(call, how or call.planned, now)
            due = [replace(delivery, due_at=now) for delivery in deliveries]
            return call, apply_cdr_fault(call.cdr_fault, call, due) if call.cdr_fault else due

        ended = self._store.end(verification_call_uuid, finish)
        return None if ended is None else (ringing[-1], *ended)
