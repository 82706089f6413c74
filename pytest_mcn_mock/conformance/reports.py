"""Reports for machines: JSON and JUnit. No header, no query and no body of the endpoint is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

from pytest_mcn_mock.conformance.judge import Level, Verdict
from pytest_mcn_mock.conformance.webhook import Webhook

SUITE: Final = "mcn-mock check"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, 2.2: what is no character of a document, escaped or not."""


def count(verdicts: Sequence[Verdict], level: Level | None) -> int:
    """How many verdicts have the level; None is sound."""
    return sum(verdict.level is level for verdict in verdicts)


def fails(verdict: Verdict, *, strict: bool) -> bool:
    """Whether the verdict fails the run; ``strict`` lets a warning fail it."""
    return verdict.level is Level.ERROR or (strict and verdict.level is Level.WARNING)


def as_json(webhook: Webhook, verdicts: Sequence[Verdict], *, strict: bool) -> dict[str, Any]:
    """The run as a JSON object; times are in seconds."""
    return {
        "url": webhook.shown_url,
        "sound": not any(fails(verdict, strict=strict) for verdict in verdicts),
        "cases": len(verdicts),
        "errors": count(verdicts, Level.ERROR),
        "warnings": count(verdicts, Level.WARNING),
        "results": [_result(verdict) for verdict in verdicts],
    }


def _result(verdict: Verdict) -> dict[str, Any]:
    case = verdict.case
    return {
        "name": case.name,
        "result": verdict.level or "sound",
        "sends": case.sends,
        "sound": case.sound,
        "why": case.why,
        "source": case.source,
        "answers": [
            {"status": exchange.status, "trouble": exchange.trouble, "duration_s": round(exchange.duration_s, 4)}
            for exchange in verdict.exchanges
        ],
        "findings": [
            {
                "level": finding.level,
                "diagnosis": verdict.diagnosis(finding, times),
                "hint": finding.hint,
                "cause": finding.cause or None,
            }
            for finding, times in verdict.findings
        ],
    }


def as_junit(webhook: Webhook, verdicts: Sequence[Verdict], *, strict: bool, unreachable: str | None = None) -> bytes:
    """The run as a JUnit document: a test case for each, warnings as its output. ``unreachable`` says why there was no
    run, and is an error.
    """
    failed = sum(fails(verdict, strict=strict) for verdict in verdicts)
    seconds = sum(verdict.duration_s for verdict in verdicts)
    total = len(verdicts) + (unreachable is not None)
    counts = {"tests": str(total), "failures": str(failed), "errors": str(total - len(verdicts)), "skipped": "0"}
    root = ET.Element("testsuites", {"name": SUITE, **counts, "time": f"{seconds:.3f}"})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(webhook.shown_url), **counts, "time": f"{seconds:.3f}"})
    if unreachable is not None:
        case = ET.SubElement(suite, "testcase", {"classname": SUITE, "name": "reach the endpoint", "time": "0"})
        ET.SubElement(case, "error", {"message": _xml(unreachable), "type": "unreachable"})
    for verdict in verdicts:
        attributes = {"classname": SUITE, "name": verdict.case.name, "time": f"{verdict.duration_s:.3f}"}
        case = ET.SubElement(suite, "testcase", attributes)
        text = _xml("\n".join(lines(verdict)))
        if fails(verdict, strict=strict):
            finding, times = max(verdict.findings, key=lambda found: found[0].level is Level.ERROR)
            message = _xml(verdict.diagnosis(finding, times))
            ET.SubElement(case, "failure", {"message": message, "type": finding.level}).text = text
        elif verdict.findings:
            ET.SubElement(case, "system-out").text = text
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def lines(verdict: Verdict) -> list[str]:
    """What was found in a case, what would be sound and how to mend it, for people."""
    told = []
    for finding, times in verdict.findings:
        told += [f"{finding.level}: {verdict.diagnosis(finding, times)}", f"  to mend it: {finding.hint}"]
    case = verdict.case
    return [*told, f"  a sound endpoint {case.sound}", f"  why it is sent: {case.why} ({case.source})"]


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
