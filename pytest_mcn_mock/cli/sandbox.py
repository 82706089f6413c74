"""``mcn-mock advance``, ``reload`` and ``reset``: the sandbox as a whole."""

from __future__ import annotations

import click

from pytest_mcn_mock.cli.client import CommandResult, SandboxClient, answered, connected
from pytest_mcn_mock.cli.tables import moment
from pytest_mcn_mock.text import printable


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0))
@connected
@answered
def advance(sandbox: SandboxClient, seconds: float) -> CommandResult:
    """Put the sandbox's clock forward by SECONDS.

    The command ends when everything that fell due has been attempted.
    """
    answer = sandbox.post("clock/advance", {"seconds": seconds})
    return CommandResult(answer, f"the sandbox's clock says {moment(answer['now'])} UTC")


@click.command()
@connected
@answered
def reload(sandbox: SandboxClient) -> CommandResult:
    """Load the sandbox's configuration file again, and apply its changes.

    If the file has a mistake, every mistake is printed and nothing is changed.
    """
    answer = sandbox.post("reload")
    return CommandResult(answer, lambda: _print_reloaded(answer))


def _print_reloaded(answer: dict[str, list[str]]) -> None:
    if not any(answer.values()):
        click.echo("the configuration was loaded: nothing to apply")
    for heading, items in (
        ("applied", answer["applied"]),
        ("needs a restart", answer["restart"]),
        ("the state differs from the file", answer["differs"]),
    ):
        for item in items:
            click.echo(f"{heading}: {printable(item)}")


@click.command()
@connected
@answered
def reset(sandbox: SandboxClient) -> CommandResult:
    """Return to the configured state, without asking.

    Deletes every call and CDR, and every account that is not configured.
    """
    return CommandResult(sandbox.post("reset"), "the sandbox is as it was configured")
