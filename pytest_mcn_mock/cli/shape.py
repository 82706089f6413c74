"""Whether the content of a configuration file fits its schema, without jsonschema.

To load jsonschema takes a third of the sandbox's start, and with it a file of a thousand accounts takes a second. A
file without a mistake does not need it: jsonschema explains the mistakes of a file that has some.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_LIMITS: Final[Mapping[str, tuple[tuple[type, ...], Callable[[Any, Any], bool]]]] = {
    "minimum": ((int, float), operator.ge),
    "exclusiveMinimum": ((int, float), operator.gt),
    "maximum": ((int, float), operator.le),
    "minLength": ((str,), lambda text, least: len(text) >= least),
    "maxLength": ((str,), lambda text, most: len(text) <= most),
    "pattern": ((str,), lambda text, pattern: re.search(pattern, text) is not None),
    "maxItems": ((list,), lambda items, most: len(items) <= most),
    "required": ((dict,), lambda table, names: table.keys() >= set(names)),
}
"""For each keyword the types that it limits, and whether a value is within the limit."""
_KNOWN: Final = frozenset({"type", "properties", "additionalProperties", "items", *_LIMITS})
_ABOUT_THE_SCHEMA: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "x-mcn-level", "x-mcn-form"})
"""Keywords that demand nothing of a value."""


def surely_fits(value: Any, rules: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Return whether a value fits the rules, which are a part of the schema.

    False only means that jsonschema has to look: at 1.0, which is a whole number to JSON Schema, at a keyword that is
    not known here, and at a mistake.
    """
    if "$ref" in rules:
        return surely_fits(value, schema["$defs"][rules["$ref"].removeprefix("#/$defs/")], schema)
    if "enum" in rules:
        return any(type(value) is type(word) and value == word for word in rules["enum"])
    wanted = [rules["type"]] if isinstance(rules["type"], str) else rules["type"]
    if not any(type(value) in _TYPES[name] for name in wanted):
        return False
    if not rules.keys() <= _KNOWN | _ABOUT_THE_SCHEMA:
        return False
    for keyword in rules.keys() & _LIMITS.keys():
        types, is_within = _LIMITS[keyword]
        if type(value) in types and not is_within(value, rules[keyword]):
            return False
    return all(below is not False and surely_fits(item, below, schema) for item, below in _parts(value, rules))


def _parts(value: Any, rules: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each part of a table or a list that has rules, with its rules: False if it is not allowed."""
    if isinstance(value, dict):
        known, others = rules.get("properties", {}), rules.get("additionalProperties")
        parts = [(item, known.get(name, others)) for name, item in value.items()]
    elif isinstance(value, list):
        parts = [(item, rules.get("items")) for item in value]
    else:
        parts = []
    return ((item, below) for item, below in parts if below is not None)
