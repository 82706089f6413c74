"""Every behaviour has its row in docs/fidelity.md, and every row its test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pytest_mcn_mock import Assumptions
from pytest_mcn_mock.errors import RefusalCode

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/fidelity.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| behaviour")
]
TESTS = {
    f"{path.name}::{node.name}": (path.stem.removeprefix("test_"), ast.get_docstring(node) or "")
    for path in [ROOT / f"tests/docs/test_{level}.py" for level in ("documented", "observed", "assumed")]
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}


def test_every_behaviour_has_one_row_and_every_row_its_test() -> None:
    assert sorted(row[-1].strip("`") for row in ROWS) == sorted(TESTS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_is_complete_and_its_level_is_that_of_its_test(row: list[str]) -> None:
    _, level, source, test = row
    assert level == TESTS[test.strip("`")][0]
    assert source


@pytest.mark.parametrize("row", [row for row in ROWS if row[1] == "documented"], ids=lambda row: row[0][:40])
def test_a_documented_row_quotes_the_sentence_that_its_test_holds(row: list[str]) -> None:
    quoted = re.sub(r"\W+", " ", row[2]).strip()
    held = re.sub(r"\W+", " ", TESTS[row[3].strip("`")][1]).strip()
    assert held
    assert held in quoted or quoted in held or held.split(" где ")[0] in quoted


def test_every_assumption_is_a_setting_with_a_row() -> None:
    assumed = " ".join(row[2] for row in ROWS if row[1] == "assumed")
    assert [name for name in Assumptions.__struct_fields__ if f"`{name}`" not in assumed] == []


def test_every_refusal_has_a_row() -> None:
    assert [code for code in RefusalCode if f"`{code}`" not in TEXT] == []
