"""Reads the parsed JSON of a request into the types of ``web/admin_types.py``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from pytest_mcn_mock.errors import Refusal, RefusalCode, nearest
from pytest_mcn_mock.reasons import Reason

_UNIONS: Final = (Union, UnionType)
_WORDS: Final[Mapping[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}
_T = TypeVar("_T", bound=Struct)


def decode(
    content: Any, kind: type[_T], place: str = "the body", *, now: Mapping[str, Any] = MappingProxyType({})
) -> _T:
    """Return the typed value of a parsed JSON object; ``place`` names it in an error. ``now`` are the values of fields
    that are not given; any other has its default.

    Types are checked here, and the rules of the model check values. A field that is null counts as not given, unless
    null has a meaning of its own.

    Raises Refusal ``invalid_parameter`` or ``missing_parameter``, which names the field.
    """
    if not isinstance(content, dict):
        raise invalid("body", Reason("not_object", {"place": place, "value": _said(content)}))
    for name in content:
        if name not in kind.__struct_encode_fields__:
            known = nearest(name, kind.__struct_encode_fields__)
            raise invalid(name[:40], Reason("field_unknown", {"name": repr(name[:40]), "place": place, "hint": known}))
    given = {}
    for name, attribute, hint, is_required in _fields_of(kind):
        where = name if place == "the body" else f"{place}.{name}"
        value = content.get(name)
        if value is not None:
            given[attribute] = _decode_value(value, hint, name, where)
        elif name in now:
            given[attribute] = now[name]
        elif name in content and NoneType in get_args(hint):
            given[attribute] = None
        elif is_required:
            raise Refusal(RefusalCode.MISSING_PARAMETER, Reason("required", {"name": where}), name)
    return kind(**given)


def decode_list(content: Any, kind: type[_T]) -> list[_T]:
    """Return the typed values of a JSON array, or of the object that shows such a list; the errors are decode's."""
    if isinstance(content, dict):
        for name in content:
            if name not in ("items", "next"):
                raise invalid(name[:40], Reason("list_field_unknown", {"name": repr(name[:40])}))
        if not isinstance(content.get("next"), int | None) or isinstance(content.get("next"), bool):
            raise invalid("next", Reason("next", {"value": _said(content["next"])}))
        content = content.get("items")
    if not isinstance(content, list):
        raise invalid("items", Reason("not_items"))
    return [decode(item, kind, f"items[{i}]") for i, item in enumerate(content)]


def invalid(name: str, reason: Reason) -> Refusal:
    """Return the refusal of a field or a parameter."""
    return Refusal(RefusalCode.INVALID_PARAMETER, reason, name)


@cache
def _fields_of(kind: type[Struct]) -> list[tuple[str, str, Any, bool]]:
    """Return each field's name in JSON and in Python, its type, and whether it is required."""
    hints = get_type_hints(kind)
    return [(one.encode_name, one.name, hints[one.name], one.required) for one in msgspec.structs.fields(kind)]


def _decode_value(value: Any, hint: Any, name: str, where: str) -> Any:
    """Return the value if it has the hint's type: an enum for its word, and typed items of a list."""
    kinds = [kind for kind in (get_args(hint) if get_origin(hint) in _UNIONS else (hint,)) if kind is not NoneType]
    for kind in kinds:
        base = get_origin(kind) or kind
        if issubclass(base, Enum) and isinstance(value, str):
            try:
                return base(value)
            except ValueError:
                raise invalid(
                    name,
                    Reason(
                        "word_unknown", {"name": where, "value": repr(value[:40]), "hint": nearest(value, list(base))}
                    ),
                ) from None
        is_right = isinstance(value, int | float if base is float else base)  # a whole number is a number too
        if is_right and isinstance(value, bool) is (base is bool):
            item = get_args(kind)[0] if base is list else None
            if isinstance(item, type) and issubclass(item, Struct):
                return [decode(given, item, f"{where}[{i}]") for i, given in enumerate(value)]
            return value
    words = [
        next(word for base, word in _WORDS.items() if issubclass(get_origin(kind) or kind, base)) for kind in kinds
    ]
    raise invalid(name, Reason("wrong_type", {"name": where, "value": _said(value), "kinds": " or ".join(words)}))


def _said(value: object) -> str:
    """Return a number or a switch as JSON has it, and else only its type: text may be secret."""
    if value is None or isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()[:40]
    return _WORDS[type(value)]
