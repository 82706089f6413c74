"""``mcn-mock check``: send a webhook every case, and report to people and to machines."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.cli.client import CommandResult, answered, trust_options
from pytest_mcn_mock.cli.output import count
from pytest_mcn_mock.cli.tables import COLOUR_OF, Column, is_coloured, print_table
from pytest_mcn_mock.cli.webhook_options import form_options
from pytest_mcn_mock.errors import Unreachable, UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.text import shown_url

if TYPE_CHECKING:  # they bring asyncio and TLS, which the other commands and --help need not wait for
    from pytest_mcn_mock.conformance.cases import Case
    from pytest_mcn_mock.conformance.run import Run
    from pytest_mcn_mock.conformance.verdict import Verdict

_WIDTH: Final = 110  # if the output is not a terminal
_MOST_SHOWN: Final = 8
_LENIENT: Final = (
    "The endpoint did not acknowledge the record of a call that it cannot know, and none that it knows was given with "
    "--uuid, so that a 400, 404, 409, 410 or 422 is a warning in every case that sends a record."
)
_UUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}_[0-9]{1,15}", re.ASCII)


@click.command()
@click.argument("url", required=False)
@click.option("--only", multiple=True, metavar="PATTERN", help="Run the cases whose name fits, such as 'cause_*'.")
@click.option("--list", "is_list", is_flag=True, help="List the cases and run none.")
@form_options
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
@click.option("--strict", is_flag=True, help="Let warnings fail the check too.")
@trust_options
@click.option("--junit", type=click.File("wb", lazy=False), metavar="FILE", help="Write a JUnit report.")
@answered
def check(
    url: str | None,
    only: Sequence[str],
    is_list: bool,
    form: dict[str, Any],
    token: str | None,
    headers: Sequence[str],
    account: str,
    uuids: Sequence[str],
    timeout: float,
    strict: bool,
    cacert: Path | None,
    insecure: bool,
    junit: BinaryIO | None,
) -> CommandResult:
    """Check a webhook: send it everything that the operator may send, and explain each mistake and its fix."""
    from pytest_mcn_mock.conformance.cases import choose
    from pytest_mcn_mock.conformance.run import Run
    from pytest_mcn_mock.conformance.sending import SocketTransport
    from pytest_mcn_mock.conformance.webhook import Webhook, form_of

    subscription = make_subscription(url or "http://localhost/", headers=_headers(headers, token), **form)
    cases = choose(form_of(subscription), only)
    if is_list:
        listed = [{"name": case.name, "sends": case.sends, "sound": case.sound} for case in cases]
        return CommandResult(listed, lambda: print_table(_LISTED, cases))
    if url is None:
        raise UsageError("give the URL of the webhook, such as http://127.0.0.1:8000/webhooks/mcn")
    for uuid in uuids:
        if not _UUID.fullmatch(uuid):
            raise UsageError(f"uuid {uuid[:40]!r} is not a verification_call_uuid, such as 'fa278be48dc2_117793'")
    webhook = Webhook(subscription, account, timeout)
    transport = SocketTransport(read_trust(cacert, insecure=insecure, name="--cacert"))
    run = Run(webhook, transport, secrets.randbits(32), time.time, uuids)
    try:
        unreachable = run.probe()
        if unreachable is None:
            _go_through(run, cases)
    finally:
        transport.close()
    if junit is not None:
        junit.write(run.as_junit(strict=strict, unreachable=unreachable))
    if unreachable is not None:
        raise Unreachable(f"{shown_url(webhook.url)} cannot be reached: {unreachable}")
    return CommandResult(run.as_json(strict=strict), lambda: _report(run), int(run.fails(strict=strict)))


def _headers(lines: Sequence[str], token: str | None) -> dict[str, str]:
    """Return the headers; UsageError, which does not show the value, for a line that is not one."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError("a header is written 'Name: value'")
        if name.strip().lower() in {known.lower() for known in headers}:
            raise UsageError(f"header {name.strip()[:40]!r} is given twice")
        headers[name.strip()] = value.strip()
    return headers


def _go_through(run: Run, cases: Sequence[Case]) -> None:
    """Run the cases, on a terminal with a bar that shows how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            progress.update(task, description=case.name)
            run.check(case)
            progress.advance(task)


def _report(run: Run) -> None:
    """Print the table, the findings and how to fix them, and a summary line."""
    from pytest_mcn_mock.conformance.verdict import Severity

    print_table(_RESULTS, run.verdicts)
    groups = _by_hint(run.verdicts)
    for (level, what, hint, cause), found in groups.items():
        click.echo()
        name, diagnosis = next(iter(found.items()))
        if cause and len(found) > 1:
            _say(f"{level} in {len(found)} cases, with one cause: {cause}", level)
            _explain(f"cases: {', '.join(found)}")
        elif len(found) == 1:
            _say(f"{level} in {name}: {diagnosis}", level)
        else:
            _say(f"{level} in {len(found)} cases: {what} …", level)
            for name, diagnosis in list(found.items())[:_MOST_SHOWN]:
                _explain(f"{name}: … {diagnosis.removeprefix(what).strip()}")
            if len(found) > _MOST_SHOWN:
                _explain(f"and {len(found) - _MOST_SHOWN} more, marked in the table")
        _explain(f"to fix it: {hint}")
        if len(found) == 1:
            case = next(verdict.case for verdict in run.verdicts if verdict.case.name == name)
            _explain(f"a correct endpoint {case.sound}")
            _explain(f"why it is sent: {case.why} ({case.source})")
    click.echo()
    if run.is_lenient:
        _explain(_LENIENT, indent="")
    errors, warnings = run.count(Severity.ERROR), run.count(Severity.WARNING)
    causes = sum(level == "error" for level, *_ in groups)
    by_cause = f" ({count(causes, 'cause')})" if any(cause for *_, cause in groups) else ""
    result = f"{count(errors, 'error')}{by_cause}, {count(warnings, 'warning')}" if errors or warnings else "sound"
    worst = "error" if errors else "warning" if warnings else "sound"
    _say(f"{shown_url(run.webhook.url)}: {count(len(run.verdicts), 'case')}, {result}", worst)


def _by_hint(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, str, str], dict[str, str]]:
    """Return the findings that are reported together: the diagnoses by their cases, by level, deed, hint and cause.

    Errors come first.
    """
    told: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for verdict in verdicts:
        for finding, times in verdict.findings:
            what = "" if finding.cause else finding.what
            group = told.setdefault((finding.level, what, finding.hint, finding.cause), {})
            group[verdict.case.name] = verdict.diagnosis(finding, times)
    return dict(sorted(told.items(), key=lambda item: item[0][0] != "error"))


def _answers(verdict: Verdict) -> str:
    """Return the answers counted: ``204 ×50``, or ``204, 409 ×2``."""
    counted = Counter(exchange.shown for exchange in verdict.exchanges)
    return ", ".join(f"{shown} ×{times}" if times > 1 else shown for shown, times in counted.items())


def _say(text: str, level: str) -> None:
    click.secho(text, fg=COLOUR_OF[level], bold=level == "error", color=is_coloured())


def _explain(text: str, indent: str = "  ") -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    click.echo(fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False))


_LISTED: Final = (
    Column("case", lambda case: case.name),
    Column("sends", lambda case: case.sends, fold=True),
    Column("a correct endpoint", lambda case: f"{case.sound}{' (warns only)' if case.optional else ''}", fold=True),
)
_RESULTS: Final = (
    Column("case", lambda verdict: verdict.case.name),
    Column("result", lambda verdict: verdict.level or "sound"),
    Column("answers", _answers, fold=True),
    Column("longest", lambda verdict: f"{verdict.duration_s * 1000:.0f} ms", right=True),
)
