"""``mcn-mock webhooks``: add and enable the webhooks of an account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from pytest_mcn_mock.cli.client import ACCOUNT_ID, CommandResult, SandboxClient, account_argument, answered, connected
from pytest_mcn_mock.cli.tables import Column, moment
from pytest_mcn_mock.cli.webhook_options import webhook_options
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.text import shown_url

_CONDITION: Final = re.compile(r"\s*(\w+)\s*(!=|=|(?<=\s)not\s+in(?=\s)|(?<=\s)in(?=\s))\s*(.*?)\s*", re.DOTALL)
_TEMPLATE_SHOWN: Final = 80


@click.group()
def webhooks() -> None:
    """Add and enable webhooks."""


@webhooks.command("add")
@account_argument
@click.argument("target", metavar="WEBHOOK_URL")
@webhook_options
@click.option(
    "--filter", "conditions", multiple=True, metavar="CONDITION",
    help="Send a CDR only if the condition holds: NAME=VALUE, NAME!=VALUE, 'NAME in A,B' or 'NAME not in A,B'; may be "
    "given several times.",
)  # fmt: skip
@click.option("--no-retry", is_flag=True, help="Do not send a CDR again that is not acknowledged.")
@click.option("--ignore-response", is_flag=True, help="Count a CDR as delivered whatever the endpoint answers.")
@click.option(
    "--webhook-cacert", type=click.Path(path_type=Path), metavar="FILE",
    help="A PEM file of authorities to trust for an https webhook, on the sandbox's machine.",
)  # fmt: skip
@click.option("--webhook-insecure", is_flag=True, help="Accept any certificate of an https webhook.")
@connected
@answered
def add_webhook(
    sandbox: SandboxClient,
    account_id: int,
    target: str,
    settings: dict[str, Any],
    conditions: tuple[str, ...],
    no_retry: bool,
    ignore_response: bool,
    webhook_cacert: Path | None,
    webhook_insecure: bool,
) -> CommandResult:
    """Send the CDRs of account ID to WEBHOOK_URL too, for calls placed from now on."""
    given = {
        "url": target,
        **settings,
        "retry": not no_retry,
        "ignore_response": ignore_response,
        "filter": list(map(_read_condition, conditions)),
        **trust_of(webhook_cacert, is_insecure=webhook_insecure),
    }
    webhook = sandbox.post(f"accounts/{account_id}/webhooks", given)
    said = f"webhook {webhook['n']} of account {account_id} is {shown_url(webhook['url'])}: {_body(webhook)}"
    return CommandResult(webhook, said)


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


@webhooks.command("enable")
@account_argument
@click.argument("number", metavar="N", type=ACCOUNT_ID)
@connected
@answered
def enable_webhook(sandbox: SandboxClient, account_id: int, number: int) -> CommandResult:
    """Enable webhook N of account ID again.

    CDRs of calls placed from now on are sent to it, and its failures are counted from 0. `mcn-mock accounts show ID`
    lists the webhooks.
    """
    webhook = sandbox.patch(f"accounts/{account_id}/webhooks/{number}", {"enabled": True})
    return CommandResult(webhook, f"webhook {number} of account {account_id}, {shown_url(webhook['url'])}, is enabled")


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
    """Return what is sent to a webhook, in a few words."""
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
    Column("FILTER", lambda webhook: " and ".join(map(_condition, webhook["filter"])) or "none", spare=2, fold=True),
)
"""The columns of a table of webhooks."""
