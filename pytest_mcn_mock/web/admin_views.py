"""What the admin API shows: the operator's values as JSON. Amounts are text in roubles, times ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import SENT_HEADERS, Attempt, CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.model.money import Entry, Tariff, format_roubles
from pytest_mcn_mock.model.outcomes import OutcomeRule
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.model.webhooks import Subscription

MASK = "***"
"""In place of a value that may be a secret."""
MAX_SHOWN_BODY = 4096
"""Characters of a webhook's request or answer that are shown."""


def show_account(account: Account, balance: int) -> dict[str, Any]:
    """An account as the admin API shows it. The id is a number, as in the configuration file."""
    return {
        "id": int(account.id),
        "balance": format_roubles(balance),
        "numbers": list(account.numbers),
        "seed": account.seed,
        "tariff": _show_tariff(account.tariff),
        "calls_held": account.calls_held,
        "webhooks": [show_subscription(subscription) for subscription in account.subscriptions],
        "outcomes": [show_rule(rule) for rule in account.outcome_rules],
        "faults": [show_fault(fault) for fault in account.faults],
    }


def _show_tariff(tariff: Tariff) -> dict[str, Any]:
    return {
        "call_for_2fa": format_roubles(tariff.call_for_2fa),
        "flash_call": {str(country): format_roubles(price) for country, price in tariff.flash_call.items()},
    }


def show_rule(rule: OutcomeRule) -> dict[str, Any]:
    """An outcome rule. ``delay_s`` is null where the server's delay applies."""
    return {
        "login_did": rule.login_did,
        "outcome": rule.ending.outcome,
        "q931_status": rule.ending.q931_status,
        "delay_s": rule.delay_s,
    }


def show_fault(fault: Fault) -> dict[str, Any]:
    """A fault that is switched on. ``times`` is how often it still strikes, null for every time."""
    return {
        "kind": fault.kind,
        "times": fault.times,
        "probability": fault.probability,
        "status": fault.status,
        "delay_s": fault.delay_s,
        "jitter_s": fault.jitter_s,
        "accepted": fault.accepted,
    }


def show_entry(entry: Entry) -> dict[str, Any]:
    """A movement of money; ``balance`` is the one after it."""
    return {
        "n": entry.n,
        "kind": entry.kind,
        "amount": format_roubles(entry.kopecks),
        "balance": format_roubles(entry.balance),
        "at": show_time(entry.at),
        "verification_call_uuid": entry.verification_call_uuid,
    }


def show_request(request: ApiRequest) -> dict[str, Any]:
    """A request to the vendor's API. ``account_id`` is that of the path, as text, whether there is such an account."""
    refusal = request.refusal
    return {
        "seq": request.seq,
        "at": show_time(request.received_at),
        "method": request.method,
        "path": request.path[:MAX_SHOWN_BODY],
        "account_id": request.account_id,
        "parameters": dict(request.parameters),
        "status": request.status,
        "refusal": refusal and {"code": refusal.code, "message": refusal.message, "parameter": refusal.parameter},
        "undocumented": [str(use) for use in request.undocumented],
        "fault": request.fault,
        "verification_call_uuid": request.verification_call_uuid,
    }


def show_subscription(subscription: Subscription) -> dict[str, Any]:
    """A webhook. The values of its headers may be secrets, and are masked."""
    return {
        "n": subscription.number,
        "url": subscription.url,
        "body": list(subscription.body),
        "method": subscription.method,
        "headers": dict.fromkeys(subscription.headers, MASK),
        "query": dict(subscription.query),
        "constants": dict(subscription.constants),
        "retry": subscription.retry,
        "never_disable": subscription.never_disable,
        "cacert": subscription.trust.cacert,
        "insecure": subscription.trust.insecure,
        "enabled": subscription.enabled,
        "failed_in_a_row": subscription.failed_in_a_row,
        "disabled_at": show_time(subscription.disabled_at),
    }


def show_call(call: Call) -> dict[str, Any]:
    """A call as the admin API shows it. How it ends is null until it has ended."""
    return {
        "seq": call.seq,
        "verification_call_uuid": call.verification_call_uuid,
        "account_id": int(call.account_id),
        "method": call.method,
        "login_did": call.login_did,
        "caller_did": call.caller_did,
        "code": call.code,
        "country_id": call.country_id,
        "price": format_roubles(call.price),
        "state": call.state,
        "outcome": call.ending.outcome if call.ending else None,
        "q931_status": call.ending.q931_status if call.ending else None,
        "final_status": call.ending.final_status if call.ending else None,
        "explanation": {
            "country": call.explanation.country,
            "number": call.explanation.number,
            "price": call.explanation.price,
            "outcome": call.explanation.outcome,
            **({"cdr": call.explanation.cdr} if call.explanation.cdr else {}),
        },
        "placed_at": show_time(call.placed_at),
        "ends_at": show_time(call.ends_at),
        "ended_at": show_time(call.ended_at),
    }


def show_delivery(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the admin API shows it. ``status`` of an attempt is the HTTP status of the answer, or null."""
    return {
        "id": delivery.id,
        "verification_call_uuid": delivery.verification_call_uuid,
        "account_id": int(delivery.account_id),
        "webhook": delivery.subscription,
        "url": delivery.url,
        "state": delivery.state,
        "due_at": show_time(delivery.due_at),
        "note": delivery.note,
        "cdr": delivery.cdr,
        "request": delivery.request and _show_cdr_request(delivery.request),
        "attempts": [_show_attempt(attempt) for attempt in delivery.attempts],
    }


def _show_cdr_request(request: CdrRequest) -> dict[str, Any]:
    own = {name: value if name in SENT_HEADERS else MASK for name, value in request.headers.items()}
    return {"method": request.method, "url": request.url, "headers": own, "body": _text(request.body)}


def _show_cdr_response(response: CdrResponse) -> dict[str, Any]:
    headers = {name[:MAX_SHOWN_BODY]: value[:MAX_SHOWN_BODY] for name, value in list(response.headers.items())[:100]}
    return {"headers": headers, "body": _text(response.body)}


def _show_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": show_time(attempt.at),
        "duration_s": round(attempt.duration_s, 6),
        "status": attempt.status,
        "error": attempt.error,
        "sent_twice": attempt.response is not None and attempt.response.sent_twice,
        "response": attempt.response and _show_cdr_response(attempt.response),
    }


def _text(body: bytes) -> str:
    return body[:MAX_SHOWN_BODY].decode(errors="replace")


def show_time(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
