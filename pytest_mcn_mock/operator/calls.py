"""Placing calls and ending them."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mcn_mock.domain import calls as rules
from pytest_mcn_mock.domain.accounts import Account
from pytest_mcn_mock.domain.assumptions import Assumptions
from pytest_mcn_mock.domain.calls import Call, CallOrder
from pytest_mcn_mock.domain.deliveries import Delivery
from pytest_mcn_mock.domain.outcomes import Ending
from pytest_mcn_mock.errors import UnknownItem, UsageError
from pytest_mcn_mock.operator.ports import CallStore, Clock, Courier, Observer, Placement


class Calls:
    """The switch: an order is decided, charged and recorded in one step; its end and its CDRs follow the answer."""

    def __init__(
        self, store: CallStore, clock: Clock, courier: Courier, observer: Observer, assumptions: Assumptions
    ) -> None:
        self._store = store
        self._clock = clock
        self._courier = courier
        self._observer = observer
        self._assumptions = assumptions

    def place(self, account_id: str, order: CallOrder) -> Call:
        """Accept an order and charge for it, or raise the Refusal that says why not.

        The call does not end before ``release`` was called, so that no CDR overtakes the answer.
        """

        def decide(account: Account, balance: int, n: int) -> Placement:
            call = rules.place(account, balance, n, order, self._assumptions, self._clock.now())
            return Placement(call, rules.owes_cdr(call, self._assumptions))

        call = self._store.place(account_id, decide)
        self._observer.changed(account_id)
        return call

    def release(self, verification_call_uuid: str) -> None:
        """The answer to the request was sent: let the call end when it is due. One that is held, or gone, stays so."""
        try:
            call = self._store.get(verification_call_uuid)
        except UnknownItem:
            return
        if call.ends_at is None or call.ending is not None:
            return
        if call.ends_at <= self._clock.now():
            self.end(verification_call_uuid)
        else:
            self._courier.end_call(verification_call_uuid, call.ends_at)

    def end(self, verification_call_uuid: str, how: Ending | None = None) -> Sequence[Delivery]:
        """End a ringing call as planned, or as said, and send its CDRs; return what is owed for it.

        Does nothing for a call that has ended or is gone.
        """
        now = self._clock.now()
        ended = self._store.end(verification_call_uuid, lambda call: rules.end(call, how or call.planned, now))
        if ended is None:
            return ()
        call, deliveries = ended
        for delivery in deliveries:
            self._courier.deliver(delivery)
        self._observer.changed(call.account_id)
        return deliveries

    def complete(self, verification_call_uuid: str, how: Ending | None = None) -> Sequence[Delivery]:
        """End a ringing call by hand, now. UnknownItem for no such call, UsageError for one that has ended."""
        call = self._store.get(verification_call_uuid)
        deliveries = self.end(verification_call_uuid, how)
        if call.ending is not None:
            raise UsageError(f"call {verification_call_uuid} has ended already: {call.ending}")
        return deliveries

    def get(self, verification_call_uuid: str) -> Call:
        """The call; UnknownItem if there is none."""
        return self._store.get(verification_call_uuid)

    def page(self, account_id: str | None = None, after: int = 0, limit: int = 100) -> Sequence[Call]:
        """Calls of an account, or of all, in order of arrival, behind the one whose ``seq`` is ``after``."""
        return self._store.page(account_id, after, limit)
