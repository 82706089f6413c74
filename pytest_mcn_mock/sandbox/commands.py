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
from pytest_mcn_mock.sandbox import logs
from pytest_mcn_mock.sandbox.server import serve as run
from pytest_mcn_mock.sandbox.tls import TlsChoice

_LEVELS = ("debug", "info", "warning", "error")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
@click.option(
    "--log-format", type=click.Choice(logs.FORMATS), default="text", show_default=True, help="How a line is written."
)
@click.option(
    "--admin-token",
    envvar="MCN_MOCK_ADMIN_TOKEN",
    help="What everything under /__admin demands. The environment variable MCN_MOCK_ADMIN_TOKEN hides it from ps.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Speak TLS with this certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's unencrypted key, PEM.")
@click.option("--tls-self-signed", is_flag=True, help="Speak TLS with a certificate of a throw-away authority.")
def serve(
    host: str | None,
    port: int | None,
    config: Path | None,
    log_level: str,
    log_format: str,
    admin_token: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_self_signed: bool,
) -> None:
    """Run the sandbox server until it is interrupted."""
    logs.set_up(log_format, log_level)
    try:
        chosen = configuration.built_in() if config is None else configuration.load(config)
        chosen = replace(
            chosen,
            host=chosen.host if host is None else host,
            port=chosen.port if port is None else port,
            admin_token=chosen.admin_token if admin_token is None else configuration.check_admin_token(admin_token),
            tls=TlsChoice(tls_cert, tls_key, tls_self_signed),
        )
        run(chosen, click.echo)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    # The server's threads end with the process alone; where Python takes itself down first, they abort it at times.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
