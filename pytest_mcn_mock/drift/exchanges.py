"""The values of an interview: what is sent, what comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

MAX_DEPTH: Final = 50
"""Levels of a JSON document; what is deeper is kept as text."""
JSON_TYPE: Final = "application/json"


class Credential(StrEnum):
    """What a request says of its sender. A recording keeps this word in place of the token."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - the word for it
    """``Authorization: Bearer`` and the account's token."""
    WRONG = "wrong"
    """``Authorization: Bearer`` and WRONG_TOKEN."""
    BASIC = "basic"
    """``Authorization: Basic`` and WRONG_TOKEN."""


WRONG_TOKEN: Final = "mcn-mock-verify-wrong-token"  # noqa: S105 - a token that nobody has


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. ``path`` follows the base URL and has no slash before it; ``query`` is percent-encoded."""

    method: str
    path: str
    query: str
    credential: Credential
    content_type: str | None = None
    body: str = ""

    def headers(self, token: str) -> dict[str, str]:
        """Its headers, with the token."""
        headers = {"Accept": JSON_TYPE}
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        authorization = {
            Credential.TOKEN: f"Bearer {token}",
            Credential.WRONG: f"Bearer {WRONG_TOKEN}",
            Credential.BASIC: f"Basic {WRONG_TOKEN}",
        }.get(self.credential)
        if authorization is not None:
            headers["Authorization"] = authorization
        return headers


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. ``media_type`` is that of Content-Type, lower-case, without parameters, and ``location`` that of a
    redirect without its query.

    The body is ``document`` where it is JSON, whatever its type says, and else ``text``. ``is_cut`` says that only its
    beginning was read.
    """

    status: int
    media_type: str = ""
    document: Any = None
    text: str | None = None
    location: str | None = None
    is_cut: bool = False

    @property
    def is_json(self) -> bool:
        """Whether the body is a JSON document."""
        return self.text is None


def make_answer(
    status: int, media_type: str, body: bytes, *, location: str | None = None, is_cut: bool = False
) -> Answer:
    """An answer from its bytes."""
    answer = Answer(status, media_type, location=location, is_cut=is_cut)
    try:
        document = json.loads(body.decode())
        if not is_cut and depth_is_bounded(document):
            json.dumps(document, ensure_ascii=False, allow_nan=False).encode()  # a lone surrogate is no character
            return replace(answer, document=document)
    except (ValueError, RecursionError):
        pass
    return replace(answer, text=body.decode("utf-8", "replace"))


def depth_is_bounded(document: Any) -> bool:
    """Whether a document has MAX_DEPTH levels at most."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False


class Trouble(StrEnum):
    """Why there is no answer."""

    UNREACHABLE = "unreachable"
    """There is no connection, or its certificate is not trusted."""
    TIMEOUT = "timeout"
    CLOSED = "closed"
    """The connection was closed before the answer was whole."""
    GARBLED = "garbled"
    """What came is no HTTP."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was asked and what came back: an answer, or why there is none."""

    question: str
    sent: Sent
    answer: Answer | None = None
    trouble: Trouble | None = None


def is_acceptance(answer: Answer | None) -> bool:
    """Whether a call seems to have been placed: by this API's words, or those of its successors.

    A 2xx alone does not say so: some servers refuse with it.
    """
    if answer is None or not 200 <= answer.status <= 299 or not isinstance(answer.document, dict):
        return False
    document = answer.document
    uuid = {"verification_call_uuid", "verification_uuid"}
    placed = document.get("object")
    return (
        document.get("status") == "success"
        or document.get("ok") is True
        or not uuid.isdisjoint(document)
        or (isinstance(placed, dict) and not uuid.isdisjoint(placed))
    )
