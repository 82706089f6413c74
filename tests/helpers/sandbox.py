"""A running sandbox, and applications beside it, as processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit

import requests

from helpers import schema_plugin
from helpers.client import RUSSIAN

MCN_MOCK = str(Path(sys.executable).with_name("mcn-mock"))
ACCOUNT = '[[account]]\nid = 12345678\ntoken = "test-token"\nbalance = "100.00"\n'
"""The account that a sandbox has without a file."""
EAGER = (
    "import pytest_mcn_mock.delivery.worker as w, pytest_mcn_mock.storage.transactions as t; "
    "w.RETRY_S = t.RETRY_S = 0.05"
)
"""Lets a sandbox try a state that failed again at once, not after a second."""


def with_webhook(url: str) -> str:
    """That account, with a webhook: more of its keys may follow."""
    return f'{ACCOUNT}[[account.webhook]]\nurl = "{url}"\n'


@dataclass
class Sandbox:
    """A running ``mcn-mock serve``."""

    process: subprocess.Popen[str]
    greeting: list[str]
    log: IO[str]
    """What it has said on standard error: a file, because nobody empties a pipe meanwhile."""

    @property
    def url(self) -> str:
        word = next(word for word in self.greeting[0].split() if word.startswith("http"))
        return word.removesuffix("/v2/rest")

    def connect(self) -> socket.socket:
        """A client's own connection to it."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname, address.port or 0), timeout=60)

    def logged(self) -> str:
        """What it has said on standard error so far. The position of the file, which it shares, stays where it is."""
        return os.pread(self.log.fileno(), 1_000_000, 0).decode()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Stop it; its exit status, and what it said after the greeting on its two outputs."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        self.log.seek(0)
        return self.process.returncode, out, self.log.read()

    def admin(self, path: str, method: str = "GET", content: Any = None) -> Any:
        response = requests.request(method, f"{self.url}/__admin/{path}", json=content, timeout=60)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def order(
        self, method: str = "flash_call", account_id: str = "12345678", token: str = "test-token", **parameters: str
    ) -> requests.Response:
        """The answer to an order, whatever it is."""
        return requests.post(
            f"{self.url}/v2/rest/account/{account_id}/{method}",
            params={"login_did": RUSSIAN, **parameters},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    def flash_call(self, account_id: str = "12345678", token: str = "test-token", **parameters: str) -> Any:
        response = self.order("flash_call", account_id, token, **parameters)
        assert response.status_code == 200, response.text
        return response.json()["object"]


@contextmanager
def running_sandbox(
    *arguments: str,
    config: str = "",
    cwd: Path | None = None,
    before: str = "",
    last: str = "base URL ",
    environment: dict[str, str] | None = None,
    unchecked: bool = False,
) -> Iterator[Sandbox]:
    """A sandbox on a free port, ready to answer. ``config`` is the text of its file, ``before`` Python that its process
    runs first. The last line that it greets with begins with ``last``.

    What it answers and sends is checked against the schemas, unless it is ``unchecked``: the command as installed.
    """
    environment = {**os.environ, **(environment or {})}
    with TemporaryDirectory() as folder:
        violations = Path(folder, "violations")
        violations.touch()
        if config:
            path = Path(folder, "mcn-mock.toml")
            path.write_text(config, encoding="utf-8")
            arguments = ("--config", str(path), *arguments)
        program = f"{schema_plugin.in_a_process(violations)}\n{before}\nfrom pytest_mcn_mock.cli import main; main()"
        start = [MCN_MOCK] if unchecked else [sys.executable, "-c", program]
        command = [*start, "serve", "--port", "0", *arguments]
        with (
            TemporaryFile("w+", encoding="utf-8") as log,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=cwd, start_new_session=True, env=environment
            ) as process,
        ):
            assert process.stdout is not None
            try:
                greeting: list[str] = []
                while line := process.stdout.readline():
                    greeting.append(line)
                    if line.startswith(last):
                        break
                yield Sandbox(process, greeting, log)
            finally:
                if process.poll() is None:
                    process.kill()
        told = violations.read_text(encoding="utf-8")
        assert not told, f"not as the schemas have it:\n{told}"


@contextmanager
def running_application(*command: str, cwd: Path, **environment: str) -> Iterator[str]:
    """The URL of an application that the command, ``flask --app app run``, serves on a free port."""
    run = [sys.executable, "-m", *command, "--port", "0"]
    with subprocess.Popen(
        run,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    ) as process:
        assert process.stderr is not None
        try:
            told = next(line for line in process.stderr if "Running on" in line)
            threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
            yield told.split()[-1]
        finally:
            process.kill()


@dataclass
class Listener:
    """A running ``mcn-mock listen``."""

    process: subprocess.Popen[str]
    url: str
    """Without a slash at its end."""
    out: IO[str]

    def printed(self) -> str:
        """What it has printed so far."""
        self.out.seek(0)
        return self.out.read()

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C; its exit status, and what it has printed."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        return self.process.returncode, self.printed()


@contextmanager
def running_listener(*arguments: str) -> Iterator[Listener]:
    """A webhook receiver on a free port, ready to receive."""
    with (
        TemporaryFile("w+", encoding="utf-8") as out,
        subprocess.Popen(
            [MCN_MOCK, "listen", *arguments, "--port", "0"], stdout=out, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None
        try:
            first = process.stderr.readline()
            yield Listener(process, next(word for word in first.split() if word.startswith("http")).rstrip("/"), out)
        finally:
            if process.poll() is None:
                process.kill()


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask until it holds, a hundred times a second at most: what is waited for needs the processor too."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.01)
