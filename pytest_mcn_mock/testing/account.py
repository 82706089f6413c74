"""The account that a test works with: what the ``mcn`` fixture is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from pytest_mcn_mock.domain import accounts
from pytest_mcn_mock.domain.deliveries import DeliveryState
from pytest_mcn_mock.domain.ledger import Entry
from pytest_mcn_mock.domain.money import to_decimal
from pytest_mcn_mock.domain.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.domain.subscriptions import Subscription, make_subscription
from pytest_mcn_mock.errors import WaitTimeout
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.operator.accounts import Roubles
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.views import Call, Delivery

_ALL = 10**9
DEFAULT_TIMEOUT_S = 5.0


class Account:
    """An account of the fake operator, with everything in it that is its own.

    Money is in roubles. An argument that cannot be raises UsageError and changes nothing.
    """

    def __init__(self, opened: accounts.Account, operator: Operator, changes: Changes, base_url: str) -> None:
        self._operator = operator
        self._changes = changes
        self._opened = opened
        self._last_call_waited_for = 0
        self._cdrs_waited_for: set[int] = set()
        self.base_url = base_url
        """What stands for https://api.mcn.ru/v2/rest."""

    def __repr__(self) -> str:
        return f"<Account {self.account_id} at {self.base_url}, seed {self.seed}>"

    @property
    def account_id(self) -> str:
        """The id, as in the path."""
        return self._opened.id

    @property
    def token(self) -> str:
        """The token that the API asks for."""
        return self._opened.token

    @property
    def seed(self) -> int:
        """What the account's numbers and uuids are drawn from."""
        return self._opened.seed

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header to send."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def balance(self) -> Decimal:
        """Roubles; always the sum of the ledger."""
        return to_decimal(self._operator.accounts.balance(self.account_id))

    @property
    def ledger(self) -> Sequence[Entry]:
        """Every movement of money, oldest first."""
        return self._operator.accounts.ledger(self.account_id)

    def top_up(self, amount: Roubles) -> None:
        """Add a positive amount."""
        self._operator.accounts.top_up(self.account_id, amount)

    def set_balance(self, balance: Roubles) -> None:
        """Make the balance what is given."""
        self._operator.accounts.set_balance(self.account_id, balance)

    def connect_number(self, number: str) -> None:
        """Connect a number to the account, so that call_for_2fa may ring from it."""
        self._operator.accounts.connect_number(self.account_id, number)

    def subscribe(
        self,
        url: str,
        *,
        body: Sequence[str] | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        constants: Mapping[str, str | int | bool] | None = None,
        retry: bool = True,
        never_disable: bool = False,
    ) -> Subscription:
        """Send the CDR of every call placed from now on to ``url``.

        ``body`` is the list of variables, by default the three that the article documents. ``constants`` are added to
        them, ``headers`` and ``query`` to the request. ``retry`` is the vendor's "retry on error".
        """
        subscription = make_subscription(
            url,
            body=body,
            method=method,
            headers=headers,
            query=query,
            constants=constants,
            retry=retry,
            never_disable=never_disable,
        )
        return self._operator.accounts.subscribe(self.account_id, subscription)

    def set_outcome(
        self,
        outcome: Outcome | str | None = None,
        *,
        q931_status: int | None = None,
        login_did: str = "*",
        delay_s: float | None = None,
    ) -> None:
        """Let calls placed from now on end so: all of them, or those whose ``login_did`` fits the pattern (``7915*``).

        The rule set last is tried first. ``delay_s`` is the time between the answer to the request and the CDR.
        """
        how = ending(outcome, q931_status, unavailable_cause=self._operator.assumptions.unavailable_cause)
        self._operator.accounts.prefer_outcome(self.account_id, OutcomeRule(how, login_did, delay_s))

    def hold_cdrs(self) -> None:
        """Let calls placed from now on ring until ``call.complete()``."""
        self._operator.accounts.hold_cdrs(self.account_id)

    @property
    def calls(self) -> list[Call]:
        """The accepted calls, in order of arrival."""
        return [Call(call, self._operator) for call in self._operator.calls.page(self.account_id, limit=_ALL)]

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries of CDRs, owed ones included, in order of their calls."""
        return [delivery for call in self.calls for delivery in call.deliveries]

    def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """The next call that no ``wait_for_call`` has returned yet; WaitTimeout after ``timeout`` seconds."""
        found: list[Call] = []

        def arrived() -> bool:
            calls = self._operator.calls.page(self.account_id, after=self._last_call_waited_for, limit=1)
            found.extend(Call(call, self._operator) for call in calls)
            self._last_call_waited_for = calls[0].seq if calls else self._last_call_waited_for
            return bool(found)

        self._wait(arrived, timeout, "no call was placed")
        return found[0]

    def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """The delivery of the call's CDR once it was acknowledged or given up; WaitTimeout after ``timeout`` seconds.

        Without a call it is the next delivery that no ``wait_for_cdr`` has returned yet.
        """
        found: list[Delivery] = []

        def settled() -> bool:
            if call is None:
                found.extend(d for d in self.deliveries if d.id not in self._cdrs_waited_for and _is_settled(d))
            else:
                found.extend(d for d in call.deliveries if _is_settled(d))
            return bool(found)

        what = "no CDR was delivered" if call is None else f"no CDR was delivered for {call!r}"
        self._wait(settled, timeout, what)
        self._cdrs_waited_for.add(found[0].id)
        return found[0]

    def close(self) -> None:
        """Forget the account; its token is unknown from now on."""
        self._operator.accounts.close(self.account_id)
        self._changes.forget(self.account_id)

    def _wait(self, is_so: Callable[[], bool], timeout: float, otherwise: str) -> None:
        if not self._changes.wait_until(self.account_id, is_so, timeout):
            raise WaitTimeout(f"{otherwise} within {timeout:g} s on {self!r}\n{self._pending()}")

    def _pending(self) -> str:
        """What a failed wait says of the calls and of what is owed."""
        lines = [f"  {call!r}" for call in self.calls] or ["  no call was accepted so far"]
        now = time.time()
        lines += [f"  {delivery!r}{_when(delivery, now)}" for delivery in self.deliveries]
        if not self._operator.accounts.get(self.account_id).subscriptions:
            lines.append("  the account has no subscription, so that no CDR is sent: mcn.subscribe(url)")
        return "\n".join(lines)


def _is_settled(delivery: Delivery) -> bool:
    return delivery.state is not DeliveryState.OWED


def _when(delivery: Delivery, now: float) -> str:
    if _is_settled(delivery):
        return ""
    due = delivery.due_at
    return " (held until call.complete())" if due is None else f" (due in {max(0.0, due - now):.1f} s)"
