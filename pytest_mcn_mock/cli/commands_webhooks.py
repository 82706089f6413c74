"""``mcn-mock webhooks``: enable a webhook again after too many CDRs to it failed."""

from __future__ import annotations

import click

from pytest_mcn_mock.cli.client import SandboxClient
from pytest_mcn_mock.cli.options import account_argument, connected
from pytest_mcn_mock.cli.output import print_json, without_user
from pytest_mcn_mock.text import printable


@click.group()
def webhooks() -> None:
    """Enable webhooks."""


@webhooks.command("enable")
@account_argument
@click.argument("number", metavar="N", type=click.IntRange(1, 10**15 - 1))
@connected
def enable_webhook(sandbox: SandboxClient, account_id: int, number: int, *, as_json: bool) -> None:
    """Enable webhook N of account ID again.

    CDRs of calls placed from now on are sent to it, and its failures are counted from 0. `mcn-mock accounts show ID`
    lists the webhooks.
    """
    webhook = sandbox.patch(f"accounts/{account_id}/webhooks/{number}", {"enabled": True})
    if as_json:
        print_json(webhook)
    else:
        click.echo(f"webhook {number} of account {account_id}, {printable(without_user(webhook['url']))}, is enabled")
