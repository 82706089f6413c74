"""What was found, for people and for machines."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_mcn_mock.drift.findings import Finding, Findings
from pytest_mcn_mock.drift.schema_check import schema_of

HEADINGS: Final = ("behaviour", "level now", "what the server did", "setting that makes the fake do so")
NO_SETTING: Final = "none"
_MAX_NAMES: Final = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: a difference, with all questions that show it."""

    behaviour: str
    level: str
    server: str
    setting: str | None

    def cells(self) -> tuple[str, str, str, str]:
        """Its cells, in the order of HEADINGS, in Markdown."""
        setting = NO_SETTING if self.setting is None else "`{}`".format(self.setting.replace("`", "'"))
        return self.behaviour, self.level, self.server, setting


def table(findings: Findings) -> list[Line]:
    """The differences, each once."""
    merged: defaultdict[tuple[str, ...], list[Finding]] = defaultdict(list)
    for finding in findings.differences:
        d = finding.difference
        merged[d.row.behaviour, d.aspect, d.place, d.fake, d.server, finding.setting or ""].append(finding)
    return [_line(group) for group in merged.values()]


def _line(group: Sequence[Finding]) -> Line:
    first = group[0]
    names = [f"`{finding.difference.question}`" for finding in group]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    asked = ", ".join(names[:_MAX_NAMES]) + more
    difference = first.difference
    server = f"{difference.server}; the fake: {difference.fake} ({asked})"
    return Line(difference.row.behaviour, difference.row.level, server, first.setting)


def as_markdown(lines: Sequence[Line]) -> str:
    """A table to paste into docs/fidelity.md."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in lines)]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


def as_json(findings: Findings) -> dict[str, Any]:
    """Everything that was found, as a JSON object."""
    recording = findings.recording
    return {
        "base_url": recording.base_url,
        "recorded_at": recording.recorded_at,
        "same": not findings.differences,
        "stopped": recording.stopped,
        "spent_kopecks": recording.spent,
        "differences": [_show(finding) for finding in findings.differences],
        "assumed": findings.assumed,
        "answers": [
            {
                "question": exchange.question,
                "status": None if exchange.answer is None else exchange.answer.status,
                "trouble": exchange.trouble,
                "fake_status": findings.fakes[exchange.question].status,
                "schema": None if exchange.answer is None else schema_of(exchange.sent, exchange.answer),
                "schema_problems": list(findings.schema.get(exchange.question, ())),
            }
            for exchange in recording.exchanges
        ],
        "not_asked": [{"question": left.question, "why": left.why} for left in recording.left_out],
    }


def _show(finding: Finding) -> dict[str, Any]:
    d = finding.difference
    return {
        "question": d.question,
        "behaviour": d.row.behaviour,
        "level": d.row.level,
        "aspect": d.aspect,
        "place": d.place,
        "fake": d.fake,
        "server": d.server,
        "setting": finding.setting,
    }


def _cell(text: str) -> str:
    """Text of any origin as one cell: nothing in it ends the cell or the line, steers a terminal or is markup."""
    plain = "".join(map(_visible, text))
    parts = re.split(r"(`[^`]*`)", plain.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _visible(character: str) -> str:
    is_visible = character == " " or unicodedata.category(character)[0] not in "CZ"
    return character if is_visible else "\N{REPLACEMENT CHARACTER}"
