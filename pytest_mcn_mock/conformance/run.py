"""A run of the cases against one endpoint, and its reports for machines: JSON and JUnit.

No header, no query and no body of the endpoint is in a report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final
from xml.etree import ElementTree as ET

from msgspec import Struct, field

from pytest_mcn_mock.conformance.cases import BARE, CUT_OFF, JSON_FORMS, ORDINARY, Case
from pytest_mcn_mock.conformance.sending import Exchange, Transport, Trouble
from pytest_mcn_mock.conformance.verdict import Severity, Verdict, evaluate
from pytest_mcn_mock.conformance.webhook import Webhook, Writer
from pytest_mcn_mock.model.deliveries import is_acknowledgement
from pytest_mcn_mock.text import shown_url

_SUITE: Final = "mcn-mock check"
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML document cannot have, escaped or not: XML 1.0, 2.2."""


class Run(Struct):
    """Runs cases one after another, so that each finding belongs to its case.

    ``uuids`` are calls that the endpoint knows. ``now`` gives seconds since the epoch.
    """

    webhook: Webhook
    transport: Transport
    seed: int
    now: Callable[[], float]
    uuids: Sequence[str] = ()
    verdicts: list[Verdict] = []
    is_lenient: bool = False
    """After the probe: whether a 4xx may mean that the endpoint does not know the call. It may if no uuid is given that
    the endpoint knows, and it did not acknowledge the probe, whose call it did not know either.
    """
    _ordinary: Exchange | None = None
    _without_final_status: str | None = None
    _numbers: count[int] = field(default_factory=count)

    def probe(self) -> str | None:
        """Send an ordinary record. Return why the endpoint cannot be reached, or None if it can."""
        (self._ordinary,) = self._send(ORDINARY)
        if self._ordinary.trouble in (Trouble.UNREACHABLE, Trouble.NOT_ACCEPTED):
            return self._ordinary.detail or "the connection was not accepted"
        is_acknowledged = is_acknowledgement(self._ordinary.status or 0)
        self.is_lenient = not self.uuids and not is_acknowledged and self._is_served([self._ordinary])
        return None

    def check(self, case: Case, before: Callable[[Sequence[str]], None] = lambda _: None) -> Verdict:
        """Send a case, keep the verdict in ``verdicts`` and return it. ``before`` gets the known calls first."""
        exchanges = self._send(case, before)
        verdict = evaluate(
            case,
            exchanges,
            timeout_s=self.webhook.timeout_s,
            is_lenient=self.is_lenient if self._ordinary else self._is_served(exchanges),
            ordinary=None if case is ORDINARY or self._ordinary is None else self._ordinary.status,
            without_final_status=self._ask_without_final_status,
        )
        self.verdicts.append(verdict)
        return verdict

    def _is_served(self, exchanges: Sequence[Exchange]) -> bool:
        """Return whether anything is served under the URL, as far as can be told: not if records and a body that is cut
        off all get a 404.
        """
        if self.webhook.form not in JSON_FORMS or any(exchange.status != 404 for exchange in exchanges):
            return True
        return self._send(CUT_OFF)[0].status != 404

    def _ask_without_final_status(self) -> str | None:
        """The answer to a record without final_status; None if an ordinary record is not acknowledged. Sent once."""
        if self._without_final_status is None:
            ordinary = self._ordinary or self._send(ORDINARY)[0]
            if not is_acknowledgement(ordinary.status or 0):
                return None
            self._without_final_status = self._send(BARE)[0].shown
        return self._without_final_status

    def _send(self, case: Case, before: Callable[[Sequence[str]], None] = lambda _: None) -> list[Exchange]:
        """Send a case, round after round; return the exchanges in the order of its messages."""
        writer = Writer(self.webhook, seed=self.seed + next(self._numbers), now=self.now(), uuids=self.uuids)
        rounds = case.write(writer)
        before(tuple(writer.known))
        answered = (self.transport.deliver(m, self.webhook.timeout_s, in_turn=case.in_turn) for m in rounds)
        return [exchange for exchanges in answered for exchange in exchanges]

    def count(self, level: Severity) -> int:
        """Return how many verdicts have the level."""
        return sum(verdict.level is level for verdict in self.verdicts)

    def fails(self, *, strict: bool) -> bool:
        """Return whether a verdict fails the run."""
        return any(verdict.fails(strict=strict) for verdict in self.verdicts)

    def as_json(self, *, strict: bool) -> dict[str, Any]:
        """Return the run as a JSON object; times are in seconds."""
        return {
            "url": shown_url(self.webhook.url),
            "sound": not self.fails(strict=strict),
            "cases": len(self.verdicts),
            "errors": self.count(Severity.ERROR),
            "warnings": self.count(Severity.WARNING),
            "results": [_result(verdict) for verdict in self.verdicts],
        }

    def as_junit(self, *, strict: bool, unreachable: str | None = None) -> bytes:
        """Return the run as a JUnit document: one test case for each case, with its warnings as output.

        ``unreachable`` says why there was no run, and is an error.
        """
        verdicts = self.verdicts
        failed = sum(verdict.fails(strict=strict) for verdict in verdicts)
        errors = int(unreachable is not None)
        counts = {"tests": str(len(verdicts) + errors), "failures": str(failed), "errors": str(errors), "skipped": "0"}
        counts["time"] = f"{sum(verdict.duration_s for verdict in verdicts):.3f}"
        root = ET.Element("testsuites", {"name": _SUITE, **counts})
        suite = ET.SubElement(root, "testsuite", {"name": _xml(shown_url(self.webhook.url)), **counts})
        if unreachable is not None:
            case = ET.SubElement(suite, "testcase", {"classname": _SUITE, "name": "reach the endpoint", "time": "0"})
            ET.SubElement(case, "error", {"message": _xml(unreachable), "type": "unreachable"})
        for verdict in verdicts:
            attributes = {"classname": _SUITE, "name": verdict.case.name, "time": f"{verdict.duration_s:.3f}"}
            case = ET.SubElement(suite, "testcase", attributes)
            text = _xml("\n".join(verdict.lines()))
            if verdict.fails(strict=strict):
                finding, times = max(verdict.findings, key=lambda found: found[0].level is Severity.ERROR)
                message = _xml(verdict.diagnosis(finding, times))
                ET.SubElement(case, "failure", {"message": message, "type": finding.level}).text = text
            elif verdict.findings:
                ET.SubElement(case, "system-out").text = text
        return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


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


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
