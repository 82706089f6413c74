"""The commands of ``mcn-mock``. Status 0 is success, 1 a failure while it ran, 2 a wrong argument or configuration."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from pytest_mcn_mock.errors import ConfigError
from pytest_mcn_mock.sandbox import config as configuration
from pytest_mcn_mock.sandbox.commands_schema import schema
from pytest_mcn_mock.sandbox.server import serve as run

_LEVELS = ("debug", "info", "warning", "error")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pytest-mcn-mock")
def mcn_mock() -> None:
    """A fake api.mcn.ru: test flash-call logins without ringing a phone."""


mcn_mock.add_command(schema)


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
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        chosen = configuration.built_in() if config is None else configuration.load(config)
        run(
            replace(chosen, host=chosen.host if host is None else host, port=chosen.port if port is None else port),
            click.echo,
        )
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    # The server's threads end with the process alone; where Python takes itself down first, they abort it at times.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
