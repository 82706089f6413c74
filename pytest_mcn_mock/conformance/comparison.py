"""The differences between a server's answers and the fake's, and the settings of ``[assumed]`` for them. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from pytest_mcn_mock.conformance.questions import QUESTIONS, Question
from pytest_mcn_mock.conformance.recording import TROUBLES, Answer, Participants, Recording
from pytest_mcn_mock.conformance.sending import Trouble
from pytest_mcn_mock.model.assumptions import NUMERIC_ERROR_BODY, Assumptions
from pytest_mcn_mock.model.calls import Call, Explanation
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.rendering import JSON_TYPE
from pytest_mcn_mock.web.dialects import table_of

_MAX_SHOWN: Final = 160
_MAX_NAMES: Final = 4
_TEXT: Final = re.compile(r".*", re.DOTALL)
_FOUR_DIGITS: Final = re.compile(r"[0-9]{4}", re.ASCII)


class Aspect(StrEnum):
    """The aspect in which two answers differ."""

    ANSWER = "answer"
    """There is no answer."""
    OUTCOME = "outcome"
    """One accepts and the other refuses."""
    REDIRECT = "redirect"
    STATUS = "status"
    MEDIA_TYPE = "media_type"
    BODY = "body"


class Difference(Struct, frozen=True):
    """One difference in the answers to a question. ``fake`` and ``server`` describe both answers; ``place`` is a path
    in the body. ``setting`` is a key of ``[assumed]`` that concerns it, with the value that the server's answer shows,
    if one answer can show it; None if there is no such setting.
    """

    question: str
    aspect: Aspect
    fake: str
    server: str
    place: str = ""
    setting: str | None = None


def compare(recording: Recording, assumed: Assumptions) -> list[Difference]:
    """Return every difference from a fake with these settings, in the order of the questions.

    A question that this version does not know, as it may be in a recording of another one, is not compared.
    """
    differences: list[Difference] = []
    for exchange in recording.exchanges:
        question = QUESTIONS.get(exchange.question)
        if question is not None and exchange.answer is None:
            trouble = TROUBLES[exchange.trouble or Trouble.CLOSED]
            fake = _fake_does(question, assumed)
            differences.append(Difference(question.name, Aspect.ANSWER, fake, trouble))
        elif question is not None and exchange.answer is not None:
            differences += _differences(question, exchange.answer, recording.participants, assumed)
    return differences


def _differences(
    question: Question, server: Answer, participants: Participants, assumed: Assumptions
) -> Iterator[Difference]:
    name, code, table = question.name, question.refusal(assumed), table_of(question.dialect)
    if 300 <= server.status <= 399:
        to = f" to {server.headers['location']}" if "location" in server.headers else ""
        yield Difference(name, Aspect.REDIRECT, _fake_does(question, assumed), f"redirects with {server.status}{to}")
        return
    if server.is_acceptance != (code is None):
        said = "accepts it" if server.is_acceptance else f"answers {server.status} with {_body(server)}"
        number_format = "pasted" if server.is_acceptance else "digits"
        setting = f'number_format = "{number_format}"' if question.pasted else None
        yield Difference(name, Aspect.OUTCOME, _fake_does(question, assumed), said, setting=setting)
        return
    status = 200 if code is None else table.errors(assumed).status_of(code)
    if server.status != status:
        said, setting = str(server.status), None
        if code is not None:
            said = f"{server.status} for `{code}`"
            setting = (
                f"{table.settings_prefix}error_status = {{ {code} = {server.status} }}"
                if 200 <= server.status <= 599
                else None
            )
        yield Difference(name, Aspect.STATUS, str(status), said, setting=setting)
    if server.json is UNSET:
        setting = f"{table.settings_prefix}error_body"
        yield Difference(name, Aspect.BODY, "JSON", _body(server), setting=None if code is None else setting)
        return
    if server.media_type != JSON_TYPE:
        given = f"Content-Type {server.media_type or 'none'}"
        yield Difference(name, Aspect.MEDIA_TYPE, f"Content-Type {JSON_TYPE}", given)
    expected: Mapping[str, Any] = table.errors(assumed).error_template
    values: dict[str, Any] = {}
    if code is None:
        expected = _call(question, participants, assumed)
    else:
        values = {"$status": server.status, "$code": code.value, "$message": _TEXT, "$parameter": question.parameter}
        values["$number"] = assumed.number_of(code)
    found = list(_tree(expected, server.json, values, ""))
    if code is not None and not all(is_value for *_, is_value in found):
        setting = _body_setting(question.dialect, server.json)
        yield Difference(name, Aspect.BODY, _form(expected), _form(server.json), setting=setting)
        return
    for place, fake, said, _ in found:
        yield Difference(name, Aspect.BODY, fake, said, place)


def _body_setting(dialect: Dialect, body: Any) -> str:
    """Return the setting for the form of a refusal's body."""
    if dialect is Dialect.API_MCN and _form(body) == _form(NUMERIC_ERROR_BODY):
        return 'error_style = "numeric"'
    return f"{table_of(dialect).settings_prefix}error_body"


def _fake_does(question: Question, assumed: Assumptions) -> str:
    code = question.refusal(assumed)
    if code is None:
        return "accepts it"
    return f"{table_of(question.dialect).errors(assumed).status_of(code)} `{code}`"


def _call(question: Question, participants: Participants, assumed: Assumptions) -> Any:
    """Return the body with which the fake accepts a call, with a pattern for each random value."""
    caller = participants.caller_did if question.needs_caller else None
    drawn: dict[str, Any] = {
        "verification_call_uuid": re.compile(rf"[0-9a-f]{{12}}_{re.escape(participants.account_id)}"),
        "code": question.code or (caller[-4:] if caller else _FOUR_DIGITS),
    }
    call = Call(
        account_id=participants.account_id,
        method=question.calls or Method.FLASH_CALL,
        login_did=participants.ring or "",
        caller_did=caller or "",
        country_id=question.country(participants, assumed),
        price=0,
        explanation=Explanation(),
        placed_at=0.0,
        planned=ending(Outcome.ANSWERED, unavailable_cause=assumed.unavailable_cause),
        ends_at=None,
        dialect=question.dialect,
        **drawn,
    )
    return table_of(question.dialect).accept(call, assumed)


def _tree(expected: Any, server: Any, values: Mapping[str, Any], place: str) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each place in which a body differs, what the fake and the server have there, and whether it is a value of
    ``values``, by the word that stands for it in ``expected``.
    """
    if isinstance(expected, Mapping) and isinstance(server, dict):
        for name in sorted({*expected, *server}):
            below = f"{place}.{name}" if place else name
            if name not in server:
                yield below, "is there", f"`{_cut(below)}` is missing", False
            elif name not in expected:
                yield below, "is not there", f"`{_cut(below)}` is there", False
            else:
                yield from _tree(expected[name], server[name], values, below)
    elif isinstance(expected, (list, tuple)) and isinstance(server, list) and len(expected) == len(server):
        for n, (child, theirs) in enumerate(zip(expected, server, strict=True)):
            yield from _tree(child, theirs, values, f"{place}.{n}")
    else:
        is_value = isinstance(expected, str) and expected in values
        wanted = values[expected] if is_value else expected
        if isinstance(wanted, re.Pattern):
            is_same = isinstance(server, str) and wanted.fullmatch(server) is not None
        else:
            is_same = type(wanted) is type(server) and bool(wanted == server)
        if not is_same:
            fake = f"is like {wanted.pattern}" if isinstance(wanted, re.Pattern) else f"is {_quoted(wanted)}"
            yield place, fake, f"`{_cut(place)}` is {_quoted(server)}", is_value


def _form(document: Any) -> str:
    return f"has the form `{_cut(_shape(document))}`"


def _shape(document: Any) -> str:
    """Return a document with words instead of its values. Null counts as text, and so do the words of a template."""
    if isinstance(document, Mapping):
        return "{" + ", ".join(f'"{name}": {_shape(document[name])}' for name in sorted(document)) + "}"
    if isinstance(document, (list, tuple)):
        return "[" + ", ".join(map(_shape, document)) + "]"
    if isinstance(document, bool):
        return "boolean"
    return (
        "text"
        if document is None or (isinstance(document, str) and document not in ("$status", "$number"))
        else "number"
    )


def _body(answer: Answer) -> str:
    if answer.json is not UNSET:
        return _quoted(answer.json)
    return f"{answer.media_type or 'no Content-Type'}, not JSON" if answer.text else "no body"


def _quoted(value: Any) -> str:
    return f"`{_cut(msgspec.json.encode(value).decode())}`"


def _cut(text: str) -> str:
    text = text.replace("`", "'")
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def table(differences: Sequence[Difference]) -> list[tuple[str, str, str, str]]:
    """Return a table of questions, server, fake and setting: each difference once, with all questions that show it."""
    merged: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for difference in differences:
        merged[difference.server, difference.fake, difference.setting or ""].append(difference.question)
    return [(_names(questions), *row) for row, questions in merged.items()]


def _names(questions: Sequence[str]) -> str:
    more = f" and {len(questions) - _MAX_NAMES} more" if len(questions) > _MAX_NAMES else ""
    return ", ".join(questions[:_MAX_NAMES]) + more


def as_json(recording: Recording, differences: Sequence[Difference]) -> dict[str, Any]:
    """Return all results as a JSON object."""
    return {
        "base_url": recording.base_url,
        "recorded_at": recording.recorded_at,
        "same": not differences,
        "stopped": recording.stopped,
        "spent_kopecks": recording.spent_kopecks,
        "differences": msgspec.to_builtins(differences),
        "answers": [
            {"question": e.question, "status": e.answer and e.answer.status, "trouble": e.trouble}
            for e in recording.exchanges
        ],
        "not_asked": msgspec.to_builtins(recording.not_asked),
    }
