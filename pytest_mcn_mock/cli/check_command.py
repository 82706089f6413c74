"""``mcn-mock check``: the contract against a webhook, told to people and to machines."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.cli.options import trust_options
from pytest_mcn_mock.cli.output import print_json
from pytest_mcn_mock.errors import Unreachable, UsageError
from pytest_mcn_mock.model.assumptions import Assumptions

_UUID = re.compile(r"[0-9A-Za-z-]{1,64}_[0-9]{1,15}", re.ASCII)


@click.command()
@click.argument("url", required=False)
@click.option("--only", multiple=True, metavar="PATTERN", help="Run the cases whose name fits, such as 'cause_*'.")
@click.option("--list", "is_list", is_flag=True, help="List the cases and run none.")
@click.option(
    "--method",
    type=click.Choice(["POST", "GET"], case_sensitive=False),
    default="POST",
    show_default=True,
    help="The subscription's method.",
)
@click.option(
    "--data-type",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="The subscription's data type.",
)
@click.option("--template", help="The free text of the data type text, with {name} for a variable.")
@click.option("--token", help="Sent as Authorization: Bearer …")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header that the subscription sends."
)
@click.option("--account", default="12345678", show_default=True, help="The account that ends the calls' uuids.")
@click.option("--uuid", "uuids", multiple=True, help="The verification_call_uuid of a call that the endpoint knows.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600, min_open=True),
    default=Assumptions().ack_timeout_s,
    show_default=True,
    help="The operator's time-out, in seconds.",
)
@click.option("--strict", is_flag=True, help="Let warnings fail too.")
@trust_options
@click.option("--junit", type=click.File("wb", lazy=False), metavar="FILE", help="Write a JUnit report.")
@click.option("--json", "is_json", is_flag=True, help="Print the result as JSON.")
def check(url: str | None, **options: Any) -> None:
    """Check a webhook: send it what the operator may send, and say what is wrong and how to mend it."""
    raise SystemExit(_check(url, **options))


def _check(
    url: str | None,
    *,
    only: Sequence[str],
    is_list: bool,
    method: str,
    data_type: str,
    template: str | None,
    token: str | None,
    headers: Sequence[str],
    account: str,
    uuids: Sequence[str],
    timeout: float,
    strict: bool,
    cacert: Path | None,
    insecure: bool,
    junit: BinaryIO | None,
    is_json: bool,
) -> int:
    """Run, and tell; the exit status, 1 where a fault was found."""
    from pytest_mcn_mock.cli.check_report import go_through, list_cases, tell
    from pytest_mcn_mock.conformance import reports
    from pytest_mcn_mock.conformance.catalogue import choose
    from pytest_mcn_mock.conformance.run import Run
    from pytest_mcn_mock.conformance.sockets import SocketTransport
    from pytest_mcn_mock.conformance.webhook import DEFAULT_TEMPLATE, Webhook, form_of

    form = form_of(method, data_type)
    cases = choose(form, only)
    if is_list:
        list_cases(cases)
        return 0
    if url is None:
        raise UsageError("give the URL of the webhook, such as http://127.0.0.1:8000/webhooks/mcn")
    for uuid in uuids:
        if not _UUID.fullmatch(uuid):
            raise UsageError(f"uuid {uuid[:40]!r} is no verification_call_uuid, such as 'fa278be48dc2_117793'")
    webhook = Webhook(url, form, _headers(headers, token), account, template or DEFAULT_TEMPLATE, timeout)
    transport = SocketTransport(read_trust(cacert, insecure=insecure, name="--cacert"))
    run = Run(webhook, transport, secrets.randbits(32), time.time, uuids)
    try:
        unreachable = run.probe()
        if unreachable is None:
            go_through(run, cases)
    finally:
        transport.close()
    if junit is not None:
        junit.write(reports.as_junit(webhook, run.verdicts, strict=strict, unreachable=unreachable))
    if unreachable is not None:
        raise Unreachable(f"{webhook.shown_url} cannot be reached: {unreachable}")
    if is_json:
        print_json(reports.as_json(webhook, run.verdicts, strict=strict))
    else:
        tell(run)
    return int(any(reports.fails(verdict, strict=strict) for verdict in run.verdicts))


def _headers(lines: Sequence[str], token: str | None) -> dict[str, str]:
    """The headers; UsageError, which does not show the value, for what is none."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError("a header is written 'Name: value'")
        if name.strip().lower() in {known.lower() for known in headers}:
            raise UsageError(f"header {name.strip()[:40]!r} is given twice")
        headers[name.strip()] = value.strip()
    return headers
