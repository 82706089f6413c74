"""Text from outside, made safe to show: in a report, an error, a log line or a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of invisible characters: controls, surrogates, line separators, marks that turn the direction of
writing.
"""


def printable(text: object, most: int | None = None) -> str:
    r"""Return the text on one line, with each character that could steer a terminal written as its code: ``\x1b``.

    A lone surrogate, which no encoding can carry, is written so too. ``most`` cuts the text to that length first.
    """
    shown = str(text)[:most]
    if shown.isprintable():
        return shown
    return "".join(_code(c) if unicodedata.category(c) in _STEERING else c for c in shown)


def printable_lines(text: object) -> str:
    """Return a text of several lines, each of them ``printable``."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in str(text).split("\n"))


def encodable(text: str) -> str:
    r"""Return the text with each lone surrogate written as its code, such as ``\ud83d``; all else stays."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()
