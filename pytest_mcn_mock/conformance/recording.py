"""A recording: the requests to a server and its answers, without secrets, in a file that can be compared later.

The types below are the file's format, JSON, which ``schemas/recording.schema.json`` describes.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from pytest_mcn_mock.conformance.sending import Trouble
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.rendering import JSON_TYPE

FORMAT: Final = "mcn-mock recording"
VERSION: Final = 1
MAX_FILE_SIZE: Final = 16 * 2**20
MAX_BODY_KEPT: Final = 1_000
"""Characters of a request's body. The rest of a longer body is padding, so that its length is enough."""
MAX_NESTED: Final = 200
"""Objects and lists of a JSON document. A document with more is kept as text."""
MAX_TEXT: Final = 2_000
"""Characters of an answer that is not JSON."""
WRONG_TOKEN: Final = "mcn-mock-verify-wrong-token"  # noqa: S105 - not a real token
TROUBLES: Final = {
    Trouble.UNREACHABLE: "it cannot be reached, or its certificate is not trusted (see --cacert)",
    Trouble.NOT_ACCEPTED: "it does not accept the connection in time (see --timeout)",
    Trouble.NO_ANSWER: "it does not answer in time (see --timeout)",
    Trouble.UNFINISHED: "it does not end its answer in time (see --timeout)",
    Trouble.CLOSED: "it closes the connection before the end of its answer",
    Trouble.MALFORMED: "its answer is not HTTP",
}
"""Why a server gave no answer, for people."""
MASK: Final = "***"
PSEUDONYM: Final = "12345678"
"""The account of the vendor's examples."""


class Participants(Struct, frozen=True):
    """The account that asks, and the numbers. ``ring`` and ``caller_did`` have the article's form, if given."""

    account_id: str
    ring: str | None = None
    caller_did: str | None = None


class Credential(StrEnum):
    """How a request identifies its sender. A recording keeps this word instead of the token."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - the word for it
    """``Authorization: Bearer`` and the account's token."""
    WRONG = "wrong"
    """``Authorization: Bearer`` and WRONG_TOKEN."""
    BASIC = "basic"
    """``Authorization: Basic`` and WRONG_TOKEN."""
    BASIC_TOKEN = "basic_token"  # noqa: S105 - the word for it
    """``Authorization: Basic`` with the account's token as the password."""


class Sent(Struct, frozen=True, forbid_unknown_fields=True):
    """A request. ``path`` follows the base URL and has no slash before it; ``query`` is percent-encoded.

    In a file ``body`` is cut to MAX_BODY_KEPT characters; ``body_length`` is that of the whole.
    """

    method: str
    path: str
    query: str
    credential: Credential
    content_type: str | None
    body: str
    body_length: int

    def headers(self, token: str) -> dict[str, str]:
        """Return its headers, with the token."""
        headers = {"Accept": JSON_TYPE}
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        if self.credential is not Credential.NONE:
            headers["Authorization"] = _authorization(self.credential, token)
        return headers


def _authorization(credential: Credential, token: str) -> str:
    if credential is Credential.BASIC_TOKEN:
        return f"Basic {b64encode(f'mcn-mock:{token}'.encode()).decode()}"
    scheme = "Basic" if credential is Credential.BASIC else "Bearer"
    return f"{scheme} {token if credential is Credential.TOKEN else WRONG_TOKEN}"


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer. Of its headers only ``content-type``, without parameters, and ``location``, without a query, are kept.

    The body is ``json`` if it is JSON, whatever its type says, and else ``text``. ``is_cut`` says that only its
    beginning was kept.
    """

    status: int
    headers: dict[str, str]
    is_cut: bool = False
    json: Any = UNSET
    text: str | UnsetType = UNSET

    @property
    def media_type(self) -> str:
        """The media type of Content-Type in lower case; empty if there is none."""
        return self.headers.get("content-type", "")

    @property
    def is_acceptance(self) -> bool:
        """Return whether a call seems to have been placed, in the words of this API or of its successors.

        A 2xx alone does not say so: some servers refuse with it.
        """
        document = self.json
        if not 200 <= self.status <= 299 or not isinstance(document, dict):
            return False
        uuid = {"verification_call_uuid", "verification_uuid"}
        placed = document.get("object")
        return (
            document.get("status") == "success"
            or document.get("ok") is True
            or not uuid.isdisjoint(document)
            or (isinstance(placed, dict) and not uuid.isdisjoint(placed))
        )


class RecordedExchange(Struct, frozen=True, forbid_unknown_fields=True):
    """A question's request and its answer, or the reason why there is none."""

    question: str
    request: Sent
    answer: Answer | None = None
    trouble: Trouble | None = None


class NotAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A question that is not asked, and the reason."""

    question: str
    why: str


class Recording(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An interview. ``spent_kopecks`` is by the prices of the article, for each call that was accepted or not answered.

    ``stopped`` says why it ended early.
    """

    format: Literal["mcn-mock recording"] = FORMAT
    version: Literal[1] = VERSION
    base_url: str
    recorded_at: str
    account_id: str
    ring: str | None
    caller_did: str | None
    spent_kopecks: int
    stopped: str | None
    exchanges: tuple[RecordedExchange, ...]
    not_asked: tuple[NotAsked, ...]

    @property
    def participants(self) -> Participants:
        """The account and the numbers, masked."""
        return Participants(self.account_id, self.ring, self.caller_did)


def make_answer(status: int, headers: dict[str, str], body: bytes, *, is_cut: bool = False) -> Answer:
    """Return an answer from its bytes."""
    if not is_cut and _is_shallow(body):
        with suppress(ValueError):
            return Answer(status, headers, json=msgspec.json.decode(body))
    return Answer(status, headers, is_cut, text=body.decode("utf-8", "replace"))


def _is_shallow(document: bytes) -> bool:
    return document.count(b"{") + document.count(b"[") <= MAX_NESTED


def dump(recording: Recording) -> str:
    """Return the text of the file."""
    return msgspec.json.format(msgspec.json.encode(recording), indent=2).decode() + "\n"


def load(path: Path) -> Recording:
    """Return the recording in a file. Raise UsageError if the file is not a recording."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_SIZE:
        raise UsageError(f"{path} is larger than {MAX_FILE_SIZE} bytes")
    try:
        content = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not a JSON document in UTF-8") from None
    if isinstance(content, dict) and content.get("format") == FORMAT and content.get("version") != VERSION:
        version = str(content.get("version"))[:20]
        raise UsageError(f"{path} is a recording of version {version}; this mcn-mock reads version {VERSION}")
    try:
        recording = msgspec.convert(content, Recording)
        documents = [msgspec.json.encode(e.answer.json) for e in recording.exchanges if e.answer and e.answer.json]
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{path} is not a recording: {str(error)[:200]}") from None
    if not all(map(_is_shallow, documents)):
        raise UsageError(f"{path} is not a recording: an answer has more than {MAX_NESTED} objects and lists")
    return recording


_PREFIX: Final = 4
_GRAM: Final = 8
"""This number of consecutive characters of a token, in any case, is treated as a part of it."""
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
"""It keeps the length of a text, which ``lower`` does not."""
_BETWEEN: Final = r"[\s().\-\u00a0\u2011]{0,3}"
_PHONE: Final = re.compile(rf"(?<![0-9A-Za-z_])\+?[1-9](?:{_BETWEEN}[0-9]){{9,14}}(?![0-9A-Za-z_])", re.ASCII)
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_OPAQUE: Final = re.compile(r"(?<![\w+/=.-])(?=[\w+/=.-]*[0-9])[\w+/=.-]{32,}", re.ASCII)
"""Text that may be a session, a signature or another token."""


class Mask:
    """Removes secrets and personal data from answers: the ``token``, and the account and numbers of ``participants``.

    The token, and any eight characters in a row of it, becomes ``***``. The numbers, and any other that looks like one,
    keep their first four digits and have zeros after them. ``with_pseudonym`` puts PSEUDONYM for the account.
    """

    def __init__(self, token: str, participants: Participants, *, with_pseudonym: bool = False) -> None:
        given = participants
        self.participants = masked = Participants(
            PSEUDONYM if with_pseudonym else given.account_id,
            None if given.ring is None else _zeros(given.ring),
            # It has to differ from the other, to whom it may be a neighbour.
            None if given.caller_did is None else f"{_zeros(given.caller_did)[:-1]}1",
        )
        """The masked participants. Questions that are rendered for them contain no secrets."""
        self._caller_code = given.caller_did and given.caller_did[-4:]
        self._tokens = list(dict.fromkeys((token, quote(token, safe=""), html.escape(token))))
        self._numbers = [*_known(given.ring, masked.ring), *_known(given.caller_did, masked.caller_did)]
        self._kept = {given.account_id, masked.ring, masked.caller_did}
        self._account = _find_account(given.account_id) if with_pseudonym else None

    def answer(self, answer: Answer) -> Answer:
        """Return the answer without secrets; a text is cut to MAX_TEXT characters."""
        answer = replace(answer, headers={name: self.text(value) for name, value in answer.headers.items()})
        if answer.text is not UNSET:
            text = self.text(answer.text)
            return replace(answer, text=text[:MAX_TEXT], is_cut=answer.is_cut or len(text) > MAX_TEXT)
        return replace(answer, json=self._document(answer.json))

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for token in self._tokens:
            text = _without(text, token)
        for number, stand_in in self._numbers:
            text = number.sub(stand_in, text)
        text = _PHONE.sub(lambda found: found[0] if found[0] in self._kept else _zeros(found[0]), text)
        if self._account is not None:
            text = self._account.sub(self.participants.account_id, text)
        return _OPAQUE.sub(MASK, _EMAIL.sub(MASK, text))

    def _document(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self.text(key): self._document(child, key) for key, child in value.items()}
        if isinstance(value, list):
            return [self._document(child, name) for child in value]
        if isinstance(value, str):
            if name == "code" and value == self._caller_code:  # that of a call from the connected number: its end
                return (self.participants.caller_did or "")[-4:]
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            masked = self.text(str(value))
            return int(masked) if masked.lstrip("-").isdecimal() else masked
        return value


def _known(
    number: str | None, stand_in: str | None
) -> Iterator[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]:
    """Yield patterns that find a number, punctuated in any way, without its country code, and without its prefix."""
    if number is None or stand_in is None:
        return
    for digits in dict.fromkeys((number, number[-10:], number[-7:])):
        given = stand_in[-len(digits) :]

        def put(found: re.Match[str], given: str = given) -> str:
            left = iter(given)
            return "".join(next(left) if character.isdecimal() else character for character in found[0])

        yield re.compile(_BETWEEN.join(digits)), put


def _find_account(account_id: str) -> re.Pattern[str]:
    """Return the pattern that finds an account. A short id is found only where it cannot be anything else."""
    if len(account_id) > _PREFIX:
        return re.compile(rf"(?<![0-9]){account_id}(?![0-9])", re.ASCII)
    return re.compile(rf"\A{account_id}\Z|(?<=[_/]){account_id}(?![0-9])", re.ASCII)


def _zeros(number: str) -> str:
    """Return the number with all digits but the first four replaced by zeros. The characters between them stay."""
    digits = 0
    shown = []
    for character in number:
        digits += character.isdecimal()
        shown.append("0" if digits > _PREFIX and character.isdecimal() else character)
    return "".join(shown)


def _without(text: str, token: str) -> str:
    """Return the text without any _GRAM consecutive characters of the token. A shorter token is removed as a whole."""
    if len(token) < _GRAM:
        return re.sub(rf"(?<!\w){re.escape(token)}(?!\w)", MASK, text, flags=re.IGNORECASE)
    token, low = token.translate(_LOWER), text.translate(_LOWER)
    grams = {token[n : n + _GRAM] for n in range(len(token) - _GRAM + 1)}
    kept: list[str] = []
    end = 0  # of what is masked
    for n in range(len(text)):
        if low[n : n + _GRAM] in grams:
            if n >= end:
                kept.append(MASK)
            end = n + _GRAM
        elif n >= end:
            kept.append(text[n])
    return "".join(kept)
