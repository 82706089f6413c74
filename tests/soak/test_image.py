"""The image of ``deploy/Dockerfile``: built on a plain Debian by ``tools/make_image.sh``, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
import requests
from helpers.sandbox import Sandbox, wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "image"
TOKEN = "a-long-admin-token"
BUILDAH = ["buildah", "--storage-driver", "vfs", "--root", f"{FOLDER}/store", "--runroot", f"{FOLDER}/run"]
MISSING = [program for program in ("buildah", "debootstrap") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}: apt-get install buildah debootstrap"),
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="debootstrap needs root"),
]


def buildah(*arguments: str) -> str:
    done = subprocess.run([*BUILDAH, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> Iterator[Any]:
    """What the image says of itself, once it is built."""
    environment = {**os.environ, "PYTHON": sys.executable}
    built = subprocess.run(
        [ROOT / "tools" / "make_image.sh", FOLDER], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    archive = Path(built.stdout.strip())
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 2**20:.0f} MiB")
    yield json.loads(buildah("inspect", "--type", "image", "mcn-mock"))["Docker"]["config"]
    buildah("rm", "--all")


@contextmanager
def running(container: str, command: list[str]) -> Iterator[Sandbox]:
    """The image's own command in a container, on a free port of this machine: chroot has no network of its own."""
    run = [*BUILDAH, "run", "--isolation", "chroot", "--env", f"MCN_MOCK_ADMIN_TOKEN={TOKEN}", container, "--"]
    with (
        TemporaryFile("w+", encoding="utf-8") as log,
        subprocess.Popen([*run, *command, "--port", "0"], stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            greeting: list[str] = []
            while line := process.stdout.readline():
                greeting.append(line)
                if line.startswith("base URL "):
                    break
            if not greeting:
                log.seek(0)
                pytest.fail(log.read())
            yield Sandbox(process, greeting, log)
        finally:
            process.kill()


def inside(sandbox: Sandbox) -> int:
    """The process of the sandbox, below buildah's own: an engine sends its signals to this one."""
    process = sandbox.process.pid
    while children := [
        child for each in Path(f"/proc/{process}/task").glob("*/children") for child in each.read_text().split()
    ]:
        process = int(children[0])
    return process


def user(process: int) -> int:
    return int(re.findall(r"^Uid:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)[0])


def test_the_image_serves_orders_as_a_user_of_its_own_and_keeps_its_state(image: Any) -> None:
    container = buildah("from", "mcn-mock")
    command = [*image["Entrypoint"], *image["Cmd"]]
    with running(container, command) as sandbox:
        assert user(inside(sandbox)) == int(image["User"]) != 0
        uuid = sandbox.flash_call()["verification_call_uuid"]
        port = sandbox.url.rpartition(":")[2]
        check = image["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        told = buildah(
            "run", "--isolation", "chroot", "--env", f"MCN_MOCK_SERVE_PORT={port}", container, "--", *check[1:]
        )
        assert told == f"mcn-mock is ready at http://127.0.0.1:{port}"
        assert requests.get(f"{sandbox.url}/__admin/calls", timeout=60).status_code == 401
        os.kill(inside(sandbox), signal.SIGTERM)
        assert sandbox.process.wait(60) == 0
    with running(container, command) as sandbox:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        calls = requests.get(f"{sandbox.url}/__admin/calls", headers=headers, timeout=60).json()["items"]
        assert [call["verification_call_uuid"] for call in calls] == [uuid]
        os.kill(inside(sandbox), signal.SIGKILL)
        wait_until(lambda: sandbox.process.poll() is not None)
    failed = subprocess.run(
        [*BUILDAH, "run", "--isolation", "chroot", "--env", f"MCN_MOCK_SERVE_PORT={port}", container, "--", *check[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode != 0
    assert "no sandbox answers" in failed.stdout + failed.stderr
