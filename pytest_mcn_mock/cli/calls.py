"""``mcn-mock calls``, ``call`` and ``complete``: look at calls, place one, end one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pytest_mcn_mock.cli.client import (
    ACCOUNT_ID,
    CommandResult,
    ListFirst,
    SandboxClient,
    answered,
    call_argument,
    complete_account,
    connected,
    filter_options,
    given,
    list_options,
    missed,
    outcome_options,
    segment,
)
from pytest_mcn_mock.cli.deliveries import print_progress
from pytest_mcn_mock.cli.tables import Column, moment, print_fields, print_heading, print_list, utc
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.text import printable, shown_url


@click.group(cls=ListFirst)
def calls() -> None:
    """List calls, or show one.

    Without a command they are listed.
    """


@calls.command("list")
@filter_options(["ringing", "completed"])
@list_options
@connected
@answered
def list_calls(sandbox: SandboxClient, wanted: dict[str, Any], limit: int, after: str | None) -> CommandResult:
    """List calls, the newest first: all, or those with the given values."""
    columns = (
        Column("PLACED (UTC)", lambda call: moment(call["placed_at"])[5:]),
        Column("CALL", "verification_call_uuid"),
        Column("METHOD", method_of, spare=2),
        Column("FROM", "caller_did", spare=3, right=True),
        Column("TO", "login_did", right=True),
        Column("CODE", "code", spare=1),
        Column("PRICE", "price", right=True),
        Column("OUTCOME", outcome_of),
    )
    found = sandbox.list("calls", limit, after, order="newest", **wanted)
    return CommandResult(found, lambda: print_list(found, "calls", columns), missed(found, wanted))


@calls.command("show")
@call_argument
@connected
@answered
def show_call(sandbox: SandboxClient, verification_call_uuid: str) -> CommandResult:
    """Show call UUID, the reasons for its values, and every attempt to deliver its CDR."""
    call = sandbox.get(f"calls/{segment(verification_call_uuid)}")
    deliveries = sandbox.list("deliveries", 1000, verification_call_uuid=verification_call_uuid)["items"]
    return CommandResult({**call, "deliveries": deliveries}, lambda: _print_call(call, deliveries))


@click.command()
@click.argument("login_did")
@click.option("--code", help="Four digits in which the caller's number ends.")
@click.option("--country-id", help="The country to call from: 643 or 703; 643 or 398 in paidmethods.")
@click.option("--caller-did", help="A number connected to the account: the call is a call_for_2fa from it.")
@click.option(
    "--account", type=ACCOUNT_ID, metavar="ID", default=12345678, show_default=True,
    help="The account that pays.", shell_complete=complete_account,
)  # fmt: skip
@click.option(
    "--token", envvar="MCN_MOCK_TOKEN", show_envvar=True, default="test-token", show_default=True,
    help="The account's token.",
)  # fmt: skip
@click.option(
    "--dialect", type=click.Choice([str(d) for d in Dialect]), default="api_mcn", show_default=True,
    help="The form of the API: the article's, or that of the methods that followed.",
)  # fmt: skip
@connected
@answered
def call(
    sandbox: SandboxClient,
    login_did: str,
    code: str | None,
    country_id: str | None,
    caller_did: str | None,
    account: int,
    token: str,
    dialect: str,
) -> CommandResult:
    """Place a call to LOGIN_DID through the vendor's API, as an application does.

    It is a flash_call, or with --caller-did a call_for_2fa.
    """
    if caller_did is not None and (code is not None or country_id is not None):
        raise click.UsageError("--caller-did makes it a call_for_2fa, which has no --code and no --country-id")
    method = "flash_call" if caller_did is None else "call_for_2fa"
    parameters = given(login_did=login_did, code=code, country_id=country_id, caller_did=caller_did)
    answer = sandbox.place_call(account, method, token, parameters, Dialect(dialect))
    parts = answer.values() if isinstance(answer, dict) else ()
    placed = next((part for part in parts if isinstance(part, dict)), {})
    code = placed.get("code")
    ends = f", the caller's number ends in {code}" if code else ""
    return CommandResult(answer, f"{placed.get('verification_call_uuid', 'accepted')}: {method} to {login_did}{ends}")


@click.command()
@call_argument
@outcome_options
@connected
@answered
def complete(
    sandbox: SandboxClient, verification_call_uuid: str, outcome: str | None, q931_status: int | None
) -> CommandResult:
    """End the ringing call UUID.

    Without an option it ends as the outcome rules planned.
    """
    wanted = given(outcome=outcome, q931_status=q931_status)
    ended = sandbox.post(f"calls/{segment(verification_call_uuid)}/complete", wanted)
    return CommandResult(ended, f"{ended['verification_call_uuid']}: {outcome_of(ended)}")


def outcome_of(call: Mapping[str, Any]) -> str:
    """Return how a call ended, with its Q.850 cause: ``busy 17``; its state while it has not."""
    if call.get("outcome") is None:
        return str(call.get("state", ""))
    return f"{call['outcome']} {call.get('q931_status')}"


def method_of(call: Mapping[str, Any]) -> str:
    """Return the method of a call, and its dialect unless that is the article's."""
    dialect = call["dialect"]
    return str(call["method"]) if dialect == "api_mcn" else f"{call['method']} ({dialect})"


def _print_call(call: Mapping[str, Any], deliveries: list[dict[str, Any]]) -> None:
    final_status = call["final_status"]
    print_fields(
        {
            "call": call["verification_call_uuid"],
            "account": call["account_id"],
            "method": method_of(call),
            "from": call["caller_did"],
            "to": call["login_did"],
            "code": call["code"],
            "price": call["price"],
            "outcome": outcome_of(call) + (f", {final_status}" if final_status else ""),
            "placed": utc(call["placed_at"]),
            "ends": utc(call["ends_at"]) if call["ended_at"] is None else None,
            "ended": utc(call["ended_at"]),
        }
    )
    print_heading("Why")
    print_fields({name: sentence or None for name, sentence in call["explanation"].items() if name != "reasons"})
    for delivery in deliveries:
        print_heading(f"Delivery {printable(delivery['id'])} to {printable(shown_url(delivery['url']))}")
        print_progress(delivery)
