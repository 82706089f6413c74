"""The story of an account, for people: what a failing test's report and a failed wait show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.money import Method, format_roubles
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.testing.access import Access
from pytest_mcn_mock.text import printable

if TYPE_CHECKING:
    from pytest_mcn_mock.testing.handle import Handle
    from pytest_mcn_mock.testing.views import Call, Delivery

_T = TypeVar("_T")

MOST = 50
"""Lines of a kind: a story is to be read."""


def tell(account: Handle, heard: Sequence[ApiRequest], access: Access, now: float) -> str:
    """The story. No token is in it.

    ``heard`` are the requests that may be the test's. ``now`` is the account's time, in seconds since the epoch.
    """
    settings, kopecks = access.run(access.storage.account(account.account_id))
    balance = format_roubles(kopecks)
    lines = [f"account {account.account_id}: balance {balance} roubles, seed {account.seed}"]
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
    lines += _placed_too_early(account, access)
    lines += _section("requests", heard, lambda request: [str(request)])
    lines += _section("ledger", access.run(access.storage.ledger(account.account_id)), lambda entry: [str(entry)])
    lines += _section("calls", account.calls, lambda call: list(_call(call, now)))
    return "\n".join(map(printable, lines))


def tell_pending(account: Handle, heard: Sequence[ApiRequest], access: Access, now: float) -> str:
    """What is still to happen, or why nothing is: for a wait that ended in vain."""
    lines = [f"in flight: {request}" for request in account.requests if not request.is_answered]
    for call in account.calls:
        if call.state == "ringing":
            when = "until call.complete()" if call.ends_at is None else f"for {call.ends_at - now:g} s more"
            lines.append(f"ringing {when}: {call!r}")
        pending = [delivery for delivery in call.deliveries if delivery.state is DeliveryState.PENDING]
        lines += [f"{delivery!r}{_due(delivery, now)}" for delivery in pending]
    lines += [f"not accepted: {request}" for request in heard if request.refusal is not None][-MOST:]
    if not account.requests:
        lines.append(f"no request arrived for account {account.account_id}: does the application use mcn.base_url?")
    lines += _placed_too_early(account, access)
    if not access.run(access.service.accounts.get(account.account_id)).subscriptions:
        lines.append("the account has no subscription, so that no CDR is sent: mcn.subscribe(url)")
    return "\n".join(f"  {printable(line)}" for line in lines or ["nothing is pending"])


def _placed_too_early(account: Handle, access: Access) -> list[str]:
    """Say how many calls were placed before there was a webhook to send their CDRs to."""
    if not access.run(access.service.accounts.get(account.account_id)).subscriptions_made:
        return []
    owing = [c for c in account.calls if c.method is Method.FLASH_CALL or access.service.assumptions.call_for_2fa_cdr]
    count = len(list(takewhile(lambda call: not call.deliveries, owing)))
    if not count:
        return []
    were, them = ("1 call was", "it") if count == 1 else (f"{count} calls were", "them")
    return [f"{were} placed before the first subscription: no CDR is sent for {them}"]


def _section(title: str, items: Sequence[_T], lines_of: Callable[[_T], list[str]]) -> list[str]:
    """The last items, as many as there are lines for, and one in any case."""
    lines: list[str] = []
    shown = 0
    for item in reversed(items):
        more = lines_of(item)
        if shown and len(lines) + len(more) > MOST:
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
        f"{call.verification_call_uuid} {call.method} {call.caller_did} -> {call.login_did}, {price} roubles, "
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
        yield f"  CDR to {delivery.url}: {delivery.state}{_due(delivery, now)}"
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
