"""Tables: as wide as the terminal where they are read there, drawn with rich, and whole where they are piped."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.cells import cell_len

from pytest_mcn_mock.text import printable

GAP: Final = 2
MIN_FOLDED: Final = 15
"""A column that folds is not made narrower than this."""
_STYLES: Final = {
    "answered": "green",
    "delivered": "green",
    "yes": "green",
    "failed": "red",
    "pending": "yellow",
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
        click.echo(f"{shown}; there are more: give --limit, or --after {printable(found['next'])}", err=True)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """A table with a line for each row, and a heading."""
    cells = [[printable("" if value is None else value) for value in row] for row in rows]
    width = _terminal_width()
    if width is None:
        _print_whole(columns, [[column.heading for column in columns], *cells])
    else:
        _draw(columns, cells, width)


def print_fields(fields: Mapping[str, object]) -> None:
    """A thing with its fields, a line each; those that are None are left out."""
    cells = [[name, printable(value)] for name, value in fields.items() if value is not None]
    columns = [Column(""), Column("", fold=True)]
    width = _terminal_width()
    if width is None:
        _print_whole(columns, cells)
    else:
        _draw(columns, cells, width, first_style="bold", has_headings=False)


def print_heading(text: str) -> None:
    """A line above what follows."""
    click.echo()
    click.secho(text, bold=True, color=_coloured())


def _print_whole(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Every column at its full width, without rich: a list may have many thousand rows."""
    widths = [max(cell_len(row[n]) for row in rows) for n in range(len(columns))]
    for row in rows:
        padded = [_pad(cell, width, column) for cell, width, column in zip(row, widths, columns, strict=True)]
        click.echo((" " * GAP).join(padded).rstrip())


def _pad(cell: str, width: int, column: Column) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if column.right else cell + space


def _draw(
    columns: Sequence[Column],
    cells: Sequence[Sequence[str]],
    width: int,
    *,
    first_style: str = "",
    has_headings: bool = True,
) -> None:
    """For a person at a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = _fitting(columns, cells, width)
    table = Table(
        box=None, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=has_headings
    )
    for n in shown:
        column = columns[n]
        table.add_column(
            Text(column.heading),
            no_wrap=not column.fold,
            overflow="fold",
            justify="right" if column.right else "left",
            min_width=None if column.fold else _width(columns, cells, n),
            style=first_style if n == 0 else "",
        )
    for row in cells:
        table.add_row(*(Text(row[n], _STYLES.get(row[n].partition(" ")[0], "")) for n in shown))
    coloured = _coloured()
    console = Console(
        file=sys.stdout, width=max(width, _least(columns, cells, shown)), force_terminal=coloured, highlight=False,
        color_system="standard" if coloured else None, legacy_windows=False,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip(), color=coloured)


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that there is room for without folding any, but for the spare ones all."""
    shown = list(range(len(columns)))
    while _least(columns, cells, shown, whole=True) > width:
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
