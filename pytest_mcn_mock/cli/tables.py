"""Tables: on a terminal they are drawn with rich in its width; in a pipe they are printed in full."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import click

from pytest_mcn_mock.text import printable

GAP: Final = 2
MIN_FOLDED: Final = 15
"""A column that folds is not made narrower than this."""
COLOUR_OF: Final = {
    **dict.fromkeys(("answered", "delivered", "yes", "sound"), "green"),
    **dict.fromkeys(("pending", "ringing", "busy", "no_answer", "warning"), "yellow"),
    **dict.fromkeys(("failed", "rejected", "unavailable", "error"), "red"),
}
"""The colour of a cell by its first word. The first column, which names the item, has none."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``value`` is the key of an item's field, or a function of the item; without it, the items are rows.

    If the terminal is too narrow, columns with ``spare`` are left out, the highest first. Then columns that ``fold``
    are broken over several lines. Any other column is shown whole.
    """

    heading: str
    value: str | Callable[[Any], object] | None = None
    spare: int = 0
    fold: bool = False
    right: bool = False

    def cell(self, item: Any, place: int) -> str:
        """Return the text of an item in this column, which is the column number ``place``."""
        value = self.value(item) if callable(self.value) else item[place if self.value is None else self.value]
        return printable("" if value is None else value)


def print_list(found: Mapping[str, Any], what: str, columns: Sequence[Column]) -> None:
    """Print a list of the sandbox as a table. Say on standard error if it is empty, or if there is more."""
    items = found["items"]
    if not items:
        click.echo(f"no {what}", err=True)
        return
    print_table(columns, items)
    if found["next"] is not None:
        shown = f"{len(items)} {what} shown"
        click.echo(f"{shown}; there are more: give --limit, or --after {printable(found['next'])}", err=True)


def print_numbered(found: Mapping[str, Any], what: str, columns: Sequence[Column]) -> None:
    """Print a list as ``print_list`` does, with the position of each item."""
    print_list({**found, "items": numbered(found["items"])}, what, columns)


def numbered(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the items, each with its position in the list, from 1, as ``n``."""
    return [{"n": n, **item} for n, item in enumerate(items, 1)]


def print_table(columns: Sequence[Column], items: Iterable[Any]) -> None:
    """Print a heading, and a line for each item."""
    rows = [[column.cell(item, n) for n, column in enumerate(columns)] for item in items]
    _print(columns, rows, has_headings=True)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a line for each field that is not None."""
    rows = [[name, printable(value)] for name, value in fields.items() if value is not None]
    _print((Column(""), Column("", fold=True)), rows, has_headings=False)


def print_heading(text: str) -> None:
    """Print a heading line."""
    click.echo()
    click.secho(text, bold=True, color=is_coloured())


def print_part(heading: str, items: Sequence[Any] | None, *columns: Column) -> None:
    """Print a heading and a table below it; nothing if there are no items."""
    if items:
        print_heading(heading)
        print_table(columns, items)


def moment(text: object) -> str:
    """Return a moment of the API in UTC, to the second: ``2026-01-01 12:00:00``. Anything else is returned as it is."""
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return "" if text is None else str(text)


def utc(text: object) -> str | None:
    """Return a moment as ``moment`` does, with its zone; None for None."""
    return None if text is None else f"{moment(text)} UTC"


def is_coloured() -> bool:
    """Return whether colours are wanted on standard output."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _print(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, has_headings: bool) -> None:
    from rich.cells import cell_len

    headed = [[column.heading for column in columns], *rows] if has_headings else rows
    widths = [max(map(cell_len, cells), default=0) for cells in zip(*headed, strict=True)]
    if sys.stdout.isatty():
        _draw(columns, rows, widths, has_headings=has_headings)
        return
    for row in headed:  # without rich: a list may have many thousand rows
        spaces = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        padded = [s + c if column.right else c + s for column, c, s in zip(columns, row, spaces, strict=True)]
        click.echo((" " * GAP).join(padded).rstrip())


def _draw(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], widths: Sequence[int], *, has_headings: bool
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    shown = list(range(len(columns)))
    for n in sorted(shown, key=lambda n: -columns[n].spare):
        if columns[n].spare and sum(widths[n] + GAP for n in shown) - GAP > width:
            shown.remove(n)
    least = {n: min(widths[n], MIN_FOLDED) if columns[n].fold else widths[n] for n in shown}
    table = Table(
        box=None, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=has_headings
    )
    for n, min_width in least.items():
        table.add_column(
            Text(columns[n].heading),
            no_wrap=not columns[n].fold,
            overflow="fold",
            justify="right" if columns[n].right else "left",
            min_width=min_width,
            style="" if has_headings or n else "bold",
        )
    for row in rows:
        table.add_row(*(Text(row[n], COLOUR_OF.get(row[n].partition(" ")[0], "") if n else "") for n in shown))
    console = Console(
        file=sys.stdout, width=max(width, sum(least.values()) + GAP * (len(least) - 1)), force_terminal=is_coloured(),
        highlight=False, color_system="standard" if is_coloured() else None, legacy_windows=False,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip(), color=is_coloured())
