"""What is built is what a project installs: a wheel, in a fresh environment, in a project that knows nothing of us."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST_OF_THE_PROJECT = """
import urllib.request

import pytest_mcn_mock


def test_a_login_rings_a_phone(mcn, mcn_server):
    assert "site-packages" in pytest_mcn_mock.__file__
    mcn_server.expect_request("/hook", method="POST").respond_with_data("")
    mcn.subscribe(mcn_server.url_for("/hook"))
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777&code=0042"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=mcn.headers)) as response:
        assert response.status == 200
    assert mcn.wait_for_cdr().status == 200
    assert str(mcn.balance) == "99.85"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return dist


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_the_package_its_page_its_schemas_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "pytest_mcn_mock").rglob("*.py")}
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "pytest_mcn_mock/web/page").iterdir()}
    schemas = {f"pytest_mcn_mock/_schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    assert page
    assert names == sources | page | schemas | {"pytest_mcn_mock/py.typed"}


def test_the_sdist_has_what_its_tests_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "conftest.py",
        "Makefile",
        "pyproject.toml",
        "schemas/config.schema.json",
        "tests/helpers/sandbox.py",
    } <= names
    assert {"pytest_mcn_mock/web/page/main.js", "tests/web/page/audit.js", "docs/images/calls.png"} <= names
    assert not {name for name in names if "__pycache__" in name}


def test_the_lock_files_name_no_server_but_pypis() -> None:
    """A lock file that was made behind a mirror would name it, and nobody else could install from it."""
    locked = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://([^/\"]+)", locked)) == {"pypi.org", "files.pythonhosted.org"}
    assert "resolved" not in (ROOT / "tools/node/package-lock.json").read_text(encoding="utf-8")


def test_a_project_installs_the_wheel_and_passes_its_own_test_with_no_configuration(
    built: Path, tmp_path: Path
) -> None:
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_login.py").write_text(TEST_OF_THE_PROJECT, encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-compile", wheel, cwd=project)
    assert "1 passed" in run(python, "-m", "pytest", "-q", "-W", "error", cwd=project)
    loads = "from pytest_mcn_mock import schemas; print(schemas.load('config')['title'])"
    assert run(python, "-c", loads, cwd=project) == "mcn-mock.toml\n"
    bare = subprocess.run([python.with_name("mcn-mock"), "serve"], capture_output=True, text=True, check=False)
    assert (bare.returncode, bare.stdout) == (2, "")
    assert "pip install 'pytest-mcn-mock[sandbox]'" in bare.stderr
