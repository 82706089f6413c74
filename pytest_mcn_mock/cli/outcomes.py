"""``mcn-mock outcomes``: list, set and remove the outcome rules of an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

from pytest_mcn_mock.cli.client import (
    CommandResult,
    SandboxClient,
    account_argument,
    answered,
    connected,
    given,
    outcome_options,
    position_argument,
    without,
)
from pytest_mcn_mock.cli.tables import Column, print_numbered

OUTCOME_COLUMNS: Final = (
    Column("N", "n", right=True),
    Column("LOGIN_DID", "login_did"),
    Column("OUTCOME", lambda rule: f"{rule['outcome']} {rule['q931_status']}"),
    Column("DELAY, S", "delay_s", right=True),
)
"""The columns of a table of outcome rules."""


@click.group()
def outcomes() -> None:
    """List, set and remove outcome rules: how calls end.

    For each call the first rule that fits its number is used.
    """


@outcomes.command("list")
@account_argument
@connected
@answered
def list_outcomes(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """List the outcome rules of account ID, in the order in which they are tried."""
    return _shown(sandbox.get(f"accounts/{account_id}/outcomes"))


@outcomes.command("set")
@account_argument
@click.option(
    "--login-did", default="*", show_default=True, metavar="PATTERN",
    help="The numbers that the rule is for: digits, * for any digits and ? for any one.",
)  # fmt: skip
@outcome_options
@click.option(
    "--delay", type=click.FloatRange(0), help="The seconds between the answer and the end of the call.",
)  # fmt: skip
@connected
@answered
def set_outcome(
    sandbox: SandboxClient,
    account_id: int,
    login_did: str,
    outcome: str | None,
    q931_status: int | None,
    delay: float | None,
) -> CommandResult:
    """Let calls of account ID end with an outcome or a Q.850 cause.

    The rule is put first. It replaces a rule for the same pattern.
    """
    if outcome is None and q931_status is None:
        raise click.UsageError("say how calls end: give --outcome or --q931-status")
    rule = given(login_did=login_did, outcome=outcome, q931_status=q931_status, delay_s=delay)

    def put_first(rules: Sequence[Any]) -> list[Any]:
        return [rule, *(other for other in rules if other["login_did"] != login_did)]

    return _shown(sandbox.edit_list(f"accounts/{account_id}/outcomes", put_first))


@outcomes.command("remove")
@account_argument
@position_argument
@connected
@answered
def remove_outcome(sandbox: SandboxClient, account_id: int, position: int) -> CommandResult:
    """Remove outcome rule N of account ID. `mcn-mock outcomes list ID` numbers the rules."""
    path = f"accounts/{account_id}/outcomes"
    return _shown(sandbox.edit_list(path, lambda rules: without(position, rules, "outcome rule")))


@outcomes.command("clear")
@account_argument
@connected
@answered
def clear_outcomes(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Remove every outcome rule of account ID, so that its calls end by default."""
    return _shown(sandbox.edit_list(f"accounts/{account_id}/outcomes", lambda _: []))


def _shown(found: dict[str, Any]) -> CommandResult:
    return CommandResult(found, lambda: print_numbered(found, "outcome rules", OUTCOME_COLUMNS))
