"""``mcn-mock faults``: list the faults of an account, switch them on and off."""

from __future__ import annotations

from typing import Any, Final

import click

from pytest_mcn_mock.cli.client import (
    CommandResult,
    SandboxClient,
    account_argument,
    answered,
    connected,
    given,
    position_argument,
    without,
)
from pytest_mcn_mock.cli.tables import Column, print_numbered
from pytest_mcn_mock.model.faults import MAX_TIMES, FaultKind

ALWAYS: Final = "always"
FAULT_COLUMNS: Final = (
    Column("N", "n", right=True),
    Column("KIND", "kind"),
    Column("TIMES", lambda fault: ALWAYS if fault["times"] is None else fault["times"], right=True),
    Column("PROBABILITY", "probability", right=True),
)
"""The columns of a table of faults."""


@click.group()
def faults() -> None:
    """List, add and remove faults: errors on purpose."""


@faults.command("list")
@account_argument
@connected
@answered
def list_faults(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """List the faults of account ID that can still strike."""
    return _shown(sandbox.get(f"accounts/{account_id}/faults"))


def _read_times(_: click.Context, parameter: click.Parameter, value: str) -> int | None:
    if value == ALWAYS:
        return None
    if not value.isdecimal() or not 1 <= int(value[:11]) <= MAX_TIMES:
        raise click.BadParameter(
            f"{value[:40]!r} is not a whole number from 1 to {MAX_TIMES}, or {ALWAYS}", param=parameter
        )
    return int(value)


@faults.command("add")
@account_argument
@click.argument("kind", metavar="KIND", type=click.Choice([str(kind) for kind in FaultKind]))
@click.option(
    "--times", default="1", show_default=True, callback=_read_times,
    help=f"How many requests, or CDRs, it alters: a number, or {ALWAYS}.",
)  # fmt: skip
@click.option(
    "--probability", type=click.FloatRange(0, 1, min_open=True), help="The chance for each one.  [default: 1]"
)
@click.option("--status", type=click.IntRange(500, 599), help="The HTTP status of the fault status.  [default: 503]")
@click.option("--delay", type=click.FloatRange(0), help="The seconds by which something is late.")
@click.option("--jitter", type=click.FloatRange(0), help="Up to so many seconds more.")
@click.option("--rejected", is_flag=True, help="Do not accept, and charge, a request that is altered.")
@connected
@answered
def add_fault(
    sandbox: SandboxClient,
    account_id: int,
    kind: str,
    times: int | None,
    probability: float | None,
    status: int | None,
    delay: float | None,
    jitter: float | None,
    rejected: bool,
) -> CommandResult:
    """Switch a fault on for account ID. docs/how-to/faults.md explains each KIND."""
    fault = {
        "kind": kind,
        "times": times,
        **given(probability=probability, status=status, delay_s=delay, jitter_s=jitter),
        "accepted": not rejected,
    }
    return _shown(sandbox.edit_list(f"accounts/{account_id}/faults", lambda found: [*found, fault]))


@faults.command("remove")
@account_argument
@position_argument
@connected
@answered
def remove_fault(sandbox: SandboxClient, account_id: int, position: int) -> CommandResult:
    """Switch fault N of account ID off. `mcn-mock faults list ID` numbers the faults."""
    path = f"accounts/{account_id}/faults"
    return _shown(sandbox.edit_list(path, lambda found: without(position, found, "fault")))


@faults.command("clear")
@account_argument
@connected
@answered
def clear_faults(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Switch every fault of account ID off."""
    return _shown(sandbox.edit_list(f"accounts/{account_id}/faults", lambda _: []))


def _shown(found: dict[str, Any]) -> CommandResult:
    return CommandResult(found, lambda: print_numbered(found, "faults", FAULT_COLUMNS))
