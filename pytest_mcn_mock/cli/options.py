"""Options and arguments that commands have in common, what a shell completes, and how a command answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from pytest_mcn_mock.cli.client import DEFAULT_URL, SandboxClient
from pytest_mcn_mock.cli.output import print_json
from pytest_mcn_mock.errors import McnMockError
from pytest_mcn_mock.model.money import format_roubles, parse_roubles
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, MAX_CAUSE, MIN_CAUSE, Outcome
from pytest_mcn_mock.text import printable

COMPLETE_WITHIN_S: Final = 1.0
"""How long a shell waits for a completion that the sandbox has to be asked for."""
_WORD = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)
_Command = TypeVar("_Command", bound=Callable[..., Any])

ACCOUNT_ID: Final = click.IntRange(1, 10**15 - 1)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a command: the document that ``--json`` prints, the same for people, and the exit status.

    ``shown`` is a line, or a function that prints more than one.
    """

    document: Any
    shown: str | Callable[[], None]
    status: int = 0


def answered(command: Callable[..., Answer]) -> Callable[..., None]:
    """Add ``--json``, and print the answer of the command."""

    @json_option
    @wraps(command)
    def run(*arguments: Any, as_json: bool, **values: Any) -> None:
        answer = command(*arguments, **values)
        if as_json:
            print_json(answer.document)
        elif isinstance(answer.shown, str):
            click.echo(printable(answer.shown))
        else:
            answer.shown()
        if answer.status:
            raise SystemExit(answer.status)

    return run


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which sandbox is asked. The command is called with its client first."""

    @click.option(
        "--url", default=DEFAULT_URL, show_default=True, envvar="MCN_MOCK_URL", show_envvar=True,
        help="The sandbox's URL.",
    )  # fmt: skip
    @click.option(
        "--admin-token", envvar="MCN_MOCK_ADMIN_TOKEN", show_envvar=True,
        help="The token of its admin API, where it demands one.",
    )  # fmt: skip
    @click.option(
        "--cacert", type=click.Path(path_type=Path), envvar="MCN_MOCK_CACERT", show_envvar=True,
        help="A file with the authority of its certificate, where that is not a public one.",
    )  # fmt: skip
    @click.option(
        "--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True,
        help="The seconds that an answer may take.",
    )  # fmt: skip
    @wraps(command)
    def run(
        *arguments: Any, url: str, admin_token: str | None, cacert: Path | None, timeout: float, **values: Any
    ) -> None:
        sandbox = SandboxClient(url, admin_token=admin_token, cafile=cacert, timeout_s=timeout)
        try:
            command(sandbox, *arguments, **values)
        except (LookupError, TypeError, AttributeError) as error:
            raise sandbox.stranger("what it answers has another form") from error

    return run


def check_amount(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return an amount in roubles with two decimals: ``10.00``. Raise UsageError if it is not one."""
    return format_roubles(parse_roubles(value, name=param.name or "amount"))


def _completed(
    path: str, field: str, hint: Callable[[dict[str, Any]], object], **query: object
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Complete a parameter with a field of what the sandbox lists; with nothing if it does not answer at once."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = ctx.params
        try:
            sandbox = SandboxClient(
                given.get("url") or DEFAULT_URL, admin_token=given.get("admin_token"), cafile=given.get("cacert"),
                timeout_s=COMPLETE_WITHIN_S,
            )  # fmt: skip
            items = sandbox.get(path, limit=100, **query)["items"]
            found = [(str(item[field]), str(hint(item))) for item in items]
        except (McnMockError, LookupError, TypeError):
            return []
        return [
            CompletionItem(value, help="".join(c for c in text if c.isprintable())[:60])
            for value, text in found
            if value.startswith(incomplete) and _WORD.fullmatch(value)
        ]

    return complete


def _complete_cause(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(c), help=name) for c, name in CAUSE_NAMES.items() if str(c).startswith(incomplete)]


complete_account = _completed("accounts", "id", lambda account: f"{account['balance']} roubles")
account_argument = click.argument("account_id", metavar="ID", type=ACCOUNT_ID, shell_complete=complete_account)
account_option = click.option(
    "--account", type=ACCOUNT_ID, metavar="ID", help="Only what is of this account.", shell_complete=complete_account
)
call_argument = click.argument(
    "verification_call_uuid",
    metavar="UUID",
    shell_complete=_completed(
        "calls", "verification_call_uuid", lambda call: f"to {call['login_did']}, {call['state']}", order="newest"
    ),
)
delivery_argument = click.argument(
    "delivery_id",
    metavar="DELIVERY_ID",
    type=click.IntRange(1, 10**15),
    shell_complete=_completed(
        "deliveries", "id", lambda delivery: f"{delivery['state']}, {delivery['verification_call_uuid']}",
        order="newest",
    ),
)  # fmt: skip


def list_options(command: _Command) -> _Command:
    """Add ``--limit`` and ``--after``: how much of a list, and from where."""
    limit = click.option(
        "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="The most items to show."
    )
    after = click.option(
        "--after", metavar="CURSOR", help="Go on behind this cursor: the `next` of a list that was not all."
    )
    return limit(after(command))


def outcome_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--outcome`` and ``--q931-status``: how a call ends. Giving both is a usage error."""

    @click.option("--outcome", type=click.Choice([str(o) for o in Outcome]), help="How the call ends.")
    @click.option(
        "--q931-status", type=click.IntRange(MIN_CAUSE, MAX_CAUSE), help="The Q.850 cause with which the call ends.",
        shell_complete=_complete_cause,
    )  # fmt: skip
    @wraps(command)
    def run(*arguments: Any, outcome: str | None, q931_status: int | None, **values: Any) -> Any:
        if outcome is not None and q931_status is not None:
            raise click.UsageError("give --outcome or --q931-status, not both")
        return command(*arguments, outcome=outcome, q931_status=q931_status, **values)

    return run


def trust_options(command: _Command) -> _Command:
    """Add ``--cacert`` and ``--insecure``: which certificates an https endpoint may have."""
    cacert = click.option(
        "--cacert", type=click.Path(path_type=Path), help="A PEM file of authorities to trust for https."
    )
    insecure = click.option("--insecure", is_flag=True, help="Accept any certificate.")
    return cacert(insecure(command))


class ListFirst(click.Group):
    """A group whose command ``list`` is meant if none is named: ``mcn-mock calls --limit 5``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before the options that are its own."""
        # A shell that completes has not named a command yet, and wants to know which there are.
        is_list = (
            args[0].startswith("-") and args[0] not in ctx.help_option_names if args else not ctx.resilient_parsing
        )
        if is_list:
            args = ["list", *args]
        return super().parse_args(ctx, args)
