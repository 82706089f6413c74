"""Two charts as SVG: bars, and lines on two logarithmic scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

WIDTH = 760
FONT = "font-family='system-ui, sans-serif' font-size='13'"
INK, MUTED, GRID = "#1f2328", "#59636e", "#d8dee4"
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#57606a")


def bars(title: str, rows: Sequence[tuple[str, Sequence[float]]], series: Sequence[str], *, left: int = 170) -> str:
    """A group of bars for each row, one for each series. The first row is the one that is looked at. ``left`` is the
    room for the names.
    """
    right, thick, top = 80, 13, 66
    height_of_row = thick * len(series) + 12
    height = top + height_of_row * len(rows) + 10
    highest = max(value for _, values in rows for value in values)
    parts = [_legend(series, left)]
    for number, (name, values) in enumerate(rows):
        y = top + number * height_of_row
        weight = "bold" if number == 0 else "normal"
        middle = y + thick * len(series) / 2 + 4
        parts.append(_text(left - 8, middle, name, anchor="end", weight=weight))
        for place, value in enumerate(values):
            length = (WIDTH - left - right) * value / highest
            bar, deep = y + place * thick, thick - 2
            parts.append(
                f"<rect x='{left}' y='{bar}' width='{max(1, length):.1f}' height='{deep}' fill='{COLOURS[place]}'/>"
            )
            parts.append(_text(left + length + 5, bar + thick - 3, f"{value:,.0f}", colour=MUTED, size=11))
    return _svg(title, height, parts)


def lines(title: str, curves: Mapping[str, Sequence[tuple[float, float]]], across: str, upwards: str) -> str:
    """A line for each curve, in a plane whose two scales are logarithmic."""
    left, right, top, bottom, height = 70, 40, 90, 46, 430
    points = [point for curve in curves.values() for point in curve]
    x_low, x_high = _decades([x for x, _ in points])
    y_low, y_high = _decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (WIDTH - left - right) * (log10(x) - x_low) / (x_high - x_low),
            height - bottom - (height - top - bottom) * (log10(y) - y_low) / (y_high - y_low),
        )

    parts = [_legend(list(curves), left)]
    for power in range(x_low, x_high + 1):
        x, y = place(10.0**power, 10.0**y_low)
        parts += [
            f"<line x1='{x:.1f}' y1='{top}' x2='{x:.1f}' y2='{y:.1f}' stroke='{GRID}'/>",
            _text(x, y + 17, f"{10**power:,}", anchor="middle", colour=MUTED, size=11),
        ]
    for power in range(y_low, y_high + 1):
        x, y = place(10.0**x_low, 10.0**power)
        label = f"{10.0**power:,g}"
        parts += [
            f"<line x1='{x:.1f}' y1='{y:.1f}' x2='{WIDTH - right}' y2='{y:.1f}' stroke='{GRID}'/>",
            _text(x - 6, y + 4, label, anchor="end", colour=MUTED, size=11),
        ]
    for number, curve in enumerate(curves.values()):
        placed = [place(x, y) for x, y in curve]
        colour = COLOURS[number]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in placed]
    parts += [
        _text((left + WIDTH - right) / 2, height - 8, across, anchor="middle", colour=MUTED),
        _text(left - 6, top - 12, upwards, anchor="start", colour=MUTED),
    ]
    return _svg(title, height, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def _legend(names: Sequence[str], left: int) -> str:
    parts, x, y = [], left, 44
    for number, name in enumerate(names):
        width = 22 + 7 * len(name)
        if x + width > WIDTH:
            x, y = left, y + 18
        parts += [
            f"<rect x='{x}' y='{y - 9}' width='10' height='10' fill='{COLOURS[number]}'/>",
            _text(x + 14, y, name, colour=MUTED, size=12),
        ]
        x += width
    return "".join(parts)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = INK, size: int = 13
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-weight='{weight}' font-size='{size}' "
        f"fill='{colour}'>{escape(text)}</text>"
    )


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        f"role='img' aria-label='{escape(title, quote=True)}' {FONT}>\n"
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>\n"
        f"{_text(12, 22, title, weight='bold', size=14)}\n" + "\n".join(parts) + "\n</svg>\n"
    )
