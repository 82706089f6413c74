"""What the commands that ask a running sandbox have in common: the options, and what a shell completes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from pytest_mcn_mock.cli.client import DEFAULT_URL, SandboxClient
from pytest_mcn_mock.errors import McnMockError
from pytest_mcn_mock.model.money import format_roubles, parse_roubles
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, MAX_CAUSE, MIN_CAUSE, Outcome

COMPLETE_WITHIN_S: Final = 1.0
"""How long a shell may wait for a completion that has to be asked for."""
_ENVIRONMENT: Final = {"url": "MCN_MOCK_URL", "admin_token": "MCN_MOCK_ADMIN_TOKEN", "cacert": "MCN_MOCK_CACERT"}
_WORD = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)
_Command = TypeVar("_Command", bound=Callable[..., Any])


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that asks a running sandbox; it is called with the client first, and ``as_json``."""

    @wraps(command)
    def run(
        *arguments: Any, url: str, admin_token: str | None, cacert: Path | None, timeout: float, **values: Any
    ) -> None:
        sandbox = SandboxClient(url, admin_token=admin_token, cafile=cacert, timeout_s=timeout)
        try:
            command(sandbox, *arguments, **values)
        except (LookupError, TypeError, AttributeError) as error:
            raise sandbox.stranger("what it answers has another form") from error

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")

_OPTIONS = (
    click.option(
        "--url", default=DEFAULT_URL, show_default=True, envvar=_ENVIRONMENT["url"], show_envvar=True,
        help="The sandbox's URL.",
    ),
    click.option(
        "--admin-token", envvar=_ENVIRONMENT["admin_token"], show_envvar=True,
        help="The token of its admin API, where it demands one.",
    ),
    click.option(
        "--cacert", type=click.Path(path_type=Path), envvar=_ENVIRONMENT["cacert"], show_envvar=True,
        help="A file with the authority of its certificate, where that is not a public one.",
    ),
    click.option(
        "--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True,
        help="The seconds that an answer may take.",
    ),
    json_option,
)  # fmt: skip


def check_amount(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A parameter in roubles, kept as text with two decimals: ``10.00``. UsageError for what is no amount."""
    return format_roubles(parse_roubles(value, name=param.name or "amount"))


class _Completed:
    """A parameter's values as the running sandbox has them: of a list of the admin API, a field and a hint."""

    def __init__(self, path: str, field: str, hint: Callable[[dict[str, Any]], object], **query: object) -> None:
        self._path, self._field, self._hint, self._query = path, field, hint, query

    def __call__(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The completions; none where the sandbox does not answer at once."""
        try:
            sandbox = _client_to_complete(ctx)
            items = sandbox.get(self._path, limit=100, **self._query)["items"]
            found = [(str(item[self._field]), str(self._hint(item))) for item in items]
        except (McnMockError, LookupError, TypeError):
            return []
        return [
            CompletionItem(value, help="".join(c for c in hint if c.isprintable())[:60])
            for value, hint in found
            if value.startswith(incomplete) and _WORD.fullmatch(value)
        ]


def _client_to_complete(ctx: click.Context) -> SandboxClient:
    return SandboxClient(
        ctx.params.get("url") or DEFAULT_URL,
        admin_token=ctx.params.get("admin_token"),
        cafile=ctx.params.get("cacert"),
        timeout_s=COMPLETE_WITHIN_S,
    )


complete_account = _Completed("accounts", "id", lambda account: f"{account['balance']} roubles")
complete_call = _Completed(
    "calls", "verification_call_uuid", lambda call: f"to {call['login_did']}, {call['state']}", order="newest"
)
complete_delivery = _Completed(
    "deliveries", "id", lambda delivery: f"{delivery['state']}, {delivery['verification_call_uuid']}", order="newest"
)


def account_argument(command: _Command) -> _Command:
    """The argument ``ID``: an account's."""
    return click.argument(
        "account_id", metavar="ID", type=click.IntRange(1, 10**15 - 1), shell_complete=complete_account
    )(command)


def account_option(command: _Command) -> _Command:
    """The option ``--account``: only what is of one account."""
    return click.option(
        "--account", type=click.IntRange(1, 10**15 - 1), metavar="ID", help="Only what is of this account.",
        shell_complete=complete_account,
    )(command)  # fmt: skip


def call_argument(command: _Command) -> _Command:
    """The argument ``UUID``: a call's."""
    return click.argument("verification_call_uuid", metavar="UUID", shell_complete=complete_call)(command)


def delivery_argument(command: _Command) -> _Command:
    """The argument ``DELIVERY_ID``."""
    return click.argument(
        "delivery_id", metavar="DELIVERY_ID", type=click.IntRange(1, 10**15), shell_complete=complete_delivery
    )(command)


def list_options(command: _Command) -> _Command:
    """``--limit`` and ``--after``: how much of a list, and from where."""
    limit = click.option(
        "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="The most items to show."
    )
    after = click.option(
        "--after", metavar="CURSOR", help="Go on behind this cursor: the `next` of a list that was not all."
    )
    return limit(after(command))


def outcome_options(command: _Command) -> _Command:
    """``--outcome`` and ``--q931-status``: how a call ends, of which at most one may be given."""
    outcome = click.option("--outcome", type=click.Choice([str(o) for o in Outcome]), help="How the call ends.")
    cause = click.option(
        "--q931-status", type=click.IntRange(MIN_CAUSE, MAX_CAUSE), help="The Q.850 cause with which the call ends.",
        shell_complete=_complete_cause,
    )  # fmt: skip
    return outcome(cause(command))


def trust_options(command: _Command) -> _Command:
    """``--cacert`` and ``--insecure``: which certificates an https endpoint may have."""
    cacert = click.option(
        "--cacert", type=click.Path(path_type=Path), help="A PEM file of authorities to trust for https."
    )
    insecure = click.option("--insecure", is_flag=True, help="Accept any certificate.")
    return cacert(insecure(command))


def check_one_ending(outcome: str | None, q931_status: int | None) -> None:
    """A usage error where both are given."""
    if outcome is not None and q931_status is not None:
        raise click.UsageError("give --outcome or --q931-status, not both")


def _complete_cause(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(c), help=name) for c, name in CAUSE_NAMES.items() if str(c).startswith(incomplete)]


class ListFirst(click.Group):
    """A group whose command ``list`` is meant where none is named: ``mcn-mock calls --limit 5``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before the options that are its own."""
        # A shell that completes has not named a command yet, and wants to know which there are.
        is_list = (
            args[0].startswith("-") and args[0] not in ctx.help_option_names if args else not ctx.resilient_parsing
        )
        if is_list:
            args = ["list", *args]
        return super().parse_args(ctx, args)
