"""The command ``mcn-mock``: ``serve``, ``schema``, and the names of the others, which are imported when they are used.

The exit statuses are those of ``STATUS``, and 0 for success: see docs/reference/cli.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from pytest_mcn_mock.errors import ConfigError, Declined, McnMockError, NotFound, Unreachable, UsageError
from pytest_mcn_mock.text import printable

_LEVELS = ("debug", "info", "warning", "error")
_LOG_FORMATS = ("text", "json")

STATUS: Final[Mapping[type[McnMockError], int]] = {Declined: 1, UsageError: 2, ConfigError: 2, Unreachable: 3}
"""The exit status for each error that a command may raise."""
INTERRUPTED: Final = 130
"""The exit status after Ctrl-C, as a shell has it."""
OUTPUT_S: Final = 1.0
"""How long `serve` waits at its end for a reader that has stopped reading, for each of its two outputs."""
_MODULES: Final = {
    "accounts": ("accounts",),
    "calls": ("call", "calls", "complete"),
    "check": ("check",),
    "config_check": ("config",),
    "deliveries": ("deliveries", "resend"),
    "faults": ("faults",),
    "health": ("health",),
    "hold": ("hold",),
    "listen": ("listen",),
    "outcomes": ("outcomes",),
    "sandbox": ("advance", "reload", "reset"),
    "state": ("state",),
    "tail": ("tail",),
    "trigger": ("trigger",),
    "verify": ("record", "verify"),
    "webhooks": ("webhooks",),
}  # fmt: skip
_MODULE_OF: Final = {command: module for module, commands in _MODULES.items() for command in commands}
"""The module of each command that is imported when it is used: `serve` needs none of them."""


class CommandLine(click.Group):
    """A group that imports a command when it is used. If the command fails, it ends with a line and a status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, `serve` first."""
        return ["serve", *sorted({*super().list_commands(ctx), *_MODULE_OF} - {"serve"})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None."""
        if cmd_name not in _MODULE_OF:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"pytest_mcn_mock.cli.{_MODULE_OF[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except tuple(STATUS) as error:
            status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
            say_error(str(error) if isinstance(error, ConfigError) else f"mcn-mock: {error}")
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            # It may be the second half of a header or a token, so that it is not shown.
            said = "there are too many arguments; put a value that has spaces in it in quotes"
            raise click.UsageError(said, error.ctx) from None
        except KeyboardInterrupt:
            status = INTERRUPTED
        return ctx.exit(status)


def say_error(text: str) -> None:
    """Print lines on standard error, with nothing in them that could steer a terminal."""
    click.echo("\n".join(map(printable, text.splitlines())), err=True)


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
    "--state",
    envvar="MCN_MOCK_STATE",
    help="The database of the state: sqlite:///path, or postgresql://user@host/database for several sandboxes. The "
    "environment variable MCN_MOCK_STATE hides it from ps.  [default: in memory]",
)
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS),
    default="info",
    show_default=True,
    help="The lowest level that is logged, to standard error.",
)
@click.option(
    "--log-format", type=click.Choice(_LOG_FORMATS), default="text", show_default=True, help="The format of the log."
)
@click.option(
    "--admin-token",
    envvar="MCN_MOCK_ADMIN_TOKEN",
    help="The token that everything under /__admin requires. The environment variable MCN_MOCK_ADMIN_TOKEN hides it "
    "from ps.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Speak TLS with this certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's unencrypted key, PEM.")
@click.option("--tls-self-signed", is_flag=True, help="Speak TLS with a certificate of a temporary authority.")
@click.option("--reset-state", is_flag=True, help="Empty the state first, and start from the configuration.")
@click.option("--demo", is_flag=True, help="Fill the sandbox with the traffic of a day, for a first look.")
@click.option("--open", "opens_page", is_flag=True, help="Open the monitoring page in the browser once it serves.")
def serve(
    host: str | None,
    port: int | None,
    config: Path | None,
    state: str | None,
    log_level: str,
    log_format: str,
    admin_token: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_self_signed: bool,
    reset_state: bool,
    demo: bool,
    opens_page: bool,
) -> None:
    """Run the sandbox server until it is interrupted.

    SIGHUP, and `mcn-mock reload`, load a changed configuration file.
    """
    from msgspec.structs import replace

    from pytest_mcn_mock.cli import config as configuration
    from pytest_mcn_mock.cli import logs
    from pytest_mcn_mock.cli.output import Outlet
    from pytest_mcn_mock.cli.server import serve as run
    from pytest_mcn_mock.cli.tls import TlsChoice

    logs.set_up(log_format, log_level)

    def load() -> configuration.Config:
        chosen = configuration.built_in() if config is None else configuration.load(config)
        return replace(
            chosen,
            host=chosen.host if host is None else host,
            port=chosen.port if port is None else port,
            admin_token=chosen.admin_token if admin_token is None else configuration.check_admin_token(admin_token),
            tls=TlsChoice(tls_cert, tls_key, tls_self_signed),
            settings=chosen.settings if state is None else replace(chosen.settings, state=state),
            reset_state=reset_state,
        )

    chosen = load()
    day = None
    if demo:
        from pytest_mcn_mock.cli.demo import Demo

        day = Demo()
    outlet = Outlet(sys.stdout)
    try:
        run(chosen, outlet, day, opens_page=opens_page, load=None if config is None else load)
    finally:
        outlet.close(OUTPUT_S)
        logs.shut_down(OUTPUT_S)


for _parameter in serve.params:
    # Not MCN_MOCK_PORT: Kubernetes sets that to a URL in every container beside a service named mcn-mock.
    if isinstance(_parameter, click.Option) and _parameter.envvar is None:
        _name = _parameter.opts[0].removeprefix("--").replace("-", "_")
        _parameter.envvar, _parameter.show_envvar = f"MCN_MOCK_SERVE_{_name.upper()}", True


@mcn_mock.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print a JSON Schema, or openapi. Without NAME, list their names."""
    from pytest_mcn_mock import schemas

    if name is None:
        click.echo("\n".join(schemas.names()))
        return
    try:
        click.echo(schemas.read(name).decode(), nl=False)  # bytes would go round the guarded stream
    except NotFound as error:
        raise UsageError(str(error)) from None
