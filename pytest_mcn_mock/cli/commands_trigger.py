"""``mcn-mock trigger``: one CDR to a URL, without a sandbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.cli.commands_calls import print_message
from pytest_mcn_mock.cli.options import check_one_ending, json_option, outcome_options, trust_options
from pytest_mcn_mock.cli.output import print_json
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import DEFAULT_VARIABLES
from pytest_mcn_mock.model.webhooks import WebhookMethod, make_subscription
from pytest_mcn_mock.text import printable

if TYPE_CHECKING:  # it brings the numbering plans
    from pytest_mcn_mock.cli.adhoc import Sent

_UUID = re.compile(r"[\x21-\x7e]{1,64}")


@click.command()
@click.argument("url")
@outcome_options
@click.option("--uuid", help="The call's verification_call_uuid.  [default: a random one]")
@click.option("--login-did", default="79157777777", show_default=True, help="The number that was called.")
@click.option(
    "--body", metavar="VARIABLES", default=",".join(DEFAULT_VARIABLES), show_default=True,
    help="The variables of the CDR, with commas between them.",
)  # fmt: skip
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be given several times."
)
@click.option(
    "--constant", "constants", multiple=True, metavar="NAME=VALUE",
    help="A parameter of your own, text, or with := a number or boolean; may be given several times.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice([str(m) for m in WebhookMethod], case_sensitive=False), default="POST",
    show_default=True, help="How it is sent; with GET the variables are in the query.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=Assumptions().ack_timeout_s, show_default=True,
    help="The seconds that the endpoint may take to acknowledge it.",
)  # fmt: skip
@trust_options
@json_option
def trigger(
    url: str,
    outcome: str | None,
    q931_status: int | None,
    uuid: str | None,
    login_did: str,
    body: str,
    headers: tuple[str, ...],
    constants: tuple[str, ...],
    method: str,
    timeout: float,
    cacert: Path | None,
    insecure: bool,
    *,
    as_json: bool,
) -> None:
    """Send a made-up CDR to URL.

    It is sent from here, so no sandbox is needed; the request and the answer are printed. The exit status is 0 if the
    endpoint acknowledged it, which is any 2xx, and 1 if not.
    """
    check_one_ending(outcome, q931_status)
    if uuid is not None and not _UUID.fullmatch(uuid):
        raise UsageError("--uuid must be 1 to 64 visible ASCII characters, such as fa278be48dc2_12345678")
    subscription = make_subscription(
        url,
        body=[name.strip() for name in body.split(",") if name.strip()],
        method=method,
        headers=dict(_header(text) for text in headers),
        constants=dict(_constant(text) for text in constants),
        trust=read_trust(cacert, insecure=insecure, name="--cacert"),
    )
    from pytest_mcn_mock.cli.adhoc import make_call, send

    sent = send(make_call(uuid, login_did, outcome, q931_status), subscription, timeout)
    if as_json:
        print_json(sent.show())
    else:
        _print(sent)
    if not sent.is_acknowledged:
        raise SystemExit(1)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError("a --header has no colon; write it as 'Name: value', in quotes")
    return name.strip(), value.strip()


def _constant(text: str) -> tuple[str, str | int | bool]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError("a --constant has no name or no =; write it as NAME=VALUE, in quotes")
    if not name.endswith(":"):
        return name, value
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, int):
        raise UsageError(f"--constant {name[:40]!r}: after := comes a whole number, true or false")
    return name.removesuffix(":"), parsed


def _print(sent: Sent) -> None:
    print_message(f"{sent.request.method} {sent.url}", sent.headers, sent.request.body.decode())
    click.echo()
    if sent.response is None:
        click.echo(f"not acknowledged: {printable(sent.error)}")
        return
    word = "acknowledged" if sent.is_acknowledged else "not acknowledged"
    print_message(
        f"HTTP {sent.response.status}, {word} after {sent.duration_s * 1000:.0f} ms",
        dict(sent.response.headers),
        sent.response.body.decode("utf-8", "replace"),
    )
