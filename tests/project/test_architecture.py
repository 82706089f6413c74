"""Rules that the package as a whole keeps."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_mcn_mock
from pytest_mcn_mock import schemas
from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.web.dialects import DIALECTS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pytest_mcn_mock"


def test_imports_go_down_only() -> None:
    """In a process of its own: import-linter switches off every logger that there is."""
    lint_imports = str(Path(sys.executable).with_name("lint-imports"))
    command = [lint_imports, "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_dialects_name_a_path_or_a_host_of_the_vendors() -> None:
    """Elsewhere they are in docstrings alone, which are for people."""
    named = {name for table in DIALECTS for name in (*table.hosts, table.root)}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "dialects":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            (path.name, node.lineno)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
            if any(name in node.value for name in named) and not node.value.startswith("A fake api.mcn.ru")
        ]
    scripts = [path for path in (PACKAGE / "web/page").glob("*.js") if any(n in path.read_text("utf-8") for n in named)]
    assert (found, scripts) == ([], [])


def test_the_front_door_has_what_it_lists() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pytest_mcn_mock")
        for alias in node.names
    }
    assert set(pytest_mcn_mock.__all__) == typed
    assert pytest_mcn_mock.__all__ == sorted(pytest_mcn_mock.__all__)
    for name in pytest_mcn_mock.__all__:
        assert getattr(pytest_mcn_mock, name).__name__ == name
    assert set(pytest_mcn_mock.__all__) <= set(dir(pytest_mcn_mock))
    with pytest.raises(AttributeError):
        pytest_mcn_mock.Nothing  # noqa: B018 - it is the look-up that raises


def public_objects() -> Iterator[tuple[str, object]]:
    for info in pkgutil.walk_packages(pytest_mcn_mock.__path__, "pytest_mcn_mock."):
        module = importlib.import_module(info.name)
        yield info.name, module
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != info.name:
                continue
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{info.name}.{name}", value
            if inspect.isclass(value):
                for member, attribute in vars(value).items():
                    if not member.startswith("_") and (
                        inspect.isfunction(attribute) or isinstance(attribute, property)
                    ):
                        yield f"{info.name}.{name}.{member}", attribute


def test_everything_public_has_a_docstring() -> None:
    """A method of a class that implements a port is described there."""
    docs = {name: inspect.getdoc(value) or "" for name, value in public_objects()}
    assert [
        name
        for name, doc in docs.items()
        if not doc and "Implements ``service.ports" not in docs.get(name.rpartition(".")[0], "")
    ] == []


def test_the_plugin_imports_nothing_heavy() -> None:
    """It is loaded in every pytest run of everybody who installs it."""
    code = (
        "import sys, pytest; before = set(sys.modules); import pytest_mcn_mock.plugin; "
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    small = ("clocks", "plugin", "text")
    assert done.stdout.split() == ["pytest_mcn_mock", *(f"pytest_mcn_mock.{name}" for name in small)]


def test_the_schemas_are_found_by_name() -> None:
    assert schemas.load("config") == schemas.load("config")
    assert schemas.names() == sorted(
        path.name.partition(".json")[0].removesuffix(".schema") for path in (ROOT / "schemas").iterdir()
    )
    with pytest.raises(NotFound, match="config"):
        schemas.load("confg")
    with pytest.raises(NotFound):
        schemas.load("../pyproject")
