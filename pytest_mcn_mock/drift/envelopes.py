"""The form of a refusal: whether a document has that of a template, and the template that documents have in common.

A template is an ``error_body`` of the settings: a JSON object in which ``$status``, ``$code``, ``$message`` and
``$parameter`` stand for the values of the refusal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_mcn_mock.errors import Refusal, RefusalCode

STATUS, CODE, MESSAGE, PARAMETER = "$status", "$code", "$message", "$parameter"
FEWEST: Final = 3
"""So many refusals of one form are needed to infer a template from them."""
_MAX_CONSTANT: Final = 200
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
_WORDS: Final = frozenset(RefusalCode)


@dataclass(frozen=True, slots=True)
class Sample:
    """A refusal of the server's, and why the fake refuses the same request."""

    document: Any
    status: int
    refusal: Refusal


def read_refusal(document: Any, template: Any) -> dict[str, Any] | None:
    """The values of a refusal by the word that stands for each, or None where the document has another form."""
    values: dict[str, Any] = {}
    return values if _matches(document, template, values) else None


def _matches(document: Any, template: Any, values: dict[str, Any]) -> bool:
    if isinstance(template, str) and template in _KINDS:
        values[template] = document
        return _KINDS[template](document)
    if isinstance(template, Mapping):
        return (
            isinstance(document, dict)
            and set(document) == set(template)
            and all(_matches(document[name], child, values) for name, child in template.items())
        )
    if isinstance(template, (list, tuple)):
        return (
            isinstance(document, list)
            and len(document) == len(template)
            and all(_matches(value, child, values) for value, child in zip(document, template, strict=True))
        )
    return type(document) is type(template) and bool(document == template)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    STATUS: _is_number,
    CODE: _is_text,
    MESSAGE: _is_text,
    PARAMETER: lambda value: value is None or isinstance(value, str),
}


def shape(document: Any) -> str:
    """The form of a document in words: ``{"error": {"code": number, "text": text}}``. Null counts as text."""
    if isinstance(document, dict):
        return "{" + ", ".join(f'"{name}": {shape(document[name])}' for name in sorted(document)) + "}"
    if isinstance(document, list):
        return "[" + ", ".join(map(shape, document)) + "]"
    if isinstance(document, bool):
        return "boolean"
    return "text" if document is None or isinstance(document, str) else "number"


class _Nothing(Exception):
    """No template says what the values have in common."""


def infer_template(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """The template of the most samples that have one form; None where they have none, or are too few to tell."""
    by_shape: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_shape[shape(sample.document)].append(sample)
    most = max(by_shape.values(), key=len, default=[])
    if len(most) < FEWEST or not isinstance(most[0].document, dict):
        return None
    try:
        return {name: _infer([s.document[name] for s in most], most) for name in most[0].document}
    except _Nothing:
        return None


def _infer(values: Sequence[Any], samples: Sequence[Sample]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {name: _infer([value[name] for value in values], samples) for name in first}
    if isinstance(first, list):
        return [_infer([value[n] for value in values], samples) for n in range(len(first))]
    if all(map(_is_number, values)):
        return _infer_number(values, samples)
    if all(value is None or isinstance(value, str) for value in values):
        return _infer_text(values, samples)
    return _constant(values)


def _infer_number(values: Sequence[int], samples: Sequence[Sample]) -> Any:
    is_status = all(value == sample.status for value, sample in zip(values, samples, strict=True))
    if is_status or (len(set(values)) > 1 and all(100 <= value <= 599 for value in values)):
        return STATUS
    return _constant(values)


def _infer_text(values: Sequence[str | None], samples: Sequence[Sample]) -> Any:
    if all(value in _WORDS for value in values):
        return CODE
    named = [value for value in values if value is not None]
    refusals = [sample.refusal for sample in samples]
    if named and any(value == refusal.parameter for value, refusal in zip(values, refusals, strict=True) if value):
        return PARAMETER
    if len(set(values)) == 1:
        return _constant(values)
    if len(named) < len(values):
        raise _Nothing
    return CODE if all(_WORD.fullmatch(value) for value in named) else MESSAGE


def _constant(values: Sequence[Any]) -> Any:
    """The one value there is. Null cannot be written in TOML."""
    first = values[0]
    if first is None or any(type(value) is not type(first) or value != first for value in values):
        raise _Nothing
    if isinstance(first, str) and (first in _KINDS or len(first) > _MAX_CONSTANT):
        raise _Nothing
    return first
