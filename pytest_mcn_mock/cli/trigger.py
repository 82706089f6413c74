"""``mcn-mock trigger``: send one CDR to a URL, rendered and sent as the sandbox does it, without a sandbox."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path
from typing import Any, Final

import click
from msgspec.structs import replace

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.cli.client import CommandResult, answered, outcome_options, trust_options
from pytest_mcn_mock.cli.deliveries import print_message, without_user
from pytest_mcn_mock.cli.webhook_options import webhook_options
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, Explanation
from pytest_mcn_mock.model.cdr import Cdr
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, is_acknowledgement
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import NUMBER_FORM, caller_number, choose_country, is_number
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.rendering import render
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.text import printable

_ACCOUNT: Final = "12345678"
_RANG_S: Final = 5.0
_UUID: Final = re.compile(r"[\x21-\x7e]{1,64}")


@click.command()
@click.argument("url")
@outcome_options
@click.option("--uuid", help="The call's verification_call_uuid.  [default: a random one]")
@click.option("--login-did", default="79157777777", show_default=True, help="The number that was called.")
@webhook_options
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=Assumptions().ack_timeout_s, show_default=True,
    help="The seconds that the endpoint may take to acknowledge it.",
)  # fmt: skip
@trust_options
@answered
def trigger(
    url: str,
    outcome: str | None,
    q931_status: int | None,
    uuid: str | None,
    login_did: str,
    settings: dict[str, Any],
    timeout: float,
    cacert: Path | None,
    insecure: bool,
) -> CommandResult:
    """Send a made-up CDR to URL.

    It is sent from here, so no sandbox is needed; the request and the answer are printed. The exit status is 0 if the
    endpoint acknowledged it, which is any 2xx, and 1 if not.
    """
    if uuid is not None and not _UUID.fullmatch(uuid):
        raise UsageError("--uuid must be 1 to 64 visible ASCII characters, such as fa278be48dc2_12345678")
    trust = read_trust(cacert, insecure=insecure, name="--cacert")
    subscription = make_subscription(url, **settings, trust=trust)
    cdr = Cdr(_call(uuid, login_did, outcome, q931_status), Assumptions())
    request = replace(render(subscription, cdr, time.time()).request, trust=trust)
    began = time.monotonic()
    response, error = _send(request, timeout)
    is_acknowledged = response is not None and is_acknowledgement(response.status)
    document = {
        "acknowledged": is_acknowledged,
        "duration_s": round(time.monotonic() - began, 6),
        "status": None if response is None else response.status,
        "error": error,
        "request": {
            "method": str(request.method),
            "url": without_user(request.url),
            # The user's own values are not printed, because printed text is kept in logs.
            "headers": {k: "***" if k in subscription.headers else v for k, v in request.headers.items()},
            "body": request.body.decode(),
        },
        "response": None
        if response is None
        else {"headers": dict(response.headers), "body": response.body.decode("utf-8", "replace")},
    }
    return CommandResult(document, lambda: _print(document), 0 if is_acknowledged else 1)


def _call(uuid: str | None, login_did: str, outcome: str | None, q931_status: int | None) -> Call:
    """Return a call that has just ended; answered, if neither an outcome nor a Q.850 cause is given.

    Raise UsageError if ``login_did`` is not a number, and as ``ending`` does.
    """
    if not is_number(login_did):
        raise UsageError(f"login_did {login_did[:40]!r} is not a number; it is {NUMBER_FORM}")
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
        explanation=Explanation(),
        placed_at=now - _RANG_S,
        planned=how,
        ends_at=now,
        ending=how,
        ended_at=now,
    )


def _send(request: CdrRequest, timeout_s: float) -> tuple[CdrResponse | None, str | None]:
    """Send the request once. Return the response, or None and why there is none."""
    import asyncio

    from pytest_mcn_mock.delivery.client import HttpSender

    async def send() -> CdrResponse:
        sender = HttpSender()
        try:
            return await sender.send(request, timeout_s)
        finally:
            await sender.close()

    try:
        return asyncio.run(send()), None
    except SendError as error:
        return None, str(error)


def _print(sent: dict[str, Any]) -> None:
    request, response = sent["request"], sent["response"]
    print_message(f"{request['method']} {request['url']}", request["headers"], request["body"])
    click.echo()
    if response is None:
        click.echo(f"not acknowledged: {printable(sent['error'])}")
        return
    word = "acknowledged" if sent["acknowledged"] else "not acknowledged"
    first = f"HTTP {sent['status']}, {word} after {sent['duration_s'] * 1000:.0f} ms"
    print_message(first, response["headers"], response["body"])
