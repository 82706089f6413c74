"""The JSON Schemas and the OpenAPI description that the package ships.

They are ``schemas/`` of a checkout, and inside the package once it is installed. To read them needs nothing but the
standard library; ``registry`` needs the extra ``sandbox``.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_mcn_mock.errors import NotFound, nearest
from pytest_mcn_mock.reasons import Reason

if TYPE_CHECKING:
    from referencing import Registry

OPENAPI: Final = "openapi"
"""The name under which the OpenAPI description is among the schemas."""
_HERE = Path(__file__).parent
_PLACES = (_HERE / "_schemas", _HERE.parent / "schemas")
_SUFFIX = ".schema.json"


def names() -> list[str]:
    """Return the names of all schemas, and ``openapi``."""
    return sorted(_files())


@lru_cache(maxsize=64)
def read(name: str) -> bytes:
    """Return a schema by its name, such as ``config``, as it is in its file. Raises NotFound, with the nearest name, if
    there is none.
    """
    files = _files()
    if name not in files:
        raise NotFound(Reason("schema_not_found", {"name": repr(name[:40]), "hint": nearest(name, sorted(files))}))
    return files[name].read_bytes()


def load(name: str) -> dict[str, Any]:
    """Return a schema by its name, parsed."""
    schema: dict[str, Any] = json.loads(read(name))
    return schema


def registry() -> Registry[Any]:
    """Return every schema by its ``$id``, for a validator that follows each ``$ref`` offline."""
    from referencing import Registry, Resource

    loaded = [load(name) for name in names() if name != OPENAPI]
    return Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in loaded])


def _files() -> dict[str, Path]:
    directory = _directory()
    files = {path.name.removesuffix(_SUFFIX): path for path in directory.glob(f"*{_SUFFIX}")}
    return {**files, OPENAPI: directory / f"{OPENAPI}.json"}


def _directory() -> Path:
    for place in _PLACES:
        if place.is_dir():
            return place
    raise NotFound(f"the schemas are in none of {', '.join(map(str, _PLACES))}; the installation is incomplete")
