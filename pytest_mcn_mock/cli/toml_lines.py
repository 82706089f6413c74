"""Find the line of each value of a TOML document: ``tomllib`` does not report it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]
"""The steps to a value: ``("account", 0, "webhook", 1, "url")``."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\[\s\S])*?"""(?:"{0,2})' + r"|'''[\s\S]*?'''(?:'{0,2})" + r"""|"(?:[^"\\]|\\.)*"|'[^']*'"""
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")


def find_lines(text: str) -> Mapping[Path, int]:
    """Return the line of each table and value, from 1, by its path. ``text`` must be readable by ``tomllib``."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted, self._line = 0, 1
        self._lines: dict[Path, int] = {}
        self._last: dict[Path, int] = {}
        """The number of the last table of each array of tables."""

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            line = self._current_line()
            if self._take("[["):
                *prefix, name = self._keys()
                array = (*self._resolve(prefix, line), name)
                self._last[array] = number = self._last.get(array, -1) + 1
                table = (*array, number)
                self._lines.setdefault(array, line)
                self._lines[table] = line
                self._take("]]")
            elif self._take("["):
                table = self._resolve(self._keys(), line)
                self._take("]")
            else:
                self._pair(table)
        return self._lines

    def _pair(self, table: Path) -> None:
        line = self._current_line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._take("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._take("["):
            number = 0
            while not self._ends("]"):
                self._lines[*path, number] = self._current_line()
                self._value((*path, number))
                number += 1
        elif self._take("{"):
            while not self._ends("}"):
                self._pair(path)
        elif self._text[self._at] in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _ends(self, closing: str) -> bool:
        """Return whether the list or inline table ends here. Skip a comma before the next item."""
        self._skip(_BLANK)
        if self._take(","):
            self._skip(_BLANK)
        return self._take(closing)

    def _keys(self) -> list[str]:
        """Return the keys of a dotted key."""
        keys = []
        while True:
            self._skip(_SPACE)
            key = self._matched(_KEY)
            keys.append(_unquoted(key))
            self._skip(_SPACE)
            if not self._take("."):
                return keys

    def _resolve(self, keys: list[str], line: int) -> Path:
        """Return the path of a table; in an array of tables, that of the last one.

        If the table is new, it begins in this line, and so do the tables around it: ``[account.webhook]`` makes both.
        """
        path: Path = ()
        for key in keys:
            path = (*path, key)
            self._lines.setdefault(path, line)
            if path in self._last:
                path = (*path, self._last[path])
        return path

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._matched(pattern)
        return self._at

    def _matched(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"tomllib cannot read this TOML: line {self._current_line()}")
        self._at = match.end()
        return match[0]

    def _take(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        self._at += len(word)
        return True

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _unquoted(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0"))) if key[0] in "\"'" else key
