"""``mcn-mock config check``: check a configuration file without starting a sandbox."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_mcn_mock.cli.client import CommandResult, answered
from pytest_mcn_mock.cli.commands import say_error
from pytest_mcn_mock.cli.output import count
from pytest_mcn_mock.errors import ConfigError


@click.group()
def config() -> None:
    """Check a configuration file."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
@answered
def check(file: Path) -> CommandResult:
    """Check the configuration file FILE, as `serve` and `reload` do, and start nothing.

    The exit status is 0 if it is valid. If not, every mistake is printed with its line, and the status is 2.
    """
    from pytest_mcn_mock.cli import config as configuration

    try:
        found = configuration.load(file)
    except ConfigError as error:
        problems = [
            {"line": line, "problem": problem} for line, problem in zip(error.lines, error.problems, strict=True)
        ]
        text = str(error)
        return CommandResult({"valid": False, "problems": problems}, lambda: say_error(text), 2)
    webhooks = sum(len(account.subscriptions) for account in found.accounts)
    shown = f"{file} is valid: {count(len(found.accounts), 'account')}, {count(webhooks, 'webhook')}"
    return CommandResult({"valid": True, "problems": []}, shown)
