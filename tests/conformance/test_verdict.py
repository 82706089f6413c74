"""The verdicts, from what was observed alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from pytest_mcn_mock.conformance.cases import CASES, Case
from pytest_mcn_mock.conformance.sending import Exchange, Trouble
from pytest_mcn_mock.conformance.verdict import Severity, Verdict, evaluate
from pytest_mcn_mock.conformance.webhook import Message
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse

MESSAGE = Message(CdrRequest("POST", "http://endpoint.invalid/", {}, b"{}"), {})
BY_NAME = {case.name: case for case in CASES}


def answer(status: int, duration_s: float = 0.0, headers: Mapping[str, str] = MappingProxyType({})) -> Exchange:
    return Exchange(MESSAGE, duration_s, CdrResponse(status, headers, b""))


def trouble(kind: Trouble, detail: str = "") -> Exchange:
    return Exchange(MESSAGE, 0.0, None, kind, detail)


def verdict(name: str, *exchanges: Exchange, is_lenient: bool = False, ordinary: int | None = 204) -> Verdict:
    case: Case = BY_NAME[name]
    return evaluate(case, exchanges, timeout_s=10, is_lenient=is_lenient, ordinary=ordinary)


@pytest.mark.parametrize(
    "name,exchange,is_lenient,level",
    [
        ("busy", answer(200), False, None),
        ("busy", answer(299), False, None),
        ("busy", answer(302), True, Severity.ERROR),
        ("busy", answer(404), False, Severity.ERROR),
        ("busy", answer(404), True, Severity.WARNING),
        ("busy", answer(422), True, Severity.WARNING),
        ("busy", answer(403), True, Severity.ERROR),
        ("busy", answer(405), True, Severity.ERROR),
        ("busy", answer(500), True, Severity.ERROR),
        ("busy", answer(501), True, Severity.ERROR),
        ("busy", answer(204, 4.9), False, None),
        ("busy", answer(204, 5.0), False, Severity.WARNING),
        ("busy", answer(204, headers={"set-cookie": "a=b"}), False, Severity.WARNING),
        ("unknown_uuid", answer(204), False, None),
        ("unknown_uuid", answer(404), False, Severity.WARNING),
        ("foreign_account", answer(403), False, Severity.WARNING),
        ("foreign_account", answer(401), False, Severity.ERROR),
        ("unknown_uuid", answer(500), False, Severity.ERROR),
        ("cut_off", answer(400), False, None),
        ("cut_off", answer(204), False, None),
        ("cut_off", answer(302), False, Severity.WARNING),
        ("cut_off", answer(500), False, Severity.ERROR),
        ("large_body", answer(413), False, None),
        ("large_body", trouble(Trouble.CLOSED), False, Severity.WARNING),
        ("cut_off", trouble(Trouble.CLOSED), False, Severity.ERROR),
        ("other_methods", answer(501), False, None),
        ("other_methods", answer(500), False, Severity.WARNING),
        ("get_variant", answer(405), False, None),
        ("get_variant", answer(500), False, Severity.WARNING),
        ("deeply_nested", answer(500), False, Severity.WARNING),
        *((("busy"), trouble(kind), True, Severity.ERROR) for kind in Trouble),
    ],
)
def test_the_level_of_an_answer(name: str, exchange: Exchange, is_lenient: bool, level: Severity | None) -> None:
    assert verdict(name, exchange, is_lenient=is_lenient).level is level


def test_a_repeat_has_to_be_answered_as_the_first_was() -> None:
    (found,) = verdict("duplicate", answer(204), answer(409), answer(409), is_lenient=True).findings
    assert (found[0].level, found[0].what, found[1]) == (
        Severity.ERROR,
        "acknowledged it once, and then answered 409 to",
        2,
    )
    crowd = [answer(409), answer(204), answer(409)]  # the first to be sent need not be the first to be taken
    ((finding, times),) = verdict("duplicate_at_once", *crowd, is_lenient=True).findings
    assert (finding.level, finding.what, times) == (Severity.ERROR, found[0].what, 2)
    assert verdict("early", answer(404), answer(204)).level is Severity.WARNING
    assert verdict("duplicate", answer(404), answer(404), answer(404), is_lenient=True).level is Severity.WARNING
    assert (
        verdict("reordered", answer(204), answer(404), is_lenient=True).level is Severity.WARNING
    )  # it is another call


def test_the_same_is_told_once_with_how_often_it_was_seen() -> None:
    told = verdict("fifty_at_once", *[answer(204)] * 47, *[answer(503)] * 3)
    ((finding, times),) = told.findings
    assert told.diagnosis(finding, times) == "answered 503 to 50 records at once (3 of 50)"


def test_an_endpoint_that_fails_on_everything_is_told_so_and_not_how_to_mend_each_case() -> None:
    for ordinary, hint in ((500, "fix that first"), (204, "read it with .get()"), (None, "read it with .get()")):
        ((finding, _),) = verdict("rejected", answer(500), ordinary=ordinary).findings
        assert hint in finding.hint


def test_what_comes_from_the_endpoint_steers_no_terminal() -> None:
    ((finding, _),) = verdict("busy", answer(302, headers={"Location": "//x/\x1b[2J\u202e"})).findings
    assert finding.what == r"redirected (302) to /\x1b[2J\u202e in answer to"
    ((finding, _),) = verdict("busy", answer(302, headers={"Location": "http://["})).findings
    assert finding.what == "redirected (302) to nowhere in answer to"
    ((finding, _),) = verdict("busy", answer(204, headers={"Set-Cookie": "\x9b" * 400})).findings
    assert len(finding.what) < 250
