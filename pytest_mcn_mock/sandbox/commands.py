"""The command ``mcn-mock``: ``serve``, and the names of the rest, which are loaded when they are asked for.

The exit statuses are those of ``STATUS``, and 0 for success: documented in docs/reference/cli.md.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from pytest_mcn_mock.errors import ConfigError, Declined, McnMockError, Unreachable, UsageError

_LEVELS = ("debug", "info", "warning", "error")

STATUS: Final[Mapping[type[McnMockError], int]] = {Declined: 1, UsageError: 2, ConfigError: 2, Unreachable: 3}
"""The exit status for each error that a command may raise."""
INTERRUPTED: Final = 130
"""The exit status after Ctrl-C, as a shell has it."""
_MODULES: Final = {
    "accounts": "commands_accounts",
    "advance": "commands_actions",
    "call": "commands_actions",
    "calls": "commands_calls",
    "complete": "commands_actions",
    "deliveries": "commands_calls",
    "record": "commands_verify",
    "resend": "commands_actions",
    "reset": "commands_actions",
    "tail": "commands_tail",
    "trigger": "commands_trigger",
    "verify": "commands_verify",
}
"""The module of each command that is loaded late: `serve` needs none of them, and they need nothing of it."""


class CommandLine(click.Group):
    """A group that imports a command when it is asked for, and ends with a line and a status where one fails."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, `serve` first."""
        return [*super().list_commands(ctx), *_MODULES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"pytest_mcn_mock.sandbox.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except tuple(STATUS) as error:
            status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
            say_error(str(error) if isinstance(error, ConfigError) else f"mcn-mock: {error}")
        except BrokenPipeError:  # `mcn-mock calls | head`: who reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        except KeyboardInterrupt:
            status = INTERRUPTED
        return ctx.exit(status)


def say_error(text: str) -> None:
    """A line on standard error, whatever the sandbox put into it."""
    from pytest_mcn_mock.sandbox.output import clean

    click.echo("\n".join(map(clean, text.splitlines())), err=True)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pytest-mcn-mock")
def mcn_mock() -> None:
    """A fake api.mcn.ru: test flash-call logins without ringing a phone."""


@mcn_mock.command()
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The port to listen on; 0 takes a free one.  [default: 8643]"
)
@click.option("--config", type=click.Path(path_type=Path), help="The configuration file, mcn-mock.toml.")
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS),
    default="info",
    show_default=True,
    help="What is logged, to standard error.",
)
def serve(host: str | None, port: int | None, config: Path | None, log_level: str) -> None:
    """Run the sandbox server until it is interrupted."""
    from pytest_mcn_mock.sandbox import config as configuration
    from pytest_mcn_mock.sandbox.server import serve as run

    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    chosen = configuration.built_in() if config is None else configuration.load(config)
    run(
        replace(chosen, host=chosen.host if host is None else host, port=chosen.port if port is None else port),
        click.echo,
    )
    # The server's threads end with the process alone; where Python takes itself down first, they abort it at times.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
