"""The account that a test works with: what the ``mcn`` fixture is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from os import PathLike
from typing import Any, TypeVar

from msgspec.structs import replace

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.compose import prepare_to_send
from pytest_mcn_mock.errors import NotFound, UsageError
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.checks import check_bool, check_text, check_whole
from pytest_mcn_mock.model.faults import Fault, FaultKind, fault_kind
from pytest_mcn_mock.model.money import Entry, to_decimal
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import MACHINE, Subscription, make_subscription
from pytest_mcn_mock.service.accounts import Accounts, Roubles
from pytest_mcn_mock.testing.assertions import Assertions
from pytest_mcn_mock.testing.strictness import Strictness

MAX_NUMBER = 10**9
_T = TypeVar("_T")
_EARLY = (
    "cdr_early sends the CDR while a request waits for its answer, and on_test_thread=True sends it while the test "
    "waits for the CDR: subscribe the application without on_test_thread"
)


class Account(Assertions, Strictness):
    """An account of the fake operator, with everything in it that is its own.

    Money is in roubles. An invalid argument raises UsageError and changes nothing.
    """

    _calls_on_test_thread = False

    @property
    def _accounts(self) -> Accounts:
        return self._access.service.accounts

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        __tracebackhide__ = True
        return self._access.run(coroutine)

    def _change(self, change: Callable[[rules.Account], rules.Account]) -> rules.Account:
        __tracebackhide__ = True
        return self._run(self._accounts.change(self.account_id, change)).account

    @property
    def balance(self) -> Decimal:
        """Roubles; always the sum of the ledger."""
        return to_decimal(self._run(self._accounts.balance(self.account_id)))

    @property
    def ledger(self) -> Sequence[Entry]:
        """Every movement of money, oldest first."""
        return self._run(self._access.storage.ledger(self.account_id))

    def top_up(self, amount: Roubles) -> None:
        """Add a positive amount."""
        self._run(self._accounts.top_up(self.account_id, amount))

    def set_balance(self, balance: Roubles) -> None:
        """Make the balance what is given."""
        self._run(self._accounts.set_balance(self.account_id, balance))

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
        never_disable: bool = False,
        cacert: str | PathLike[str] | None = None,
        insecure: bool = False,
        on_test_thread: bool = False,
    ) -> Subscription:
        """Send the CDR of every call placed from now on to ``target``: a URL, or a WSGI or ASGI application.

        An application is called at ``path``, with no socket and with the Host ``testserver``: a WSGI one on a thread of
        the plugin's, an ASGI one on the event loop that is running when it is subscribed, if one is.
        ``on_test_thread`` has it called on the thread that subscribes, while that thread waits (``wait_for_cdr``,
        ``settle``, ``clock.advance``, ``call.complete``, the end of the test), so that it shares the thread's database
        connection and transaction.

        ``body`` is the list of variables, by default the three that the article documents.
        ``constants`` are added to them, ``headers`` and ``query`` to the request. ``retry`` is the vendor's "retry on
        error", ``never_disable`` its "never disable this webhook". For an https URL ``cacert`` is the path of a PEM
        file of authorities to trust in place of the machine's, and ``insecure`` accepts any certificate.
        """
        trust = read_trust(cacert, insecure=insecure)
        check_text(path, name="path", example="/webhooks/mcn")
        check_bool(on_test_thread, name="on_test_thread")
        if isinstance(target, str):
            if path != "/":
                raise UsageError(f"path is {path!r}, and is for an application: write it into the URL {target[:80]!r}")
            if on_test_thread:
                raise UsageError(f"on_test_thread is for an application, and {target[:80]!r} is a URL")
            url = target
            prepare_to_send(is_tls=url.lower().startswith("https:") and trust == MACHINE)
        else:
            if trust != MACHINE:
                raise UsageError("cacert and insecure are for an https URL; an application is called without TLS")
            if on_test_thread and self._is_switched_on(FaultKind.CDR_EARLY):
                raise UsageError(_EARLY)
            url = self._access.applications.mount(target, path, on_test_thread=on_test_thread)
        subscription = make_subscription(
            url,
            body=body,
            method=method,
            headers=headers,
            query=query,
            constants=constants,
            retry=retry,
            never_disable=never_disable,
            trust=trust,
        )
        subscription = self._run(self._accounts.subscribe(self.account_id, subscription))
        self._calls_on_test_thread = self._calls_on_test_thread or on_test_thread
        return subscription

    def enable_webhook(self, number: int = 1) -> Subscription:
        """Enable a webhook that is disabled, for calls placed from now on, and count its failures from 0 again.

        ``number`` is that of the subscription; the account's first is 1. NotFound if there is none.
        """
        check_whole(number, name="number", least=1, most=MAX_NUMBER)
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
        """Let calls placed from now on end so: all of them, or those whose ``login_did`` fits the pattern (``7915*``).

        The rule set last is tried first. ``delay_s`` is the time between the answer to the request and the CDR.
        """
        how = ending(outcome, q931_status, unavailable_cause=self._access.service.assumptions.unavailable_cause)
        rule = OutcomeRule(how, login_did, delay_s)
        self._change(lambda account: rules.prefer_rule(account, rule))

    def hold_cdrs(self) -> None:
        """Let calls placed from now on ring until ``call.complete()``."""
        self._change(lambda account: replace(account, calls_held=True))

    def fail_next(self, status: int = 503, times: int | None = 1, *, accepted: bool = False) -> None:
        """Answer the next ``times`` requests with a server error, 500 to 599; None is every one.

        ``accepted`` says whether the call is placed and charged all the same.
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
        """Switch a fault on, for the next ``times`` requests or CDRs (None: every one), each with a ``probability``.

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

    def _is_switched_on(self, kind: FaultKind) -> bool:
        return any(fault.kind is kind for fault in self._run(self._accounts.get(self.account_id)).faults)

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._change(lambda account: rules.replace_faults(account, ()))

    def close(self) -> None:
        """Forget the account; its token is unknown from now on. To close it again does nothing."""
        with suppress(NotFound):
            self._run(self._accounts.close(self.account_id))
