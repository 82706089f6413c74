"""The targets, and whether a run's figures meet them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

Found = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A target. ``is_met`` is None where what it is compared with is missing."""

    what: str
    target: str
    measured: str
    is_met: bool | None
    distance: str = ""


def targets(found: Found) -> list[Row]:
    """Every target, in the order in which they were set."""
    return [*_rates(found), *_latency(found), *_alone(found), *_fixture(found)]


def _rates(found: Found) -> list[Row]:
    rows = []
    for name, least in _CYCLES.items():
        rows.append(_at_least(found, "cycles", name, least, "call → CDR cycles, 16 clients"))
    ours = found["cycles"]["sandbox"]
    late, lost = (sum(figures[key] for figures in ours) for key in ("late", "lost"))
    rows.append(
        Row("CDRs of the sandbox in time, none lost", "all", f"{late:,.0f} late, {lost:,.0f} lost", late + lost == 0,
            f"{late + lost:,.0f} too many")
    )  # fmt: skip
    rows += [_at_least(found, "calls", name, least, "calls without a subscription") for name, least in _CALLS.items()]
    return rows


_CYCLES = {
    "Express": 4.0,
    "mountebank": 6.0,
    "WireMock": 6.0,
    "Flask": 14.0,
    "pytest-httpserver": 14.0,
    "nginx": 0.5,
}
_CALLS = {"Express": 2.0, "WireMock": 4.0}


def _at_least(found: Found, part: str, name: str, least: float, what: str) -> Row:
    what, target = f"{what}, against {name}", f"at least {least:g} times"
    if name not in found[part]:
        return Row(what, target, f"{name} is missing", None)
    ours, theirs = (_median(found[part][of], "rate") for of in ("sandbox", name))
    return Row(what, target, _times(ours / theirs), ours / theirs >= least, _times(ours / theirs / least, "of it"))


def _at_most(what: str, ours: float, theirs: float, most: float, unit: str) -> Row:
    target = "no more" if most == 1 else f"no more than {most:g} times"
    measured = f"{_short(ours)} against {_short(theirs)} {unit}: {_times(ours / theirs)}"
    return Row(what, target, measured, ours <= most * theirs, _times(ours / theirs / most, "the target"))


def _latency(found: Found) -> list[Row]:
    rows = []
    if "Express" in found["latency"]:
        for suffix in ("", ", no webhook"):
            for figure, name in (("p50_us", "p50"), ("p99_us", "p99")):
                ours, theirs = (_median(found["latency"][of + suffix], figure) for of in ("sandbox", "Express"))
                rows.append(
                    _at_most(f"latency on one connection{suffix}, {name}, against Express", ours, theirs, 1, "µs")
                )
    else:
        rows.append(Row("latency on one connection, against Express", "no more", "Express is missing", None))
    if "Flask" in found["start"]:
        ours, theirs = (_median(found["start"][of], "ms") for of in ("sandbox", "Flask"))
        rows.append(_at_most("process start to first answer, against Flask", ours, theirs, 1.5, "ms"))
    else:
        rows.append(Row("process start to first answer", "no more than 1.5 times", "Flask is missing", None))
    return rows


def _alone(found: Found) -> list[Row]:
    lag = lag_of(found, "sandbox")
    ratio = lag["p99_ms"] / lag["unloaded_ms"]
    measured = _times(ratio)
    if "Express, tuned" in found["lag"]:
        theirs = lag_of(found, "Express, tuned")
        measured += f"; of Express, tuned, {_times(theirs['p99_ms'] / theirs['unloaded_ms'])}"
    memory = found["memory"]
    growth = memory["late_mib"] / memory["early_mib"] - 1
    durable = [median(figures[key] for figures in found["durable"]) for key in ("memory", "sqlite")]
    least = min(1500.0, durable[0] / 5)
    is_small = memory["late_calls"] < 1_000_000
    calls = f"{memory['late_calls']:,.0f} calls against {memory['early_calls']:,.0f}"
    return [
        Row("CDR lag at 80 % of the highest rate, p99", "under 20 times the unloaded median", measured, ratio < 20,
            _times(ratio / 20, "the target")),
        Row("… and the queue empty after the end", "within 0.5 s", f"{lag['emptied_s']:.3f} s, {lag['lost']:.0f} lost",
            lag["emptied_s"] < 0.5 and lag["lost"] == 0, f"{lag['emptied_s'] - 0.5:.3f} s too late"),
        Row(f"resident memory after {calls}", "within 10 %", f"{growth:+.1%}", None if is_small else abs(growth) <= 0.1,
            f"{abs(growth) - 0.1:.1%} too much"),
        Row("durable cycles with `--state sqlite`", "1,500 a second, or a fifth of the memory's",
            f"{durable[1]:,.0f} a second, {durable[1] / durable[0]:.0%} of the memory's", durable[1] >= least,
            _times(durable[1] / least, "of it")),
    ]  # fmt: skip


def _fixture(found: Found) -> list[Row]:
    of = {name: median(values) for name, values in found["fixture"].items() if isinstance(values, list)}
    plugin_ms = 1000 * median(plugin for _, plugin in found["plugin"])
    by_hand = "against a manual handler of pytest-httpserver"
    return [
        _at_most(f"`requests.post` in a test, p50, {by_hand}", of["post, fixture"], of["post, by hand"], 1, "ms"),
        Row("a fresh account, set-up and teardown", "under 150 µs", f"{of['account']:.0f} µs", of["account"] < 150,
            f"{of['account'] - 150:.0f} µs too much"),
        _at_most("session start to first answer, against pytest-httpserver", of["start, MCNServer"],
                 of["start, HTTPServer"], 1.2, "ms"),
        Row("`stop()`", "under 50 ms", f"{of['stop, MCNServer']:.0f} ms", of["stop, MCNServer"] < 50,
            f"{of['stop, MCNServer'] - 50:.0f} ms too much"),
        Row("import of the plugin in a run that does not use it", "under 2 ms", f"{plugin_ms:.2f} ms", plugin_ms < 2,
            f"{plugin_ms - 2:.2f} ms too much"),
    ]  # fmt: skip


def lag_of(found: Found, name: str) -> dict[str, float]:
    """The medians of a rival's lag."""
    runs = found["lag"][name]
    return {key: median(figures[key] for figures in runs) for key in runs[0]}


def _median(figures: list[dict[str, float]], name: str) -> float:
    return float(median(figure[name] for figure in figures))


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _times(ratio: float, of: str = "") -> str:
    return f"{ratio:.2f} times {of}".strip()
