"""Write a description in OpenAPI as a Markdown page: ``docs/conf.py`` puts it into ``docs/reference/openapi.md``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
    "array": "list",
}
SCHEMAS = "#/components/schemas/"
RESPONSES = "#/components/responses/"
FORM = "application/x-www-form-urlencoded"


def write(description: dict[str, Any]) -> str:
    """Return the page's Markdown, which begins below its first heading."""
    return "\n".join(Page(description).lines())


class Page:
    """The page of one description."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._description = description
        self._messages: dict[str, Any] = {
            name: schema for name, schema in description["components"]["schemas"].items() if name != "common"
        }

    def lines(self) -> Iterator[str]:
        """Yield the page line by line: the operations by tag, the webhook, the messages."""
        for tag in self._description["tags"]:
            yield from ("", f"## {tag['name'].capitalize()}", "", plain(tag["description"]))
            for path, item in self._description["paths"].items():
                base = (item.get("servers") or self._description["servers"])[0]["url"]
                for method in METHODS:
                    if tag["name"] in item.get(method, {}).get("tags", ()):
                        prefix = "" if path.startswith("/__admin") else base
                        yield from self._operation(f"{method.upper()} {path}", item[method], prefix)
        yield from ("", "## Webhooks", "", "The requests that the operator sends.")
        for name, item in self._description.get("webhooks", {}).items():
            yield from self._operation(name, item["post"], "")
        yield from ("", "## Errors", "", "What the statuses of the operations above mean.")
        yield from self._errors()
        yield from ("", "## Messages", "", "The JSON objects of the requests and answers above.")
        for name, schema in sorted(self._messages.items()):
            yield from self._message(name, schema)

    def _operation(self, heading: str, operation: dict[str, Any], base: str) -> Iterator[str]:
        yield from ("", f"### `{heading}`", "", sentence(operation.get("summary", "")))
        if base:
            yield from ("", f"The vendor's base URL is `{base}`.")
        if text := operation.get("description"):
            yield from ("", plain(text))
        if level := operation.get("x-mcn-level"):
            fidelity = operation.get("x-mcn-fidelity")
            row = f"[{level}](../fidelity.md#{fidelity})" if fidelity else level
            yield from ("", f"Level: {row}.")
        parameters = [
            (f"`{given['name']}`", given["in"], yes_no(given), self._type(given["schema"]), plain(given["description"]))
            for given in map(self._found, operation.get("parameters", ()))
        ]
        yield from table(("parameter", "in", "required", "value", "meaning"), parameters)
        if body := operation.get("requestBody"):
            media = self._found(body)["content"]
            if FORM in media:
                yield from ("", "The parameters may be in a form or in a JSON object in the body instead.")
            else:
                yield from ("", f"Body: {', '.join(self._bodies(self._found(body)))}.")
        answers = [
            (status, plain(answer["description"]), ", ".join(self._bodies(answer)))
            for status, answer in operation["responses"].items()
            if "$ref" not in answer
        ]
        yield from table(("status", "meaning", "body"), answers)
        errors = [
            f"[{status}](#{anchor(given['$ref'].removeprefix(RESPONSES))})"
            for status, given in operation["responses"].items()
            if "$ref" in given
        ]
        if errors:
            yield from ("", f"Errors: {', '.join(errors)}.")

    def _errors(self) -> Iterator[str]:
        for name, answer in self._description["components"]["responses"].items():
            status = name.rpartition("_")[2]
            yield from ("", f"({anchor(name)})=")
            yield f"- **{status}**: {plain(answer['description'])} Body: {', '.join(self._bodies(answer))}."

    def _bodies(self, answer: dict[str, Any]) -> Iterator[str]:
        for media, content in answer.get("content", {}).items():
            schema = content.get("schema", {})
            yield self._type(schema) if media == "application/json" and schema else f"`{media}`"

    def _message(self, name: str, schema: dict[str, Any]) -> Iterator[str]:
        yield from ("", f"({anchor(name)})=", f"### `{name}`", "", sentence(schema.get("title", "")))
        if text := schema.get("description"):
            yield from ("", plain(text))
        required = schema.get("required", ())
        rows = [
            (
                f"`{field}`",
                "yes" if field in required else "no",
                self._type(kind),
                plain(kind.get("description", self._found(kind).get("description", ""))),
            )
            for field, kind in schema.get("properties", {}).items()
        ]
        yield from table(("field", "required", "value", "meaning"), rows)
        if not rows:
            yield from ("", f"Value: {self._type({**schema, 'title': ''})}.")

    def _found(self, given: dict[str, Any]) -> dict[str, Any]:
        """What a reference names, or the thing itself."""
        while "$ref" in given:
            found: Any = self._description
            for part in given["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            given = found
        return given

    def _type(self, schema: dict[str, Any]) -> str:
        name = schema.get("$ref", "").removeprefix(SCHEMAS)
        if name in self._messages:
            return f"[`{name}`](#{anchor(name)})"
        schema = self._found(schema)
        if "const" in schema:
            return value(schema["const"])
        if "enum" in schema:
            return ", ".join(map(value, schema["enum"]))
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return " or ".join(dict.fromkeys(self._type(kind) for kind in schema[word]))
        if "items" in schema:
            return f"list of: {self._type(schema['items'])}"
        if isinstance(of := schema.get("additionalProperties"), dict) and of:
            return f"object of: {self._type(of)}"
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return (" or ".join(TYPES[kind] for kind in kinds) or "any value") + bounds(schema)


def bounds(schema: dict[str, Any]) -> str:
    """Return what limits a value, such as ``, from 1 to 5``; empty if nothing does."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None:
        return f", from {least}"
    if most is not None:
        return f", at most {most}"
    if "maxLength" in schema:
        return f", at most {schema['maxLength']} characters"
    return ""


def value(given: object) -> str:
    """Return a constant as JSON has it, or ``empty``."""
    return "empty" if given == "" else f"`{json.dumps(given, ensure_ascii=False)}`".replace('"', "")


def plain(text: str) -> str:
    """Return a text of the description as one line of Markdown that shows it as it is."""
    return re.sub(r"([\\*<>|\[\]])", r"\\\1", " ".join(text.split()))


def sentence(text: str) -> str:
    """Return the text as a sentence, with its full stop."""
    return f"{plain(text).removesuffix('.')}." if text else ""


def yes_no(given: dict[str, Any]) -> str:
    """Say whether a parameter is required."""
    return "yes" if given.get("required") else "no"


def anchor(name: str) -> str:
    """Return the label of a message or an error."""
    return f"openapi-{re.sub(r'[^a-z0-9]+', '-', name)}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table, or nothing if it has no rows."""
    for number, row in enumerate(rows):
        if not number:
            yield from ("", f"| {' | '.join(head)} |", "|---" * len(head) + "|")
        yield f"| {' | '.join(row)} |"
