"""The examples that are projects of their own pass their own tests, run as their developers run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers.sandbox import MCN_MOCK, running_application, running_sandbox, wait_until

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
ADMIN_TOKEN = "only-for-this-job"


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run a command; its output, after a look at its status. No variable of this run reaches it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NODE_"))}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_of(example: str, tmp_path: Path) -> Path:
    """The example in a folder of its own, so that its database is not left in the checkout."""
    copy = tmp_path / example
    shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    return copy


def test_django(tmp_path: Path) -> None:
    project = copy_of("django_login", tmp_path)
    assert "No changes detected" in run(sys.executable, "manage.py", "makemigrations", "--check", cwd=project)
    told = run(sys.executable, "-m", "pytest", "-q", "-p", "no:faker", cwd=project)
    passed = re.search(r"^(\d+) passed in", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) >= 20


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing: apt-get install nodejs")
@pytest.mark.parametrize("with_url", [False, True], ids=["starts_a_sandbox", "is_given_one"])
def test_node(with_url: bool) -> None:
    with running_sandbox() if with_url else nullcontext() as sandbox:
        where = {"MCN_MOCK_URL": sandbox.url} if sandbox else {"MCN_MOCK": MCN_MOCK}
        told = run("node", "--test", "--test-reporter=tap", cwd=EXAMPLES / "node_login", **where)
    assert re.search(r"^# fail 0$", told, re.MULTILINE), told
    passed = re.search(r"^# pass (\d+)$", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) >= 12


@pytest.mark.skipif(shutil.which("go") is None, reason="go is missing: apt-get install golang-go")
def test_go(tmp_path: Path) -> None:
    with running_sandbox("--admin-token", ADMIN_TOKEN) as sandbox:
        told = run(
            *("go", "test", "-v", "./..."),
            cwd=EXAMPLES / "go_login",
            MCN_MOCK_URL=sandbox.url,
            MCN_MOCK_ADMIN_TOKEN=ADMIN_TOKEN,
            GOCACHE=str(tmp_path),
            GOFLAGS="-count=1",
        )
    assert "--- PASS: TestABusyPhone" in told


@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is missing: apt-get install default-jdk-headless")
def test_java(tmp_path: Path) -> None:
    project = EXAMPLES / "java_login"
    run("javac", "-Xlint:all", "-Werror", "-d", str(tmp_path), "Login.java", "LoginTest.java", cwd=project)
    with running_sandbox("--admin-token", ADMIN_TOKEN) as sandbox:
        where = {"MCN_MOCK_URL": sandbox.url, "MCN_MOCK_ADMIN_TOKEN": ADMIN_TOKEN}
        told = run("java", "-ea", "-cp", str(tmp_path), "LoginTest", cwd=project, **where)
    assert told == "1 passed\n"


def test_locust(tmp_path: Path) -> None:
    """The page's own example, against the login in Flask: each login is a call, and each call's CDR arrives."""
    page = (EXAMPLES.parent / "how-to/load-tests.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^locust (.+)$", page, re.MULTILINE)
    (config,) = re.findall(r"^```toml\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    (load,) = re.findall(r"^```python\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "locustfile.py").write_text(load, encoding="utf-8")
    with running_sandbox(config=config.replace("delay_s = 3.0", "delay_s = 0.3")) as sandbox:
        where = {"MCN_BASE_URL": f"{sandbox.url}/v2/rest", "MCN_ACCOUNT": "12345678", "MCN_TOKEN": "test-token"}
        with running_application("flask", "--app", "app", "run", cwd=EXAMPLES / "flask_login", **where) as application:
            sandbox.admin("accounts/12345678/webhooks/1", "PATCH", {"url": f"{application}/webhooks/mcn"})
            longer = command.replace("--run-time 3s", "--run-time 10s")  # a loaded machine is slow to start the users
            arguments = longer.replace("http://127.0.0.1:8000", application).split()
            (login,) = json.loads(run(sys.executable, "-m", "locust", *arguments, "--json", cwd=tmp_path))
            logins = login["num_requests"]
            assert (logins > 0, login["num_failures"]) == (True, 0)
            wait_until(lambda: sandbox.admin("overview")["deliveries"]["pending"] == 0)
            overview = sandbox.admin("overview")
    assert logins <= overview["accepted"] <= logins + 4, "as many more as there are users"
    assert overview["deliveries"] == {"pending": 0, "delivered": overview["accepted"], "failed": 0}
