"""``mcn-mock accounts``: to look at accounts, open and close them, and give them money."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pytest_mcn_mock.cli.client import SandboxClient
from pytest_mcn_mock.cli.options import ListFirst, account_argument, check_amount, connected, list_options
from pytest_mcn_mock.cli.output import moment, print_json, without_user
from pytest_mcn_mock.model.accounts import DEFAULT_BALANCE
from pytest_mcn_mock.text import printable

_LEDGER_SHOWN = 10


@click.group(cls=ListFirst)
def accounts() -> None:
    """List, show, open, top up and close accounts.

    Without a command they are listed.
    """


@accounts.command("list")
@list_options
@connected
def list_accounts(sandbox: SandboxClient, limit: int, after: str | None, *, as_json: bool) -> None:
    """Every account, in order of opening."""
    found = sandbox.list("accounts", limit, after)
    if as_json:
        print_json(found)
        return
    from pytest_mcn_mock.cli.tables import Column, print_list

    print_list(
        found,
        "accounts",
        [
            Column("ACCOUNT", right=True),
            Column("BALANCE", right=True),
            Column("NUMBERS", fold=True),
            Column("WEBHOOKS", right=True),
            Column("OUTCOME RULES", right=True),
            Column("CDRS", spare=1),
        ],
        [
            (
                account["id"],
                account["balance"],
                _some(account["numbers"]),
                len(account["webhooks"]),
                len(account["outcomes"]),
                "held" if account["calls_held"] else "sent",
            )
            for account in found["items"]
        ],
    )


@accounts.command("show")
@account_argument
@connected
def show_account(sandbox: SandboxClient, account_id: int, *, as_json: bool) -> None:
    """One account with its webhooks, its outcome rules and the end of its ledger."""
    account = sandbox.get(f"accounts/{account_id}")
    ledger = sandbox.get(f"accounts/{account_id}/ledger", order="newest", limit=_LEDGER_SHOWN)["items"]
    if as_json:
        print_json({**account, "ledger": ledger})
        return
    _print_account(account)
    if not ledger:
        return
    from pytest_mcn_mock.cli.tables import Column, print_heading, print_table

    print_heading("Ledger, the newest first")
    print_table(
        [
            Column("TIME (UTC)"),
            Column("ENTRY"),
            Column("AMOUNT", right=True),
            Column("BALANCE", right=True),
            Column("CALL"),
        ],
        [
            (moment(e["at"]), e["kind"], e["amount"], e["balance"], e["verification_call_uuid"])
            for e in ledger
        ],
    )  # fmt: skip


@accounts.command("open")
@click.option("--id", "account_id", type=click.IntRange(1, 10**15 - 1), help="Its number; drawn if not given.")
@click.option("--token", help="Its token; drawn, and printed, if not given.")
@click.option(
    "--balance", callback=check_amount, default=DEFAULT_BALANCE, show_default=True, help="Its money, in roubles."
)
@click.option("--number", "numbers", multiple=True, help="A number connected to it; may be given several times.")
@click.option(
    "--webhook", "webhooks", multiple=True, metavar="URL", help="Where its CDRs go; may be given several times."
)
@click.option(
    "--webhook-cacert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A PEM file of authorities to trust for https webhooks, on the sandbox's machine.",
)
@click.option("--webhook-insecure", is_flag=True, help="Accept any certificate of https webhooks.")
@click.option("--seed", type=click.IntRange(0), help="What its numbers and uuids are drawn from.")
@connected
def open_account(
    sandbox: SandboxClient,
    account_id: int | None,
    token: str | None,
    balance: str,
    numbers: tuple[str, ...],
    webhooks: tuple[str, ...],
    webhook_cacert: Path | None,
    webhook_insecure: bool,
    seed: int | None,
    *,
    as_json: bool,
) -> None:
    """Open an account."""
    given = {"id": account_id, "token": token, "seed": seed}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    trust: dict[str, Any] = {"insecure": True} if webhook_insecure else {}
    if webhook_cacert is not None:
        trust["cacert"] = str(webhook_cacert.absolute())  # the sandbox may have been started elsewhere
    wanted |= {"balance": balance, "numbers": list(numbers), "webhooks": [{"url": url, **trust} for url in webhooks]}
    account = sandbox.post("accounts", wanted)
    if as_json:
        print_json(account)
    else:
        _print_account(account)


@accounts.command("top-up")
@account_argument
@click.argument("amount", callback=check_amount)
@connected
def top_up(sandbox: SandboxClient, account_id: int, amount: str, *, as_json: bool) -> None:
    """Give an account AMOUNT roubles, such as 10.00."""
    account = sandbox.post(f"accounts/{account_id}/top_up", {"amount": amount})
    if as_json:
        print_json(account)
    else:
        click.echo(f"account {account_id} has {printable(account['balance'])} roubles")


@accounts.command("close")
@account_argument
@connected
def close_account(sandbox: SandboxClient, account_id: int, *, as_json: bool) -> None:
    """Close an account; its calls and CDRs are gone with it."""
    sandbox.delete(f"accounts/{account_id}")
    if as_json:
        print_json({"status": "ok"})
    else:
        click.echo(f"account {account_id} is closed")


def _print_account(account: dict[str, Any]) -> None:
    from pytest_mcn_mock.cli.tables import Column, print_fields, print_heading, print_table

    tariff = account["tariff"]
    prices = ", ".join(f"flash_call from {country} {price}" for country, price in tariff["flash_call"].items())
    print_fields(
        {
            "account": account["id"],
            "token": account.get("token"),
            "balance": f"{account['balance']} roubles",
            "numbers": _some(account["numbers"]) or "none",
            "tariff": f"call_for_2fa {tariff['call_for_2fa']}, {prices}",
            "seed": account["seed"],
            "CDRs": "held" if account["calls_held"] else "sent",
        }
    )
    if account["webhooks"]:
        print_heading("Webhooks")
        print_table(
            [Column("N", right=True), Column("ENABLED"), Column("METHOD"), Column("URL", fold=True),
             Column("BODY", spare=1, fold=True)],
            [
                (w["n"], _enabled(w), w["method"], without_user(w["url"]), ", ".join(w["body"]))
                for w in account["webhooks"]
            ],
        )  # fmt: skip
    if account["outcomes"]:
        print_heading("Outcome rules, the first that fits is taken")
        print_table(
            [Column("LOGIN_DID"), Column("OUTCOME"), Column("DELAY, S", right=True)],
            [(o["login_did"], f"{o['outcome']} {o['q931_status']}", o["delay_s"]) for o in account["outcomes"]],
        )

    if account.get("faults"):
        print_heading("Faults that are switched on")
        print_table(
            [Column("KIND"), Column("TIMES", right=True), Column("PROBABILITY", right=True)],
            [(f["kind"], "always" if f["times"] is None else f["times"], f["probability"]) for f in account["faults"]],
        )


def _enabled(webhook: dict[str, Any]) -> str:
    if webhook["enabled"]:
        return "yes"
    since = webhook.get("disabled_at")
    return "no" if since is None else f"no, since {moment(since)} UTC"


def _some(numbers: list[str]) -> str:
    more = len(numbers) - 5
    return ", ".join(numbers[:5]) + (f" and {more} more" if more > 0 else "")
