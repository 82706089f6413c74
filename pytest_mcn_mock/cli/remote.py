"""The commands that ask a running sandbox: what it has, what happened and happens, and whether it is ready."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import ssl
import stat
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import click

from pytest_mcn_mock.cli.client import (
    ACCOUNT_ID,
    CommandResult,
    Event,
    ListFirst,
    SandboxClient,
    account_argument,
    account_option,
    answered,
    call_argument,
    check_amount,
    check_balance,
    complete_account,
    connected,
    delivery_argument,
    json_option,
    list_options,
    outcome_options,
    reason,
    segment,
    split_url,
)
from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.cli.output import count, print_json
from pytest_mcn_mock.cli.tables import Column, is_coloured, print_fields, print_heading, print_list, print_table
from pytest_mcn_mock.cli.webhook_options import webhook_options
from pytest_mcn_mock.errors import Declined, McnMockError, Unreachable, UsageError
from pytest_mcn_mock.model.accounts import DEFAULT_BALANCE, DEFAULT_CREDIT
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.text import printable, printable_lines, shown_url

RECONNECT_S: Final = 0.5
"""Between two attempts to reach a sandbox that went away."""
_COLOURS: Final = {
    "call": "cyan",
    "delivery": "green",
    "account": "yellow",
    "closed": "yellow",
    "request": "blue",
    "reset": "magenta",
}
ATTEMPT_WITHIN_S: Final = 660.0
"""How long `resend` waits for its attempt: an endpoint may have 600 s to answer, and the attempt may have to queue."""
_BODY_SHOWN: Final = 2000
"""Characters of an endpoint's answer; --json has them all."""
_LEDGER_SHOWN: Final = 10
_TEMPLATE_SHOWN: Final = 80
_CONDITION: Final = re.compile(r"\s*(\w+)\s*(!=|=|(?<=\s)not\s+in(?=\s)|(?<=\s)in(?=\s))\s*(.*?)\s*", re.DOTALL)


def moment(text: object) -> str:
    """Return a moment of the API in UTC, to the second: ``2026-01-01 12:00:00``. Anything else is returned as it is."""
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return "" if text is None else str(text)


def outcome_of(call: Mapping[str, Any]) -> str:
    """Return how a call ended, with its Q.850 cause: ``busy 17``; its state while it has not."""
    if call.get("outcome") is None:
        return str(call.get("state", ""))
    return f"{call['outcome']} {call.get('q931_status')}"


def result_of(delivery: Mapping[str, Any]) -> str:
    """Return the result of the last attempt: its HTTP status, or why there was no answer."""
    if not delivery.get("attempts"):
        return str(delivery.get("note") or "not tried yet")
    last = delivery["attempts"][-1]
    return f"HTTP {last['status']}" if last.get("status") is not None else str(last.get("error"))


def print_message(first: str, headers: Mapping[str, Any], body: str) -> None:
    """Print a request or an answer as it goes over the wire, but for what could steer a terminal."""
    click.echo(printable(first))
    for name, value in headers.items():
        click.echo(printable(f"{name}: {value}"))
    if body:
        click.echo()
        click.echo(printable_lines(body[:_BODY_SHOWN].replace("\r\n", "\n")))
        if len(body) > _BODY_SHOWN:
            click.echo(f"… and {len(body) - _BODY_SHOWN} characters more; --json has them")


def without_user(url: str) -> str:
    """Return the URL of a request without user and password. Its query stays: with GET it is what was sent."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _utc(text: object) -> str | None:
    return None if text is None else f"{moment(text)} UTC"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@click.group(cls=ListFirst)
def accounts() -> None:
    """List, show, open, change, top up and close accounts.

    Without a command they are listed.
    """


@accounts.command("list")
@list_options
@connected
@answered
def list_accounts(sandbox: SandboxClient, limit: int, after: str | None) -> CommandResult:
    """Every account, in order of opening."""
    columns = (
        Column("ACCOUNT", "id", right=True),
        Column("BALANCE", lambda account: "unlimited" if account["unlimited"] else account["balance"], right=True),
        Column("NUMBERS", lambda account: _some(account["numbers"]), fold=True),
        Column("WEBHOOKS", lambda account: len(account["webhooks"]), right=True),
        Column("OUTCOME RULES", lambda account: len(account["outcomes"]), right=True),
        Column("CDRS", lambda account: "held" if account["calls_held"] else "sent", spare=1),
    )
    found = sandbox.list("accounts", limit, after)
    return CommandResult(found, lambda: print_list(found, "accounts", columns))


@accounts.command("show")
@account_argument
@connected
@answered
def show_account(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """One account with its webhooks, its outcome rules and the end of its ledger."""
    account = sandbox.get(f"accounts/{account_id}")
    ledger = sandbox.get(f"accounts/{account_id}/ledger", order="newest", limit=_LEDGER_SHOWN)["items"]
    return CommandResult({**account, "ledger": ledger}, lambda: _print_account(account, ledger))


@accounts.command("open")
@click.option("--id", "account_id", type=ACCOUNT_ID, help="Its number; drawn if not given.")
@click.option("--token", help="Its token; drawn, and printed, if not given.")
@click.option(
    "--balance",
    callback=check_balance,
    default=DEFAULT_BALANCE,
    show_default=True,
    help="Its money, in roubles; or unlimited, which begins at 0.00 and accepts every call.",
)
@click.option(
    "--credit",
    callback=check_amount,
    default=DEFAULT_CREDIT,
    show_default=True,
    help="How far below zero a call may take the balance, in roubles.",
)
@click.option("--number", "numbers", multiple=True, help="A number connected to it; may be given several times.")
@click.option(
    "--webhook", "webhooks", multiple=True, metavar="URL", help="Where its CDRs go; may be given several times."
)
@click.option(
    "--webhook-cacert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A PEM file of authorities to trust for https webhooks, on the sandbox's machine.",
)
@click.option("--webhook-insecure", is_flag=True, help="Accept any certificate of https webhooks.")
@click.option("--seed", type=click.IntRange(0), help="What its numbers and uuids are drawn from.")
@connected
@answered
def open_account(
    sandbox: SandboxClient,
    account_id: int | None,
    token: str | None,
    balance: str,
    credit: str,
    numbers: tuple[str, ...],
    webhooks: tuple[str, ...],
    webhook_cacert: Path | None,
    webhook_insecure: bool,
    seed: int | None,
) -> CommandResult:
    """Open an account."""
    trust = _trust(webhook_cacert, is_insecure=webhook_insecure)
    subscriptions = [{"url": url, **trust} for url in webhooks]
    money = {"balance": balance, "credit": credit}
    wanted = _given(id=account_id, token=token, seed=seed, **money, numbers=numbers, webhooks=subscriptions)
    account = sandbox.post("accounts", wanted)
    return CommandResult(account, lambda: _print_account(account))


def _trust(cacert: Path | None, *, is_insecure: bool) -> dict[str, Any]:
    """Return which certificates a webhook may have, as the admin API takes it."""
    trust: dict[str, Any] = {"insecure": True} if is_insecure else {}
    if cacert is not None:
        trust["cacert"] = str(cacert.absolute())  # the sandbox may have been started elsewhere
    return trust


@accounts.command("change")
@account_argument
@click.option(
    "--balance",
    callback=check_balance,
    help="Its money, in roubles; or unlimited, which leaves the balance as it is and accepts every call.",
)
@click.option("--credit", callback=check_amount, help="How far below zero a call may take the balance, in roubles.")
@connected
@answered
def change_account(sandbox: SandboxClient, account_id: int, balance: str | None, credit: str | None) -> CommandResult:
    """Change the balance and the credit of an account. What is not given stays."""
    change = _given(balance=balance, credit=credit)
    if not change:
        raise click.UsageError("nothing to change: give --balance or --credit")
    account = sandbox.patch(f"accounts/{account_id}", change)
    return CommandResult(account, lambda: _print_account(account))


@accounts.command("top-up")
@account_argument
@click.argument("amount", callback=check_amount)
@connected
@answered
def top_up(sandbox: SandboxClient, account_id: int, amount: str) -> CommandResult:
    """Give an account AMOUNT roubles, such as 10.00."""
    account = sandbox.post(f"accounts/{account_id}/top_up", {"amount": amount})
    return CommandResult(account, f"account {account_id} has {account['balance']} roubles")


@accounts.command("close")
@account_argument
@connected
@answered
def close_account(sandbox: SandboxClient, account_id: int) -> CommandResult:
    """Close an account; its calls and CDRs are gone with it."""
    sandbox.delete(f"accounts/{account_id}")
    return CommandResult({"status": "ok"}, f"account {account_id} is closed")


def _prices(tariff: Mapping[str, Any]) -> str:
    from_countries = ", ".join(f"flash_call from {country} {price}" for country, price in tariff["flash_call"].items())
    return f"call_for_2fa {tariff['call_for_2fa']}, {from_countries}"


def _print_account(account: Mapping[str, Any], ledger: list[dict[str, Any]] | None = None) -> None:
    tariff = account["tariff"]
    print_fields(
        {
            "account": account["id"],
            "token": account.get("token"),
            "balance": f"{account['balance']} roubles{', unlimited' if account['unlimited'] else ''}",
            "credit": f"{account['credit']} roubles",
            "numbers": _some(account["numbers"]) or "none",
            "tariff": _prices(tariff),
            "paidmethods": _prices(tariff["paidmethods"]),
            "seed": account["seed"],
            "CDRs": "held" if account["calls_held"] else "sent",
        }
    )
    _print_part(
        "Webhooks",
        account["webhooks"],
        Column("N", "n", right=True),
        Column("ENABLED", _enabled),
        Column("METHOD", "method"),
        Column("URL", lambda webhook: shown_url(webhook["url"]), fold=True),
        Column("BODY", _body, spare=1, fold=True),
        Column(
            "FILTER", lambda webhook: " and ".join(map(_condition, webhook["filter"])) or "none", spare=2, fold=True
        ),
    )
    _print_part(
        "Outcome rules, the first that fits is taken",
        account["outcomes"],
        Column("LOGIN_DID", "login_did"),
        Column("OUTCOME", lambda rule: f"{rule['outcome']} {rule['q931_status']}"),
        Column("DELAY, S", "delay_s", right=True),
    )
    _print_part(
        "Faults that are switched on",
        account.get("faults"),
        Column("KIND", "kind"),
        Column("TIMES", lambda fault: "always" if fault["times"] is None else fault["times"], right=True),
        Column("PROBABILITY", "probability", right=True),
    )
    _print_part(
        "Ledger, the newest first",
        ledger,
        Column("TIME (UTC)", lambda entry: moment(entry["at"])),
        Column("ENTRY", "kind"),
        Column("AMOUNT", "amount", right=True),
        Column("BALANCE", "balance", right=True),
        Column("CALL", "verification_call_uuid"),
    )


def _print_part(heading: str, items: list[dict[str, Any]] | None, *columns: Column) -> None:
    if items:
        print_heading(heading)
        print_table(columns, items)


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


def _some(numbers: list[str]) -> str:
    more = len(numbers) - 5
    return ", ".join(numbers[:5]) + (f" and {more} more" if more > 0 else "")


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
        **_trust(webhook_cacert, is_insecure=webhook_insecure),
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


@click.group(cls=ListFirst)
def calls() -> None:
    """List calls, or show one.

    Without a command they are listed.
    """


@calls.command("list")
@account_option
@list_options
@connected
@answered
def list_calls(sandbox: SandboxClient, account: int | None, limit: int, after: str | None) -> CommandResult:
    """Calls, the newest first."""
    columns = (
        Column("PLACED (UTC)", lambda call: moment(call["placed_at"])[5:]),
        Column("CALL", "verification_call_uuid"),
        Column("METHOD", _label, spare=2),
        Column("FROM", "caller_did", spare=3, right=True),
        Column("TO", "login_did", right=True),
        Column("CODE", "code", spare=1),
        Column("PRICE", "price", right=True),
        Column("OUTCOME", outcome_of),
    )
    found = sandbox.list("calls", limit, after, account_id=account, order="newest")
    return CommandResult(found, lambda: print_list(found, "calls", columns))


@calls.command("show")
@call_argument
@connected
@answered
def show_call(sandbox: SandboxClient, verification_call_uuid: str) -> CommandResult:
    """One call with why it is so, and every attempt to deliver its CDR."""
    call = sandbox.get(f"calls/{segment(verification_call_uuid)}")
    deliveries = sandbox.list("deliveries", 1000, verification_call_uuid=verification_call_uuid)["items"]
    return CommandResult({**call, "deliveries": deliveries}, lambda: _print_call(call, deliveries))


def _label(call: Mapping[str, Any]) -> str:
    """Return the method of a call, and its dialect unless that is the article's."""
    dialect = call["dialect"]
    return str(call["method"]) if dialect == "api_mcn" else f"{call['method']} ({dialect})"


def _print_call(call: Mapping[str, Any], deliveries: list[dict[str, Any]]) -> None:
    final_status = call["final_status"]
    print_fields(
        {
            "call": call["verification_call_uuid"],
            "account": call["account_id"],
            "method": _label(call),
            "from": call["caller_did"],
            "to": call["login_did"],
            "code": call["code"],
            "price": call["price"],
            "outcome": outcome_of(call) + (f", {final_status}" if final_status else ""),
            "placed": _utc(call["placed_at"]),
            "ends": _utc(call["ends_at"]) if call["ended_at"] is None else None,
            "ended": _utc(call["ended_at"]),
        }
    )
    print_heading("Why")
    print_fields({name: sentence or None for name, sentence in call["explanation"].items()})
    for delivery in deliveries:
        print_heading(f"Delivery {printable(delivery['id'])} to {printable(shown_url(delivery['url']))}")
        _print_progress(delivery)


@click.group(cls=ListFirst)
def deliveries() -> None:
    """List the deliveries of CDRs, or show one.

    Without a command they are listed.
    """


@deliveries.command("list")
@account_option
@list_options
@connected
@answered
def list_deliveries(sandbox: SandboxClient, account: int | None, limit: int, after: str | None) -> CommandResult:
    """Deliveries, the newest first."""
    columns = (
        Column("ID", "id", right=True),
        Column("CALL", "verification_call_uuid"),
        Column("STATE", "state"),
        Column("LAST ATTEMPT", lambda delivery: f"{len(delivery['attempts'])}: {result_of(delivery)}", fold=True),
        Column("NEXT (UTC)", lambda delivery: moment(delivery["due_at"])[5:], spare=1),
        Column("URL", lambda delivery: shown_url(delivery["url"]), fold=True),
    )
    found = sandbox.list("deliveries", limit, after, account_id=account, order="newest")
    return CommandResult(found, lambda: print_list(found, "deliveries", columns))


@deliveries.command("show")
@delivery_argument
@connected
@answered
def show_delivery(sandbox: SandboxClient, delivery_id: int) -> CommandResult:
    """One delivery with its request and what each attempt was answered."""
    delivery = sandbox.get(f"deliveries/{delivery_id}")
    return CommandResult(delivery, lambda: _print_delivery(delivery))


def _print_delivery(delivery: Mapping[str, Any]) -> None:
    click.echo(f"Delivery {printable(delivery['id'])} of call {printable(delivery['verification_call_uuid'])}")
    _print_progress(delivery)
    request = delivery["request"]
    if request is not None:
        print_heading("Request")
        print_message(f"{request['method']} {without_user(request['url'])}", request["headers"], request["body"])
    for attempt in delivery["attempts"]:
        if attempt.get("response") is not None:
            print_heading(f"Answer to attempt {printable(attempt['number'])}")
            print_message(f"HTTP {attempt['status']}", attempt["response"]["headers"], attempt["response"]["body"])


def _print_progress(delivery: Mapping[str, Any]) -> None:
    print_fields(
        {
            "state": delivery["state"],
            "note": delivery.get("note") or None,
            "next attempt": _utc(delivery["due_at"]),
        }
    )
    if delivery["attempts"]:
        columns = (
            Column("ATTEMPT", "number", right=True),
            Column("AT (UTC)", lambda attempt: moment(attempt["at"])),
            Column("TOOK, S", lambda attempt: f"{attempt['duration_s']:.3f}", right=True),
            Column("RESULT", lambda a: a["error"] or f"HTTP {a['status']}, acknowledged", fold=True),
        )
        print_table(columns, delivery["attempts"])


@click.command()
@click.argument("login_did")
@click.option("--code", help="Four digits in which the caller's number ends.")
@click.option("--country-id", help="The country to call from: 643 or 703; 643 or 398 in paidmethods.")
@click.option("--caller-did", help="A number connected to the account: the call is a call_for_2fa from it.")
@click.option(
    "--account", type=ACCOUNT_ID, metavar="ID", default=12345678, show_default=True,
    help="The account that pays.", shell_complete=complete_account,
)  # fmt: skip
@click.option(
    "--token", envvar="MCN_MOCK_TOKEN", show_envvar=True, default="test-token", show_default=True,
    help="The account's token.",
)  # fmt: skip
@click.option(
    "--dialect", type=click.Choice([str(d) for d in Dialect]), default="api_mcn", show_default=True,
    help="The form of the API: the article's, or that of the methods that followed.",
)  # fmt: skip
@connected
@answered
def call(
    sandbox: SandboxClient,
    login_did: str,
    code: str | None,
    country_id: str | None,
    caller_did: str | None,
    account: int,
    token: str,
    dialect: str,
) -> CommandResult:
    """Place a call to LOGIN_DID.

    As an application does, through the vendor's API: a flash_call, or with --caller-did a call_for_2fa.
    """
    if caller_did is not None and (code is not None or country_id is not None):
        raise click.UsageError("--caller-did makes it a call_for_2fa, which has no --code and no --country-id")
    method = "flash_call" if caller_did is None else "call_for_2fa"
    parameters = _given(login_did=login_did, code=code, country_id=country_id, caller_did=caller_did)
    answer = sandbox.place_call(account, method, token, parameters, Dialect(dialect))
    parts = answer.values() if isinstance(answer, dict) else ()
    placed = next((part for part in parts if isinstance(part, dict)), {})
    code = placed.get("code")
    ends = f", the caller's number ends in {code}" if code else ""
    return CommandResult(answer, f"{placed.get('verification_call_uuid', 'accepted')}: {method} to {login_did}{ends}")


@click.command()
@call_argument
@outcome_options
@connected
@answered
def complete(
    sandbox: SandboxClient, verification_call_uuid: str, outcome: str | None, q931_status: int | None
) -> CommandResult:
    """End the ringing call UUID.

    As an option says, or without one as the outcome rules planned.
    """
    wanted = _given(outcome=outcome, q931_status=q931_status)
    ended = sandbox.post(f"calls/{segment(verification_call_uuid)}/complete", wanted)
    return CommandResult(ended, f"{ended['verification_call_uuid']}: {outcome_of(ended)}")


@click.command()
@delivery_argument
@connected
@answered
def resend(sandbox: SandboxClient, delivery_id: int) -> CommandResult:
    """Send the CDR of a delivery again, at once, and wait until that attempt has ended.

    The exit status is 0 if the endpoint acknowledged it, which is any 2xx, and 1 if not. Retries follow as if it were
    sent for the first time; `mcn-mock deliveries show DELIVERY_ID` lists every attempt.
    """
    delivery, attempt = _wait_for_attempt(sandbox, sandbox.post(f"deliveries/{delivery_id}/resend"))
    is_acknowledged = attempt is not None and attempt["error"] is None
    shown = f"delivery {delivery_id} to {shown_url(delivery['url'])}: {_result(delivery, attempt)}"
    return CommandResult(delivery, shown, 0 if is_acknowledged else 1)


def _wait_for_attempt(sandbox: SandboxClient, resent: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the delivery once its new attempt has ended, and that attempt; None if none was made.

    An attempt that was under way before began earlier, so it is not taken for the new one.
    """
    known, since = len(resent["attempts"]), str(resent["due_at"])
    ends_at = time.monotonic() + ATTEMPT_WITHIN_S
    pause_s = 0.02
    while True:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.5)
        delivery = sandbox.get(f"deliveries/{resent['id']}")
        for attempt in delivery["attempts"][known:]:
            if str(attempt["at"]) >= since:
                return delivery, attempt
        if delivery["state"] == "failed":
            return delivery, None
        if time.monotonic() > ends_at:
            raise Unreachable(f"the attempt has not ended within {ATTEMPT_WITHIN_S:g} s")


def _result(delivery: Mapping[str, Any], attempt: Mapping[str, Any] | None) -> str:
    if attempt is None:
        return str(delivery["note"] or delivery["state"])
    if attempt["error"] is None:
        return f"HTTP {attempt['status']}, acknowledged"
    again = f"; it is sent again at {moment(delivery['due_at'])} UTC" if delivery["due_at"] else ""
    return f"{attempt['error']}{again}"


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0))
@connected
@answered
def advance(sandbox: SandboxClient, seconds: float) -> CommandResult:
    """Put the sandbox's clock forward.

    By SECONDS; it returns once everything that fell due has been tried.
    """
    answer = sandbox.post("clock/advance", {"seconds": seconds})
    return CommandResult(answer, f"the sandbox's clock says {moment(answer['now'])} UTC")


@click.command()
@connected
@answered
def reset(sandbox: SandboxClient) -> CommandResult:
    """Return to the configured state.

    Every call and CDR is gone, and every account that was opened since. Nothing is asked first.
    """
    return CommandResult(sandbox.post("reset"), "the sandbox is as it was configured")


@click.command()
@account_option
@connected
@json_option
def tail(sandbox: SandboxClient, account: int | None, *, as_json: bool) -> None:
    """Print what happens, as it happens.

    A line each, until Ctrl-C; with --json a JSON document each. When the sandbox goes, wait until it is back.
    """
    if account is not None:
        sandbox.get(f"accounts/{account}")  # so that an unknown one is refused at once
    _end_with_the_reader()
    try:
        _follow(sandbox, account, as_json=as_json)
    except KeyboardInterrupt:
        return


def _follow(sandbox: SandboxClient, account: int | None, *, as_json: bool) -> None:
    """Print event after event. If the sandbox goes after it was there, wait until it is back."""
    state = "new"
    while True:
        try:
            for event in sandbox.events(account):
                if event.name == "connected":
                    _note(
                        f"listens to {sandbox.url}"
                        if state == "new"
                        else f"{sandbox.url} is back; what happened meanwhile is not shown"
                    )
                    state = "connected"
                else:
                    _show(event, as_json=as_json)
        except (Unreachable, Declined) as error:
            # One that is just starting may be overloaded; a wrong token stays wrong.
            if state == "new" or (isinstance(error, Declined) and error.status < 500):
                raise
        if state == "connected":
            _note(f"{sandbox.url} has gone; waiting for it")
            state = "lost"
        time.sleep(RECONNECT_S)


def _note(text: str) -> None:
    click.echo(f"mcn-mock: {printable(text)}", err=True)


def _show(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json({"event": event.name, "data": event.data}, indent=None)
    else:
        try:
            at, text = _line(event.name, event.data)
        except (TypeError, KeyError):
            at, text = "", str(event.data)[:500]
        name = click.style(f"{printable(event.name):8}", fg=_COLOURS.get(event.name))
        click.echo(f"{printable(at)[11:]:8}  {name}  {printable(text)}", color=is_coloured())
    sys.stdout.flush()


def _line(name: str, data: Any) -> tuple[str, str]:
    """Return when it happened, and what."""
    match name:
        case "call":
            final_status = f", {data['final_status']}" if data["final_status"] else ""
            return moment(data["ended_at"] or data["placed_at"]), (
                f"{data['verification_call_uuid']}  {outcome_of(data)}{final_status}: "
                f"{_label(data)} to {data['login_did']}, code {data['code']}, {data['price']} roubles"
            )
        case "delivery":
            attempts = data["attempts"]
            tried = f", {result_of(data)} at attempt {len(attempts)}" if attempts else ""
            return moment(attempts[-1]["at"] if attempts else data["due_at"]), (
                f"{data['verification_call_uuid']}  {data['state']}{tried}: delivery {data['id']} to "
                f"{shown_url(data['url'])}"
            )
        case "account":
            return "", f"{data['id']}  {data['balance']} roubles"
        case "request":
            refusal = data["refusal"]
            result = f"{refusal['code']}: {refusal['message']}" if refusal else data["verification_call_uuid"] or ""
            fault = f" (fault {data['fault']})" if data["fault"] else ""
            parameters = "".join(f" {key}={value}" for key, value in data["parameters"].items())
            return moment(data["at"]), (
                f"{data['method']} {data['path']}{parameters}: {data['status'] or 'in flight'} {result}{fault}"
            )
        case "closed":
            return "", f"{data['id']}  the account is closed"
        case "reset":
            return "", "the sandbox is as it was configured"
        case "dropped":
            return "", f"{count(data['count'], 'event')} not shown: they came faster than they were read"
    return "", str(data)[:500]


def _end_with_the_reader() -> None:
    """If standard output is a pipe, end as soon as its reader has left, although there is nothing to write just then.

    Windows reports that only when something is written.
    """
    if not hasattr(select, "poll"):
        return
    try:
        output = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    except (OSError, ValueError):
        return
    if not is_pipe:
        return
    main = threading.main_thread().ident

    def watch() -> None:
        poll = select.poll()
        poll.register(output, 0)
        poll.poll()
        if main is not None:
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


@click.command()
@click.option("--url", help="Ask the sandbox at this URL, whatever the other options say.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=2.0, show_default=True,
    help="The seconds that an answer may take.",
)  # fmt: skip
def health(url: str | None, timeout: float, host: str | None, port: int | None, config: Path | None, **_: Any) -> None:
    """Say whether the sandbox is ready: status 0 if it is, 1 if not.

    Takes the options, the environment and the configuration file of serve, and asks the sandbox that they start.
    """
    try:
        schemes, netloc, path = _target(url, host, port, config)
    except (McnMockError, ValueError) as error:
        raise _not_ready(str(error).splitlines()[0]) from error
    why = ""
    for scheme in schemes:
        try:
            problem = _ask(scheme, netloc, path, timeout)
        except (OSError, HTTPException, UnicodeError) as error:
            told = "no answer in time" if isinstance(error, TimeoutError) else reason(error)
            why = why or f"no sandbox answers at {netloc}: {told}"
            continue
        if problem is not None:
            raise _not_ready(problem)
        click.echo(f"mcn-mock is ready at {scheme}://{netloc}{path}")
        return
    raise _not_ready(why)


health.params += mcn_mock.commands["serve"].params  # it is for a container that serve runs in


def _not_ready(why: str) -> Declined:
    """Return the error with status 1, which a container engine takes for unhealthy."""
    return Declined(503, why)


def _target(url: str | None, host: str | None, port: int | None, config: Path | None) -> tuple[list[str], str, str]:
    """Return the schemes to try, the host with its port, and the path before the sandbox's own.

    The options need not say whether the sandbox speaks TLS, so both are tried.
    """
    if url is not None:
        base, path = split_url(url)
        parts = urlsplit(base)
        return [parts.scheme], parts.netloc, path
    from pytest_mcn_mock.cli import config as configuration
    from pytest_mcn_mock.cli.banner import reachable

    chosen = configuration.built_in() if config is None else configuration.load(config)
    host = reachable(chosen.host if host is None else host)
    port = chosen.port if port is None else port
    if port == 0:
        raise ValueError("port 0 is a free port that only the sandbox knows; give its --url")
    return ["http", "https"], f"[{host}]:{port}" if ":" in host else f"{host}:{port}", ""


def _ask(scheme: str, netloc: str, path: str, timeout_s: float) -> str | None:
    """Return why the sandbox is not ready, or None. No proxy is used and no certificate checked: it is this machine."""
    connection = HTTPConnection(netloc, timeout=timeout_s)
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(netloc, timeout=timeout_s, context=context)
    host = netloc if path else "localhost"  # a sandbox knows itself by that name; a proxy before it does not
    with closing(connection):
        connection.request("GET", f"{path}/__admin/health/ready", headers={"Host": host, "User-Agent": "mcn-mock"})
        response = connection.getresponse()
        answer = response.read(65_536)
    try:
        content = json.loads(answer)
        if response.status == 200 and content["ready"] is True:
            return None
        return f"the sandbox at {netloc} is not ready: {', '.join(map(str, content['reasons']))}"
    except (KeyError, TypeError, ValueError):  # it answers without JSON, or with other JSON
        return f"what answers at {netloc} is not a sandbox"
