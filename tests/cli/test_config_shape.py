"""A configuration file without a mistake is checked without jsonschema, and one with a mistake never passes."""

from __future__ import annotations

import copy
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_mcn_mock import schemas
from pytest_mcn_mock.cli.shape import surely_fits

SCHEMA = schemas.load("config")
GOOD = tomllib.loads("""
[server]
port = 8643
allowed_hosts = ["mcn.example.test"]
magic_numbers = true
[tariff]
flash_call = { 703 = "0.65" }
[assumed]
error_style = "numeric"
error_body = { any = { thing = [1, "two"] } }
ring_s = 0.5
retry_after_s = [0.5, 1]
paidmethods.other_country = 398
[[account]]
id = 12345678
token = "test-token"
balance = 100
numbers = ["79158888888"]
[[account.webhook]]
url = "http://localhost:8000/webhooks/mcn"
method = "GET"
headers = { X-One = "1" }
constants = { a = 1, b = true }
filter = [{ variable = "code", value = ["1", 2], not = true }]
[[account.outcome]]
login_did = "7915777*"
outcome = "busy"
""")
VALUES = st.one_of(
    st.sampled_from(["", "x", "\n", "GET", "numeric", "7915*", "0.15", "-1", "x" * 600, date(2026, 11, 28), None]),
    st.sampled_from([0, 1, -1, 643, 643.0, 1.5, 10**20, float("inf"), float("nan"), True, False]),
    st.sampled_from([[], {}, [1], ["x"], [[]], [{}], {"x": 1}, {"643": "0.15"}, {"url": "http://h/", "x": 1}]),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of each part of a value, and of a key that it does not have."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, part in parts for place in places(part, (*path, key))]
    own = [path] if path else []
    return [*own, *below, *([(*path, "nothing")] if isinstance(value, dict) else [])]


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    content: Any = copy.deepcopy(GOOD)
    part = content
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return dict(content)


def without(path: tuple[str | int, ...]) -> dict[str, Any]:
    content: Any = copy.deepcopy(GOOD)
    part = content
    for step in path[:-1]:
        part = part[step]
    part.pop(path[-1], None) if isinstance(part, dict) else part.pop(int(path[-1]))
    return dict(content)


def test_a_file_without_a_mistake_loads_no_jsonschema(tmp_path: Path) -> None:
    assert surely_fits(GOOD, SCHEMA, SCHEMA)
    (tmp_path / "mcn-mock.toml").write_text('[[account]]\nid = 1\ntoken = "test-token"\n', encoding="utf-8")
    code = "import sys; sys.modules['jsonschema'] = None; from pytest_mcn_mock.cli import main; main()"
    words = [sys.executable, "-c", code, "config", "check", "mcn-mock.toml"]
    assert subprocess.run(words, check=False, cwd=tmp_path).returncode == 0


@given(st.sampled_from(places(GOOD)), VALUES)
@example(("account", 0, "id"), 1.0)
@example(("server", "port"), True)
@example(("account", 0, "webhook", 0, "headers"), {"x": 1})
def test_nothing_fits_that_jsonschema_refuses(path: tuple[str | int, ...], value: Any) -> None:
    for content in (changed(path, value), without(path)):
        if surely_fits(content, SCHEMA, SCHEMA):
            assert [*Draft202012Validator(SCHEMA).iter_errors(content)] == []


@pytest.mark.parametrize("path", [path for path in places(GOOD) if path[-1] == "nothing"])
def test_an_unknown_key_fits_only_where_every_key_is_allowed(path: tuple[str | int, ...]) -> None:
    is_valid = Draft202012Validator(SCHEMA).is_valid(changed(path, "x"))
    assert surely_fits(changed(path, "x"), SCHEMA, SCHEMA) is is_valid


def test_a_keyword_that_is_not_known_is_left_to_jsonschema() -> None:
    assert surely_fits("x", {"type": "string"}, {})
    assert not surely_fits("x", {"type": "string", "format": "uri"}, {})
