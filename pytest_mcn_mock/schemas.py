"""The JSON Schemas that the package ships: ``schemas/`` of a checkout, inside the package once it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_mcn_mock.errors import UnknownItem, nearest

_HERE = Path(__file__).parent
_PLACES = (_HERE / "_schemas", _HERE.parent / "schemas")
_SUFFIX = ".schema.json"


def names() -> list[str]:
    """The names of all schemas."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in _directory().glob(f"*{_SUFFIX}"))


def load(name: str) -> dict[str, Any]:
    """A schema by its name, such as ``config``; UnknownItem, with the nearest name, if there is none."""
    if name not in names():
        raise UnknownItem(f"there is no schema {name[:40]!r}; {nearest(name, names())}")
    schema: dict[str, Any] = json.loads((_directory() / f"{name}{_SUFFIX}").read_text(encoding="utf-8"))
    return schema


def _directory() -> Path:
    for place in _PLACES:
        if place.is_dir():
            return place
    raise UnknownItem(f"the schemas are in none of {', '.join(map(str, _PLACES))}; the installation is incomplete")
