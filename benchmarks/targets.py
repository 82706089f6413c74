"""The targets, and whether a run's figures meet them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rivals import TUNED

Found = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A target. ``ratio`` is the measured figure divided by the target, None if a rival is missing.

    ``limit`` says what bounds the figure. It is shown if the target is missed.
    """

    what: str
    target: str
    measured: str
    ratio: float | None
    is_at_most: bool
    limit: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None if that cannot be told."""
        return None if self.ratio is None else self.ratio <= 1 if self.is_at_most else self.ratio >= 1


def targets(found: Found) -> list[Row]:
    """Every target."""
    cycles, calls = (f"{what}, 16 clients, against" for what in ("cycles a second", "calls a second without a webhook"))
    user_us, empty_us = (of(found, "cycles", name, "user_us") for name in ("sandbox", "empty server and client"))
    lag = {name: lag_of(found, name) for name in found["lag"]}
    memory = found["memory"]
    growth = memory["late_mib"] / memory["early_mib"] - 1
    durable = [median(figures[key] for figures in found["durable"]) for key in ("memory", "sqlite")]
    fixture = {name: median(values) for name, values in found["fixture"].items() if isinstance(values, list)}
    start_ms = fixture["start, MCNServer"] - fixture["start, HTTPServer"]
    return [
        Row("processor time of a cycle without the kernel's part", "at most 90 µs",
            f"{user_us:,.0f} µs; an empty server and client {empty_us:,.0f}", user_us / 90, is_at_most=True,
            limit=LIMITS["cycle"]),
        *(_times(found, "cycles", name, least, f"{cycles} {name}")
          for name, least in ((TUNED, 1.4), ("mountebank", 3.0), ("WireMock", 6.0), ("pytest-httpserver", 18.0))),
        _times(found, "calls", TUNED, 1.5, f"{calls} {TUNED}"),
        _most("p50 of a call on a kept connection, no webhook, against Express",
              [_found(found, "latency", f"{name}, no webhook", "p50_us") for name in ("sandbox", "Express")],
              0.8, "µs", "latency"),
        _most(f"lag of a CDR at 80 % of the highest rate, p99, against {TUNED}",
              [lag[name]["p99_ms"] if name in lag else None for name in ("sandbox", TUNED)], 0.25, "ms", "lag"),
        Row("session start to first answer in a test, above pytest-httpserver's own", "at most 20 ms",
            f"{start_ms:.1f} ms", start_ms / 20, is_at_most=True, limit=LIMITS["start"]),
        _most("`requests.post` in a test, p50, against a manual handler",
              [fixture["post, fixture"], fixture["post, by hand"]], 1.03, "ms", "post"),
        Row("a fresh account, set up and torn down", "at most 100 µs", f"{fixture['account']:.0f} µs",
            fixture["account"] / 100, is_at_most=True, limit=LIMITS["account"]),
        _most("process start to first answer (`serve`), against Flask",
              [_found(found, "start", name, "ms") for name in ("sandbox", "Flask")], 0.9, "ms", "serve"),
        Row("durable cycles in SQLite, of those in memory", "at least 30 %", f"{durable[1] / durable[0]:.0%}",
            durable[1] / durable[0] / 0.3, is_at_most=False, limit=LIMITS["durable"]),
        Row(f"resident memory after {memory['late_calls']:,.0f} calls, against {memory['early_calls']:,.0f}",
            "within 3 %", f"{growth:+.1%}", abs(growth) / 0.03, is_at_most=True, limit=LIMITS["memory"]),
    ]  # fmt: skip


LIMITS: dict[str, str] = tomllib.loads(Path(__file__).with_name("limits.toml").read_text(encoding="utf-8"))
"""What bounds a figure, for the targets that are missed."""


def _times(found: Found, part: str, name: str, least: float, what: str) -> Row:
    ours, theirs = (_found(found, part, of, "rate") for of in ("sandbox", name))
    ratio = None if ours is None or theirs is None else ours / theirs
    measured = "cannot be told" if ratio is None else f"{ratio:.2f} times"
    return Row(what, f"at least {least:g} times", measured, None if ratio is None else ratio / least,
               is_at_most=False, limit=LIMITS[part])  # fmt: skip


def _most(what: str, figures: Sequence[float | None], most: float, unit: str, limit: str) -> Row:
    target, (ours, theirs) = f"at most {most:g} times", figures
    if ours is None or theirs is None:
        return Row(what, target, "cannot be told", None, is_at_most=True)
    measured = f"{_short(ours)} against {_short(theirs)} {unit}: {ours / theirs:.2f} times"
    return Row(what, target, measured, ours / theirs / most, is_at_most=True, limit=LIMITS[limit])


def lag_of(found: Found, name: str) -> dict[str, float]:
    """The medians of a rival's lag."""
    runs = found["lag"][name]
    return {key: median(figures[key] for figures in runs) for key in runs[0]}


def of(found: Found, part: str, name: str, figure: str) -> float:
    """The median of a figure of a rival."""
    return float(median(figures[figure] for figures in found[part][name]))


def _found(found: Found, part: str, name: str, figure: str) -> float | None:
    return of(found, part, name, figure) if name in found[part] else None


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
