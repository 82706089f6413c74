"""Finds the endpoint of a path. (werkzeug's router would do, and takes a seventh of the sandbox's start to import.)"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from pytest_mcn_mock.web.http import Endpoint, Endpoints

_VARIABLE: Final = re.compile(r"<(int:)?(\w+)>")
_FORMS: Final = {None: "[^/]+", "int:": "[0-9]{1,18}"}

Target = tuple[Endpoint, Mapping[str, Any]]
"""An endpoint, and the variables of a path."""


class NoRoute(Exception):
    """There is no endpoint. ``allowed`` are the methods that the path has; it is empty if there is no such path."""

    def __init__(self, allowed: Collection[str]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


class Routes:
    """The endpoints below a base path. In their paths ``<name>`` stands for text without a slash, and ``<int:name>``
    for a whole number. A slash at the end of a path has no meaning, and an endpoint for GET answers HEAD too. The first
    path that fits counts.
    """

    def __init__(self, base: str, endpoints: Endpoints) -> None:
        methods: dict[str, dict[str, Endpoint]] = {}
        for (method, path), endpoint in endpoints.items():
            methods.setdefault(path, {})[method] = endpoint
            if method == "GET":
                methods[path]["HEAD"] = endpoint
        self._rules = [(_pattern(f"{base}/{path}"), _numbers(path), methods[path]) for path in methods]

    def find(self, method: str, path: str) -> Target:
        """Return the endpoint, and the variables of its path. Raises NoRoute if there is none."""
        allowed: set[str] = set()
        for pattern, numbers, methods in self._rules:
            if (found := pattern.fullmatch(path)) is None:
                continue
            if method in methods:
                variables = found.groupdict()
                return methods[method], variables | {name: int(variables[name]) for name in numbers}
            allowed |= methods.keys()
        raise NoRoute(allowed)


def shown(path: str) -> str:
    """Return a path as the reference writes it: its variables are in braces."""
    return _VARIABLE.sub(r"{\2}", path)


def _pattern(path: str) -> re.Pattern[str]:
    """Return what a path has to match. An endless number is no variable, because ``int`` refuses it."""
    parts = _VARIABLE.split(path.rstrip("/"))  # text, form, name, text, …
    named = (f"(?P<{name}>{_FORMS[form]})" for form, name in zip(parts[1::3], parts[2::3], strict=True))
    return re.compile("".join(a + b for a, b in zip(map(re.escape, parts[::3]), [*named, "/?"], strict=True)))


def _numbers(path: str) -> list[str]:
    return [name for form, name in _VARIABLE.findall(path) if form]
