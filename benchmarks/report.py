"""Writes docs/explanation/performance.md and its charts from the figures of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

import chart
from rivals import RIVALS
from targets import Row, lag_of, targets

Found = dict[str, Any]


def write(found: Found, page: Path, images: Path) -> None:
    """Write the page, and the charts beside the other images."""
    names = [rival.name for rival in RIVALS if rival.name in found["cycles"]]
    rates = [
        (name, (_of(found, "cycles", name, "rate"), _of(found, "calls", name, "rate")))
        for name in names
        if name != "nginx"
    ]
    (images / "performance-rates.svg").write_text(
        chart.bars("A second, with 16 clients: the higher the better", rates, ("cycles", "calls, no webhook")),
        encoding="utf-8",
    )
    (images / "performance-growth.svg").write_text(
        chart.lines("Time of one call", _charted(found), "how many there are", "microseconds"), encoding="utf-8"
    )
    page.write_text(_page(found, names), encoding="utf-8")


def _page(found: Found, names: Sequence[str]) -> str:
    rows = targets(found)
    met = sum(row.is_met is True for row in rows)
    cpu_us = _of(found, "cycles", "sandbox", "cpu_us")
    versions = ", ".join(f"{name} {_plain(text)}" for name, text in sorted(found["versions"].items(), key=_folded))
    template = Path(__file__).with_name("page.txt").read_text(encoding="utf-8")
    return template.format(
        targets=_targets(rows),
        met=f"{met} of {len(rows)}",
        peers=_peers(found, names),
        rest=_rest(found),
        growth=_growth(found),
        missing=_missing(found),
        shortfalls=_shortfalls(found),
        versions=fill(versions + ".", 120, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False),
        cpu=f"{cpu_us:,.0f}",
        unmet=_unmet(rows),
        tuned=_tuned(found),
        leaves_express=_leaves(found, "Express", 4),
        leaves_nginx=_leaves(found, "nginx", 0.5),
        rounds=found["rounds"],
        seconds=f"{found['seconds']:g}",
        early=f"{found['memory']['early_calls']:,.0f}",
        late=f"{found['memory']['late_calls']:,.0f}",
        quick="**These are the figures of a quick run, for trying.** " if found["is_quick"] else "",
        **found["machine"],
    )


def _targets(rows: Iterable[Row]) -> str:
    lines = ["| what | target | measured | met |", "|---|---|---|---|"]
    for row in rows:
        verdict = "cannot be told" if row.is_met is None else "yes" if row.is_met else f"**no**: {row.distance}"
        lines.append(f"| {row.what} | {row.target} | {row.measured} | {verdict} |")
    return "\n".join(lines)


def _unmet(rows: Sequence[Row]) -> str:
    """How many of the targets are not met."""
    unmet = [row for row in rows if row.is_met is False]
    if not unmet:
        return "Every target is met."
    return f"{len(unmet)} of the {len(rows)} targets are not met, by as much as the table says."


def _tuned(found: Found) -> str:
    tuned = "Express, tuned"
    if tuned not in found["cycles"]:
        return "an unknown number of"
    return f"{_of(found, 'cycles', 'sandbox', 'rate') / _of(found, 'cycles', tuned, 'rate'):.2f}"


def _leaves(found: Found, name: str, times: float) -> str:
    """Microseconds that a cycle may take at so many times the rate of another."""
    return f"{1e6 / times / _of(found, 'cycles', name, 'rate'):,.0f}" if name in found["cycles"] else "?"


def _peers(found: Found, names: Sequence[str]) -> str:
    lines = [
        "| | cycles a second | late, lost | µs of a processor | calls a second | p50, p99 in µs | first answer, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        cycles = found["cycles"][name]
        rate = [figures["rate"] for figures in cycles]
        late, lost = (sum(figures[key] for figures in cycles) for key in ("late", "lost"))
        refused = sum(figures["refused"] for figures in (*cycles, *found["calls"][name]))
        latency = (
            f"{_of(found, 'latency', name, 'p50_us'):,.0f}, {_of(found, 'latency', name, 'p99_us'):,.0f}"
            if name in found["latency"]
            else "–"
        )
        start = f"{_of(found, 'start', name, 'ms'):,.0f}" if name in found["start"] else "–"
        wrong = f"{late:,.0f}, {lost:,.0f}" + (f"; {refused:,.0f} refused" if refused else "")
        lines.append(
            f"| {name} | {median(rate):,.0f} ({min(rate):,.0f}–{max(rate):,.0f}) | {wrong} "
            f"| {_of(found, 'cycles', name, 'cpu_us'):,.0f} | {_of(found, 'calls', name, 'rate'):,.0f} | {latency} "
            f"| {start} |"
        )
    return "\n".join(lines)


def _rest(found: Found) -> str:
    fixture = {name: median(values) for name, values in found["fixture"].items() if isinstance(values, list)}
    lag = lag_of(found, "sandbox")
    memory, durable = found["memory"], found["durable"]
    pytest_s, plugin_s = (median(column) for column in zip(*found["plugin"], strict=True))
    emptied_ms, calls = 1000 * lag["emptied_s"], [f"{memory[key]:,.0f} calls" for key in ("early_calls", "late_calls")]
    kept = [f"{median(figures[key] for figures in durable):,.0f}" for key in ("memory", "sqlite")]
    rows = {
        "order sent → CDR received, unloaded": f"{lag['unloaded_ms']:.2f} ms",
        f"the same at 80 % of {lag['highest']:,.0f} cycles a second": f"p50 {lag['p50_ms']:.2f} ms, p99 "
        f"{lag['p99_ms']:.2f} ms; all had arrived {emptied_ms:.0f} ms after the last order",
        "resident memory": f"{memory['early_mib']:.1f} MiB after {calls[0]}, "
        f"{memory['late_mib']:.1f} MiB after {calls[1]}",
        "cycles a second, 32 clients, the load in Python": f"{kept[0]} in memory, {kept[1]} with `--state sqlite:///…`",
        "`requests.post` in a test, p50": f"{fixture['post, fixture']:.2f} ms to the fixture, "
        f"{fixture['post, by hand']:.2f} ms to a handler written by hand",
        "the fixture `mcn`, set-up and teardown": f"{fixture['account']:.0f} µs",
        "import of the server to its first answer": f"{fixture['start, MCNServer']:.0f} ms, pytest-httpserver's "
        f"{fixture['start, HTTPServer']:.0f} ms",
        "`stop()`": f"{fixture['stop, MCNServer']:.0f} ms, pytest-httpserver's {fixture['stop, HTTPServer']:.0f} ms",
        "`import pytest`, and the plugin after it": f"{pytest_s * 1000:.0f} ms, {plugin_s * 1000:.2f} ms",
    }
    return "\n".join(["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows.items())])


def _growth(found: Found) -> str:
    lines = [
        "| of which there are | µs of one call | from the fewest to the most | MiB with the most, and each more |",
        "|---|---|---|---|",
    ]
    for name, curve in found["growth"].items():
        figures = ", ".join(f"{size:,}: {taken:,.0f}" for size, taken, _ in curve)
        (fewest, _, least), (most, _, mib) = curve[0], curve[-1]
        held = f"{mib:,.1f}, {1024 * (mib - least) / (most - fewest):,.1f} KiB"
        lines.append(f"| {name} | {figures} | × {curve[-1][1] / curve[0][1]:.2f} | {held} |")
    return "\n".join(lines)


def _charted(found: Found) -> dict[str, list[tuple[float, float]]]:
    curves = {name: curve for name, curve in found["growth"].items() if "advance" not in name}
    return {name: [(size, taken) for size, taken, _ in curve] for name, curve in curves.items()}


def _missing(found: Found) -> str:
    if not found["missing"]:
        return "All of them could be installed, and ran."
    return "\n".join(f"- {name} is missing: {why}" for name, why in found["missing"].items())


def _shortfalls(found: Found) -> str:
    there = [rival for rival in RIVALS if rival.name in found["cycles"] and rival.shortfall]
    return "\n".join(f"- **{rival.name}**: {rival.shortfall}." for rival in there)


def _of(found: Found, part: str, name: str, figure: str) -> float:
    return float(median(figures[figure] for figures in found[part][name]))


def _plain(text: str) -> str:
    """The number alone, of what a program says of itself."""
    words = [word.strip('"').rpartition("/")[2] for word in text.split()]
    return next((word.removeprefix("v") for word in words if word.removeprefix("v")[:1].isdigit()), text)


_folded: Callable[[tuple[str, str]], str] = lambda item: item[0].lower()  # noqa: E731
