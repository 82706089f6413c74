"""What a recording shows: every difference, and the setting that settles it where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_mcn_mock.drift.comparison import Aspect, Difference, compare
from pytest_mcn_mock.drift.derivation import Case, derive, setting_of, toml_of
from pytest_mcn_mock.drift.exchanges import Answer
from pytest_mcn_mock.drift.fake import Fake
from pytest_mcn_mock.drift.questions import QUESTIONS, REFUSALS, Question
from pytest_mcn_mock.drift.recording import Recording
from pytest_mcn_mock.drift.schema_check import schema_problems
from pytest_mcn_mock.model.assumptions import Assumptions


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference. ``setting`` is a line of TOML that makes the fake do likewise, None where no setting does."""

    difference: Difference
    setting: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a recording shows. ``fakes`` are the fake's answers by question, and ``schema`` what the schemas do not
    allow in the server's. ``assumed`` is a table of TOML with all that was derived.
    """

    recording: Recording
    differences: tuple[Finding, ...]
    fakes: Mapping[str, Answer]
    schema: Mapping[str, tuple[str, ...]]
    assumed: str | None


def find(recording: Recording, assumptions: Assumptions) -> Findings:
    """Compare a recording with a fake that has these settings.

    Settings are derived from the answers, and a second fake that has them is asked too: what differs from the first and
    not from the second is what they settle.
    """
    now, cases, fakes = _ask(recording, assumptions)
    derived = derive(cases, now, assumptions)
    still = now if derived == assumptions else _ask(recording, derived)[0]
    unsettled = {difference.key for difference in still}
    schema = _schema(recording, fakes)
    differing = {difference.key[0] for difference in (*now, *still)}
    found = [Finding(d, setting_of(d, derived)) for d in now if d.key not in unsettled]
    found += [Finding(difference, None) for difference in still]
    found += [Finding(d, None) for d in _only_by_schema(schema, differing)]
    order = {exchange.question: n for n, exchange in enumerate(recording.exchanges)}
    found.sort(key=lambda finding: order[finding.difference.question])
    return Findings(recording, tuple(found), fakes, schema, toml_of(derived, assumptions))


def _ask(recording: Recording, assumptions: Assumptions) -> tuple[list[Difference], list[Case], dict[str, Answer]]:
    fake = Fake(recording.party, assumptions)
    differences, cases, fakes = list[Difference](), list[Case](), dict[str, Answer]()
    for exchange in recording.exchanges:
        answer, refusal = fake.answer(exchange.sent)
        fakes[exchange.question] = answer
        cases.append(Case(exchange, refusal))
        differences += compare(_question(exchange.question), exchange, answer, refusal, recording.party, assumptions)
    return differences, cases, fakes


def _question(name: str) -> Question:
    """The question; a recording may be of a version that had others."""
    return QUESTIONS.get(name) or Question(name=name, asks="a question of another version", row=REFUSALS)


def _schema(recording: Recording, fakes: Mapping[str, Answer]) -> dict[str, tuple[str, ...]]:
    """By question, where the fake's own answer is what the schema says: with other settings its refusals are not."""
    found = {}
    for exchange in recording.exchanges:
        if exchange.answer is not None and not schema_problems(exchange.sent, fakes[exchange.question]):
            problems = schema_problems(exchange.sent, exchange.answer)
            if problems:
                found[exchange.question] = tuple(problems)
    return found


def _only_by_schema(schema: Mapping[str, tuple[str, ...]], differing: set[str]) -> list[Difference]:
    return [
        Difference(name, _question(name).row, Aspect.SCHEMA, "what the schema allows", "; ".join(problems))
        for name, problems in schema.items()
        if name not in differing
    ]
