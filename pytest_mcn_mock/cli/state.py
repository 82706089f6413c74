"""``mcn-mock state``: look at a state without a sandbox."""

from __future__ import annotations

import click

from pytest_mcn_mock.cli.client import CommandResult, answered
from pytest_mcn_mock.cli.tables import print_fields
from pytest_mcn_mock.errors import UsageError


@click.group()
def state() -> None:
    """Inspect a state without a sandbox."""


@state.command("check")
@click.argument("url", required=False, envvar="MCN_MOCK_STATE")
@answered
def check_state(url: str | None) -> CommandResult:
    """Show the content of the state at URL, or at MCN_MOCK_STATE, without changing it."""
    from pytest_mcn_mock.storage.inspection import inspect_state

    if not url:
        raise UsageError("give the URL of the state, such as sqlite:///state.db, or set MCN_MOCK_STATE")
    found = inspect_state(url)
    document = {
        "engine": found.engine.lower(),
        "server_version": found.server_version,
        "schema_version": None if found.schema_version is None else int(found.schema_version),
        "known": found.is_known,
        "accounts": found.accounts,
        "calls": found.calls,
        "pending": found.pending,
        "size": found.size,
    }
    if found.schema_version is None:
        form = "none yet: the first start makes the tables"
    else:
        form = f"{found.schema_version}, {'known' if found.is_known else 'not known'} to this program"
    shown = {
        "engine": f"{found.engine} {found.server_version}",
        "schema version": form,
        "accounts": found.accounts,
        "calls": found.calls,
        "pending CDRs": found.pending,
        "size": f"{found.size:,} bytes",
    }
    return CommandResult(document, lambda: print_fields(shown))
