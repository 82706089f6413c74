"""Whatever a user can name is in the reference."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

import pytest_mcn_mock
from pytest_mcn_mock import Account, Call, Delivery, FaultKind, MCNServer, Outcome, compose, plugin
from pytest_mcn_mock.cli.commands import INTERRUPTED, STATUS, mcn_mock
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.cdr import VARIABLES
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing import session
from pytest_mcn_mock.testing.waiting import AccountClock, AsyncWaits
from pytest_mcn_mock.web import admin_types
from pytest_mcn_mock.web.admin_types import FlashCallPricesJson, PaidFlashCallPricesJson
from pytest_mcn_mock.web.dialects.table import DialectTable

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / "docs/reference" / name).read_text(encoding="utf-8")


def public_members(cls: type) -> Iterator[str]:
    for owner in cls.__mro__:
        if owner.__module__.startswith("pytest_mcn_mock"):
            for name, member in vars(owner).items():
                if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield name


@pytest.mark.parametrize("cls", [Account, AsyncWaits, AccountClock, Call, Delivery, MCNServer])
def test_every_member_is_in_the_reference(cls: type) -> None:
    text = page("fixtures.md")
    assert [name for name in public_members(cls) if f"| `{name}" not in text] == []


def test_every_parameter_of_a_method_is_in_the_reference() -> None:
    text = page("fixtures.md")
    for name in public_members(Account):
        method = inspect.getattr_static(Account, name)
        if inspect.isfunction(method):
            row = next(line for line in text.splitlines() if line.startswith(f"| `{name}("))
            for parameter in list(inspect.signature(method).parameters)[1:]:
                assert re.search(rf"\b{parameter}\b", row), (name, parameter)


def test_every_public_name_is_in_the_reference() -> None:
    text = page("fixtures.md")
    assert [name for name in pytest_mcn_mock.__all__ if f"`{name}`" not in text] == []
    assert [kind.name for kind in FaultKind if f"`{kind.name}`" not in text] == []
    assert [outcome.name for outcome in Outcome if f"`{outcome.name}`" not in text] == []


def test_every_fixture_argument_and_option_is_in_the_reference(pytester: pytest.Pytester) -> None:
    text = page("fixtures.md")
    fixtures = [name for name in vars(plugin) if name.startswith("mcn")]
    assert set(fixtures) == {"mcn", "mcn_intercept", "mcn_server", "mcn_settings"}
    assert [name for name in [*fixtures, *session.ARGUMENTS] if f"| `{name}` |" not in text] == []
    told = pytester.runpytest_inprocess("--help", "-o", "asyncio_default_fixture_loop_scope=function").stdout.str()
    options = set(re.findall(r"^  (mcn_\w+) \(", told, re.MULTILINE))
    assert options
    assert [name for name in options if f"| `{name}` |" not in text] == []


def test_every_fault_is_in_its_how_to() -> None:
    text = (ROOT / "docs/how-to/faults.md").read_text(encoding="utf-8")
    assert [kind for kind in FaultKind if f"| `{kind}` |" not in text] == []


def test_every_key_of_the_configuration_is_in_the_reference() -> None:
    text = page("config.md")

    def keys(schema: dict[str, object]) -> Iterator[str]:
        for word, value in schema.items():
            if word == "properties" and isinstance(value, dict):
                yield from value
            if word != "$defs" and isinstance(value, dict):
                yield from keys(value)

    schema = json.loads((ROOT / "schemas/config.schema.json").read_text(encoding="utf-8"))
    assert [key for key in keys(schema) if not re.search(rf"`\[*(account\.)?{key}\]*`", text)] == []


def test_every_variable_is_in_its_how_to() -> None:
    text = (ROOT / "docs/how-to/webhook-settings.md").read_text(encoding="utf-8")
    table = text.partition("## Variables")[2].partition("\n## ")[0]
    assert [name for name in VARIABLES if not re.search(rf"^\|[^|]*`{name}`", table, re.MULTILINE)] == []


def test_every_route_and_refusal_is_in_the_reference() -> None:
    text = page("http-api.md")
    application = compose.compose(Settings()).application
    missing = [route for method, path in application.routes() if (route := f"`{method} {path}") not in text]
    assert missing == []
    assert [code for code in RefusalCode if f"| `{code}` |" not in text] == []


def test_every_field_of_the_admin_api_is_in_the_reference() -> None:
    text = page("http-api.md")
    kinds = [kind for kind in vars(admin_types).values() if inspect.isclass(kind) and issubclass(kind, msgspec.Struct)]
    by_country = (FlashCallPricesJson, PaidFlashCallPricesJson)
    own = [kind for kind in kinds if kind.__module__ == admin_types.__name__ and kind not in by_country]
    assert [(kind, name) for kind in own for name in kind.__struct_encode_fields__ if f"`{name}`" not in text] == []


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def test_every_command_and_option_is_in_the_reference() -> None:
    sections = dict(section.split("\n", 1) for section in page("cli.md").split("\n## "))
    for name, command in commands(mcn_mock, "mcn-mock"):
        asks_a_sandbox = any(parameter.name == "url" and parameter.opts[0] == "--url" for parameter in command.params)
        section = sections[f"`{name}`"] + (sections["Which sandbox"] if asks_a_sandbox else "")
        section += sections["`mcn-mock serve`"] if name == "mcn-mock health" else ""  # it takes these options too
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert f"| `{parameter.opts[0]}` |" in section, (name, parameter.opts)
            else:
                assert parameter.make_metavar(click.Context(command)) in section, (name, parameter.name)


def test_every_exit_status_is_in_the_reference() -> None:
    text = page("cli.md")
    assert [status for status in {0, INTERRUPTED, *STATUS.values()} if f"| {status} |" not in text] == []


def test_every_field_of_a_dialects_table_is_in_its_how_to() -> None:
    text = (ROOT / "docs/how-to/add-a-dialect.md").read_text(encoding="utf-8")
    assert [name for name in DialectTable.__struct_fields__ if f"`{name}`" not in text] == []


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("name", ["how-to/monitoring.md", "tutorial/qa-day.md"])
def test_every_label_in_bold_is_on_the_page_of_the_sandbox(name: str, language: str) -> None:
    texts = (ROOT / f"pytest_mcn_mock/web/page/{language}.js").read_text(encoding="utf-8")
    labels = {text.replace(" {n}", "") for text in re.findall(r": '([^']+)'", texts)} | {"CSV", "JSON"}
    text = (ROOT / "docs" / ("ru" if language == "ru" else "") / name).read_text(encoding="utf-8")
    assert set(re.findall(r"\*\*(.+?)\*\*", text)) - labels == set()
