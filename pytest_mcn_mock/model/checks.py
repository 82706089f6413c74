"""Checks of a tester's arguments. Each raises UsageError with the argument's name, its value and the valid values.

A bool is not a number here, although it is one in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.text import is_encodable, shown_url

_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f]")
_BEHIND_AN_ADDRESS = re.compile(r"\][^:]")
MAX_SHOWN = 60
MAX_DELAY_S = 86_400.0
"""A day."""
MAX_URL_LENGTH = 2048
MAX_TIMEOUT_S = 86_400.0
"""A day: no test waits longer, and the platform's own waits have a bound too."""


def show(value: object) -> str:
    """Return the value as Python writes it, cut to 60 characters."""
    try:
        text = repr(value)
    except Exception:  # a repr of the user's own, or a whole number with too many digits to write
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def is_short(value: object, most: int) -> bool:
    """Return whether the value as text has at most ``most`` characters, or a whole number a little fewer.

    Python refuses to write a number of more than 4300 digits.
    """
    return value.bit_length() <= 3 * most if isinstance(value, int) else len(str(value)) <= most


def check_bool(value: object, *, name: str) -> bool:
    """Return the value if it is True or False."""
    if not isinstance(value, bool):
        raise UsageError(Reason("not_bool", {"name": name, "value": show(value)}), name)
    return value


def check_text(value: object, *, name: str, example: str) -> str:
    """Return the value if it is text."""
    if not isinstance(value, str):
        raise UsageError(Reason("not_text", {"name": name, "value": show(value), "example": repr(example)}), name)
    return value


def check_whole(value: object, *, name: str, least: int, most: int, also: str = "") -> int:
    """Return the value if it is a whole number from ``least`` to ``most``. ``also`` is another value that is right."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(
            Reason("not_whole", {"name": name, "value": show(value), "least": least, "most": most, "also": also}), name
        )
    return value


def check_number(value: object, *, name: str, more_than: float, most: float) -> float:
    """Return the value if it is a number above ``more_than`` and up to ``most``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not more_than < value <= most:
        raise UsageError(
            Reason("not_number", {"name": name, "value": show(value), "least": f"{more_than:g}", "most": f"{most:g}"}),
            name,
        )
    return value


def check_seconds(value: object, *, name: str, least: float = 0, most: float = MAX_DELAY_S) -> float:
    """Return the value if it is a number of seconds from ``least`` to ``most``."""
    # NaN is in no range, and a whole number is compared as it is: it may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise UsageError(
            Reason("not_seconds", {"name": name, "value": show(value), "least": f"{least:g}", "most": f"{most:g}"}),
            name,
        )
    return value


def check_timeout(value: object, *, name: str = "timeout") -> float:
    """Return the value if it is a number of seconds that a test may wait."""
    return check_seconds(value, name=name, most=MAX_TIMEOUT_S)


def check_mapping(value: object, *, name: str, example: str) -> Mapping[Any, Any]:
    """Return the value if it is a mapping, such as a dict."""
    if not isinstance(value, Mapping):
        raise UsageError(Reason("not_mapping", {"name": name, "value": show(value), "example": example}), name)
    return value


def check_list(value: object, *, name: str, example: str) -> list[Any]:
    """Return the items of a list, a tuple or another iterable, but of a text or a mapping."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise UsageError(Reason("not_list", {"name": name, "value": show(value), "example": example}), name)
    return list(value)


def check_url(value: object, *, name: str, example: str, is_base: bool = False) -> str:
    """Return the value if it is an http or https URL with a host.

    A base URL, to which paths are added, is in ASCII and has no user, query and fragment. The error leaves out the
    parts that may be secret.
    """
    if not isinstance(value, str):
        raise UsageError(Reason("not_url_text", {"name": name, "value": show(value), "example": repr(example)}), name)
    shown = shown_url(value, 80)
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_url = is_url and not _BEHIND_AN_ADDRESS.search(parts.netloc)  # urlsplit ignores that part
    except ValueError:
        is_url = False
    if not is_url or _NOT_IN_A_URL.search(value) or not is_encodable(value):
        raise UsageError(Reason("not_url", {"name": name, "value": repr(shown), "example": repr(example)}), name)
    if is_base and (not value.isascii() or "@" in parts.netloc or parts.query or parts.fragment):
        form = "a base URL, in ASCII and without user, query and fragment"
        raise UsageError(f"{name} {shown!r} is not {form}, such as {example!r}", name)
    if len(value) > MAX_URL_LENGTH:
        raise UsageError(Reason("url_too_long", {"name": name, "n": len(value), "most": MAX_URL_LENGTH}), name)
    return value
