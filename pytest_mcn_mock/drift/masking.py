"""Takes what is secret or personal out of an answer, and puts the same stand-ins into the questions."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final
from urllib.parse import quote

from pytest_mcn_mock.drift.exchanges import Answer
from pytest_mcn_mock.drift.questions import Party

MASK: Final = "***"
PSEUDONYM: Final = "12345678"
"""The account of the vendor's examples."""
MAX_TEXT: Final = 2_000
"""Characters of an answer that is no JSON."""
_PREFIX: Final = 4
_GRAM: Final = 8
"""So many characters in a row of a token, in whichever case, are taken for a part of it."""
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
"""It keeps the length of a text, which ``lower`` does not."""
_BETWEEN: Final = r"[\s().\-\u00a0\u2011]{0,3}"
_PHONE: Final = re.compile(rf"(?<![0-9A-Za-z_])\+?[1-9](?:{_BETWEEN}[0-9]){{9,14}}(?![0-9A-Za-z_])", re.ASCII)
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_OPAQUE: Final = re.compile(r"(?<![\w+/=.-])(?=[\w+/=.-]*[0-9])[\w+/=.-]{32,}", re.ASCII)
"""What may be a session, a signature or another token."""


class Mask:
    """What stands for the secrets of one interview: ``token``, and the account and numbers of ``party``.

    The token, and any eight characters in a row of it, becomes ``***``. The numbers, and any other that looks like one,
    keep their first four digits and have zeros after them. ``with_pseudonym`` puts PSEUDONYM for the account.
    """

    def __init__(self, token: str, party: Party, *, with_pseudonym: bool = False) -> None:
        self._party = party
        self.party = Party(
            PSEUDONYM if with_pseudonym else party.account_id,
            None if party.ring is None else _zeros(party.ring),
            # It has to differ from the other, to whom it may be a neighbour.
            None if party.caller_did is None else f"{_zeros(party.caller_did)[:-1]}1",
        )
        """The same party behind the mask: questions rendered for it hold no secret."""
        self._tokens = list(dict.fromkeys((token, quote(token, safe=""), html.escape(token))))
        self._numbers = [
            *_known(party.ring, self.party.ring),
            *_known(party.caller_did, self.party.caller_did),
        ]
        self._kept = {party.account_id, self.party.ring, self.party.caller_did}
        self._account = _find_account(party.account_id) if with_pseudonym else None

    def answer(self, answer: Answer) -> Answer:
        """The answer without secrets; a text is cut to MAX_TEXT characters."""
        location = None if answer.location is None else self.text(answer.location)
        answer = replace(answer, location=location, media_type=self.text(answer.media_type))
        if answer.text is not None:
            text = self.text(answer.text)
            return replace(answer, text=text[:MAX_TEXT], is_cut=answer.is_cut or len(text) > MAX_TEXT)
        return replace(answer, document=self._document(answer.document))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for token in self._tokens:
            text = _without(text, token)
        for number, stand_in in self._numbers:
            text = number.sub(stand_in, text)
        text = _PHONE.sub(lambda found: found[0] if found[0] in self._kept else _zeros(found[0]), text)
        if self._account is not None:
            text = self._account.sub(self.party.account_id, text)
        return _OPAQUE.sub(MASK, _EMAIL.sub(MASK, text))

    def _document(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self.text(key): self._document(child, key) for key, child in value.items()}
        if isinstance(value, list):
            return [self._document(child, name) for child in value]
        if isinstance(value, str):
            return self._code(value) if name == "code" else self.text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            masked = self.text(str(value))
            return int(masked) if masked.lstrip("-").isdecimal() else masked
        return value

    def _code(self, code: str) -> str:
        """The last digits of a connected number are the code of a call from it."""
        caller = self._party.caller_did
        if caller is not None and self.party.caller_did is not None and code == caller[-4:]:
            return self.party.caller_did[-4:]
        return self.text(code)


def _known(
    number: str | None, stand_in: str | None
) -> Iterator[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]:
    """What finds a number, however it is punctuated, without its country code, and without its prefix."""
    if number is None or stand_in is None:
        return
    for digits in dict.fromkeys((number, number[-10:], number[-7:])):
        given = stand_in[-len(digits) :]

        def put(found: re.Match[str], given: str = given) -> str:
            left = iter(given)
            return "".join(next(left) if character.isdecimal() else character for character in found[0])

        yield re.compile(_BETWEEN.join(digits)), put


def _find_account(account_id: str) -> re.Pattern[str]:
    """What finds an account; a short one only where nothing else can be meant."""
    if len(account_id) > _PREFIX:
        return re.compile(rf"(?<![0-9]){account_id}(?![0-9])", re.ASCII)
    return re.compile(rf"\A{account_id}\Z|(?<=[_/]){account_id}(?![0-9])", re.ASCII)


def _zeros(number: str) -> str:
    """The number with zeros in place of all digits but the first four; what is between them stays."""
    digits = 0
    shown = []
    for character in number:
        digits += character.isdecimal()
        shown.append("0" if digits > _PREFIX and character.isdecimal() else character)
    return "".join(shown)


def _without(text: str, token: str) -> str:
    """The text without the token and without any _GRAM characters in a row of it; a shorter token only as a whole."""
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
