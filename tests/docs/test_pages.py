"""Every code block of the documentation holds: the blocks of a page are run in their order.

A Python block with a test in it is run by a pytest of its own, in an empty folder; one without is a module if its first
line names it (``# app.py``), and else goes before the tests that follow. A TOML block is what its first line names. A
bash block is run; in it ``mcn-mock serve`` starts a sandbox on a free port, which stands for the default one from then
on, ``$SANDBOX`` for its process, also after a start with ``&``; one with ``--port`` stands for that port only. DATABASE
stands for a new database.
``flask --app`` and ``mcn-mock listen`` start an application, which stands for the one at port 8000 from then on,
in files too; what the listener prints is what a later text block may show. A PHP or
JavaScript block is the file that its first comment names; the page is skipped where the machine does not have the
language. A JSON block is the form of what the last command printed. ``# test_failing.py`` has to fail, and a text block
after it is a part of what pytest printed, but for ports and times.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers.postgres import Cluster
from helpers.sandbox import MCN_MOCK, running_application, running_listener, running_sandbox, wait_until
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

from pytest_mcn_mock.cli import config

if TYPE_CHECKING:
    from sybil import Example

ROOT = Path(__file__).parents[2]
# The blocks of a Russian page are those of its English sister: test_translations.py.
PAGES = sorted({ROOT / "README.md", *ROOT.glob("docs/**/*.md")} - set(ROOT.glob("docs/ru/**/*.md")))
_NAMED = re.compile(r"# (?P<name>[\w.-]+\.(?:py|toml))\n")
# What installs; what the page is written for; and Locust, which test_projects.py runs with an application.
_NOT_RUN = (
    "SANDBOX=",
    "locust ",
    "pip install",
    "pytest",
    "make ",
    "cd ",
    "git ",
    "python -m venv",
    "python3 -m venv",
    ". .venv/",
)
DEFAULT_PORT = "8643"
APPLICATION = "http://127.0.0.1:8000"
DATABASE = "postgresql://mcn@db.example.test/mcn"
_OPTIONS = ("-q", "-p", "no:randomly", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function")


def _python(example: Example) -> None:
    code, namespace = str(example.parsed), example.namespace
    pytester: pytest.Pytester = namespace["pytester"]
    named = _NAMED.match(code)
    if "def test_" in code:
        name = named["name"] if named else f"test_block_{example.line}.py"
        (pytester.path / name).write_text(namespace["preamble"] + code, encoding="utf-8")
        if (pytester.path / "settings.py").exists():  # Django is set up once in a process
            result = pytester.runpytest_subprocess(*_OPTIONS, name)
        else:
            for path in pytester.path.glob("*.py"):  # a module of another project that has the same name; pytester
                sys.modules.pop(path.stem, None)  # puts it back
            result = pytester.runpytest_inprocess(*_OPTIONS, name)
        if name == "test_failing.py":
            assert result.ret == pytest.ExitCode.TESTS_FAILED
            namespace["printed"] = result.stdout.str()
            return
        tests = len(re.findall(r"^(?:    )?(?:async )?def test_", code, re.MULTILINE))
        assert result.ret == pytest.ExitCode.OK
        assert result.parseoutcomes()["passed"] >= tests
    elif named:
        (pytester.path / named["name"]).write_text(code, encoding="utf-8")
    else:
        namespace["preamble"] += code + "\n\n"


def _toml(example: Example) -> None:
    code, pytester = str(example.parsed), example.namespace["pytester"]
    named = _NAMED.match(code)
    assert named, "the first line of a TOML block names its file"
    path = pytester.path / named["name"]
    path.write_text(code.replace(APPLICATION, example.namespace["application"]), encoding="utf-8")
    if named["name"] == "mcn-mock.toml":
        config.load(path)


def _program(interpreter: str, example: Example) -> None:
    if shutil.which(interpreter) is None:
        pytest.skip(f"{interpreter} is missing, and the page has a program for it")
    code, namespace = str(example.parsed), example.namespace
    named = re.match(r"(?:<\?php\n)?// (?P<name>[\w.-]+)\n", code)
    assert named, "the first comment of a program names its file"
    (namespace["pytester"].path / named["name"]).write_text(code.replace(DEFAULT_PORT, namespace["port"]))


def _bash(example: Example) -> None:
    namespace = example.namespace
    for command in str(example.parsed).replace("\\\n", "").splitlines():
        if not command.strip() or command.startswith(("#", *_NOT_RUN)):
            continue
        if command.startswith("mcn-mock serve"):
            arguments = (
                command.replace(DATABASE, namespace["database"])
                .removeprefix("mcn-mock serve")
                .removesuffix(" &")
                .split()
            )
            port = arguments[arguments.index("--port") + 1] if "--port" in arguments else None
            arguments += ["--port", "0"]
            sandbox = namespace["stack"].enter_context(running_sandbox(*arguments, cwd=namespace["pytester"].path))
            if port is not None:
                namespace["ports"][port] = sandbox.url.rpartition(":")[2]
                continue
            namespace["port"] = sandbox.url.rpartition(":")[2]
            namespace["pid"] = str(sandbox.process.pid)
            continue
        if command.startswith("mcn-mock listen"):
            namespace["listener"] = namespace["stack"].enter_context(running_listener(*command.split()[2:]))
            namespace["application"] = namespace["listener"].url
            continue
        if command.startswith("flask --app "):
            application = running_application(*command.split()[:4], cwd=namespace["pytester"].path)
            namespace["application"] = namespace["stack"].enter_context(application)
            continue
        done = subprocess.run(
            ["bash", "-c", _on_their_ports(command, namespace)],
            capture_output=True,
            text=True,
            check=True,
            cwd=namespace["pytester"].path,
            env=_environment(namespace["port"]),
        )
        namespace["printed"] = done.stdout


def _environment(port: str) -> dict[str, str]:
    """That of a shell in which ``mcn-mock`` is the installed one and finds the page's sandbox."""
    path = os.pathsep.join([str(Path(MCN_MOCK).parent), os.environ.get("PATH", os.defpath)])
    given = {"MCN_MOCK_URL": f"http://127.0.0.1:{port}", "MCN_MOCK_SERVE_PORT": port}
    return {**os.environ, "PATH": path, **given}


def _on_their_ports(command: str, namespace: dict[str, Any]) -> str:
    """The command with the ports that the page's sandbox and application really have."""
    command = command.replace(DEFAULT_PORT, namespace["port"]).replace(APPLICATION, namespace["application"])
    for port, real in namespace["ports"].items():
        command = command.replace(port, real)
    return command.replace("$SANDBOX", namespace["pid"]).replace(DATABASE, namespace["database"])


def _json(example: Example) -> None:
    printed = example.namespace["printed"]
    assert printed, "a JSON block shows what the command before it printed"
    assert _form(json.loads(printed)) == _form(json.loads(str(example.parsed)))


def _text(example: Example) -> None:
    shown, listener = _steady(str(example.parsed)), example.namespace["listener"]
    if listener is not None and shown not in _steady(example.namespace["printed"]):
        wait_until(lambda: shown in _steady(listener.printed()))
        return
    assert shown in _steady(example.namespace["printed"])


def _steady(text: str) -> str:
    """What is the same in every run: without ports, times and spaces at the end of a line."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "00:00:00", text)
    return re.sub(r"after \d+ ms|[ \t]+$", "", text, flags=re.MULTILINE)


def _form(value: Any) -> Any:
    """What has to be the same where numbers are random: keys, and each value with its digits blotted out."""
    if isinstance(value, dict):
        return {name: _form(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_form(item) for item in value]
    return re.sub(r"[0-9a-f]{12}_|\d", "0", value) if isinstance(value, str) else value


PARSERS = [
    CodeBlockParser("python", _python),
    CodeBlockParser("toml", _toml),
    CodeBlockParser("bash", _bash),
    CodeBlockParser("php", partial(_program, "php")),
    CodeBlockParser("javascript", partial(_program, "node")),
    CodeBlockParser("json", _json),
    CodeBlockParser("text", _text),
]


def new_database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database; only pages that need one start a cluster."""
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.new_url()


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_every_block_of_the_page_holds(pytester: pytest.Pytester, page: str, request: pytest.FixtureRequest) -> None:
    document = Sybil(parsers=PARSERS, path=str(ROOT), patterns=["**/*.md"]).parse(ROOT / page)
    with ExitStack() as stack:
        document.namespace.update(
            pytester=pytester,
            preamble="",
            port=DEFAULT_PORT,
            pid="",
            application=APPLICATION,
            listener=None,
            printed="",
            stack=stack,
            ports={},
            database=new_database(request) if DATABASE in document.text else "",
        )
        for example in document.examples():
            try:
                example.evaluate()
            except Exception as error:
                error.add_note(f"in the block at {page}:{example.line}")
                raise
