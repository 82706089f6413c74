"""A CDR of a call that never was, rendered and sent as the sandbox would."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from pytest_mcn_mock.cli.output import without_user
from pytest_mcn_mock.delivery.sender import HttpSender
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, Explanation, render_cdr
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, is_acknowledgement
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import NUMBER_FORM, caller_number, choose_country, is_number
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.service.cdr_requests import make_request

_ACCOUNT = "12345678"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request and what became of it; ``error`` says why there is no response. ``secret`` names the headers whose
    values are the user's own.
    """

    request: CdrRequest
    secret: frozenset[str]
    response: CdrResponse | None
    error: str | None
    duration_s: float

    @property
    def is_acknowledged(self) -> bool:
        """Whether the endpoint acknowledged it."""
        return self.response is not None and is_acknowledgement(self.response.status)

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, the user's own without their values: what is printed ends in logs."""
        return {name: "***" if name in self.secret else value for name, value in self.request.headers.items()}

    @property
    def url(self) -> str:
        """The request's URL without user and password."""
        return without_user(self.request.url)

    def show(self) -> dict[str, Any]:
        """The JSON document: request and response as the admin API shows those of a delivery."""
        response = self.response
        return {
            "acknowledged": self.is_acknowledged,
            "duration_s": round(self.duration_s, 6),
            "status": None if response is None else response.status,
            "error": self.error,
            "request": {
                "method": str(self.request.method),
                "url": self.url,
                "headers": self.headers,
                "body": self.request.body.decode(),
            },
            "response": None
            if response is None
            else {"headers": dict(response.headers), "body": response.body.decode("utf-8", "replace")},
        }


def make_call(uuid: str | None, login_did: str, outcome: str | None, q931_status: int | None) -> Call:
    """A call that has just ended: answered, where neither an outcome nor a Q.850 cause is given.

    A ``uuid`` that is None is drawn. UsageError for a number that is none, and as ``ending`` raises it.
    """
    if not is_number(login_did):
        raise UsageError(f"login_did {login_did[:40]!r} is no number; it is {NUMBER_FORM}")
    if outcome is None and q931_status is None:
        outcome = Outcome.ANSWERED
    uuid = uuid or f"{secrets.token_hex(6)}_{_ACCOUNT}"
    account = uuid.partition("_")[2]
    how = ending(outcome, q931_status, unavailable_cause=Assumptions().unavailable_cause)
    country = choose_country(login_did, None).country
    caller = caller_number(country, None, secrets.randbits(48))
    now = time.time()
    return Call(
        verification_call_uuid=uuid,
        account_id=account if account.isdecimal() else _ACCOUNT,
        method=Method.FLASH_CALL,
        login_did=login_did,
        caller_did=caller,
        code=caller[-4:],
        country_id=country,
        price=0,
        explanation=Explanation("", "", "", ""),
        placed_at=now,
        planned=how,
        ends_at=now,
        ending=how,
        ended_at=now,
    )


def send(call: Call, subscription: Subscription, timeout_s: float) -> Sent:
    """Send the call's CDR once, and wait for the answer."""
    record = render_cdr(call, subscription.body, subscription.constants)
    request = replace(make_request(subscription, record), trust=subscription.trust)
    return asyncio.run(_send(request, frozenset(subscription.headers), timeout_s))


async def _send(request: CdrRequest, secret: frozenset[str], timeout_s: float) -> Sent:
    sender = HttpSender()
    began = time.monotonic()
    response, error = None, None
    try:
        response = await sender.send(request, timeout_s)
    except SendError as failure:
        error = str(failure)
    finally:
        await sender.close()
    return Sent(request, secret, response, error, time.monotonic() - began)
