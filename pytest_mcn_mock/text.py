"""Text from outside, made safe to show: in a report, an error, a log line or a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of invisible characters: controls, surrogates, line separators, marks that turn the direction of
writing.
"""
# Compiled when they are first used: every run of pytest loads this module.
_LONE_SURROGATE: Final = r"[\ud800-\udfff]"
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*://"
_AFTER_PATH: Final = r"(?s)[?#].*"


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


def is_encodable(text: str) -> bool:
    """Return whether the text has no lone surrogate: JSON can spell one, and UTF-8 cannot."""
    return re.search(_LONE_SURROGATE, text) is None


def show_address(host: str, port: int) -> str:
    """Return an address as a URL has it (RFC 3986, 3.2.2): ``127.0.0.1:80`` or ``[::1]:80``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown_url(url: str, most: int | None = None) -> str:
    """Return a URL, or a text that should be one, without its parts that may be secret, cut to ``most`` characters.

    User, password, query and fragment become ``***``, also if they are in the wrong place.
    """
    if _begins_with_a_host(url):
        url = re.sub(_AFTER_PATH, "?***", url)  # an @ in the query is a part of it
    scheme = re.match(_SCHEME, url)
    _, at, behind = url.rpartition("@")
    known = f"{scheme[0] if scheme else ''}***@{behind}" if at else url
    return re.sub(_AFTER_PATH, "?***", known)[:most]


def _begins_with_a_host(url: str) -> bool:
    """Return whether the host, and the port if there is one, are valid: a password with a ``?`` in it is neither."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - the plugin loads this module in every run of pytest

    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()
