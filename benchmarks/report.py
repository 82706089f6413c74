"""Writes docs/explanation/performance.md and its charts from the figures of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

import chart
from alone import AT_SAME
from install import pythons
from picture import KERNEL
from rivals import EMPTY, RIVALS, TUNED, on_python, on_pythons
from targets import Row, lag_of, of, targets

Found = dict[str, Any]


def write(found: Found, page: Path, images: Path, earlier: Found | None) -> None:
    """Write the page, and the charts beside the other images. ``earlier`` is the summary of a run on another day."""
    names = [rival.name for rival in (*RIVALS, *on_pythons(pythons())) if rival.name in found["cycles"]]
    rates = [
        (name, (of(found, "cycles", name, "rate"), of(found, "calls", name, "rate")))
        for name in names
        if name not in {"nginx", EMPTY.name}
    ]
    cycle = [(step, (taken,)) for step, taken in _steps(found).items()]
    for name, drawn in {
        "rates": chart.bars("A second, with 16 clients: the higher the better", rates, ("cycles", "calls, no webhook")),
        "cycle": chart.bars("Who takes how much of a cycle", cycle, ("microseconds of a processor",), left=300),
        "growth": chart.lines("Time of one call", _charted(found), "how many there are", "microseconds"),
    }.items():
        (images / f"performance-{name}.svg").write_text(drawn, encoding="utf-8")
    page.write_text(_page(found, names, earlier), encoding="utf-8")


def summary(found: Found) -> Found:
    """Return the rates of a run, which are kept for comparison with later runs."""
    rates = {part: {name: round(of(found, part, name, "rate")) for name in found[part]} for part in ("cycles", "calls")}
    return {"at": found["machine"]["at"], "python": _plain(found["versions"]["python"]), **rates}


def _page(found: Found, names: Sequence[str], earlier: Found | None) -> str:
    rows = targets(found)
    versions = ", ".join(f"{name} {_plain(text)}" for name, text in sorted(found["versions"].items(), key=_folded))
    template = Path(__file__).with_name("page.txt").read_text(encoding="utf-8")
    return template.format(
        plugin=_plugin(found),
        tests=_tests(found),
        load=_load(found),
        targets=_targets(rows),
        met=f"{sum(row.is_met is True for row in rows)} of {len(rows)}",
        limits=_limits(rows),
        peers=_peers(found, names),
        days=_days(found, names, earlier),
        growth=_growth(found),
        missing=_missing(found),
        shortfalls=_shortfalls(found),
        versions=fill(versions + ".", 120, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False),
        rounds=found["rounds"],
        seconds=f"{found['seconds']:g}",
        early=f"{found['memory']['early_calls']:,.0f}",
        late=f"{found['memory']['late_calls']:,.0f}",
        quick="**These are the figures of a quick run, for trying.** " if found["is_quick"] else "",
        **found["machine"],
    )


def _table(head: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {head} |", "|---" * (head.count("|") + 1) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _fixture(found: Found) -> dict[str, float]:
    return {name: median(values) for name, values in found["fixture"].items() if isinstance(values, list)}


def _plugin(found: Found) -> str:
    fixture = _fixture(found)
    pytest_s, plugin_s = (median(column) for column in zip(*found["plugin"], strict=True))
    return _table("what | cost | for comparison", [
        ("a run that does not use it: the plugin's import", f"{plugin_s * 1000:.2f} ms",
         f"`import pytest`: {pytest_s * 1000:.0f} ms"),
        ("once in a run: from the first import of the server to its first answer",
         f"{fixture['start, MCNServer']:.0f} ms", f"pytest-httpserver: {fixture['start, HTTPServer']:.0f} ms"),
        ("each test: a fresh account, set up and torn down", f"{fixture['account']:.0f} µs",
         f"an empty test: {1000 * fixture['test, nothing']:,.0f} µs"),
        ("each order: `requests.post`, p50", f"{fixture['post, fixture']:.2f} ms",
         f"a manual handler: {fixture['post, by hand']:.2f} ms"),
        ("once at the end: `stop()`", f"{fixture['stop, MCNServer']:.0f} ms",
         f"pytest-httpserver: {fixture['stop, HTTPServer']:.0f} ms"),
    ])  # fmt: skip


def _tests(found: Found) -> str:
    return f"{1000 / _fixture(found)['test, login']:,.0f}"


def _load(found: Found) -> str:
    cycles, calls = (of(found, part, "sandbox", "rate") for part in ("cycles", "calls"))
    durable = median(figures["sqlite"] / figures["memory"] for figures in found["durable"])
    lag = lag_of(found, "sandbox")
    memory = found["memory"]
    rows = [
        ("calls with a CDR that is delivered and acknowledged (cycles)", f"{cycles:,.0f} a second"),
        ("calls without a webhook", f"{calls:,.0f} a second"),
        ("cycles with the state in SQLite", f"{durable:.0%} of those in memory"),
        ("order → CDR, without other load", f"{lag['unloaded_ms']:.2f} ms"),
        (f"order → CDR at 80 % of {lag['highest']:,.0f} cycles a second",
         f"p50 {lag['p50_ms']:.2f} ms, p99 {lag['p99_ms']:.2f} ms"),
        ("all CDRs have arrived after the last order of that load", f"after {1000 * lag['emptied_s']:.0f} ms"),
        *((f"resident memory after {memory[f'{when}_calls']:,.0f} calls", f"{memory[f'{when}_mib']:.1f} MiB")
          for when in ("early", "late")),
    ]  # fmt: skip
    if TUNED in found["lag"]:
        same, tuned = (lag_of(found, name) for name in (AT_SAME, TUNED))
        ratio = same["p99_ms"] / tuned["p99_ms"]
        lags = f"p50 {same['p50_ms']:.2f} ms, p99 {same['p99_ms']:.2f} ms, {ratio:.2f} times its"
        what = f"order → CDR at {0.8 * tuned['highest']:,.0f} cycles a second, 80 % of tuned Express's highest rate"
        rows.insert(5, (what, lags))
    for version in pythons():
        if (name := on_python(version)) in found["cycles"]:
            ratios = [
                of(found, part, name, "rate") / of(found, part, "sandbox", "rate") for part in ("cycles", "calls")
            ]
            rows.append((f"the same on Python {version}, of that on {_plain(found['versions']['python'])}",
                         f"{ratios[0]:.2f} times the cycles, {ratios[1]:.2f} times the calls"))  # fmt: skip
    return _table("what | one sandbox on this machine", rows)


def _steps(found: Found) -> dict[str, float]:
    """Microseconds of each step of a cycle: the kernel's as it counts them, and the others by their samples."""
    user_us, kernel_us = (of(found, "cycles", "sandbox", f"{whose}_us") for whose in ("user", "kernel"))
    shares = {step: share for step, share in found["picture"].items() if step != KERNEL}
    return {KERNEL: kernel_us, **{step: user_us * share / sum(shares.values()) for step, share in shares.items()}}


def _targets(rows: Iterable[Row]) -> str:
    return _table(
        "what | target | measured | met", [(row.what, row.target, row.measured, _verdict(row)) for row in rows]
    )


def _verdict(row: Row) -> str:
    if row.ratio is None:
        return "cannot be told"
    return "yes" if row.is_met else f"**no**, {row.ratio:.2f} times the target"


def _limits(rows: Iterable[Row]) -> str:
    missed: dict[str, list[str]] = {}
    for row in rows:
        if row.is_met is False:
            missed.setdefault(row.limit, []).append(row.what)
    if not missed:
        return "Every target is met."
    return "\n".join(
        fill(f"- **{'; '.join(what)}**: {limit}", 120, subsequent_indent="  ", break_on_hyphens=False)
        for limit, what in missed.items()
    )


def _days(found: Found, names: Sequence[str], earlier: Found | None) -> str:
    if earlier is None:
        return "There is only this run so far."
    now = summary(found)
    rows = []
    for name in names:
        if name in earlier["cycles"]:
            both = [run[part][name] for part in ("cycles", "calls") for run in (earlier, now)]
            rows.append((name, *(f"{rate:,}" for rate in both[:2]), f"{both[1] / both[0]:.2f}",
                         *(f"{rate:,}" for rate in both[2:]), f"{both[3] / both[2]:.2f}"))  # fmt: skip
    days = f"{earlier['at']} | {now['at']} | ratio"
    return _table(f" | cycles, {days} | calls, {days}", rows)


def _peers(found: Found, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        cycles = found["cycles"][name]
        rate = [figures["rate"] for figures in cycles]
        late, lost = (sum(figures[key] for figures in cycles) for key in ("late", "lost"))
        refused = sum(figures["refused"] for figures in (*cycles, *found["calls"][name]))
        latency = (
            f"{of(found, 'latency', name, 'p50_us'):,.0f}, {of(found, 'latency', name, 'p99_us'):,.0f}"
            if name in found["latency"]
            else "–"
        )
        start = f"{of(found, 'start', name, 'ms'):,.0f}" if name in found["start"] else "–"
        wrong = f"{late:,.0f}, {lost:,.0f}" + (f"; {refused:,.0f} refused" if refused else "")
        taken = [f"{of(found, 'cycles', name, f'{whose}_us'):,.0f}" for whose in ("user", "kernel")]
        rates = f"{median(rate):,.0f} ({min(rate):,.0f}–{max(rate):,.0f})"
        calls = f"{of(found, 'calls', name, 'rate'):,.0f}"
        rows.append((name, rates, wrong, " + ".join(taken), calls, latency, start))
    head = " | cycles a second | late, lost | µs of a processor, + kernel | calls a second | p50, p99 in µs | start, ms"
    return _table(head, rows)


def _growth(found: Found) -> str:
    rows = []
    for name, curve in found["growth"].items():
        figures = ", ".join(f"{size:,}: {taken:,.0f}" for size, taken, _ in curve)
        (fewest, _, least), (most, _, mib) = curve[0], curve[-1]
        held = f"{mib:,.1f}, {1024 * (mib - least) / (most - fewest):,.1f} KiB"
        rows.append((name, figures, f"× {curve[-1][1] / curve[0][1]:.2f}", held))
    head = "of which there are | µs of one call | from the fewest to the most | MiB with the most, and each more"
    return _table(head, rows)


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


def _plain(text: str) -> str:
    """The number alone, of what a program says of itself."""
    words = [word.strip('"').rpartition("/")[2] for word in text.split()]
    return next((word.removeprefix("v") for word in words if word.removeprefix("v")[:1].isdigit()), text)


_folded: Callable[[tuple[str, str]], str] = lambda item: item[0].lower()  # noqa: E731
