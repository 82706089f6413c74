"""The admin API under ``/__admin``: for the tester, not for the application under test. Amounts are text: roubles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pytest_mcn_mock.domain.accounts import Account
from pytest_mcn_mock.domain.calls import Call
from pytest_mcn_mock.domain.deliveries import Attempt, Delivery
from pytest_mcn_mock.domain.money import format_roubles
from pytest_mcn_mock.domain.subscriptions import Subscription
from pytest_mcn_mock.errors import Refusal, RefusalCode, nearest
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.web.http import Request, Response, json_response
from pytest_mcn_mock.web.parameters import read_query

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
_LIST_PARAMETERS = ("account_id", "after", "limit")
_INTEGER = re.compile(r"[0-9]{1,15}", re.ASCII)
_Item = TypeVar("_Item", Call, Delivery)


class AdminApi:
    """Reads the operator's state. A list is ``{"items": […], "next": <cursor for after= or null>}``."""

    def __init__(self, operator: Operator, version: str) -> None:
        self._operator = operator
        self._version = version

    def health(self, request: Request) -> Response:
        """That the server answers, and its version."""
        return json_response(200, {"status": "ok", "version": self._version})

    def account(self, request: Request, account_id: str) -> Response:
        """One account, without its token."""
        account = self._operator.accounts.get(account_id)
        return json_response(200, show_account(account, self._operator.accounts.balance(account_id)))

    def calls(self, request: Request) -> Response:
        """Calls in order of arrival, of an account or of all."""
        return self._list(request, self._operator.calls.page, show_call, lambda call: call.seq)

    def call(self, request: Request, verification_call_uuid: str) -> Response:
        """One call."""
        return json_response(200, show_call(self._operator.calls.get(verification_call_uuid)))

    def deliveries(self, request: Request) -> Response:
        """Deliveries in order, of an account or of all."""
        return self._list(request, self._operator.deliveries.page, show_delivery, lambda delivery: delivery.id)

    def _list(
        self,
        request: Request,
        find: Callable[[str | None, int, int], Sequence[_Item]],
        show: Callable[[_Item], dict[str, Any]],
        cursor: Callable[[_Item], int],
    ) -> Response:
        parameters = {name: value for name, value in read_query(request.query).items() if value}
        for name in parameters:
            if name not in _LIST_PARAMETERS:
                hint = nearest(name, _LIST_PARAMETERS)
                raise Refusal(RefusalCode.INVALID_PARAMETER, f"{name[:40]} is unknown; {hint}", name[:40])
        after = _integer(parameters, "after", 0, 10**15)
        limit = _integer(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        found = find(parameters.get("account_id"), after, limit + 1)
        page = found[:limit]
        more = len(found) > limit
        return json_response(
            200, {"items": [show(item) for item in page], "next": cursor(page[-1]) if more and page else None}
        )


def show_account(account: Account, balance: int) -> dict[str, Any]:
    """An account as the admin API shows it. The id is a number, as in the configuration file."""
    return {
        "id": int(account.id),
        "balance": format_roubles(balance),
        "numbers": list(account.numbers),
        "seed": account.seed,
        "tariff": {
            "call_for_2fa": format_roubles(account.tariff.call_for_2fa),
            "flash_call": {str(country): format_roubles(price) for country, price in account.tariff.flash_call.items()},
        },
        "cdrs_held": account.cdrs_held,
        "webhooks": [_show_subscription(subscription) for subscription in account.subscriptions],
        "outcomes": [
            {
                "login_did": rule.login_did,
                "outcome": rule.ending.outcome,
                "q931_status": rule.ending.q931_status,
                "delay_s": rule.delay_s,
            }
            for rule in account.outcome_rules
        ],
    }


def _show_subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "n": subscription.number,
        "url": subscription.url,
        "body": list(subscription.body),
        "method": subscription.method,
        "headers": dict.fromkeys(subscription.headers, "***"),
        "query": dict(subscription.query),
        "constants": dict(subscription.constants),
        "retry": subscription.retry,
        "never_disable": subscription.never_disable,
        "enabled": subscription.enabled,
        "failed_in_a_row": subscription.failed_in_a_row,
    }


def show_call(call: Call) -> dict[str, Any]:
    """A call as the admin API shows it. How it ends is null until it has ended."""
    return {
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
        },
        "placed_at": _time(call.placed_at),
        "ends_at": _time(call.ends_at),
        "ended_at": _time(call.ended_at),
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
        "due_at": _time(delivery.due_at),
        "cdr": delivery.cdr,
        "attempts": [_show_attempt(attempt) for attempt in delivery.attempts],
    }


def _show_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": _time(attempt.at),
        "duration_s": round(attempt.duration_s, 6),
        "status": attempt.status,
        "error": attempt.error,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _integer(parameters: dict[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or int(text) > most:
        raise Refusal(RefusalCode.INVALID_PARAMETER, f"{name} must be a whole number from 0 to {most}", name)
    return int(text)
