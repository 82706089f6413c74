"""The verdict on a case, a pure function of the exchanges. A finding contains no secrets and no control characters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.conformance.cases import Case, Expect
from pytest_mcn_mock.conformance.sending import Exchange, Trouble
from pytest_mcn_mock.conformance.webhook import variables_of
from pytest_mcn_mock.model.deliveries import is_acknowledgement
from pytest_mcn_mock.text import printable

SLOW_PART: Final = 0.5
"""From this part of the time-out on, an answer is slow."""
NOT_KNOWN: Final = frozenset({400, 404, 409, 410, 422})
"""The statuses that an endpoint may answer to an unknown call."""
_CRASHES: Final = frozenset({Trouble.RAISED, Trouble.CLOSED, Trouble.MALFORMED})

_DEMANDS: Final = (
    "the operator does not log in: exempt the webhook's path from logins and CSRF tokens (Django: "
    "@csrf_exempt, Flask-WTF: csrf.exempt), or let the subscription send the required header"
)
_STATUS_HINTS: Final = {
    401: _DEMANDS,
    403: _DEMANDS,
    404: "nothing is served at the path of this URL, or the endpoint does not know the call",
    405: "let the route accept the subscription's method",
    406: "ignore the header Accept: the operator does not need a particular answer",
    411: "accept a body without Content-Length, as in a GET, and a chunked body",
    415: "let the route accept the subscription's content type, with and without a charset",
    429: "exempt the webhook from the rate limit: the operator retries, and at last disables the webhook",
}
_LATE: Final = (
    "acknowledge first and work afterwards: put the record into a queue or a background task, and give every "
    "outgoing request of the handler a time-out that is shorter than the operator's"
)
_UNKNOWN: Final = (
    "correct for an unknown call, but the operator counts it as a failure, retries, and at last disables the webhook: "
    "answer 2xx and ignore the record, or run the check with the uuid of a known call"
)
_REDIRECT: Final = (
    "the operator does not follow redirects, so the record is lost: use the redirect's target as the webhook's URL "
    "(check https and the slash at the end)"
)
_NOT_ACCEPTED: Final = (
    "the queue of waiting connections is full: raise the server's listen backlog (socketserver: request_queue_size, "
    "gunicorn and uvicorn: --backlog), and give it more workers, which empty the queue"
)
_NEEDS_FINAL_STATUS: Final = "it needs final_status in every record"
_FINAL_STATUS: Final = (
    "the article documents no final_status for a rejected call: read it with .get(), or let the schema make it "
    "optional and the column nullable. It is also missing for an unavailable number (every cause but 16, 17 and 31), "
    "and if the subscription leaves the variable out"
)
_CLOSED: Final = "the worker died or closed the connection with the record: find the reason in the server's log"
_UNFINISHED: Final = f"send no body, or send it all at once, because the operator waits for its end. {_LATE}"
_UNREACHABLE: Final = "it could be reached before: it crashed, or accepts too few connections at once (its backlog)"
_COOKIE: Final = "exempt the webhook's path from sessions: the operator keeps no cookies, so each record starts another"


class Severity(StrEnum):
    """How bad a finding is."""

    WARNING = "warning"
    """It fails the run only with ``strict``."""
    ERROR = "error"


class Finding(Struct, frozen=True):
    """One fault: ``what`` the endpoint did, as the beginning of a sentence, and the ``hint`` to fix it.

    ``cause`` is the same for findings of other cases that have the same cause. It is empty if that is not known.
    """

    level: Severity
    what: str
    hint: str
    cause: str = ""


class Verdict(Struct, frozen=True):
    """The findings of a case, each with the number of messages that led to it."""

    case: Case
    exchanges: tuple[Exchange, ...]
    findings: tuple[tuple[Finding, int], ...] = ()

    @property
    def level(self) -> Severity | None:
        """The level of the worst finding; None if the endpoint is correct."""
        levels = {finding.level for finding, _ in self.findings}
        return next((level for level in (Severity.ERROR, Severity.WARNING) if level in levels), None)

    @property
    def duration_s(self) -> float:
        """Return the duration of the slowest answer, in seconds."""
        return max((exchange.duration_s for exchange in self.exchanges), default=0.0)

    def fails(self, *, strict: bool) -> bool:
        """Return whether it fails the run; with ``strict`` a warning does too."""
        return self.level is Severity.ERROR or (strict and self.level is Severity.WARNING)

    def diagnosis(self, finding: Finding, times: int) -> str:
        """Return a sentence: what the endpoint did, and to which message."""
        whole = len(self.exchanges)
        part = f" ({times} of {whole})" if whole > 1 else ""
        return f"{finding.what} {self.case.sends}{part}"

    def lines(self) -> list[str]:
        """Return the report for people: the findings, how to fix them, and the correct answer."""
        told = []
        for finding, times in self.findings:
            told += [f"{finding.level}: {self.diagnosis(finding, times)}", f"  to fix it: {finding.hint}"]
        case = self.case
        return [*told, f"  a correct endpoint {case.sound}", f"  why it is sent: {case.why} ({case.source})"]


def evaluate(
    case: Case,
    exchanges: Sequence[Exchange],
    *,
    timeout_s: float,
    is_lenient: bool,
    ordinary: int | None = None,
    without_final_status: Callable[[], str | None] = lambda: None,
) -> Verdict:
    """Return the verdict on a case.

    With ``is_lenient`` the endpoint may not know the calls, so a 4xx is a warning. ``ordinary`` is its status for an
    ordinary record, None if that is not known or if this is one. If the endpoint fails on everything, the hint of each
    case is left out.

    ``without_final_status`` is called only if a record without that field failed. It returns the answer to an ordinary
    record that lacks only this field, as ``Exchange.shown``, or None if the endpoint refuses the complete record too.
    """
    evaluation = _Evaluation(case, timeout_s, is_lenient or case.expect is Expect.UNKNOWN, (ordinary or 0) >= 500)
    acknowledged = [exchange.trouble is None and is_acknowledgement(exchange.status or 0) for exchange in exchanges]
    found: Counter[Finding] = Counter()
    for n, exchange in enumerate(exchanges):
        others = acknowledged if case.is_crowd else acknowledged[:n]  # in a crowd no message is the first
        for finding in evaluation.findings(exchange, was_acknowledged=case.is_repeat and any(others)):
            if evaluation.is_for_lack_of_final_status(finding, exchange, without_final_status):
                found[replace(finding, hint=_FINAL_STATUS, cause=_NEEDS_FINAL_STATUS)] += 1
            else:
                found[finding] += 1
    return Verdict(case, tuple(exchanges), tuple(found.items()))


class _Evaluation(Struct, frozen=True):
    case: Case
    timeout_s: float
    is_lenient: bool
    fails_anyway: bool

    def findings(self, exchange: Exchange, *, was_acknowledged: bool) -> Iterator[Finding]:
        if exchange.trouble is not None:
            yield self._trouble(exchange.trouble, exchange.detail)
            return
        status = exchange.status or 0
        if status >= 500 and status not in self.case.tolerated:
            yield self._finding(Severity.ERROR, f"answered {status} to", self._crash_hint())
        elif 300 <= status < 400:
            yield self._redirected(exchange)
        elif 400 <= status < 500 and self.case.expect is not Expect.ANSWERED:
            yield self._refused(status, was_acknowledged=was_acknowledged)
        if exchange.duration_s >= self.timeout_s * SLOW_PART:
            what = f"took {SLOW_PART:.0%} of the time-out of {self.timeout_s:g} s, or more, to answer"
            yield Finding(Severity.WARNING, what, _LATE)
        cookie = exchange.header("set-cookie")
        if cookie is not None:
            name = printable(cookie.partition("=")[0].strip(), 40)
            yield Finding(Severity.WARNING, f"set a cookie ({name}) in its answer to", _COOKIE)

    def is_for_lack_of_final_status(
        self, finding: Finding, exchange: Exchange, without_final_status: Callable[[], str | None]
    ) -> bool:
        """Return whether every record without final_status fails in this way."""
        is_failure = exchange.trouble in _CRASHES or (exchange.trouble is None and (exchange.status or 0) >= 400)
        if (
            finding.level is not Severity.ERROR
            or not is_failure
            or self.fails_anyway
            or not _lacks_final_status(exchange)
        ):
            return False
        raised = exchange.trouble is Trouble.RAISED and "final_status" in exchange.detail
        return raised or without_final_status() == exchange.shown

    def _finding(self, level: Severity, what: str, hint: str) -> Finding:
        return Finding(Severity.WARNING if self.case.optional else level, what, hint)

    def _crash_hint(self) -> str:
        return "it fails on an ordinary record too: fix that first" if self.fails_anyway else self.case.hint

    def _trouble(self, trouble: Trouble, detail: str) -> Finding:
        case = self.case
        within = f"within {self.timeout_s:g} s"
        is_own = case.may_close or case.is_crowd or case.in_turn
        what, hint = {
            Trouble.RAISED: (f"raised {detail} on", self._crash_hint()),
            Trouble.NO_ANSWER: (f"gave no answer {within} to", f"{case.hint}; {_LATE}" if case.is_crowd else _LATE),
            Trouble.UNFINISHED: (f"began an answer and did not end it {within}, to", _UNFINISHED),
            Trouble.CLOSED: ("closed the connection without an answer to", case.hint if is_own else _CLOSED),
            Trouble.MALFORMED: ("gave an answer that is not HTTP to", case.hint),
            Trouble.NOT_ACCEPTED: (f"did not accept a connection {within} for", _NOT_ACCEPTED),
            Trouble.UNREACHABLE: (f"accepted no connection ({detail}) for", _UNREACHABLE),
        }[trouble]
        is_warning = trouble is Trouble.CLOSED and case.may_close
        return self._finding(Severity.WARNING if is_warning else Severity.ERROR, what, hint)

    def _redirected(self, exchange: Exchange) -> Finding:
        try:
            path = printable(urlsplit(exchange.header("location") or "").path, 80)
        except ValueError:
            path = ""
        level = Severity.ERROR if self.case.expect is Expect.ACKNOWLEDGED else Severity.WARNING
        asks = any(word in path.lower() for word in ("login", "signin", "sign-in", "auth", "account"))
        hint = f"{_DEMANDS}; the operator does not follow redirects" if asks else _REDIRECT
        return self._finding(level, f"redirected ({exchange.status}) to {path or 'nowhere'} in answer to", hint)

    def _refused(self, status: int, *, was_acknowledged: bool) -> Finding:
        case = self.case
        if was_acknowledged and status in NOT_KNOWN:
            return self._finding(Severity.ERROR, f"acknowledged it once, and then answered {status} to", case.hint)
        if self.is_lenient and (status in NOT_KNOWN or (status == 403 and case.expect is Expect.UNKNOWN)):
            return self._finding(Severity.WARNING, f"answered {status} to", _UNKNOWN)
        return self._finding(Severity.ERROR, f"answered {status} to", _STATUS_HINTS.get(status, case.hint))


def _lacks_final_status(exchange: Exchange) -> bool:
    """Return whether the message is a JSON object, or the variables of a record, without final_status."""
    record: Any = exchange.cdr
    if record is None:
        try:
            record = json.loads(exchange.request.body)
        except (ValueError, RecursionError):
            return False
    variables = variables_of(record) if isinstance(record, Mapping) else None
    return isinstance(variables, Mapping) and "final_status" not in variables
