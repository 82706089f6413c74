"""What a test is told about its account, for people: in a failing test's report, by a wait or an assertion that failed,
and at the end of a strict test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import takewhile
from traceback import format_exception
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.deliveries import DeliveryState, describe_state
from pytest_mcn_mock.model.mistakes import Expectations, Mistake
from pytest_mcn_mock.model.money import EntryKind, Method, format_roubles
from pytest_mcn_mock.testing.applications import DOMAIN, LEFT, RAISED
from pytest_mcn_mock.testing.views import AccountView, Call, Delivery
from pytest_mcn_mock.text import printable

_MOST: Final = 50
"""Lines of one kind. A longer report would not be read."""
_MOST_CALLS: Final = 5
"""Calls in the message of an assertion."""
_MOST_ERRORS: Final = 10
_MOST_FRAMES: Final = 20
"""Errors, and frames of each, in a failing test's report."""

_T = TypeVar("_T")


def describe_account(view: AccountView) -> str:
    """Return what happened on the account, for a failing test's report. It contains no token."""
    settings, kopecks = view.run(view.storage.account(view.account_id))
    balance = format_roubles(kopecks)
    money = f"balance {balance} roubles"
    if settings.unlimited:
        money += ", unlimited"
    elif settings.credit:
        money += f", credit {format_roubles(settings.credit)}"
    name = settings.name and f" ({settings.name})"
    lines = [f"account {view.account_id}{name}: {money}, seed {view.opened.seed}"]
    if settings.calls_held:
        lines.append("calls are held until call.complete()")
    lines += [f"fault switched on: {fault}" for fault in settings.faults]
    if not settings.subscriptions:
        lines.append("no subscription: no CDR is sent (mcn.subscribe)")
    for subscription in settings.subscriptions:
        disabled = "" if subscription.enabled else ", disabled"
        if subscription.disabled_at is not None:
            disabled = f", disabled after too many CDRs failed (mcn.enable_webhook({subscription.number}) enables it)"
        lines.append(f"subscription {subscription.number}: {subscription.method} {subscription.url}{disabled}")
    lines += _placed_too_early(view, settings)
    lines += _section("requests", view.heard(), lambda request: [str(request)])
    lines += _section("ledger", view.run(view.storage.ledger(view.account_id)), lambda entry: [str(entry)])
    now = view.now()
    lines += _section("calls", view.calls(), lambda call: list(_call(call, now)))
    return "\n".join(map(printable, lines))


def describe_pending(view: AccountView) -> str:
    """Return what is pending, or why nothing is, for the message of a wait that timed out."""
    now, requests = view.now(), view.requests()
    lines = [f"in flight: {request}" for request in requests if not request.is_answered]
    for call in view.calls():
        if call.state == "ringing":
            when = "until call.complete()" if call.ends_at is None else f"for {call.ends_at - now:g} s more"
            lines.append(f"ringing {when}: {call!r}")
        pending = [delivery for delivery in call.deliveries if delivery.state is DeliveryState.PENDING]
        lines += [f"{delivery!r}{_due(delivery, now)}{hint_at_hidden_error(delivery)}" for delivery in pending]
    lines += [f"no CDR: {c!r}: {c.explanation.cdr}" for c in view.calls() if c.explanation.cdr][-_MOST:]
    lines += [f"not accepted: {request}" for request in view.heard() if request.refusal is not None][-_MOST:]
    if not requests:
        lines.append(f"no request arrived for account {view.account_id}: does the application use mcn.base_url?")
    settings = view.run(view.service.accounts.get(view.account_id))
    lines += _placed_too_early(view, settings)
    if not settings.subscriptions:
        lines.append(
            "the account has no subscription, so no CDR is sent: use mcn.subscribe(url) or mcn.subscribe(app, path=…)"
        )
    lines = lines or ["nothing is pending"]
    if count := view.changes.count_jobs():
        lines.append(f"{count} of the CDRs wait for the thread that subscribed with on_test_thread=True to wait")
    return "\n".join(f"  {printable(line)}" for line in lines)


def hint_at_hidden_error(delivery: Delivery) -> str:
    """Return where to find the exception if an application object answered 500: its framework may hide it. Otherwise
    return an empty text.
    """
    is_object = (urlsplit(delivery.url).hostname or "").endswith(f".{DOMAIN}")
    if not is_object or delivery.status != HTTPStatus.INTERNAL_SERVER_ERROR:
        return ""
    return "; an application that answers 500 may hide an exception: let it raise (Flask: app.testing = True)"


def list_mistakes(view: AccountView, expected: Expectations, since: int | None = None) -> list[Mistake]:
    """Return the unexpected mistakes on the account or on the server."""
    found = view.run(view.service.mistakes.find(view.account_id, expected, view.since(since)))
    return [mistake for mistake in found if mistake.delivery is None or not _is_of_the_test(view, mistake.delivery)]


def describe_misses(view: AccountView, fields: Mapping[str, object]) -> str:
    """Return the calls that are most similar to these fields, the most similar first, and the refused requests."""
    calls = sorted(view.calls(), key=lambda call: len(differences(call, fields)))
    lines = []
    for call in calls[:_MOST_CALLS]:
        lines.append(f"  {call!r}")
        lines += [
            f"    {name}: expected {fields[name]!r}, got {actual!r}"
            for name, actual in differences(call, fields).items()
        ]
    if len(calls) > _MOST_CALLS:
        lines.append(f"  and {len(calls) - _MOST_CALLS} more calls")
    lines += [f"  refused: {request}" for request in view.heard() if request.refusal is not None]
    return "\n".join(lines) or "  no request arrived at all: does the application use mcn.base_url?"


def differences(call: Call, fields: Mapping[str, object]) -> dict[str, object]:
    """Return the call's values of the fields that differ."""
    return {name: actual for name, value in fields.items() if str(actual := getattr(call, name)) != str(value)}


def describe_calls(calls: Sequence[Call]) -> str:
    """Return the first calls, one line each."""
    return "\n".join(f"  {call!r}" for call in calls[:_MOST_CALLS])


def describe_fields(fields: Mapping[str, object]) -> str:
    """Return the fields of an assertion on one line."""
    return ", ".join(f"{name}={value!r}" for name, value in fields.items()) or "any fields"


def list_imbalances(view: AccountView) -> list[str]:
    """Return the errors in the money of the account, one line each."""
    entries = view.run(view.storage.ledger(view.account_id))
    balance = view.run(view.service.accounts.balance(view.account_id))
    total = sum(entry.kopecks for entry in entries)
    problems = []
    if total != balance:
        problems.append(f"the balance is {format_roubles(balance)}, the entries sum to {format_roubles(total)}")
    charges = [entry for entry in entries if entry.kind is EntryKind.CHARGE]
    for call in view.calls():
        charged = [-e.amount for e in charges if e.verification_call_uuid == call.verification_call_uuid]
        if charged != [call.price]:
            problems.append(f"{call!r} costs {call.price}, but was charged {', '.join(map(str, charged)) or 'never'}")
    return problems


def describe_errors(errors: Sequence[BaseException], failure: BaseException | None) -> list[str]:
    """Return the exceptions of handlers and applications, with tracebacks that the test's own failure does not show."""
    shown: list[BaseException] = []
    unread = [failure]
    while unread:
        error = unread.pop()
        if error is not None and not any(error is other for other in shown):
            shown.append(error)
            unread += [error.__cause__, error.__context__]
            unread += error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    lines = []
    for error in errors[:_MOST_ERRORS]:
        lines.append(f"a handler raised {error!r}")
        if not any(error is other or error.__cause__ is other for other in shown):
            lines += "".join(format_exception(error, limit=-_MOST_FRAMES)).splitlines()
    left = len(errors) - _MOST_ERRORS
    return [*lines, f"and {left} more errors"] if left > 0 else lines


def _is_of_the_test(view: AccountView, delivery_id: int) -> bool:
    """Return whether the test itself is why the CDR was not acknowledged: it left the event loop of its application, or
    the application raised, which is reported as such.
    """
    try:
        attempts = view.run(view.storage.delivery(delivery_id)).attempts
    except NotFound:  # it has left the bounded journal meanwhile
        return False
    error = (attempts[-1].error if attempts else None) or ""
    return error == LEFT or error.startswith(RAISED)


def _placed_too_early(view: AccountView, settings: Account) -> list[str]:
    """Return a line with the number of calls that were placed before the first webhook existed, if any."""
    if not settings.subscriptions_made:
        return []
    owing = [c for c in view.calls() if c.method is Method.FLASH_CALL or view.service.assumptions.call_for_2fa_cdr]
    count = len(list(takewhile(lambda call: not call.deliveries and not call.explanation.cdr, owing)))
    if not count:
        return []
    were, them = ("1 call was", "it") if count == 1 else (f"{count} calls were", "them")
    return [f"{were} placed before the first subscription: no CDR is sent for {them}"]


def _section(title: str, items: Sequence[_T], lines_of: Callable[[_T], list[str]]) -> list[str]:
    """Return the last items that fit into the remaining lines, and at least one."""
    lines: list[str] = []
    shown = 0
    for item in reversed(items):
        more = lines_of(item)
        if shown and len(lines) + len(more) > _MOST:
            break
        lines[:0] = more
        shown += 1
    left_out = [f"  … {len(items) - shown} earlier"] if len(items) > shown else []
    return [f"{title}:" if lines else f"{title}: none", *left_out, *(f"  {line}" for line in lines)]


def _call(call: Call, now: float) -> Iterator[str]:
    price = format_roubles(int(call.price * 100))
    outcome = call.outcome or call.state
    cause = "" if call.q931_status is None else f" (q931_status {call.q931_status})"
    yield (
        f"{call.verification_call_uuid} {call.label} {call.caller_did} -> {call.login_did}, {price} roubles, "
        f"{outcome}{cause}"
    )
    why = call.explanation
    for what, sentence in (
        ("country", why.country),
        ("number", why.number),
        ("price", why.price),
        ("end", why.outcome),
        ("CDR", why.cdr),
    ):
        if sentence:
            yield f"  {what}: {sentence}"
    for delivery in call.deliveries:
        yield f"  CDR to {delivery.url}: {describe_state(delivery.state, delivery.attempts)}{_due(delivery, now)}"
        for attempt in delivery.attempts:
            yield f"    {attempt}, after {attempt.duration_s * 1000:.0f} ms"


def _due(delivery: Delivery, now: float) -> str:
    note = f" ({delivery.note})" if delivery.note else ""
    if delivery.state is not DeliveryState.PENDING:
        return note
    if delivery.due_at is None:
        return f"{note}, held" if delivery.call.state == "ringing" else f"{note}, after another delivery"
    wait = delivery.due_at - now
    return f"{note}, due now" if wait <= 0 else f"{note}, due in {wait:g} s"
