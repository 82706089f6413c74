"""The version comes from Git's tags, and a copy without them still has one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def git(repository: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *who, *arguments], cwd=repository, capture_output=True, check=True)


def commit(repository: Path) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "project: change")


def version_of(folder: Path) -> str:
    command = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the project's configuration and no Git."""
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def repository(folder: Path) -> Path:
    """The same folder as a Git repository with one commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", "pyproject.toml")
    commit(folder)
    return folder


def test_a_tagged_commit_has_the_version_of_its_tag(repository: Path) -> None:
    git(repository, "tag", "v1.0.0rc1")
    assert version_of(repository) == "1.0.0rc1"


def test_a_later_commit_is_a_development_version_of_the_next_release(repository: Path) -> None:
    git(repository, "tag", "v1.2.3")
    commit(repository)
    assert re.fullmatch(r"1\.2\.4\.dev1\+g[0-9a-f]+", version_of(repository))


def test_a_repository_without_tags_has_a_development_version(repository: Path) -> None:
    assert re.fullmatch(r"0\.1\.1\.dev1\+g[0-9a-f]+", version_of(repository))


def test_a_shallow_clone_has_a_development_version(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v1.2.3")
    commit(repository)
    commit(repository)
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    assert re.fullmatch(r"0\.1\.1\.dev1\+g[0-9a-f]+", version_of(tmp_path / "shallow"))


def test_a_copy_without_git_has_the_fallback_version(folder: Path) -> None:
    assert version_of(folder) == "0.1.0"


def test_an_sdist_keeps_the_version_that_it_was_built_with(folder: Path) -> None:
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: pytest-mcn-mock\nVersion: 3.2.1\n", encoding="utf-8")
    assert version_of(folder) == "3.2.1"
