"""Where two answers to the same request differ. Pure: it looks at values alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pytest_mcn_mock.drift.envelopes import CODE, PARAMETER, STATUS, read_refusal, shape
from pytest_mcn_mock.drift.exchanges import Answer, Exchange, Trouble, is_acceptance
from pytest_mcn_mock.drift.questions import (
    CODE_THERE,
    ERROR_FORM,
    REFUSALS,
    SUCCESS,
    UUID,
    Party,
    Question,
    Row,
)
from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.assumptions import Assumptions

_CODE: Final = re.compile(r"[0-9]{4}", re.ASCII)
_CALL_ID: Final = re.compile(r"[0-9a-f]{12}(?=_)", re.ASCII)
_MAX_SHOWN: Final = 160
_TROUBLES: Final = {
    Trouble.UNREACHABLE: "there is no connection",
    Trouble.TIMEOUT: "no answer in time",
    Trouble.CLOSED: "the connection is closed before the answer is whole",
    Trouble.GARBLED: "what comes is no HTTP",
}


class Aspect(StrEnum):
    """In what two answers differ."""

    ANSWER = "answer"
    """There is none."""
    OUTCOME = "outcome"
    """One accepts and the other refuses."""
    REDIRECT = "redirect"
    STATUS = "status"
    MEDIA_TYPE = "media_type"
    BODY = "body"
    """The form of a refusal."""
    REASON = "reason"
    """The code word of a refusal."""
    VALUE = "value"
    SCHEMA = "schema"
    """The fake's answer is like it, but a schema does not allow it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference in the answers to a question. ``place`` is a path in the document, ``fake`` and ``server`` say
    what each does, and ``row`` is the row of docs/fidelity.md that it concerns. ``refusal`` is the fake's code word.
    """

    question: str
    row: Row
    aspect: Aspect
    fake: str
    server: str
    place: str = ""
    refusal: RefusalCode | None = None

    @property
    def key(self) -> tuple[str, Aspect, str]:
        """What is the same where two comparisons find the same difference."""
        return self.question, self.aspect, self.place


def compare(
    question: Question, exchange: Exchange, answer: Answer, refusal: Refusal | None, party: Party, assumed: Assumptions
) -> list[Difference]:
    """The differences between what a server said and ``answer``, the fake's, which is ``refusal`` if it is one."""
    return list(_Comparison(question, exchange, answer, refusal, party, assumed).differences())


@dataclass(frozen=True, slots=True)
class _Comparison:
    question: Question
    exchange: Exchange
    fake: Answer
    refusal: Refusal | None
    party: Party
    assumed: Assumptions

    def differences(self) -> Iterator[Difference]:
        server = self.exchange.answer
        if server is None:
            trouble = _TROUBLES[self.exchange.trouble or Trouble.CLOSED]
            yield self._difference(Aspect.ANSWER, self._said(), trouble)
        elif 300 <= server.status <= 399:
            to = f" to {server.location}" if server.location else ""
            yield self._difference(Aspect.REDIRECT, self._said(), f"redirects with {server.status}{to}")
        elif is_acceptance(server) != (self.refusal is None):
            yield self._difference(Aspect.OUTCOME, self._said(), self._does(server))
        else:
            yield from self._head(server)
            yield from self._call(server) if self.refusal is None else self._refusal(server, self.refusal)

    def _does(self, server: Answer) -> str:
        if is_acceptance(server):
            return "accepts it"
        word = (read_refusal(server.document, self.assumed.error_body) or {}).get(CODE)
        return f"{server.status} {_quoted(word)}" if word else f"answers {server.status} with {_outline(server)}"

    def _head(self, server: Answer) -> Iterator[Difference]:
        if server.status != self.fake.status:
            row = self.question.row if self.refusal is None else REFUSALS
            what = "" if self.refusal is None else f" for `{self.refusal.code}`"
            yield self._difference(Aspect.STATUS, str(self.fake.status), f"{server.status}{what}", row=row)
        if server.is_json and server.media_type != self.fake.media_type:
            row = SUCCESS if self.refusal is None else ERROR_FORM
            given = f"Content-Type {server.media_type or 'none'}"
            yield self._difference(Aspect.MEDIA_TYPE, f"Content-Type {self.fake.media_type}", given, row=row)

    def _refusal(self, server: Answer, refusal: Refusal) -> Iterator[Difference]:
        values = read_refusal(server.document, self.assumed.error_body) if server.is_json else None
        if values is None:
            fake = shape(self.fake.document)
            yield self._difference(Aspect.BODY, fake, _outline(server), row=ERROR_FORM)
            return
        if values.get(STATUS, server.status) != server.status:
            said = f"status {values[STATUS]} in the body of a {server.status}"
            yield self._difference(Aspect.VALUE, "the HTTP status in the body", said, place=STATUS, row=ERROR_FORM)
        if values.get(CODE, refusal.code) != refusal.code:
            yield self._difference(Aspect.REASON, f"`{refusal.code}`", _quoted(values[CODE]))
        elif values.get(PARAMETER, refusal.parameter) != refusal.parameter:
            server_names, fake_names = _named(values[PARAMETER]), _named(refusal.parameter)
            yield self._difference(Aspect.VALUE, fake_names, server_names, place=PARAMETER)

    def _call(self, server: Answer) -> Iterator[Difference]:
        fake, real = self._steady(self.fake.document), self._steady(server.document)
        for place, fakes, servers in _tree(fake, real, ""):
            yield self._difference(Aspect.VALUE, fakes, servers, place=place, row=self._row(place))

    def _row(self, place: str) -> Row:
        if self.question.needs_caller or place not in ("object.code", "object.verification_call_uuid"):
            return self.question.row if self.question.needs_caller else SUCCESS
        if place == "object.code":
            return SUCCESS if self.question.code else CODE_THERE
        return UUID

    def _steady(self, document: Any) -> Any:
        """The document with what is random in every answer put into words where it has its form."""
        placed = document.get("object") if isinstance(document, dict) else None
        if not isinstance(placed, dict):
            return document
        placed = dict(placed)
        uuid, code = placed.get("verification_call_uuid"), placed.get("code")
        if isinstance(uuid, str):
            placed["verification_call_uuid"] = _CALL_ID.sub("<call id>", uuid, count=1)
        if self.question.code is None and isinstance(code, str) and _CODE.fullmatch(code):
            placed["code"] = "<four digits>"
        return {**document, "object": placed}

    def _said(self) -> str:
        return "accepts it" if self.refusal is None else f"{self.fake.status} `{self.refusal.code}`"

    def _difference(
        self, aspect: Aspect, fake: str, server: str, *, place: str = "", row: Row | None = None
    ) -> Difference:
        code = None if self.refusal is None else self.refusal.code
        return Difference(self.question.name, row or self.question.row, aspect, fake, server, place, code)


def _tree(fake: Any, server: Any, place: str) -> Iterator[tuple[str, str, str]]:
    """Every place in which two documents differ, with what each has there."""
    if isinstance(fake, dict) and isinstance(server, dict):
        for name in sorted({*fake, *server}):
            below = f"{place}.{name}" if place else name
            if name not in server:
                yield below, f"`{below}` is there", f"`{below}` is missing"
            elif name not in fake:
                yield below, f"`{below}` is not there", f"`{below}` is there, {shape(server[name])}"
            else:
                yield from _tree(fake[name], server[name], below)
    elif type(fake) is not type(server):
        yield place, f"`{place}` is {_kind(fake)}", f"`{place}` is {_kind(server)}, {_quoted(server)}"
    elif fake != server:
        yield place, f"`{place}` is {_quoted(fake)}", f"`{place}` is {_quoted(server)}"


def _kind(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else f"a {shape(value)}" if not isinstance(value, str) else "text"


def _outline(answer: Answer) -> str:
    """The form of a body, in words."""
    if answer.is_json:
        return f"`{_cut(shape(answer.document))}`"
    return f"{answer.media_type or 'no Content-Type'}, no JSON" if answer.text else "no body"


def _quoted(value: Any) -> str:
    return f"`{_cut(json.dumps(value, ensure_ascii=False))}`"


def _named(parameter: str | None) -> str:
    return "names no parameter" if parameter is None else f"names {_quoted(parameter)}"


def _cut(text: str) -> str:
    text = text.replace("`", "'")
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
