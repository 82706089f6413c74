"""``mcn-mock deliveries`` and ``resend``: look at the deliveries of CDRs, send one again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import click

from pytest_mcn_mock.cli.client import (
    CommandResult,
    ListFirst,
    SandboxClient,
    answered,
    connected,
    delivery_argument,
    filter_options,
    list_options,
    missed,
)
from pytest_mcn_mock.cli.tables import Column, moment, print_fields, print_heading, print_list, print_table, utc
from pytest_mcn_mock.errors import Unreachable
from pytest_mcn_mock.text import printable, printable_lines, shown_url

ATTEMPT_WITHIN_S: Final = 660.0
"""How long `resend` waits for its attempt: an endpoint may have 600 s to answer, and the attempt may have to queue."""
_BODY_SHOWN: Final = 2000
"""Characters of an endpoint's answer; --json has them all."""


@click.group(cls=ListFirst)
def deliveries() -> None:
    """List the deliveries of CDRs, or show one.

    Without a command they are listed.
    """


@deliveries.command("list")
@filter_options(["pending", "delivered", "failed"])
@list_options
@connected
@answered
def list_deliveries(sandbox: SandboxClient, wanted: dict[str, Any], limit: int, after: str | None) -> CommandResult:
    """List deliveries, the newest first: all, or those with the given values."""
    columns = (
        Column("ID", "id", right=True),
        Column("CALL", "verification_call_uuid"),
        Column("STATE", "state"),
        Column("LAST ATTEMPT", lambda delivery: f"{len(delivery['attempts'])}: {result_of(delivery)}", fold=True),
        Column("NEXT (UTC)", lambda delivery: moment(delivery["due_at"])[5:], spare=1),
        Column("URL", lambda delivery: shown_url(delivery["url"]), fold=True),
    )
    found = sandbox.list("deliveries", limit, after, order="newest", **wanted)
    return CommandResult(found, lambda: print_list(found, "deliveries", columns), missed(found, wanted))


@deliveries.command("show")
@delivery_argument
@connected
@answered
def show_delivery(sandbox: SandboxClient, delivery_id: int) -> CommandResult:
    """Show delivery DELIVERY_ID with its request and every answer."""
    delivery = sandbox.get(f"deliveries/{delivery_id}")
    return CommandResult(delivery, lambda: _print_delivery(delivery))


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

    An attempt that was in flight before began earlier, so it is not the new one.
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


def _print_delivery(delivery: Mapping[str, Any]) -> None:
    click.echo(f"Delivery {printable(delivery['id'])} of call {printable(delivery['verification_call_uuid'])}")
    print_progress(delivery)
    request = delivery["request"]
    if request is not None:
        print_heading("Request")
        print_message(f"{request['method']} {without_user(request['url'])}", request["headers"], request["body"])
    for attempt in delivery["attempts"]:
        if attempt.get("response") is not None:
            print_heading(f"Answer to attempt {printable(attempt['number'])}")
            print_message(f"HTTP {attempt['status']}", attempt["response"]["headers"], attempt["response"]["body"])


def print_progress(delivery: Mapping[str, Any]) -> None:
    """Print the state of a delivery and a table of its attempts."""
    print_fields(
        {
            "state": delivery["state"],
            "note": delivery.get("note") or None,
            "next attempt": utc(delivery["due_at"]),
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


def result_of(delivery: Mapping[str, Any]) -> str:
    """Return the result of the last attempt: its HTTP status, or why there was no answer."""
    if not delivery.get("attempts"):
        return str(delivery.get("note") or "not tried yet")
    last = delivery["attempts"][-1]
    return f"HTTP {last['status']}" if last.get("status") is not None else str(last.get("error"))


def print_message(first: str, headers: Mapping[str, Any], body: str) -> None:
    """Print a request or an answer as it goes over the wire, without characters that could control a terminal."""
    click.echo(printable(first))
    for name, value in headers.items():
        click.echo(printable(f"{name}: {value}"))
    if body:
        click.echo()
        click.echo(printable_lines(body[:_BODY_SHOWN].replace("\r\n", "\n")))
        if len(body) > _BODY_SHOWN:
            click.echo(f"… and {len(body) - _BODY_SHOWN} characters more; --json has them")


def without_user(url: str) -> str:
    """Return the URL of a request without user and password. Its query stays, because a GET sends its data there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
