"""Makes the schemas of the admin API from its types, ``web/admin_types.py``; ``--check`` only compares.

Every other schema in ``schemas/`` is written by hand: it describes the messages of the vendor.
"""

from __future__ import annotations

import inspect
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.accounts import MAX_FAULTS, MAX_RULES
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome
from pytest_mcn_mock.web import admin_types as types

SCHEMAS = Path(__file__).parents[1] / "schemas"
COMMON = "common.schema.json#/$defs"
SHARED: dict[type[Enum | Struct], str] = {
    Outcome: "outcome",
    Method: "method",
    Dialect: "dialect",
    RefusalCode: "refusal_code",
    types.ConditionJson: "condition",
}
"""Types whose schema is written by hand in ``common.schema.json``, by their names there."""
CHANGE = (
    "Fields that are not given stay unchanged. A header with the value *** keeps its value. enabled true counts the "
    "failures from 0."
)
NULL = "Null counts as not given."

SHOWN: dict[str, type[Struct]] = {
    "account": types.AccountJson,
    "account.opened": types.AccountOpenedJson,
    "attempt": types.AttemptJson,
    "call": types.CallJson,
    "clock.advanced": types.AdvancedJson,
    "delivery": types.DeliveryJson,
    "done": types.DoneJson,
    "entry": types.EntryJson,
    "fault": types.FaultJson,
    "health": types.HealthJson,
    "mistake": types.MistakeJson,
    "reloaded": types.ReloadedJson,
    "outcome": types.RuleJson,
    "overview": types.OverviewJson,
    "readiness": types.ReadinessJson,
    "request": types.RequestJson,
    "webhook": types.WebhookJson,
    "webhook.previewed": types.PreviewJson,
}
"""Schemas of answers, by name."""
GIVEN: dict[str, type[Struct]] = {
    "account.change": types.AccountChangeJson,
    "account.open": types.OpeningJson,
    "call.complete": types.EndingJson,
    "call.place": types.OrderJson,
    "clock.advance": types.AdvanceJson,
    "fault.given": types.FaultJson,
    "outcome.given": types.RuleGivenJson,
    "session.open": types.SessionJson,
    "top_up": types.TopUpJson,
    "webhook.create": types.WebhookGivenJson,
    "webhook.preview": types.PreviewedWebhookJson,
}
"""Schemas of requests. A field that has a default may be left out or null."""
LISTS: dict[str, str] = {
    "account": "accounts",
    "call": "calls",
    "delivery": "deliveries",
    "entry": "movements of money",
    "fault": "faults",
    "mistake": "mistakes",
    "outcome": "outcome rules",
    "request": "requests",
    "webhook": "webhooks",
}
"""The items of lists, in the plural."""
REPLACED: dict[str, int] = {"fault": MAX_FAULTS, "outcome": MAX_RULES}
"""Lists that are given as a whole, and how many items each has at most."""


class Maker:
    """Makes the schema of an answer or of a request."""

    def __init__(self, *, is_given: bool, is_change: bool = False) -> None:
        self._is_given = is_given
        self._is_change = is_change
        named = GIVEN if is_given else SHOWN
        self._names = {kind.__name__: name for name, kind in named.items()}
        self._components: dict[str, Any] = {}
        self._kinds: dict[str, Any] = {}

    def make(self, kind: type[Struct]) -> dict[str, Any]:
        """The schema of an object."""
        _, self._components = msgspec.json.schema_components([kind], ref_template="{name}")
        self._kinds = {**vars(types), **{enum.__name__: enum for enum in SHARED}}
        return self._object(kind)

    def _object(self, kind: type[Struct]) -> dict[str, Any]:
        described = self._components[kind.__name__]
        fields = msgspec.structs.fields(kind)
        properties = {name: self._tidy(value) for name, value in described["properties"].items()}
        if self._is_given:
            required = [field.encode_name for field in fields if field.required and not self._is_change]
            for field in fields:
                if field.encode_name not in required:
                    properties[field.encode_name] = self._optional(properties[field.encode_name], field.default)
        else:
            required = [field.encode_name for field in fields if field.default is not UNSET]
        made = {"type": "object", "additionalProperties": False}
        if required:
            made["required"] = required
        if properties:
            made["properties"] = properties
        if self._is_given and hasattr(kind, "rule"):
            made["$ref"] = f"{COMMON}/{kind.rule}"
        return made

    def _optional(self, schema: dict[str, Any], default: Any) -> dict[str, Any]:
        """The schema of a field that may be null."""
        text = {"description": schema.pop("description")} if "description" in schema else {}
        if "anyOf" in schema:
            choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
            text["anyOf"] = [*choices, {"type": "null"}]
        elif "enum" in schema:
            text["enum"] = [*schema["enum"], None]
        elif "$ref" in schema:
            text["anyOf"] = [schema, {"type": "null"}]
        else:
            text.update({**schema, "type": [schema["type"], "null"]})
        if not self._is_change and isinstance(default, bool | int | float | str):
            text["default"] = default
        return text

    def _tidy(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a part of msgspec's schema, with our references instead of its own."""
        text = {"description": schema["description"]} if "description" in schema else {}
        reference = schema.get("$ref", "")
        if "#" in reference:
            return {"$ref": reference, **text}
        if reference in self._names:
            return {"$ref": f"{self._names[reference]}.schema.json", **text}
        if reference:
            kind = self._kinds[reference]
            if kind in SHARED:
                return {"$ref": f"{COMMON}/{SHARED[kind]}", **text}
            if issubclass(kind, Struct):
                return {**text, **self._object(kind)}
            return {**text, "enum": [str(word) for word in kind]}
        made = {name: value for name, value in schema.items() if name != "default"}
        for name in ("items", "additionalProperties"):
            if isinstance(made.get(name), dict):
                made[name] = self._tidy(made[name])
        if "anyOf" in made:
            made["anyOf"] = [self._tidy(choice) for choice in made["anyOf"]]
        return made


def make() -> dict[str, Any]:
    """Every schema of the admin API, by its name."""
    shown, given, changed = Maker(is_given=False), Maker(is_given=True), Maker(is_given=True, is_change=True)
    made = {name: {**_head(name, kind), **shown.make(kind)} for name, kind in SHOWN.items()}
    for name, kind in GIVEN.items():
        has_optional = any(not field.required for field in msgspec.structs.fields(kind))
        made[name] = {**_head(name, kind, NULL if has_optional else ""), **given.make(kind)}
    change = _named("webhook.change", "The changes of a webhook", f"{CHANGE} {NULL}")
    made["webhook.change"] = {**change, **changed.make(types.WebhookGivenJson)}
    following = {"$ref": f"{COMMON}/next"}
    for name, many in LISTS.items():
        head = _named(f"{name}.list", f"A list of {many}", "At most limit items, and the cursor of the next page.")
        items = {
            "description": f"The {many}.",
            "type": "array",
            "items": {"$ref": f"{name}.schema.json"},
        }
        made[f"{name}.list"] = {**head, **_object(items=items, next=following)}
    for name, most in REPLACED.items():
        text = "In place of those there are: the list itself, or an object with it in items, as it is shown."
        head = _named(f"{name}.replace", f"The {LISTS[name]} of an account", text)
        array = {"type": "array", "maxItems": most, "items": {"$ref": f"{name}.given.schema.json"}}
        as_shown = _object(items={"description": "The list.", **array}, next=following)
        made[f"{name}.replace"] = {**head, "oneOf": [array, {**as_shown, "required": ["items"]}]}
    names = {kind: name for name, kind in SHOWN.items()}
    events = []
    for name, kind in types.EVENTS.items():
        title, _ = _said(kind)
        data = {"$ref": f"{names[kind]}.schema.json"} if kind in names else {"description": title, **shown.make(kind)}
        events.append(_object(event={"description": "The kind of event.", "const": name}, data=data))
    head = _named("event", "A server-sent event", "Its event and, as an object, its data.")
    made["event"] = {**head, "oneOf": events}
    return made


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _said(kind: type[Struct]) -> tuple[str, str]:
    """The title and the description of a type."""
    title, _, text = (inspect.getdoc(kind) or "").partition("\n\n")
    return title.removesuffix("."), " ".join(text.split())


def _head(name: str, kind: type[Struct], more: str = "") -> dict[str, Any]:
    title, text = _said(kind)
    return _named(name, title, f"{text} {more}".strip())


def _named(name: str, title: str, description: str) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://pytest-mcn-mock.invalid/schemas/{name}.schema.json",
        "title": title,
        "description": f"The fake's own. {description}",
        "x-mcn-level": "own",
    }


def main() -> None:
    """Write the schemas, or say which are out of date."""
    old = []
    for name, schema in make().items():
        path, text = SCHEMAS / f"{name}.schema.json", json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            old.append(path.name)
    if old:
        raise SystemExit(f"out of date are {', '.join(old)}: make schemas")


if __name__ == "__main__":
    main()
