"""``mcn-mock accounts``: list, show, open, edit, top up and close accounts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from pytest_mcn_mock.cli.client import (
    ACCOUNT_ID,
    MAX_WAIT_S,
    CommandResult,
    ListFirst,
    SandboxClient,
    account_argument,
    answered,
    check_amount,
    check_balance,
    connected,
    given,
    list_options,
)
from pytest_mcn_mock.cli.faults import FAULT_COLUMNS
from pytest_mcn_mock.cli.outcomes import OUTCOME_COLUMNS
from pytest_mcn_mock.cli.tables import Column, moment, numbered, print_fields, print_list, print_part
from pytest_mcn_mock.cli.webhooks import WEBHOOK_COLUMNS, trust_of
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.accounts import DEFAULT_BALANCE, DEFAULT_CREDIT
from pytest_mcn_mock.model.requests import Level

_LEDGER_SHOWN: Final = 10


@click.group(cls=ListFirst)
def accounts() -> None:
    """List, show, open, edit, top up and close accounts.

    Without a command they are listed.
    """


@accounts.command("list")
@list_options
@connected
@answered
def list_accounts(sandbox: SandboxClient, limit: int, after: str | None) -> CommandResult:
    """List the accounts in order of opening."""
    columns = (
        Column("ACCOUNT", "id", right=True),
        Column("NAME", "name", fold=True),
        Column("BALANCE", lambda account: "unlimited" if account["unlimited"] else account["balance"], right=True),
        Column("NUMBERS", lambda account: _some(account["numbers"]), fold=True),
        Column("WEBHOOKS", lambda account: len(account["webhooks"]), right=True),
        Column("OUTCOME RULES", lambda account: len(account["outcomes"]), right=True),
        Column("CDRS", lambda account: "held" if account["calls_held"] else "sent", spare=1),
    )
    found = sandbox.list("accounts", limit, after)
    return CommandResult(found, lambda: print_list(found, "accounts", columns))


@accounts.command("show")
@account_argument
@connected
@answered
def show_account(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Show account ID with its webhooks, outcome rules, faults and newest ledger entries."""
    account = sandbox.get(f"accounts/{account_id}")
    ledger = sandbox.get(f"accounts/{account_id}/ledger", order="newest", limit=_LEDGER_SHOWN)["items"]
    return CommandResult({**account, "ledger": ledger}, lambda: _print_account(account, ledger))


@accounts.command("mistakes")
@account_argument
@click.option(
    "--expect-refusal", "refusals", multiple=True, metavar="CODE", type=click.Choice([str(c) for c in RefusalCode]),
    help="A refusal with this code is expected, such as insufficient_funds; can be repeated.",
)  # fmt: skip
@click.option("--expect-undelivered", is_flag=True, help="Expect CDRs that are not acknowledged.")
@click.option(
    "--fidelity", type=click.Choice([str(level) for level in Level]), default=str(Level.ASSUMED), show_default=True,
    help="The level of fidelity that the application may rely on.",
)  # fmt: skip
@click.option(
    "--wait", type=click.FloatRange(0, MAX_WAIT_S, min_open=True), metavar="SECONDS",
    help="Wait at most this long until nothing is in flight.",
)  # fmt: skip
@connected
@answered
def list_mistakes(
    sandbox: SandboxClient,
    account_id: int,
    refusals: tuple[str, ...],
    expect_undelivered: bool,
    fidelity: str,
    wait: float | None,
) -> CommandResult:
    """List the mistakes on account ID since it was opened, as a strict test of the plugin does.

    The exit status is 0 if there is nothing, and 1 if there is a mistake.
    """
    expected = given(
        expect_refusal=",".join(refusals) or None,
        expect_undelivered="true" if expect_undelivered else None,
        fidelity=fidelity,
        wait=wait,
    )
    found = sandbox.get(f"accounts/{account_id}/mistakes", **expected)
    columns = (
        Column("CODE", "code"),
        Column("MISTAKE", "message", fold=True),
        Column("CALL", "verification_call_uuid", spare=1),
    )
    return CommandResult(found, lambda: print_list(found, "mistakes", columns), int(bool(found["items"])))


@accounts.command("open")
@click.option("--id", "account_id", type=ACCOUNT_ID, help="The id of the account.  [default: a random one]")
@click.option("--name", help="The name of the account, for people.")
@click.option("--token", help="The token of the account.  [default: a random one, which is printed]")
@click.option(
    "--balance",
    callback=check_balance,
    default=DEFAULT_BALANCE,
    show_default=True,
    help="The balance in roubles; or unlimited, which begins at 0.00 and accepts every call.",
)
@click.option(
    "--credit",
    callback=check_amount,
    default=DEFAULT_CREDIT,
    show_default=True,
    help="How far below zero a call may take the balance, in roubles.",
)
@click.option("--number", "numbers", multiple=True, help="A number that is connected to the account; can be repeated.")
@click.option(
    "--webhook", "webhooks", multiple=True, metavar="URL", help="The URL of a webhook for its CDRs; can be repeated."
)
@click.option(
    "--webhook-cacert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A PEM file of authorities to trust for https webhooks, on the sandbox's machine.",
)
@click.option("--webhook-insecure", is_flag=True, help="Accept any certificate of https webhooks.")
@click.option(
    "--seed", type=click.IntRange(0), help="The seed of its random numbers and uuids.  [default: a random one]"
)
@connected
@answered
def open_account(
    sandbox: SandboxClient,
    account_id: int | None,
    name: str | None,
    token: str | None,
    balance: str,
    credit: str,
    numbers: tuple[str, ...],
    webhooks: tuple[str, ...],
    webhook_cacert: Path | None,
    webhook_insecure: bool,
    seed: int | None,
) -> CommandResult:
    """Open an account."""
    trust = trust_of(webhook_cacert, is_insecure=webhook_insecure)
    subscriptions = [{"url": url, **trust} for url in webhooks]
    money = {"balance": balance, "credit": credit}
    wanted = given(id=account_id, name=name, token=token, seed=seed, **money, numbers=numbers, webhooks=subscriptions)
    account = sandbox.post("accounts", wanted)
    return CommandResult(account, lambda: _print_account(account))


@accounts.command("edit")
@account_argument
@click.option("--name", help="The name of the account, for people; empty for none.")
@click.option(
    "--balance",
    callback=check_balance,
    help="The balance in roubles; or unlimited, which leaves the balance as it is and accepts every call.",
)
@click.option("--credit", callback=check_amount, help="How far below zero a call may take the balance, in roubles.")
@connected
@answered
def edit_account(
    sandbox: SandboxClient, account_id: int, name: str | None, balance: str | None, credit: str | None
) -> CommandResult:
    """Change the name, the balance or the credit of account ID. Values that you do not give stay."""
    change = given(name=name, balance=balance, credit=credit)
    if not change:
        raise click.UsageError("nothing to change: give --name, --balance or --credit")
    account = sandbox.patch(f"accounts/{account_id}", change)
    return CommandResult(account, lambda: _print_account(account))


@accounts.command("top-up")
@account_argument
@click.argument("amount", callback=check_amount)
@connected
@answered
def top_up(sandbox: SandboxClient, account_id: int, amount: str) -> CommandResult:
    """Add AMOUNT roubles, such as 10.00, to account ID."""
    account = sandbox.post(f"accounts/{account_id}/top_up", {"amount": amount})
    return CommandResult(account, f"account {account_id} has {account['balance']} roubles")


@accounts.command("close")
@account_argument
@connected
@answered
def close_account(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Close account ID and delete its calls and CDRs."""
    sandbox.delete(f"accounts/{account_id}")
    return CommandResult({"status": "ok"}, f"account {account_id} is closed")


def _prices(tariff: Mapping[str, Any]) -> str:
    from_countries = ", ".join(f"flash_call from {country} {price}" for country, price in tariff["flash_call"].items())
    return f"call_for_2fa {tariff['call_for_2fa']}, {from_countries}"


def _print_account(account: Mapping[str, Any], ledger: list[dict[str, Any]] | None = None) -> None:
    tariff = account["tariff"]
    print_fields(
        {
            "account": account["id"],
            "name": account["name"] or None,
            "token": account.get("token"),
            "balance": f"{account['balance']} roubles{', unlimited' if account['unlimited'] else ''}",
            "credit": f"{account['credit']} roubles",
            "numbers": _some(account["numbers"]) or "none",
            "tariff": _prices(tariff),
            "paidmethods": _prices(tariff["paidmethods"]),
            "seed": account["seed"],
            "CDRs": "held" if account["calls_held"] else "sent",
        }
    )
    print_part("Webhooks", account["webhooks"], *WEBHOOK_COLUMNS)
    print_part("Outcome rules, the first that fits is taken", numbered(account["outcomes"]), *OUTCOME_COLUMNS)
    print_part("Faults that are switched on", numbered(account.get("faults") or []), *FAULT_COLUMNS)
    print_part(
        "Ledger, the newest first",
        ledger,
        Column("TIME (UTC)", lambda entry: moment(entry["at"])),
        Column("ENTRY", "kind"),
        Column("AMOUNT", "amount", right=True),
        Column("BALANCE", "balance", right=True),
        Column("CALL", "verification_call_uuid"),
    )


def _some(numbers: list[str]) -> str:
    more = len(numbers) - 5
    return ", ".join(numbers[:5]) + (f" and {more} more" if more > 0 else "")
