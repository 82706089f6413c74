"""What ``mcn-mock check`` shows to people: the progress, the cases, and what was found."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from textwrap import fill
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pytest_mcn_mock.conformance import reports
from pytest_mcn_mock.conformance.cases import Case
from pytest_mcn_mock.conformance.judge import Level, Verdict
from pytest_mcn_mock.conformance.run import Run

_Groups = dict[tuple[Level, str, str, str], dict[str, str]]
"""The diagnoses by their cases, by level, deed, mend and cause."""
_WIDTH: Final = 110  # where the output is no terminal
_MOST_SHOWN: Final = 8
_LENIENT: Final = (
    "The endpoint did not acknowledge the record of a call that it cannot know, and none that it knows was given with "
    "--uuid, so that a 400, 404, 409, 410 or 422 is a warning in every case where a sound record is sent."
)
_STYLES: Final = {None: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def go_through(run: Run, cases: Sequence[Case]) -> None:
    """Run the cases, on a terminal with a bar that shows how far it is."""
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


def list_cases(cases: Sequence[Case]) -> None:
    """Print the cases: what each sends, and what is sound."""
    console = _console()
    table = _table("case", "sends", "a sound endpoint")
    for case in cases:
        table.add_row(case.name, case.sends, f"{case.sound}{' (warns only)' if case.optional else ''}")
    console.print(table)


def tell(run: Run) -> None:
    """Print the table, what was found and how to mend it, and a line that sums up."""
    console = _console()
    table = _table("case", "result", "answers", "longest")
    for verdict in run.verdicts:
        shown = Text(verdict.level or "sound", _STYLES[verdict.level])
        table.add_row(verdict.case.name, shown, _answers(verdict), f"{verdict.duration_s * 1000:.0f} ms")
    console.print(table)
    groups = _by_hint(run.verdicts)
    for (level, what, hint, cause), found in groups.items():
        _say(console)
        if cause and len(found) > 1:
            _say(console, f"{level} in {len(found)} cases, with one cause: {cause}", _STYLES[level])
            _explain(console, f"cases: {', '.join(found)}")
        elif len(found) == 1:
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
    causes = f" ({_number(_count_causes(groups), 'cause')})" if any(cause for *_, cause in groups) else ""
    result = f"{_number(errors, 'error')}{causes}, {_number(warnings, 'warning')}" if errors or warnings else "sound"
    style = _STYLES[Level.ERROR if errors else Level.WARNING if warnings else None]
    _say(console, f"{run.webhook.shown_url}: {_number(len(run.verdicts), 'case')}, {result}", style)


def _count_causes(groups: _Groups) -> int:
    return sum(level is Level.ERROR for level, *_ in groups)


def _by_hint(verdicts: Sequence[Verdict]) -> _Groups:
    """What is told together: the diagnoses with one cause, or one deed and one mend, by their cases; errors first."""
    told: _Groups = {}
    for level in (Level.ERROR, Level.WARNING):
        for verdict in verdicts:
            for finding, times in verdict.findings:
                if finding.level is level:
                    what = "" if finding.cause else finding.what
                    group = told.setdefault((level, what, finding.hint, finding.cause), {})
                    group[verdict.case.name] = verdict.diagnosis(finding, times)
    return told


def _answers(verdict: Verdict) -> str:
    """What came back: ``204 ×50``, or ``204, 409 ×2``."""
    counted = Counter(exchange.shown for exchange in verdict.exchanges)
    return ", ".join(f"{shown} ×{times}" if times > 1 else shown for shown, times in counted.items())


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


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
