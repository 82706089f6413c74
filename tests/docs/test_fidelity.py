"""The table docs/fidelity.toml, the tests it names, the page made from it and the marks in the schemas agree."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pytest_mcn_mock import Assumptions, PaidMethodsAssumptions, schemas
from pytest_mcn_mock.conformance.cases import CASES, Case
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.web.dialects import API_MCN, PAIDMETHODS
from pytest_mcn_mock.web.dialects.table import DialectTable

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((ROOT / "docs/fidelity.toml").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = TABLE["row"]
BY_ID = {row["id"]: row for row in ROWS}
LEVELS = ("documented", "observed", "assumed")
TESTS = {
    (level, node.name.removeprefix("test_")): ast.get_docstring(node) or ""
    for level in LEVELS
    for node in ast.parse((ROOT / f"tests/docs/test_{level}.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}
KEYS = {
    "id", "section", "level", "says", "source", "quote", "shown", "note", "setting", "no_setting", "nobody_knows"
}  # fmt: skip


def of_level(level: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [row for row in ROWS if row["level"] == level], ids=lambda row: row["id"])


def test_every_row_has_its_test_and_every_test_its_row() -> None:
    assert len(BY_ID) == len(ROWS)
    assert {(row["level"], row["id"]) for row in ROWS} == set(TESTS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_row_says_what_it_needs_to_and_names_real_settings(row: dict[str, Any]) -> None:
    assert set(row) <= KEYS
    assert row["section"]
    assert row["says"]
    assert row["level"] in LEVELS
    assert row.get("shown", "text") in {"text", "sample", "inferred"}
    assert "source" not in row or row["source"] in TABLE["source"]
    assert [key for key in row.get("setting", ()) if not is_setting(key)] == []


@of_level("documented")
def test_a_documented_row_quotes_the_sentence_that_its_test_holds(row: dict[str, Any]) -> None:
    assert row["source"] == "article"
    held = TESTS["documented", row["id"]]
    assert held
    quoted, *parts = (re.sub(r"\W+", " ", text).strip() for text in (row["quote"], *held.split("…")))
    assert all(part in quoted for part in parts)


@of_level("observed")
def test_an_observed_row_has_a_source_and_a_date(row: dict[str, Any]) -> None:
    assert row["source"] != "article"
    assert TABLE["source"][row["source"]]["date"]


@of_level("assumed")
def test_an_assumed_row_has_a_setting_or_a_reason_for_none(row: dict[str, Any]) -> None:
    assert ("setting" in row) != ("no_setting" in row)
    assert row.get("setting", row.get("no_setting"))


@of_level("assumed")
def test_the_webhook_has_a_setting_for_all_that_is_assumed_unless_nobody_knows(row: dict[str, Any]) -> None:
    is_of_the_webhook = row["section"].startswith("The webhook")
    assert "setting" in row or not is_of_the_webhook or row["nobody_knows"] is True
    assert "nobody_knows" not in row or (is_of_the_webhook and "no_setting" in row)


def test_every_assumption_has_a_row() -> None:
    named = {key for row in ROWS for key in row.get("setting", ())}
    keys = [f"assumed.{name}" for name in Assumptions.__struct_fields__ if name != "paidmethods"]
    keys += [f"assumed.paidmethods.{name}" for name in PaidMethodsAssumptions.__struct_fields__]
    assert [key for key in keys if key not in named] == []


def test_every_refusal_has_a_row() -> None:
    said = " ".join(row["says"] for row in ROWS)
    assert [code for code in RefusalCode if f"`{code}`" not in said] == []


def test_the_page_and_its_picture_are_made_from_the_table() -> None:
    command = [sys.executable, str(ROOT / "tools/make_fidelity.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", schemas.names())
def test_a_level_in_a_schema_is_that_of_a_row(name: str) -> None:
    """What is the fake's own needs no row: it is no statement about the vendor's service."""
    for found in marked(schemas.load(name)):
        level, row = found["x-mcn-level"], found.get("x-mcn-fidelity")
        described = json.dumps(found, ensure_ascii=False)[:200]
        if level == "own":
            assert row is None, described
        else:
            assert row in BY_ID, described
            assert BY_ID[row]["level"] == level, described


@pytest.mark.parametrize(
    "dialect,heading", [(API_MCN, "What the fake reports"), (PAIDMETHODS, "What it reports of `paidmethods`")]
)
def test_the_how_to_lists_everything_that_a_request_may_rely_on_with_its_level(
    dialect: DialectTable, heading: str
) -> None:
    text = (ROOT / "docs/how-to/client-fidelity.md").read_text(encoding="utf-8")
    text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| .* \| (`.+`) \| \[(\w+)\]\(../fidelity.md#(\w+)\) \|$", text, re.MULTILINE)
    assert sorted(
        (rule, level, row) for rules, level, row in listed for rule in re.findall(r"`(.+?)`", rules)
    ) == sorted((key, str(rule.level), row_of(rule.schema, dialect)) for key, rule in dialect.fidelity.rules.items())


def test_the_how_to_has_the_level_of_every_variable() -> None:
    text = (ROOT / "docs/how-to/webhook-settings.md").read_text(encoding="utf-8")
    common, variables = schemas.load("common")["$defs"], schemas.load("cdr")["$defs"]["variables"]["properties"]
    known = {name: common[found["$ref"].rpartition("/")[2]] if "$ref" in found else found
             for name, found in variables.items()}  # fmt: skip
    listed = re.findall(r"^\| (`[^|]+`) \| .* \| \[(\w+)\]\(../fidelity.md#(\w+)\) \|$", text, re.MULTILINE)
    assert sorted(
        (name, level, row) for names, level, row in listed for name in re.findall(r"`(.+?)`", names)
    ) == sorted((name, found["x-mcn-level"], found["x-mcn-fidelity"]) for name, found in known.items())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_of_the_check_names_a_source_of_the_table_as_the_table_does(case: Case) -> None:
    for title, day in re.findall(r"handbook, ([^:;]+), (\d{4}-\d\d-\d\d)", case.source):
        assert [s for s in TABLE["source"].values() if s["title"].startswith(title) and s["date"] == day], case.source


def row_of(place: str, dialect: DialectTable) -> str:
    """The row that is named at a place in the schemas, the same for every method that has the place."""
    rows = set()
    for method in Method:
        where = place.format(method=dialect.fidelity.spelling[method], name="code")
        file, _, pointer = where.partition("#")
        found: Any = schemas.load(file.removeprefix("schemas/").removesuffix(".json").removesuffix(".schema"))
        for step in pointer.split("/")[1:]:
            found = found.get(unquote(step).replace("~1", "/"), {})
        rows.add(found.get("x-mcn-fidelity"))
    (row,) = rows - {None}
    return str(row)


def marked(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema that has a level or names a row."""
    if isinstance(value, dict) and isinstance(value.get("x-mcn-level", value.get("x-mcn-fidelity")), str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from marked(item)


def is_setting(key: str) -> bool:
    """Whether the configuration file has the key."""
    found: Any = schemas.load("config")
    for name in key.split("."):
        found = found.get("items", found).get("properties", {}).get(name)
        if found is None:
            return False
    return True
