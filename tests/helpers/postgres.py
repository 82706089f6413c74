"""A PostgreSQL cluster of the tests' own, in a temporary folder and over a socket file. Debian: ``postgresql``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

USER: Final = "postgres"
PORT: Final = 5432
"""Only the name of the socket's file depends on it."""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, None if they are not installed. Debian has them outside PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Cluster:
    """A running cluster. PostgreSQL refuses to run as root, so that the user of Debian's package owns it then.

    ``options`` are settings of the server. By default nothing waits for the disk: a crash of the machine loses commits.
    """

    def __init__(self, options: str = "-F") -> None:
        self._options = options
        folder = programs()
        if folder is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = folder
        self._databases = count()
        self._as_user: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="mcn-mock-pg-"))
        if self._as_user:
            shutil.chown(self.folder, USER, USER)
        self._run("initdb", "--auth=trust", "--no-sync", f"--username={USER}", "--encoding=UTF8")
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        options = f"{self._options} -p {PORT} -k {self.folder} -c listen_addresses='' -c max_connections=100"
        self._run("pg_ctl", "start", "--wait", "--silent", "-l", str(self.folder / "log"), "-o", options)

    @property
    def pid(self) -> int:
        """The process of the server, whose children are those of its connections."""
        return int((self.folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: ``immediate`` is as if it had crashed."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "-m", mode)

    def end(self) -> None:
        """Stop the server, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={PORT}"

    def new_url(self) -> str:
        """The URL of a new database."""
        name = f"mcn_{next(self._databases)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        data = ("-D", str(self.folder / "data"))
        subprocess.run(
            [self._programs / program, *data, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            **self._as_user,
        )
