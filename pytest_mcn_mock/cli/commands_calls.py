"""``mcn-mock calls`` and ``mcn-mock deliveries``: what happened."""

from __future__ import annotations

from typing import Any

import click

from pytest_mcn_mock.cli.client import SandboxClient, segment
from pytest_mcn_mock.cli.options import (
    ListFirst,
    account_option,
    call_argument,
    connected,
    delivery_argument,
    list_options,
)
from pytest_mcn_mock.cli.output import clean_lines, moment, outcome_of, print_json, result_of, without_user
from pytest_mcn_mock.text import printable

_BODY_SHOWN = 2000
"""Characters of an endpoint's answer; --json has them all."""


@click.group(cls=ListFirst)
def calls() -> None:
    """List calls, or show one.

    Without a command they are listed.
    """


@calls.command("list")
@account_option
@list_options
@connected
def list_calls(sandbox: SandboxClient, account: int | None, limit: int, after: str | None, *, as_json: bool) -> None:
    """Calls, the newest first."""
    found = sandbox.list("calls", limit, after, account_id=account, order="newest")
    if as_json:
        print_json(found)
        return
    from pytest_mcn_mock.cli.tables import Column, print_list

    print_list(
        found,
        "calls",
        [
            Column("PLACED (UTC)"),
            Column("CALL"),
            Column("METHOD", spare=2),
            Column("FROM", spare=3, right=True),
            Column("TO", right=True),
            Column("CODE", spare=1),
            Column("PRICE", right=True),
            Column("OUTCOME"),
        ],
        [
            (
                moment(call["placed_at"])[5:],
                call["verification_call_uuid"],
                call["method"],
                call["caller_did"],
                call["login_did"],
                call["code"],
                call["price"],
                outcome_of(call),
            )
            for call in found["items"]
        ],
    )


@calls.command("show")
@call_argument
@connected
def show_call(sandbox: SandboxClient, verification_call_uuid: str, *, as_json: bool) -> None:
    """One call with why it is so, and every attempt to deliver its CDR."""
    call = sandbox.get(f"calls/{segment(verification_call_uuid)}")
    deliveries = sandbox.list("deliveries", 1000, verification_call_uuid=verification_call_uuid)["items"]
    if as_json:
        print_json({**call, "deliveries": deliveries})
        return
    from pytest_mcn_mock.cli.tables import print_fields, print_heading

    final_status = call["final_status"]
    print_fields(
        {
            "call": call["verification_call_uuid"],
            "account": call["account_id"],
            "method": call["method"],
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
        print_heading(f"Delivery {printable(delivery['id'])} to {printable(without_user(delivery['url']))}")
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
def list_deliveries(
    sandbox: SandboxClient, account: int | None, limit: int, after: str | None, *, as_json: bool
) -> None:
    """Deliveries, the newest first."""
    found = sandbox.list("deliveries", limit, after, account_id=account, order="newest")
    if as_json:
        print_json(found)
        return
    from pytest_mcn_mock.cli.tables import Column, print_list

    print_list(
        found,
        "deliveries",
        [
            Column("ID", right=True),
            Column("CALL"),
            Column("STATE"),
            Column("LAST ATTEMPT", fold=True),
            Column("NEXT (UTC)", spare=1),
            Column("URL", fold=True),
        ],
        [
            (
                delivery["id"],
                delivery["verification_call_uuid"],
                delivery["state"],
                f"{len(delivery['attempts'])}: {result_of(delivery)}",
                moment(delivery["due_at"])[5:],
                without_user(delivery["url"]),
            )
            for delivery in found["items"]
        ],
    )


@deliveries.command("show")
@delivery_argument
@connected
def show_delivery(sandbox: SandboxClient, delivery_id: int, *, as_json: bool) -> None:
    """One delivery with its request and what each attempt was answered."""
    delivery = sandbox.get(f"deliveries/{delivery_id}")
    if as_json:
        print_json(delivery)
        return
    from pytest_mcn_mock.cli.tables import print_heading

    click.echo(f"Delivery {printable(delivery['id'])} of call {printable(delivery['verification_call_uuid'])}")
    _print_progress(delivery)
    if delivery["request"] is not None:
        print_heading("Request")
        print_message(
            f"{delivery['request']['method']} {without_user(delivery['request']['url'])}",
            delivery["request"]["headers"],
            delivery["request"]["body"],
        )
    for attempt in delivery["attempts"]:
        if attempt.get("response") is not None:
            print_heading(f"Answer to attempt {printable(attempt['number'])}")
            print_message(f"HTTP {attempt['status']}", attempt["response"]["headers"], attempt["response"]["body"])


def print_message(first: str, headers: dict[str, Any], body: str) -> None:
    """A request or an answer as it goes over the wire, but for what could steer a terminal."""
    click.echo(printable(first))
    for name, value in headers.items():
        click.echo(printable(f"{name}: {value}"))
    if body:
        click.echo()
        for line in clean_lines(body[:_BODY_SHOWN]):
            click.echo(line)
        if len(body) > _BODY_SHOWN:
            click.echo(f"… and {len(body) - _BODY_SHOWN} characters more; --json has them")


def _print_progress(delivery: dict[str, Any]) -> None:
    from pytest_mcn_mock.cli.tables import Column, print_fields, print_table

    print_fields(
        {
            "state": delivery["state"],
            "note": delivery.get("note") or None,
            "next attempt": _utc(delivery["due_at"]),
        }
    )
    if delivery["attempts"]:
        print_table(
            [
                Column("ATTEMPT", right=True),
                Column("AT (UTC)"),
                Column("TOOK, S", right=True),
                Column("RESULT", fold=True),
            ],
            [
                (
                    a["number"],
                    moment(a["at"]),
                    f"{a['duration_s']:.3f}",
                    a["error"] or f"HTTP {a['status']}, acknowledged",
                )
                for a in delivery["attempts"]
            ],
        )


def _utc(text: object) -> str | None:
    return None if text is None else f"{moment(text)} UTC"
