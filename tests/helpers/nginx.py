"""nginx before a sandbox, for the tests that need one."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or shutil.which("nginx")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not here: apt-get install nginx-light")


@contextmanager
def running_nginx(folder: Path, configure: Callable[[int], str]) -> Iterator[int]:
    """Run nginx with its files in ``folder``, and yield its port. ``configure`` gives the http block for that port."""
    assert NGINX is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr warn; events {{}}"
        f"http {{ access_log off; {temporary}\n{configure(port)} }}"
    )
    command = [NGINX, "-c", str(config), "-p", str(folder), "-e", "stderr"]
    log = folder / "nginx.log"  # a pipe that nobody empties would stop it
    with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=10).close()
                    break
                except ConnectionRefusedError:
                    continue
            assert process.poll() is None, log.read_text()
            yield port
        finally:
            process.terminate()
