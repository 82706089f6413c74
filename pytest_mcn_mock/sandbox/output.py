"""What the command line prints: text without a character that could steer a terminal, and JSON."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import click

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what is no visible character: controls, escapes, marks that turn the direction of writing."""


def clean(text: object) -> str:
    r"""The text with what could steer a terminal spelt out, an escape as ``\x1b``; on one line."""
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(_spell(c) if unicodedata.category(c) in _STEERING else c for c in shown)


def clean_lines(text: str) -> list[str]:
    """The lines of a text, each cleaned."""
    return [clean(line.replace("\t", "    ")) for line in text.replace("\r\n", "\n").split("\n")]


def _spell(character: str) -> str:
    return character.encode("unicode_escape").decode()


def print_json(document: Any, *, indent: int | None = 2) -> None:
    """One JSON document, in ASCII, so that no terminal is steered and no encoding in the way."""
    click.echo(json.dumps(document, indent=indent).replace("\x7f", "\\u007f"))


def prepare_output() -> None:
    """Let a character that the output's encoding lacks be spelt out, not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def moment(text: object) -> str:
    """A moment of the API, in UTC to the second: ``2026-01-01 12:00:00``; anything else as it is."""
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return "" if text is None else str(text)


def count(number: int, word: str, words: str | None = None) -> str:
    """The number with its noun: ``count(2, "call") == "2 calls"``."""
    return f"{number} {word if number == 1 else words or f'{word}s'}"


def outcome_of(call: dict[str, Any]) -> str:
    """How a call ended, with its Q.850 cause: ``busy 17``; its state while it has not."""
    if call.get("outcome") is None:
        return str(call.get("state", ""))
    return f"{call['outcome']} {call.get('q931_status')}"


def result_of(delivery: dict[str, Any]) -> str:
    """What the last attempt led to: its HTTP status, or why there was no answer."""
    attempts: Sequence[dict[str, Any]] = delivery.get("attempts") or ()
    if not attempts:
        return str(delivery.get("note") or "not tried yet")
    last = attempts[-1]
    return f"HTTP {last['status']}" if last.get("status") is not None else str(last.get("error"))
