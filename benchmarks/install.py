"""Installs what the sandbox is compared with, in build/bench. What cannot be installed is said to be missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "bench"
MODULES = FOLDER / "npm" / "node_modules"
PYTHON = FOLDER / "venv" / "bin" / "python"

FROM_PYPI = {"Flask": "flask", "pytest-httpserver": "pytest-httpserver"}
FROM_NPM = {
    "Express": "express",
    "mountebank": "mountebank",
    "Prism": "@stoplight/prism-cli",
    "Mockoon": "@mockoon/cli",
    "WireMock": "wiremock",
}
OTHER_PYTHONS = ("3.12", "3.13", "3.14")
PROFILER = FOLDER / "venv" / "bin" / "py-spy"
FROM_DEBIAN = {"nginx": "nginx-light", "wrk": "wrk", "node": "nodejs", "npm": "npm", "java": "default-jre-headless"}
"""The program, and its package."""


def install() -> tuple[dict[str, str], dict[str, str]]:
    """The versions of what is there, and of what is not, why."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for program, package in FROM_DEBIAN.items():
        if (why := _install_program(program, package)) is not None:
            missing[program] = why
    _install_from_pypi(versions, missing)
    _install_from_npm(versions, missing)
    _install_on_pythons(missing)
    for name, command in _VERSIONS.items():
        if name not in missing:
            versions[name] = _first_line(command)
    return versions, missing


def _install_program(program: str, package: str) -> str | None:
    if shutil.which(program):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"not on this machine; apt-get install {package} needs root"
    _run("apt-get", "update", "-q")
    why = _run("apt-get", "install", "-qy", "--no-install-recommends", package)
    return why if why or shutil.which(program) else f"{package} has no {program}"


def _install_from_pypi(versions: dict[str, str], missing: dict[str, str]) -> None:
    if not PYTHON.exists():
        venv.create(FOLDER / "venv", with_pip=True)
    why = _run(str(PYTHON), "-m", "pip", "install", "--quiet", *FROM_PYPI.values(), "requests", "py-spy")
    for name, package in FROM_PYPI.items():
        if why is not None:
            missing[name] = why
        else:
            code = f"from importlib.metadata import version; print(version({package!r}))"
            versions[name] = _first_line([str(PYTHON), "-c", code])


def pythons() -> dict[str, Path]:
    """The other Pythons on which the sandbox is installed here, by their versions."""
    return {version: python for version in OTHER_PYTHONS if (python := _venv_of(version) / "bin" / "python").exists()}


def _venv_of(version: str) -> Path:
    return FOLDER / f"python-{version}"


def _install_on_pythons(missing: dict[str, str]) -> None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in OTHER_PYTHONS:
        found = [*pyenv.glob(f"{version}.*/bin/python"), *map(Path, filter(None, [shutil.which(f"python{version}")]))]
        if not found:
            missing[f"Python {version}"] = "not on this machine"
            continue
        if not (python := _venv_of(version) / "bin" / "python").exists():
            _run(str(found[0]), "-m", "venv", str(_venv_of(version)))
        why = _run(str(python), "-m", "pip", "install", "--quiet", f"{ROOT}[sandbox]") or _run(
            str(python), "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", str(ROOT)
        )
        if why is not None:
            missing[f"Python {version}"] = why
            shutil.rmtree(_venv_of(version))


def _install_from_npm(versions: dict[str, str], missing: dict[str, str]) -> None:
    if why := missing.get("npm") or missing.get("node"):
        missing.update(dict.fromkeys(FROM_NPM, f"npm is missing: {why}"))
        return
    MODULES.parent.mkdir(exist_ok=True)
    for name, package in FROM_NPM.items():
        manifest = MODULES / package / "package.json"
        # One at a time, so that one that fails takes no other with it.
        why = (
            None
            if manifest.exists()
            else _run("npm", "install", "--no-audit", "--no-fund", package, cwd=MODULES.parent)
        )
        if manifest.exists():
            versions[name] = json.loads(manifest.read_text(encoding="utf-8"))["version"]
        else:
            missing[name] = why or "npm installed nothing"
    if "java" in missing:
        missing["WireMock"] = f"java is missing: {missing['java']}"


def _run(*command: str, cwd: Path | None = None) -> str | None:
    """None where the command succeeded, else the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1][:200]


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


_VERSIONS: dict[str, list[str]] = {
    "nginx": ["nginx", "-v"],
    "node": ["node", "--version"],
    "java": ["java", "-version"],
    "wrk": ["wrk", "-v"],
    "python": [sys.executable, "--version"],
}

Say = Callable[[str], None]


if __name__ == "__main__":
    print(json.dumps(install(), indent=1))
