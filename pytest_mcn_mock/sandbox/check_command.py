"""``mcn-mock check``: the contract against a webhook, told to people and to machines."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pytest_mcn_mock.contract import reports
from pytest_mcn_mock.contract.cases import Case
from pytest_mcn_mock.contract.catalogue import choose
from pytest_mcn_mock.contract.judge import Level, Verdict
from pytest_mcn_mock.contract.run import Run
from pytest_mcn_mock.contract.sockets import SocketTransport
from pytest_mcn_mock.contract.webhook import DEFAULT_ACCOUNT, DEFAULT_TEMPLATE, DEFAULT_TIMEOUT_S, Webhook, form_of
from pytest_mcn_mock.errors import UsageError

FAULTS_FOUND, WRONG_USAGE, UNREACHABLE = 1, 2, 3
"""The exit statuses; 0 is a sound endpoint."""
_UUID = re.compile(r"[0-9A-Za-z-]{1,64}_[0-9]{1,15}", re.ASCII)
_WIDTH: Final = 110  # where the output is no terminal
_MOST_SHOWN: Final = 8
_LENIENT: Final = (
    "The endpoint did not acknowledge the record of a call that it cannot know, and none that it knows was given with "
    "--uuid, so that a 400, 404, 409, 410 or 422 is a warning in every case where a sound record is sent."
)
_STYLES: Final = {None: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


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
@click.option("--template", default=DEFAULT_TEMPLATE, show_default=True, help="The free text of the data type text.")
@click.option("--token", help="Sent as Authorization: Bearer …")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header that the subscription sends."
)
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account that ends the calls' uuids.")
@click.option("--uuid", "uuids", multiple=True, help="The verification_call_uuid of a call that the endpoint knows.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600, min_open=True),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="The operator's time-out, in seconds.",
)
@click.option("--strict", is_flag=True, help="Let warnings fail too.")
@click.option("--cacert", type=click.Path(path_type=Path), help="A file of authorities to trust for https.")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option("--junit", type=click.File("wb", lazy=False), metavar="FILE", help="Write a JUnit report.")
@click.option("--json", "is_json", is_flag=True, help="Print the result as JSON.")
def check(url: str | None, **options: Any) -> None:
    """Check a webhook: send it what the operator may send, and say what is wrong and how to mend it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # the hints are not all ASCII, and a terminal may be
    try:
        status = _check(url, **options)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    raise SystemExit(status)


def _check(
    url: str | None,
    *,
    only: Sequence[str],
    is_list: bool,
    method: str,
    data_type: str,
    template: str,
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
    form = form_of(method, data_type)
    cases = choose(form, only)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    if is_list:
        _list(console, cases)
        return 0
    if url is None:
        raise UsageError("give the URL of the webhook, such as http://127.0.0.1:8000/webhooks/mcn")
    for uuid in uuids:
        if not _UUID.fullmatch(uuid):
            raise UsageError(f"uuid {uuid[:40]!r} is no verification_call_uuid, such as 'fa278be48dc2_117793'")
    webhook = Webhook(url, form, _headers(headers, token), account, template, timeout)
    transport = SocketTransport(is_checked=not insecure, cafile=cacert)
    run = Run(webhook, transport, secrets.randbits(32), time.time, uuids)
    try:
        unreachable = run.probe()
        if unreachable is None:
            _go(run, cases)
    finally:
        transport.close()
    if junit is not None:
        junit.write(reports.as_junit(webhook, run.verdicts, strict=strict, unreachable=unreachable))
    if unreachable is not None:
        click.echo(f"mcn-mock: {webhook.shown_url} cannot be reached: {unreachable}", err=True)
        return UNREACHABLE
    if is_json:
        click.echo(json.dumps(reports.as_json(webhook, run.verdicts, strict=strict), indent=2))
    else:
        _tell(console, run)
    return FAULTS_FOUND if any(reports.fails(verdict, strict=strict) for verdict in run.verdicts) else 0


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


def _go(run: Run, cases: Sequence[Case]) -> None:
    """Run the cases; on a terminal with a bar that shows how far it is."""
    progress = Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task("", total=len(cases))
        names = iter([*(case.name for case in cases[1:]), ""])
        progress.update(task, description=cases[0].name)
        for _ in run.each(cases):
            progress.update(task, advance=1, description=next(names))


def _list(console: Console, cases: Sequence[Case]) -> None:
    table = _table("case", "sends", "a sound endpoint")
    for case in cases:
        table.add_row(case.name, case.sends, f"{case.sound}{' (warns only)' if case.optional else ''}")
    console.print(table)


def _tell(console: Console, run: Run) -> None:
    """The table, what was found and how to mend it, and a line that sums up."""
    table = _table("case", "result", "answers", "longest")
    for verdict in run.verdicts:
        shown = Text(verdict.level or "sound", _STYLES[verdict.level])
        table.add_row(verdict.case.name, shown, _answers(verdict), f"{verdict.duration_s * 1000:.0f} ms")
    console.print(table)
    for (level, what, hint), found in _by_hint(run.verdicts).items():
        _say(console)
        if len(found) == 1:
            ((name, diagnosis),) = found.items()
            _say(console, f"{level} in {name}: {diagnosis}", _STYLES[level])
        else:
            _say(console, f"{level} in {len(found)} cases: {what} …", _STYLES[level])
            for name, diagnosis in list(found.items())[:_MOST_SHOWN]:
                _explain(console, f"{name}: … {diagnosis.removeprefix(what).strip()}")
            if len(found) > _MOST_SHOWN:
                _explain(console, f"and {len(found) - _MOST_SHOWN} more, marked in the table")
        _explain(console, f"to mend it: {hint}")
        if len(found) == 1:
            case = next(verdict.case for verdict in run.verdicts if verdict.case.name == name)
            _explain(console, f"sound is: {case.sound}")
            _explain(console, f"why it is sent: {case.why} ({case.source})")
    _say(console)
    if run.is_lenient:
        _say(console, _LENIENT)
    errors, warnings = reports.count(run.verdicts, Level.ERROR), reports.count(run.verdicts, Level.WARNING)
    result = f"{_number(errors, 'error')}, {_number(warnings, 'warning')}" if errors or warnings else "sound"
    style = _STYLES[Level.ERROR if errors else Level.WARNING if warnings else None]
    _say(console, f"{run.webhook.shown_url}: {_number(len(run.verdicts), 'case')}, {result}", style)


def _by_hint(verdicts: Sequence[Verdict]) -> dict[tuple[Level, str, str], dict[str, str]]:
    """What is told together: the diagnoses with one deed and one mend, each by its case; errors first."""
    told: dict[tuple[Level, str, str], dict[str, str]] = {}
    for level in (Level.ERROR, Level.WARNING):
        for verdict in verdicts:
            for finding, times in verdict.findings:
                if finding.level is level:
                    group = told.setdefault((level, finding.what, finding.hint), {})
                    group[verdict.case.name] = verdict.diagnosis(finding, times)
    return told


def _answers(verdict: Verdict) -> str:
    """What came back: ``204 ×50``, or ``204, 409 ×2``."""
    counted = Counter(exchange.shown for exchange in verdict.exchanges)
    return ", ".join(f"{shown} ×{times}" if times > 1 else shown for shown, times in counted.items())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column == "longest" else "left")
    return table


def _say(console: Console, text: str = "", style: str = "") -> None:
    """Text of any origin: no markup is looked for in it."""
    console.print(Text(text, style))


def _explain(console: Console, text: str) -> None:
    """The same, set in."""
    _say(console, fill(text, console.width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


def _number(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
