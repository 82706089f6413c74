"""The CI files of docs/examples/ci: their YAML is read, and their commands are run on this machine.

What is not run is what downloads: there the sandbox of the checkout stands for the one that is installed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.sandbox import MCN_MOCK

ROOT = Path(__file__).parents[2]
CI = ROOT / "docs/examples/ci"
INSTALLS = ("apt-get ", "python3 -m venv ", "~/mcn-mock/bin/pip ")
OWN_TESTS = "npm test"
CALL = (
    '#!/bin/sh\nexec curl --silent --fail --request POST --header "Authorization: Bearer $MCN_TOKEN" '
    '"$MCN_BASE_URL/account/$MCN_ACCOUNT/flash_call?login_did=79157777777" >placed.json\n'
)


def github() -> tuple[dict[str, str], list[str], list[str]]:
    """The job's variables, its commands step by step, and those of a failure."""
    job = load("github-actions.yml")["jobs"]["test"]
    steps = [step for step in job["steps"] if "run" in step]
    return (
        job["env"],
        [step["run"] for step in steps if "if" not in step],
        [step["run"] for step in steps if step.get("if") == "failure()"],
    )


def gitlab() -> tuple[dict[str, str], list[str], list[str]]:
    """The same; before_script and script are one shell."""
    job = load("gitlab-ci.yml")["test"]
    return job["variables"], ["\n".join([*job["before_script"], *job["script"]])], ["\n".join(job["after_script"])]


def load(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text(encoding="utf-8"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """A home folder with the sandbox in it, and a shell for each step; what a step leaves in the background goes on."""

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self.home = home
        self._port = str(free_port())
        self._groups: list[int] = []
        for path, content in (
            ("mcn-mock/bin/mcn-mock", f'#!/bin/sh\nexec {shlex.quote(MCN_MOCK)} "$@"\n'),
            ("bin/npm", CALL),
        ):
            program = home / path
            program.parent.mkdir(parents=True)
            program.write_text(content)
            program.chmod(0o755)
        self._environment = {
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            **{name: self._own(value) for name, value in variables.items()},
        }

    def _own(self, text: str) -> str:
        return text.replace("8643", self._port)

    def run(self, commands: str) -> str:
        """Run a step's commands, those that install left out, as the runners do: by bash, up to the first failure."""
        kept = [line for line in commands.splitlines() if not line.startswith(INSTALLS)]
        out = self.home / "out.txt"
        with out.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", self._own("\n".join(kept))],
                cwd=self.home,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.append(process.pid)
        assert process.wait(timeout=60) == 0, out.read_text()
        return out.read_text()

    def stop(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


@pytest.mark.parametrize("read", [github, gitlab])
def test_the_commands_do_what_they_say(tmp_path: Path, read: Any) -> None:
    variables, steps, after_failure = read()
    machine = Machine(tmp_path, variables)
    try:
        for step in steps:
            machine.run(step)
        placed = json.loads((tmp_path / "placed.json").read_text())
        assert placed["object"]["account_id"] == "12345678"
        told = "".join(machine.run(step) for step in after_failure)
    finally:
        machine.stop()
    assert "mcn-mock listens on" in told
    if read is github:
        assert placed["object"]["verification_call_uuid"] in told


@pytest.mark.parametrize("read", [github, gitlab])
def test_what_is_installed_exists(read: Any) -> None:
    _, steps, _ = read()
    (line,) = [line for step in steps for line in step.splitlines() if "pip install" in line]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirement = re.fullmatch(r"~/mcn-mock/bin/pip install '([\w-]+)\[(\w+)\]'", line)
    assert requirement
    assert requirement[1] == project["name"]
    assert requirement[2] in project["optional-dependencies"]
    assert [line for step in steps for line in step.splitlines() if line.startswith("npm")] == [OWN_TESTS]


def test_the_files_have_the_forms_that_their_services_read() -> None:
    """By https://docs.github.com/actions/reference/workflow-syntax-for-github-actions and docs.gitlab.com/ci/yaml."""
    workflow = load("github-actions.yml")
    assert set(workflow) == {"name", True, "permissions", "jobs"}  # YAML 1.1 takes the key "on" for true
    job = workflow["jobs"]["test"]
    assert set(job) == {"runs-on", "timeout-minutes", "env", "steps"}
    assert all(
        set(step) <= {"name", "uses", "run", "if"} and ("uses" in step) != ("run" in step) for step in job["steps"]
    )
    assert set(load("gitlab-ci.yml")["test"]) == {
        *("image", "timeout", "variables", "before_script", "script", "after_script", "artifacts")
    }


@pytest.mark.parametrize(
    "name,of_job",
    [
        ("github-services.yml", lambda file: (file["jobs"]["test"], file["jobs"]["test"]["services"]["mcn"]["env"])),
        ("gitlab-services.yml", lambda file: (file["test"], file["test"]["services"][0]["variables"])),
    ],
)
def test_a_service_has_the_token_that_the_tests_send(name: str, of_job: Any) -> None:
    job, of_sandbox = of_job(load(name))
    of_tests = job.get("env") or job["variables"]
    assert of_sandbox == {"MCN_MOCK_ADMIN_TOKEN": of_tests["MCN_MOCK_ADMIN_TOKEN"]}
    assert of_tests["MCN_BASE_URL"] == f"{of_tests['MCN_MOCK_URL']}/v2/rest"
