"""Tables: as wide as the terminal where they are read there, and whole where they are piped. Drawn with rich."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_mcn_mock.sandbox.output import clean

GAP: Final = 2
MIN_FOLDED: Final = 20
"""A column that folds is not made narrower than this."""
_STYLES: Final = {
    "answered": "green",
    "delivered": "green",
    "yes": "green",
    "given_up": "red",
    "owed": "yellow",
    "ringing": "yellow",
    "busy": "yellow",
    "no_answer": "yellow",
    "rejected": "red",
    "unavailable": "red",
}
"""By the first word of a cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. Where the terminal is too narrow, ``spare`` ones are left out, the highest first, and then those that
    ``fold`` are broken over several lines. Any other is shown whole.
    """

    heading: str
    spare: int = 0
    fold: bool = False
    right: bool = False


def print_list(
    found: Mapping[str, Any], what: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]
) -> None:
    """A list of the sandbox's as a table; on standard error, that there is nothing, or more than is shown."""
    if not found["items"]:
        click.echo(f"no {what}", err=True)
        return
    print_table(columns, rows)
    if found["next"] is not None:
        shown = f"{len(found['items'])} {what} shown"
        click.echo(f"{shown}; there are more: give --limit, or --after {clean(found['next'])}", err=True)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """A table with a line for each row, and a heading."""
    cells = [[clean("" if value is None else value) for value in row] for row in rows]
    width = _terminal_width()
    shown = _fitting(columns, cells, width)
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for n in shown:
        column = columns[n]
        table.add_column(
            Text(column.heading),
            no_wrap=not column.fold,
            overflow="fold",
            justify="right" if column.right else "left",
            min_width=None if column.fold else _width(columns, cells, n),
        )
    for row in cells:
        table.add_row(*(Text(row[n], _STYLES.get(row[n].partition(" ")[0], "")) for n in shown))
    _print(table, max(width or 0, _least(columns, cells, shown, whole=width is None) + GAP))


def print_fields(fields: Mapping[str, object]) -> None:
    """A thing with its fields, a line each; those that are None are left out."""
    shown = {name: clean(value) for name, value in fields.items() if value is not None}
    table = Table.grid(padding=(0, GAP, 0, 0))
    names = max(map(len, shown))
    table.add_column(style="bold", no_wrap=True, min_width=names)
    table.add_column(overflow="fold")
    for name, value in shown.items():
        table.add_row(name, Text(value, _STYLES.get(value.partition(" ")[0], "")))
    width = _terminal_width()
    longest = names + GAP + max(map(cell_len, shown.values())) + GAP
    _print(table, longest if width is None else max(width, names + GAP + MIN_FOLDED))


def print_heading(text: str) -> None:
    """A line above what follows."""
    click.echo()
    click.secho(text, bold=True, color=_coloured())


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """The columns that there is room for; all of them where nobody watches."""
    shown = list(range(len(columns)))
    while width is not None and _least(columns, cells, shown, whole=True) > width:
        spare = max(shown, key=lambda n: columns[n].spare)
        if not columns[spare].spare:
            break
        shown.remove(spare)
    return shown


def _least(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], shown: Sequence[int], *, whole: bool = False
) -> int:
    """The width that the columns need, or take where nothing is folded."""
    widths = [_width(columns, cells, n) for n in shown]
    least = [w if whole or not columns[n].fold else min(w, MIN_FOLDED) for n, w in zip(shown, widths, strict=True)]
    return sum(least) + GAP * (len(shown) - 1)


def _width(columns: Sequence[Column], cells: Sequence[Sequence[str]], n: int) -> int:
    return max([len(columns[n].heading), *(cell_len(row[n]) for row in cells)])


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _print(drawing: Any, width: int) -> None:
    coloured = _coloured()
    console = Console(
        file=sys.stdout, width=width, force_terminal=coloured, color_system="standard" if coloured else None,
        legacy_windows=False, highlight=False,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(drawing)
    for line in capture.get().splitlines():
        click.echo(line.rstrip(), color=coloured)
