"""``mcn-mock webhooks``: list, show, add, edit, enable, disable and remove the webhooks of an account."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from pytest_mcn_mock.cli.client import ACCOUNT_ID, CommandResult, SandboxClient, account_argument, answered, connected
from pytest_mcn_mock.cli.tables import Column, moment, print_fields, print_list
from pytest_mcn_mock.cli.webhook_options import webhook_options
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.text import shown_url

_CONDITION: Final = re.compile(r"\s*(\w+)\s*(!=|=|(?<=\s)not\s+in(?=\s)|(?<=\s)in(?=\s))\s*(.*?)\s*", re.DOTALL)
_TEMPLATE_SHOWN: Final = 80


webhook_argument = click.argument("number", metavar="N", type=ACCOUNT_ID)
_CLEARED: Final = ("constants", "filter", "headers", "query")


def _sending_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for when a CDR is sent, and to which endpoints. The command gets them in a dictionary
    ``sending``: fields of the admin API.
    """

    @click.option(
        "--filter", "conditions", multiple=True, metavar="CONDITION",
        help="Send a CDR only if the condition holds: NAME=VALUE, NAME!=VALUE, 'NAME in A,B' or 'NAME not in A,B'; can "
        "be repeated.",
    )  # fmt: skip
    @click.option("--retry/--no-retry", default=True, help="Whether a CDR that is not acknowledged is sent again.")
    @click.option(
        "--ignore-response/--heed-response", default=False,
        help="Whether a CDR counts as delivered, whatever the endpoint answers.",
    )  # fmt: skip
    @click.option(
        "--webhook-cacert", type=click.Path(path_type=Path), metavar="FILE",
        help="A PEM file of authorities to trust for an https webhook, on the sandbox's machine.",
    )  # fmt: skip
    @click.option("--webhook-insecure", is_flag=True, help="Accept any certificate of an https webhook.")
    @wraps(command)
    def run(
        *arguments: Any,
        conditions: tuple[str, ...],
        retry: bool,
        ignore_response: bool,
        webhook_cacert: Path | None,
        webhook_insecure: bool,
        **others: Any,
    ) -> Any:
        sending = {
            "retry": retry,
            "ignore_response": ignore_response,
            "filter": list(map(_read_condition, conditions)),
            **trust_of(webhook_cacert, is_insecure=webhook_insecure),
        }
        return command(*arguments, sending=sending, **others)

    return run


@click.group()
def webhooks() -> None:
    """List, show, add, edit, enable, disable and remove webhooks."""


@webhooks.command("list")
@account_argument
@connected
@answered
def list_webhooks(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """List the webhooks of account ID."""
    found = sandbox.get(f"accounts/{account_id}/webhooks")
    return CommandResult(found, lambda: print_list(found, "webhooks", WEBHOOK_COLUMNS))


@webhooks.command("show")
@account_argument
@webhook_argument
@connected
@answered
def show_webhook(sandbox: SandboxClient, account_id: int, number: int) -> CommandResult:
    """Show webhook N of account ID with all its settings."""
    webhook = sandbox.get(f"accounts/{account_id}/webhooks/{number}")
    return CommandResult(webhook, lambda: _print_webhook(webhook))


@webhooks.command("add")
@account_argument
@click.argument("target", metavar="WEBHOOK_URL")
@webhook_options
@_sending_options
@connected
@answered
def add_webhook(
    sandbox: SandboxClient, account_id: int, target: str, settings: dict[str, Any], sending: dict[str, Any]
) -> CommandResult:
    """Send the CDRs of account ID to WEBHOOK_URL too, for calls placed from now on."""
    webhook = sandbox.post(f"accounts/{account_id}/webhooks", {"url": target, **settings, **sending})
    return _told(account_id, webhook)


@webhooks.command("edit")
@account_argument
@webhook_argument
@click.option("--webhook-url", metavar="URL", help="The URL for its CDRs.")
@webhook_options
@_sending_options
@click.option("--clear", "cleared", multiple=True, type=click.Choice(_CLEARED), help="Empty this; can be repeated.")
@connected
@answered
def edit_webhook(
    sandbox: SandboxClient,
    account_id: int,
    number: int,
    webhook_url: str | None,
    settings: dict[str, Any],
    sending: dict[str, Any],
    cleared: tuple[str, ...],
) -> CommandResult:
    """Change webhook N of account ID.

    Settings that you do not give stay as they are. A list that you give, such as --header, replaces the whole list.
    """
    change = {name: value for name, value in {**settings, **sending}.items() if _is_given(name)}
    if "body" in change:
        change = {"all_variables": False, "data_type": "json", **change}
    if "cacert" in change:
        change["insecure"] = False
    for name in cleared:
        if change.get(name):
            raise click.UsageError(f"{name} are given and cleared; leave one of the two out")
        change[name] = [] if name == "filter" else {}
    if webhook_url is not None:
        change["url"] = webhook_url
    if not change:
        raise click.UsageError("nothing to change: give an option, such as --webhook-url")
    return _told(account_id, sandbox.patch(f"accounts/{account_id}/webhooks/{number}", change))


_PARAMETER_OF: Final = {"filter": "conditions", "cacert": "webhook_cacert", "insecure": "webhook_insecure"}
"""The parameter of a command for a field of the admin API that has another name."""


def _is_given(name: str) -> bool:
    """Return whether the option for this field of the admin API is on the command line."""
    source = click.get_current_context().get_parameter_source(_PARAMETER_OF.get(name, name))
    return source is not ParameterSource.DEFAULT


@webhooks.command("enable")
@account_argument
@webhook_argument
@connected
@answered
def enable_webhook(sandbox: SandboxClient, account_id: int, number: int) -> CommandResult:
    """Enable webhook N of account ID again.

    CDRs of calls placed from now on are sent to it, and its failures are counted from 0. `mcn-mock webhooks list ID`
    numbers the webhooks.
    """
    return _switch(sandbox, account_id, number, is_on=True)


@webhooks.command("disable")
@account_argument
@webhook_argument
@connected
@answered
def disable_webhook(sandbox: SandboxClient, account_id: int, number: int) -> CommandResult:
    """Disable webhook N of account ID: no CDR of calls placed from now on is sent to it."""
    return _switch(sandbox, account_id, number, is_on=False)


def _switch(sandbox: SandboxClient, account_id: int, number: int, *, is_on: bool) -> CommandResult:
    webhook = sandbox.patch(f"accounts/{account_id}/webhooks/{number}", {"enabled": is_on})
    state = "enabled" if is_on else "disabled"
    return CommandResult(webhook, f"webhook {number} of account {account_id}, {shown_url(webhook['url'])}, is {state}")


@webhooks.command("remove")
@account_argument
@webhook_argument
@connected
@answered
def remove_webhook(sandbox: SandboxClient, account_id: int, number: int) -> CommandResult:
    """Remove webhook N of account ID. CDRs that are still pending to it fail when they are due."""
    sandbox.delete(f"accounts/{account_id}/webhooks/{number}")
    return CommandResult({"status": "ok"}, f"webhook {number} of account {account_id} is removed")


def _told(account_id: int, webhook: Mapping[str, Any]) -> CommandResult:
    said = f"webhook {webhook['n']} of account {account_id} is {shown_url(webhook['url'])}: {_body(webhook)}"
    return CommandResult(webhook, said)


def _print_webhook(webhook: Mapping[str, Any]) -> None:
    def pairs(name: str) -> str | None:
        return ", ".join(f"{key}={value}" for key, value in webhook[name].items()) or None

    print_fields(
        {
            "webhook": webhook["n"],
            "url": shown_url(webhook["url"]),
            "enabled": _enabled(webhook),
            "failed in a row": webhook["failed_in_a_row"],
            "method": webhook["method"],
            "body": _body(webhook),
            "headers": pairs("headers"),
            "query": ", ".join(f"{key}=***" for key in webhook["query"]) or None,
            "constants": pairs("constants"),
            "filter": _filter(webhook),
            "retry": "yes" if webhook["retry"] else "no",
            "response": "ignored" if webhook["ignore_response"] else "heeded",
            "certificates": "any" if webhook["insecure"] else webhook["cacert"],
        }
    )


def _filter(webhook: Mapping[str, Any]) -> str:
    return " and ".join(map(_condition, webhook["filter"])) or "none"


def _read_condition(text: str) -> dict[str, Any]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise UsageError(f"--filter {text[:80]!r} is not a condition; write NAME=VALUE, or 'NAME in A,B' in quotes")
    variable, sign, value = found.groups()
    is_list = sign.endswith("in")
    return {
        "variable": variable,
        "operator": "in" if is_list else "equals",
        "value": [item.strip() for item in value.split(",")] if is_list else value,
        "not": sign.startswith(("!", "not")),
    }


def trust_of(cacert: Path | None, *, is_insecure: bool) -> dict[str, Any]:
    """Return which certificates a webhook may have, as the admin API takes it."""
    trust: dict[str, Any] = {"insecure": True} if is_insecure else {}
    if cacert is not None:
        trust["cacert"] = str(cacert.absolute())  # the sandbox may have been started elsewhere
    return trust


def _enabled(webhook: Mapping[str, Any]) -> str:
    if webhook["enabled"]:
        return "yes"
    since = webhook.get("disabled_at")
    return "no" if since is None else f"no, since {moment(since)} UTC"


def _body(webhook: Mapping[str, Any]) -> str:
    """Return a short description of a webhook's records."""
    if webhook["all_variables"]:
        return "the whole event"
    if webhook["data_type"] == "text":
        return f"text: {webhook['template'][:_TEMPLATE_SHOWN]}"
    listed = ", ".join(webhook["body"])
    return f"{listed}, as text" if webhook["values"] == "text" else listed


def _condition(condition: Mapping[str, Any]) -> str:
    value = condition["value"]
    sign = {"equals": ("=", "!="), "in": (" in ", " not in ")}[condition["operator"]][condition["not"]]
    return f"{condition['variable']}{sign}{','.join(map(str, value)) if isinstance(value, list) else value}"


WEBHOOK_COLUMNS: Final = (
    Column("N", "n", right=True),
    Column("ENABLED", _enabled),
    Column("METHOD", "method"),
    Column("URL", lambda webhook: shown_url(webhook["url"]), fold=True),
    Column("BODY", _body, spare=1, fold=True),
    Column("FILTER", _filter, spare=2, fold=True),
)
"""The columns of a table of webhooks."""
