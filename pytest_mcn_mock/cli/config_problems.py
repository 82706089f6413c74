"""The mistakes of a configuration file that its schema finds, each as a sentence.

A value that may be a secret is not shown: a token, what is in headers, queries, constants and URLs, and a text in the
place of a number, which may be a token in the wrong line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import TYPE_CHECKING, Any, Final

from pytest_mcn_mock import schemas
from pytest_mcn_mock.cli.toml_lines import Path
from pytest_mcn_mock.errors import nearest
from pytest_mcn_mock.model.webhooks import header_name, shown_url

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_SECRET: Final = frozenset(
    {"token", "admin_token", "headers", "query", "constants", "url", "state", "error_body", "template"}
)
_EXPECTED: Final = {
    "string": "text in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "a table",
    date: "a date",
    time: "a time",
}
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("server",),
    "tariff": ("tariff",),
    "assumed": ("assumed",),
    "account": ("account", "items"),
    "account.webhook": ("account", "items", "webhook", "items"),
    "account.outcome": ("account", "items", "outcome", "items"),
}
"""The tables of a file, and where the schema describes them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake at ``path``, told in ``text``, which begins with the place."""

    path: Path
    text: str


def place_of(path: Path) -> str:
    """The path as text: ``account[0].webhook[1].url``. Items count from 0."""
    shown = ""
    is_header = False
    for step in path:
        key = header_name(str(step)) if is_header else step or '""'
        shown += f"[{step}]" if isinstance(step, int) else f".{key}"
        is_header = step == "headers"
    return shown.removeprefix(".")


def with_brackets_mended(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The content with ``[account]`` taken for ``[[account]]`` and ``[[server]]`` for ``[server]``, and these mistakes.

    So what is in such a table is looked at too.
    """
    mended = dict(content)
    problems: list[Problem] = []
    for name in ("server", "tariff", "assumed"):
        if isinstance(mended.get(name), list) and len(mended[name]) == 1:
            mended[name] = mended[name][0]
            problems.append(_problem((name,), f"it is a list; write [{name}], with one pair of brackets"))
    mended |= _listed(mended, ("account",), problems)
    if isinstance(mended.get("account"), list):
        mended["account"] = [
            {**account, **_listed(account, ("account", i, "webhook"), problems),
             **_listed(account, ("account", i, "outcome"), problems)}
            if isinstance(account, dict) else account
            for i, account in enumerate(mended["account"])
        ]  # fmt: skip
    return mended, problems


def _listed(table: Mapping[str, Any], path: Path, problems: list[Problem]) -> dict[str, Any]:
    """The field that is to be an array of tables, if it is one table."""
    name = str(path[-1])
    if not isinstance(table.get(name), dict):
        return {}
    whole = ".".join(step for step in path if isinstance(step, str))
    problems.append(_problem(path, f"it is one table; write [[{whole}]] in place of [{whole}]"))
    return {name: [table[name]]}


def schema_problems(content: Mapping[str, Any]) -> list[Problem]:
    """What the schema does not allow in a file's content."""
    # Takes a quarter of the sandbox's start, which without a file has nothing to check.
    from jsonschema import Draft202012Validator

    schema = schemas.load("config")
    errors = list(Draft202012Validator(schema).iter_errors(content))
    # Nothing else is said of a value that is not of the type: inf is also more than every limit of a whole number.
    mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
    found = [
        problem
        for error in errors
        if error.validator == "type" or tuple(error.absolute_path) not in mistyped
        for problem in _problems_of(error, schema)
    ]
    return list(dict.fromkeys(found))


def _problems_of(error: ValidationError, schema: Mapping[str, Any]) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    instance: Any = error.instance
    rules = error.schema if isinstance(error.schema, dict) else {}
    known = list(rules.get("properties", {}))
    if error.validator == "additionalProperties":
        for key in sorted(set(instance) - set(known)):
            yield _problem((*path, key), f"is unknown; {_hint(key, known, schema)}")
    elif error.validator == "required":
        misspelt = {_near(key, known) for key in instance if key not in known}
        for key in rules["required"]:
            if key not in instance and key not in misspelt:
                yield _problem((*path, key), "is missing")
    else:
        yield _problem(path, _sentence(error, path, rules))


def _problem(path: Path, what: str) -> Problem:
    return Problem(path, f"{place_of(path)[:200]}: {what}")


def _sentence(error: ValidationError, path: Path, rules: Mapping[str, Any]) -> str:
    is_secret = not _SECRET.isdisjoint(map(str, path))
    limit: Any = error.validator_value
    value: Any = error.instance
    shown = "it" if is_secret else _shown(value)
    match str(error.validator):
        case "type":
            return _of_another_type(value, path, rules, is_secret=is_secret)
        case "enum":
            words = [str(word) for word in limit]
            near = _near(value, words) if isinstance(value, str) else None
            hint = f"; did you mean {near!r}?" if near else ""
            return f"{shown if isinstance(value, str) else 'it'} is not one of {', '.join(words)}{hint}"
        case "minimum":
            return f"{shown} is less than {limit}"
        case "exclusiveMinimum":
            return f"{shown} must be more than {limit}"
        case "maximum":
            return f"{shown} is more than {limit}"
        case "pattern":
            return f"{shown} is not {rules.get('x-mcn-form', 'valid')}"
        case "minLength":
            return "it is empty"
        case "maxLength":
            return f"it is longer than {limit} characters"
        case "maxItems":
            return f"it has more than {limit} items"
    return "it is not valid; docs/reference/config.md says what is"


def _shown(value: object) -> str:
    is_like_url = isinstance(value, str) and ("@" in value or "://" in value)
    return repr(shown_url(str(value)) if is_like_url else value)[:60]


def _of_another_type(value: Any, path: Path, rules: Mapping[str, Any], *, is_secret: bool) -> str:
    wanted = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
    is_shown = isinstance(value, (bool, int, float)) and not is_secret
    subject = _as_toml(value) if is_shown else "the value"
    kind = next((name for type_, name in _KINDS.items() if isinstance(value, type_)), "something else")
    table = ".".join(step for step in path if isinstance(step, str))
    if wanted == ["array"] and rules.get("items", {}).get("type") == "object":
        return f"{subject} is {kind}; write [[{table}]] and its fields below it"
    if isinstance(value, list) and wanted == ["object"]:
        return f"it is a list; write [{table}], with one pair of brackets"
    expected = rules.get("x-mcn-form") or " or ".join(_EXPECTED[name] for name in wanted)
    return f"{subject} is {kind}; write {expected}"


def _as_toml(value: float) -> str:
    return str(value).lower()[:40]


def _hint(key: str, known: list[str], schema: Mapping[str, Any]) -> str:
    """The nearest known key, else the table that the key belongs to, else the known ones."""
    if _near(key, known) is None:
        for table, steps in _TABLES.items():
            properties = _properties(schema, steps)
            if key in properties and set(properties) != set(known):
                is_table = properties[key].get("items", {}).get("type") == "object"
                return f"write [[{table}.{key}]]" if is_table else f"it belongs to [{table}]"
    return nearest(key, known)


def _properties(schema: Mapping[str, Any], steps: tuple[str, ...]) -> Mapping[str, Any]:
    found: Any = schema
    for step in steps:
        found = found["items"] if step == "items" else found["properties"][step]
    properties: Mapping[str, Any] = found["properties"]
    return properties


def _near(word: str, known: list[str]) -> str | None:
    hint = nearest(word, known)
    return next((name for name in known if hint == f"did you mean {name!r}?"), None)
