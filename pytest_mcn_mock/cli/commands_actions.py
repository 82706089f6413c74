"""The commands that make something happen in a running sandbox."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from pytest_mcn_mock.cli.client import SandboxClient, segment
from pytest_mcn_mock.cli.options import (
    call_argument,
    check_one_ending,
    complete_account,
    connected,
    delivery_argument,
    outcome_options,
)
from pytest_mcn_mock.cli.output import moment, outcome_of, print_json, without_user
from pytest_mcn_mock.errors import Unreachable
from pytest_mcn_mock.text import printable

ATTEMPT_WITHIN_S: Final = 660.0
"""How long `resend` waits for its attempt: an endpoint may have 600 s to answer, and the attempt may have to queue."""


@click.command()
@click.argument("login_did")
@click.option("--code", help="Four digits in which the caller's number ends.")
@click.option("--country-id", help="The country to call from: 643 or 703.")
@click.option("--caller-did", help="A number connected to the account: the call is a call_for_2fa from it.")
@click.option(
    "--account", type=click.IntRange(1, 10**15 - 1), metavar="ID", default=12345678, show_default=True,
    help="The account that pays.", shell_complete=complete_account,
)  # fmt: skip
@click.option(
    "--token", envvar="MCN_MOCK_TOKEN", show_envvar=True, default="test-token", show_default=True,
    help="The account's token.",
)  # fmt: skip
@connected
def call(
    sandbox: SandboxClient,
    login_did: str,
    code: str | None,
    country_id: str | None,
    caller_did: str | None,
    account: int,
    token: str,
    *,
    as_json: bool,
) -> None:
    """Place a call to LOGIN_DID.

    As an application does, through the vendor's API: a flash_call, or with --caller-did a call_for_2fa.
    """
    if caller_did is not None and (code is not None or country_id is not None):
        raise click.UsageError("--caller-did makes it a call_for_2fa, which has no --code and no --country-id")
    given = {"login_did": login_did, "code": code, "country_id": country_id, "caller_did": caller_did}
    method = "flash_call" if caller_did is None else "call_for_2fa"
    parameters = {name: value for name, value in given.items() if value is not None}
    answer = sandbox.place_call(account, method, token, parameters)
    if as_json:
        print_json(answer)
        return
    placed = answer["object"]
    click.echo(
        f"{printable(placed['verification_call_uuid'])}: {method} to {printable(placed['login_did'])}, "
        f"the caller's number ends in {printable(placed['code'])}"
    )


@click.command()
@call_argument
@outcome_options
@connected
def complete(
    sandbox: SandboxClient, verification_call_uuid: str, outcome: str | None, q931_status: int | None, *, as_json: bool
) -> None:
    """End the ringing call UUID.

    As an option says, or without one as the outcome rules planned.
    """
    check_one_ending(outcome, q931_status)
    given = {"outcome": outcome, "q931_status": q931_status}
    wanted = {name: value for name, value in given.items() if value is not None}
    ended = sandbox.post(f"calls/{segment(verification_call_uuid)}/complete", wanted)
    if as_json:
        print_json(ended)
    else:
        click.echo(f"{printable(ended['verification_call_uuid'])}: {printable(outcome_of(ended))}")


@click.command()
@delivery_argument
@connected
def resend(sandbox: SandboxClient, delivery_id: int, *, as_json: bool) -> None:
    """Send the CDR of a delivery again, at once, and wait until that attempt has ended.

    The exit status is 0 if the endpoint acknowledged it, which is any 2xx, and 1 if not. Retries follow as if it were
    sent for the first time; `mcn-mock deliveries show DELIVERY_ID` lists every attempt.
    """
    delivery, attempt = _wait_for_attempt(sandbox, sandbox.post(f"deliveries/{delivery_id}/resend"))
    is_acknowledged = attempt is not None and attempt["error"] is None
    if as_json:
        print_json(delivery)
    else:
        url = printable(without_user(delivery["url"]))
        click.echo(f"delivery {delivery_id} to {url}: {printable(_result(delivery, attempt))}")
    if not is_acknowledged:
        raise SystemExit(1)


def _wait_for_attempt(sandbox: SandboxClient, resent: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The delivery once its new attempt has ended, and that attempt; None if none was made.

    An attempt that was under way before began earlier, so that it is not taken for the new one.
    """
    known, since = len(resent["attempts"]), str(resent["due_at"])
    ends_at = time.monotonic() + ATTEMPT_WITHIN_S
    pause_s = 0.02
    while True:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.5)
        delivery = sandbox.get(f"deliveries/{resent['id']}")
        for attempt in delivery["attempts"][known:]:
            if str(attempt["at"]) >= since:
                return delivery, attempt
        if delivery["state"] == "failed":
            return delivery, None
        if time.monotonic() > ends_at:
            raise Unreachable(f"the attempt has not ended within {ATTEMPT_WITHIN_S:g} s")


def _result(delivery: dict[str, Any], attempt: dict[str, Any] | None) -> str:
    if attempt is None:
        return str(delivery["note"] or delivery["state"])
    if attempt["error"] is None:
        return f"HTTP {attempt['status']}, acknowledged"
    again = f"; it is sent again at {moment(delivery['due_at'])} UTC" if delivery["due_at"] else ""
    return f"{attempt['error']}{again}"


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0))
@connected
def advance(sandbox: SandboxClient, seconds: float, *, as_json: bool) -> None:
    """Put the sandbox's clock forward.

    By SECONDS; it returns once everything that fell due has been tried.
    """
    answer = sandbox.post("clock/advance", {"seconds": seconds})
    if as_json:
        print_json(answer)
    else:
        click.echo(f"the sandbox's clock says {printable(moment(answer['now']))} UTC")


@click.command()
@connected
def reset(sandbox: SandboxClient, *, as_json: bool) -> None:
    """Return to the configured state.

    Every call and CDR is gone, and every account that was opened since. Nothing is asked first.
    """
    answer = sandbox.post("reset")
    if as_json:
        print_json(answer)
    else:
        click.echo("the sandbox is as it was configured")
