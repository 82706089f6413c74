"""The account that a test works with: the value of the fixture ``mcn``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from os import PathLike
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from pytest_mcn_mock.compose import prepare_to_send
from pytest_mcn_mock.errors import NotFound, RefusalCode, UsageError, nearest
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.checks import check_bool, check_text, check_whole
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.faults import MAX_TIMES, Fault, FaultKind, fault_kind
from pytest_mcn_mock.model.money import Entry, format_roubles, to_decimal
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.requests import ApiRequest, Level
from pytest_mcn_mock.model.webhooks import MACHINE, Subscription, make_subscription
from pytest_mcn_mock.service.accounts import Accounts, Roubles
from pytest_mcn_mock.testing import report
from pytest_mcn_mock.testing.changes import ThreadSignal, loop_signal, run_blocking
from pytest_mcn_mock.testing.views import AccountView, Call, Delivery
from pytest_mcn_mock.testing.waiting import DEFAULT_TIMEOUT_S, AccountClock, Arrivals, AsyncWaits

_FIELDS: Final = (
    "login_did",
    "code",
    "caller_did",
    "country_id",
    "method",
    "dialect",
    "outcome",
    "q931_status",
    "state",
)
"""The fields of a call that ``assert_called`` and its sibling can ask for."""
_MOST_REQUESTS: Final = 5
_MAX_NUMBER: Final = 10**9
_EARLY: Final = (
    "cdr_early sends the CDR while a request waits for its answer, and on_test_thread=True sends it while the test "
    "waits for the CDR: subscribe the application without on_test_thread"
)
_T = TypeVar("_T")


class Account:
    """An account of the fake operator. Accounts share nothing.

    Money is in roubles. An invalid argument raises UsageError and changes nothing.
    """

    def __init__(self, view: AccountView) -> None:
        self._view = view
        self._begin()

    def _begin(self) -> None:
        view = self._view
        self._calls_on_test_thread = False
        arrivals = Arrivals(view)
        self._waits = AsyncWaits(view, arrivals, ThreadSignal)
        self.aio = AsyncWaits(view, arrivals, loop_signal)
        """The same waits for an asynchronous test."""
        self.clock = AccountClock(view, self._waits)
        """The account's time."""

    def __repr__(self) -> str:
        return f"<Account {self.account_id} at {self.base_url}, seed {self.seed}>"

    def close(self) -> None:
        """Close the account. Its token is unknown from now on. Closing it again has no effect.

        An id that was given, not drawn, can be given to another account then.
        """
        with suppress(NotFound):
            self._view.on_close(self._view)
            self._run(self._accounts.close(self.account_id))
            if self._view.is_id_given:
                self._run(self._accounts.release(self.account_id))

    def reset(self) -> None:
        """Put the account back to how it was opened, for an account that several tests share.

        Its id, token and settings are those it was opened with. Calls, requests, webhooks, outcome rules, faults, money
        and expectations are forgotten, and its time begins again. Its numbers and uuids are drawn from the test's name,
        as those of ``mcn``, unless a seed was given when it was opened.

        NotFound if it is closed.
        """
        self._view.reopen()
        self._begin()

    # Who it is, and what has happened to it

    @property
    def base_url(self) -> str:
        """The base URL to use instead of https://api.mcn.ru/v2/rest."""
        return self._view.base_url

    @property
    def paid_url(self) -> str:
        """The base URL to use instead of https://paidmethods.mcn.ru."""
        return self._view.paid_url

    @property
    def account_id(self) -> str:
        """The id, as in the path."""
        return self._view.opened.id

    @property
    def name(self) -> str:
        """The name, for people; empty if it has none."""
        return self._run(self._accounts.get(self.account_id)).name

    @property
    def token(self) -> str:
        """The token that the API asks for."""
        return self._view.opened.token

    @property
    def seed(self) -> int:
        """The seed of the account's numbers, uuids and faults."""
        return self._view.opened.seed

    @property
    def headers(self) -> Mapping[str, str]:
        """The Authorization header to send."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def ack_timeout_s(self) -> float:
        """How long a webhook may take to acknowledge a CDR, in seconds."""
        return self._view.service.assumptions.ack_timeout_s

    @property
    def requests(self) -> list[ApiRequest]:
        """Every request to a path of the account, in order of arrival, also refused requests and those in flight."""
        return self._view.requests()

    @property
    def calls(self) -> list[Call]:
        """The accepted calls, in order of arrival."""
        return self._view.calls()

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries of CDRs, also pending ones, in order of their calls."""
        return self._view.deliveries()

    def story(self) -> str:
        """Return what happened on the account as text: requests, calls, charges, CDR attempts, pending CDRs.

        A failing test's report shows it. Tokens are not in it.
        """
        return report.describe_account(self._view)

    # Money

    @property
    def balance(self) -> Decimal:
        """The balance in roubles. It is always the sum of the ledger."""
        return to_decimal(self._run(self._accounts.balance(self.account_id)))

    @property
    def ledger(self) -> Sequence[Entry]:
        """Every movement of money, oldest first."""
        return self._run(self._view.storage.ledger(self.account_id))

    def top_up(self, amount: Roubles) -> None:
        """Add a positive amount."""
        self._run(self._accounts.top_up(self.account_id, amount))

    def set_balance(self, balance: Roubles) -> None:
        """Set the balance in roubles. ``"unlimited"`` leaves the balance as it is and accepts every call, until a
        balance in roubles is set.
        """
        self._run(self._accounts.set_balance(self.account_id, balance))

    @property
    def credit(self) -> Decimal:
        """How far below zero a call may take the balance, in roubles."""
        return to_decimal(self._run(self._accounts.get(self.account_id)).credit)

    def set_credit(self, credit: Roubles) -> None:
        """Set the credit in roubles: a call is accepted if balance plus credit covers its price."""
        self._change(lambda account: rules.set_credit(account, credit))

    # Numbers, webhooks and scenarios

    def connect_number(self, number: str) -> None:
        """Connect a number to the account, so that call_for_2fa may ring from it."""
        self._change(lambda account: rules.connect_number(account, number))

    def subscribe(
        self,
        target: Any,
        *,
        path: str = "/",
        body: Sequence[str] | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        constants: Mapping[str, str | int | bool] | None = None,
        retry: bool = True,
        all_variables: bool = False,
        data_type: str = "json",
        template: str | None = None,
        values: str = "typed",
        ignore_response: bool = False,
        filter: Sequence[Mapping[str, Any]] = (),  # noqa: A002 - the name of the vendor's setting
        cacert: str | PathLike[str] | None = None,
        insecure: bool = False,
        on_test_thread: bool = False,
    ) -> Subscription:
        """Send the CDR of every call placed from now on to ``target``: a URL, or a WSGI or ASGI application.

        An application is called at ``path``, without a socket and with the Host ``testserver``: a WSGI one on a thread
        of the plugin's, an ASGI one on the event loop that is running when it is subscribed, if one is.
        ``on_test_thread`` has it called on the thread that subscribes, while that thread waits (``wait_for_cdr``,
        ``settle``, ``clock.advance``, ``call.complete``, the end of the test), so that it shares the thread's database
        connection and transaction.

        ``body`` is the list of variables, by default the three that the article documents; ``constants`` are added to
        them. ``values`` says whether their values are ``typed`` or all ``text``. With ``all_variables`` the whole event
        is sent in its envelope, and with ``data_type="text"`` the ``template``. ``${{name}}`` stands for a variable in
        the template and in values of ``constants``, ``headers`` and ``query``.

        ``retry`` is the vendor's "retry on error". With ``ignore_response`` a CDR counts as delivered whatever the
        endpoint answers. ``filter`` is a list of conditions that must all hold:
        ``{"variable": "q931_status", "operator": "in", "value": [16, 17], "not": False}``.

        For an https URL ``cacert`` is the path of a PEM file of authorities to trust in place of the machine's, and
        ``insecure`` accepts any certificate.
        """
        from pytest_mcn_mock.certificates import prepare, read_trust

        # Loaded now: when the CDR is due, no file descriptor may be free.
        from pytest_mcn_mock.testing import loops, sending  # noqa: F401

        trust = read_trust(cacert, insecure=insecure)
        check_text(path, name="path", example="/webhooks/mcn")
        check_bool(on_test_thread, name="on_test_thread")
        if isinstance(target, str):
            if path != "/":
                raise UsageError(f"path {path!r} is for an application; add it to the URL {target[:80]!r} instead")
            if on_test_thread:
                raise UsageError(f"on_test_thread is for an application, but {target[:80]!r} is a URL; remove it")
            url = target
            prepare_to_send()
        else:
            if trust != MACHINE:
                raise UsageError("cacert and insecure are for an https URL; an application is called without TLS")
            if on_test_thread and self._is_switched_on(FaultKind.CDR_EARLY):
                raise UsageError(_EARLY)
            url = self._view.applications.add(target, path, on_test_thread=on_test_thread)
        subscription = make_subscription(
            url,
            body=body,
            method=method,
            headers=headers,
            query=query,
            constants=constants,
            retry=retry,
            all_variables=all_variables,
            data_type=data_type,
            template=template,
            values=values,
            ignore_response=ignore_response,
            filter=filter,
            trust=trust,
        )
        prepare(subscription)
        subscription = self._run(self._accounts.subscribe(self.account_id, subscription))
        self._calls_on_test_thread = self._calls_on_test_thread or on_test_thread
        return subscription

    def enable_webhook(self, number: int = 1) -> Subscription:
        """Enable a disabled webhook for calls placed from now on, and count its failures from 0.

        ``number`` is the number of the subscription; the account's first is 1. Raises NotFound if there is none with
        this number.
        """
        check_whole(number, name="number", least=1, most=_MAX_NUMBER)
        account = self._change(lambda account: rules.enable_subscription(account, number))
        return rules.find_subscription(account, number)

    def set_outcome(
        self,
        outcome: Outcome | str | None = None,
        *,
        q931_status: int | None = None,
        login_did: str = "*",
        delay_s: float | None = None,
    ) -> None:
        """Set the ending of calls placed from now on: all, or those whose ``login_did`` matches the pattern
        (``7915*``).

        The last rule is tried first. ``delay_s`` is the time in seconds from the answer to the end of the call.
        """
        how = ending(outcome, q931_status, unavailable_cause=self._view.service.assumptions.unavailable_cause)
        rule = OutcomeRule(how, login_did, delay_s)
        self._change(lambda account: rules.prefer_rule(account, rule))

    def hold_cdrs(self) -> None:
        """Let calls placed from now on ring until ``call.complete()``."""
        self._change(lambda account: replace(account, calls_held=True))

    def fail_next(self, status: int = 503, times: int | None = 1, *, accepted: bool = False) -> None:
        """Answer the next ``times`` requests (None: every one) with a server error, 500 to 599.

        With ``accepted`` the call is placed and charged nevertheless.
        """
        self.inject(FaultKind.STATUS, times=times, status=status, accepted=accepted)

    def inject(
        self,
        kind: FaultKind | str,
        *,
        times: int | None = 1,
        probability: float = 1.0,
        status: int = 503,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        accepted: bool = True,
    ) -> None:
        """Switch a fault on for the next ``times`` requests or CDRs (None: every one), each with a ``probability``.

        ``kind`` is a FaultKind or its value. A delay is ``delay_s`` plus up to ``jitter_s`` seconds; chance and jitter
        are drawn from the account's seed. ``accepted`` says whether an altered request is charged all the same.
        """
        known = fault_kind(kind)
        if known is FaultKind.CDR_EARLY and self._calls_on_test_thread:
            raise UsageError(_EARLY)
        fault = Fault(
            kind=known,
            times=times,
            probability=probability,
            status=status,
            delay_s=delay_s,
            jitter_s=jitter_s,
            accepted=accepted,
        )
        self._change(lambda account: rules.add_fault(account, fault))

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._change(lambda account: rules.replace_faults(account, ()))

    # Waiting. Each wait raises WaitTimeout after ``timeout`` seconds. The message says what is pending.

    def wait_for_call(self, timeout: float = DEFAULT_TIMEOUT_S) -> Call:
        """Return the next call that no ``wait_for_call`` has returned yet. Of several, return the one placed first.

        If several threads wait at the same time, each gets a different call.
        """
        __tracebackhide__ = True
        return run_blocking(self._waits.wait_for_call(timeout))

    def wait_for_cdr(self, call: Call | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Delivery:
        """Wait until the call's CDR is acknowledged or has failed, and return its delivery.

        Without a call it is the next delivery that no ``wait_for_cdr`` has returned yet: of several the one whose call
        was placed first. Of threads that wait at the same time, each gets a delivery of its own.

        Raises WebhookRaised at once if the application raised an exception when it got the CDR.
        """
        __tracebackhide__ = True
        return run_blocking(self._waits.wait_for_cdr(call, timeout))

    def assert_no_cdr(self, within: float = 0.2) -> None:
        """Raise AssertionError if a CDR is sent within so many seconds, or if no wait has returned a sent one."""
        __tracebackhide__ = True
        run_blocking(self._waits.assert_no_cdr(within))

    def settle(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """Wait until no request is in flight and no due CDR is unsent. Held calls and CDRs due later may remain."""
        __tracebackhide__ = True
        run_blocking(self._waits.settle(timeout))

    # Assertions. A failure shows the most similar calls.

    def assert_called(self, *, times: int | None = None, **fields: object) -> Call:
        """Assert that at least one call with these fields was accepted, or exactly ``times`` calls. Return the first.

        The fields are those of a call: ``login_did``, ``code``, ``caller_did``, ``country_id``, ``method``,
        ``dialect``, ``outcome``, ``q931_status`` and ``state``. A failure shows the calls that came nearest, field by
        field.
        """
        __tracebackhide__ = True
        if times is not None:
            check_whole(times, name="times", least=1, most=MAX_TIMES, also="; for no call use assert_not_called")
        matching = self._matching(fields)
        if len(matching) != times if times is not None else not matching:
            expected = "at least once" if times is None else _times(times)
            raise AssertionError(
                f"expected a call with {report.describe_fields(fields)} {expected}, got {_times(len(matching))}\n"
                f"{report.describe_misses(self._view, fields)}"
            )
        return matching[0]

    def assert_not_called(self, **fields: object) -> None:
        """Assert that no call with these fields was accepted. Without fields: no call at all."""
        __tracebackhide__ = True
        matching = self._matching(fields)
        if matching:
            raise AssertionError(
                f"expected no call with {report.describe_fields(fields)}, got {len(matching)}\n"
                f"{report.describe_calls(matching)}"
            )

    def assert_cdr_delivered(
        self, call: Call | None = None, *, status: int | None = None, timeout: float = DEFAULT_TIMEOUT_S
    ) -> Delivery:
        """Assert that the call's CDR (without a call, the next) was acknowledged, with this HTTP status if it is given.

        Waits for it at most ``timeout`` seconds, and returns the delivery.
        """
        __tracebackhide__ = True
        if status is not None:
            check_whole(status, name="status", least=100, most=599, also=", or None for any that acknowledges")
        delivery = self.wait_for_cdr(call, timeout)
        if delivery.state is not DeliveryState.DELIVERED or status not in (None, delivery.status):
            expected = "acknowledged" if status is None else f"acknowledged with {status}"
            attempts = "\n".join(f"  {attempt}" for attempt in delivery.attempts) or "  it was never sent"
            hint = report.hint_at_hidden_error(delivery)
            raise AssertionError(f"expected the CDR to be {expected}: {delivery!r}{hint}\n{attempts}")
        return delivery

    def assert_ledger_balanced(self) -> None:
        """Assert that the balance is the sum of the ledger, and that every call was charged once, at its price."""
        __tracebackhide__ = True
        if problems := report.list_imbalances(self._view):
            raise AssertionError("the ledger is not balanced\n" + "\n".join(f"  {problem}" for problem in problems))

    def assert_charged_once(self, *, login_did: str) -> None:
        """Assert that exactly one call to the number was charged. An application that retries may pay twice."""
        __tracebackhide__ = True
        check_text(login_did, name="login_did", example="79157777777")
        fields = {"login_did": login_did}
        calls = self._matching(fields)
        if len(calls) != 1:
            spent = format_roubles(sum(int(call.price * 100) for call in calls))
            shown = "\n".join(f"  {call!r}" for call in calls) or report.describe_misses(self._view, fields)
            requests = "\n".join(f"  {request}" for request in self.requests[-_MOST_REQUESTS:])
            raise AssertionError(
                f"expected one charge for {login_did}, got {len(calls)}, {spent} roubles in all\n{shown}\n{requests}"
            )

    # Mistakes

    def require_fidelity(self, level: str) -> None:
        """Set the level that the application may rely on: ``documented``, ``observed`` (and documented) or ``assumed``
        (everything). A request that uses more is a mistake.
        """
        try:
            self._view.fidelity = self._view.expected.fidelity = Level(str(level))
        except ValueError:
            raise UsageError(f"fidelity {str(level)[:40]!r} is unknown; {nearest(str(level), list(Level))}") from None

    def expect_refusal(self, code: RefusalCode | str) -> None:
        """Expect at least one refusal with this code. Such refusals do not fail the test; if none comes, it fails."""
        try:
            self._view.expected.refusals.add(RefusalCode(str(code)))
        except ValueError:
            raise UsageError(f"code {str(code)[:40]!r} is unknown; {nearest(str(code), list(RefusalCode))}") from None

    def expect_undelivered(self) -> None:
        """Allow CDRs that are not acknowledged. They do not fail the test."""
        self._view.expected.undelivered = True

    def mistakes(self) -> list[str]:
        """Return the mistakes on the account or on the server that the test did not expect, one line each."""
        return [str(mistake) for mistake in report.list_mistakes(self._view, self._view.expected)]

    @property
    def _accounts(self) -> Accounts:
        return self._view.service.accounts

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        __tracebackhide__ = True
        return self._view.run(coroutine)

    def _change(self, change: Callable[[rules.Account], rules.Account]) -> rules.Account:
        __tracebackhide__ = True
        return self._run(self._accounts.change(self.account_id, change)).account

    def _is_switched_on(self, kind: FaultKind) -> bool:
        return any(fault.kind is kind for fault in self._run(self._accounts.get(self.account_id)).faults)

    def _matching(self, fields: Mapping[str, object]) -> list[Call]:
        for name in fields:
            if name not in _FIELDS:
                raise UsageError(f"{name[:40]!r} is not a field of a call; {nearest(name, _FIELDS)}")
        return [call for call in self.calls if not report.differences(call, fields)]


def _times(times: int) -> str:
    return {0: "never", 1: "once"}.get(times, f"{times} times")
