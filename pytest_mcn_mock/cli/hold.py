"""``mcn-mock hold``: let calls ring until they are completed manually."""

from __future__ import annotations

from typing import Any

import click

from pytest_mcn_mock.cli.client import CommandResult, SandboxClient, account_argument, answered, connected


@click.group()
def hold() -> None:
    """Let the calls of an account ring until they are completed manually, or end as planned."""


@hold.command("show")
@account_argument
@connected
@answered
def show_hold(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Say whether new calls of account ID ring until they are completed."""
    return _shown(sandbox.get(f"accounts/{account_id}"))


@hold.command("on")
@account_argument
@connected
@answered
def hold_calls(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Let new calls of account ID ring until `mcn-mock complete` ends them."""
    return _shown(sandbox.patch(f"accounts/{account_id}", {"calls_held": True}))


@hold.command("off")
@account_argument
@connected
@answered
def release_calls(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Let new calls of account ID end as planned. Calls that ring already go on ringing."""
    return _shown(sandbox.patch(f"accounts/{account_id}", {"calls_held": False}))


def _shown(account: dict[str, Any]) -> CommandResult:
    how = "ring until they are completed" if account["calls_held"] else "end as planned"
    document = {"id": account["id"], "calls_held": account["calls_held"]}
    return CommandResult(document, f"account {account['id']}: new calls {how}")
