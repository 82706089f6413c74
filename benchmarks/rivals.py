"""What is measured: the sandbox and its rivals, each a process that answers flash calls, and the CDRs' receiver."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from install import FOLDER, MODULES, PYTHON

SUBSCRIBED, SILENT = "12345678", "87654321"
"""The account whose calls have a CDR, and the one without a webhook."""
PEERS = Path(__file__).parent / "peers"
READY_WITHIN_S = 30.0
_ANSWER = (
    '{"status": "success", "code": 200, "object": {"login_did": "79157777777", "code": "1234", '
    '"account_id": "12345678", "verification_call_uuid": "fa278be48dc2_12345678"}}'
)
_SANDBOX = f"""
[[account]]
id = {SUBSCRIBED}
token = "test-token"
balance = "1000000000.00"
[[account.webhook]]
url = "@HOOK@"
body = ["verification_call_uuid", "q931_status", "final_status"]
[[account]]
id = {SILENT}
token = "test-token-2"
balance = "1000000000.00"
"""


@dataclass(frozen=True)
class Rival:
    """Something to measure. ``command`` takes a port, the CDRs' URL and a folder for its files."""

    name: str
    command: Callable[[int, str, Path], list[str]]
    needs: tuple[str, ...] = ()
    shortfall: str = ""
    """What it cannot do of what the sandbox does, in the terms of this work."""
    tokens: tuple[str, str] = ("test-token", "test-token")
    environment: tuple[tuple[str, str], ...] = ()


def filled(name: str, folder: Path, **values: object) -> Path:
    """A file of ``peers`` with its ``@NAMES@`` filled in, in the folder."""
    text = (PEERS / name).read_text(encoding="utf-8")
    return written(folder / name, text, **values)


def written(path: Path, text: str, **values: object) -> Path:
    """A file with this text, ``@NAMES@`` filled in."""
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path.write_text(text, encoding="utf-8")
    return path


def sandbox_command(python: Path = Path(sys.executable)) -> Callable[[int, str, Path], list[str]]:
    """The sandbox's command, on this Python."""

    def command(port: int, hook: str, folder: Path) -> list[str]:
        config = written(folder / "mcn-mock.toml", _SANDBOX, HOOK=hook)
        program = str(python.with_name("mcn-mock"))
        return [program, "serve", "--port", str(port), "--config", str(config), "--log-level", "error"]

    return command


def _mountebank(port: int, hook: str, folder: Path) -> list[str]:
    inject = filled("mountebank.js", folder, HOOK=hook).read_text(encoding="utf-8")
    imposter = {"port": port, "protocol": "http", "host": "127.0.0.1", "recordRequests": False, "stubs": [
        {"responses": [{"inject": inject}]}]}  # fmt: skip
    config = written(folder / "mountebank.json", json.dumps({"imposters": [imposter]}))
    return [
        "node", str(MODULES / "mountebank" / "bin" / "mb"), "start", "--port", str(free_port()), "--host", "127.0.0.1",
        "--configfile", str(config), "--noParse", "--allowInjection", "--nologfile", "--loglevel", "error",
        "--pidfile", str(folder / "mb.pid"),
    ]  # fmt: skip


def _wiremock(port: int, hook: str, folder: Path) -> list[str]:
    (folder / "mappings").mkdir(exist_ok=True)
    text = (PEERS / "wiremock.json").read_text(encoding="utf-8")
    written(folder / "mappings" / "flash_call.json", text, HOOK=hook)
    jar = next((MODULES / "wiremock" / "build").glob("*.jar"))
    return [
        "java", "-jar", str(jar), "--port", str(port), "--bind-address", "127.0.0.1", "--root-dir", str(folder),
        "--no-request-journal", "--disable-banner", "--async-response-enabled", "false",
    ]  # fmt: skip


def _nginx(port: int, hook: str, folder: Path) -> list[str]:
    address = hook.split("/")[2]
    config = filled("nginx.conf", folder, PORT=port, HOOK_ADDRESS=address, DIR=folder, ANSWER=_ANSWER)
    return ["nginx", "-c", str(config), "-e", str(folder / "nginx-error.log")]


def _python(name: str) -> Callable[[int, str, Path], list[str]]:
    return lambda port, _, __: [str(PYTHON), str(PEERS / name), str(port)]


SANDBOX = Rival("sandbox", sandbox_command(), tokens=("test-token", "test-token-2"))
EMPTY = Rival(
    "empty server and client",
    lambda port, hook, _: [sys.executable, str(PEERS / "idle_server.py"), "ours", str(port), hook],
    shortfall="the sandbox's server and its client of the CDRs, with nothing between: constant answers and CDRs",
)
TUNED = "Express, tuned"
RIVALS = [
    SANDBOX,
    EMPTY,
    Rival(
        "Express",
        lambda port, hook, _: ["node", str(PEERS / "express.cjs"), str(port), hook],
        ("Express",),
        "about 60 lines of our own, its CDRs by fetch(): no money, no journal, no record of deliveries, no retries",
    ),
    Rival(
        TUNED,
        lambda port, hook, _: ["node", str(PEERS / "express.cjs"), str(port), hook],
        ("Express",),
        "the same, its CDRs over kept connections of Node's own client",
        environment=(("TUNED", "1"),),
    ),
    Rival("Flask", _python("flask_mock.py"), ("Flask",), "our own code, on its own server; a thread for each CDR"),
    Rival(
        "Flask, tuned",
        _python("flask_mock.py"),
        ("Flask",),
        "the same, its CDRs from a pool of 16 threads with kept connections",
        environment=(("TUNED", "1"),),
    ),
    Rival(
        "pytest-httpserver",
        _python("httpserver_mock.py"),
        ("pytest-httpserver",),
        "our own handler; a thread for each CDR; its log of requests grows without a bound",
    ),
    Rival("mountebank", _mountebank, ("mountebank",), "has no webhooks: JavaScript injected into it posts the CDR"),
    Rival("WireMock", _wiremock, ("WireMock",), "keeps no money and no calls; its request journal is switched off"),
    Rival(
        "Prism",
        lambda port, hook, folder: [
            "node", str(MODULES / "@stoplight/prism-cli/dist/index.js"), "mock", "--port", str(port),
            "--host", "127.0.0.1", "--verboseLevel", "silent", str(filled("prism.json", folder, HOOK=hook)),
        ],
        ("Prism",),
        "answers an example and posts it: one uuid for all, so no CDR can be told from another; takes any token",
    ),
    Rival(
        "Mockoon",
        lambda port, hook, folder: [
            "node", str(MODULES / "@mockoon/cli/bin/run.js"), "start", "--data",
            str(filled("mockoon.json", folder, PORT=port, HOOK=hook)), "--disable-log-to-file", "--disable-admin-api",
        ],
        ("Mockoon",),
        "its CDR takes the uuid from a global variable, where another call may have put its own; takes any token",
    ),
    Rival("nginx", _nginx, ("nginx",), "the upper limit: a constant answer, a mirrored request; nothing is checked"),
]  # fmt: skip


def on_pythons(pythons: Mapping[str, Path]) -> list[Rival]:
    """The sandbox on each of these Pythons, by their versions."""
    return [
        replace(SANDBOX, name=on_python(version), command=sandbox_command(path)) for version, path in pythons.items()
    ]


def on_python(version: str) -> str:
    """The name of the sandbox on that Python."""
    return f"sandbox, Python {version}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def try_call(port: int, account: str = SUBSCRIBED, token: str = "test-token") -> bool:  # noqa: S107 - see there
    """Whether a flash call is answered with 200 and a uuid; OSError where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            "POST",
            f"/v2/rest/account/{account}/flash_call?login_did=79157777777&code=1234",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Content-Length": "0"},
        )
        response = connection.getresponse()
        return response.status == 200 and b"verification_call_uuid" in response.read()
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def wait_until_answered(port: int, process: subprocess.Popen[bytes], token: str = "test-token") -> None:  # noqa: S107
    """Until the first good answer. RuntimeError where the process ends, or none comes."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with status {process.returncode}")
        try:
            if try_call(port, token=token):
                return
        except OSError:
            pass
        time.sleep(0.001)
    raise RuntimeError(f"no good answer within {READY_WITHIN_S:g} s")


class Cpu(NamedTuple):
    """Seconds of a processor: the process's own, and those that the kernel worked for it."""

    user: float
    kernel: float


@dataclass
class Running:
    """A rival's process."""

    rival: Rival
    process: subprocess.Popen[bytes]
    port: int

    def cpu_s(self) -> Cpu:
        """Seconds of a processor that it has had, the processes that it started included."""
        taken = [_cpu_s(pid) for pid in _family(self.process.pid)]
        return Cpu(sum(cpu.user for cpu in taken), sum(cpu.kernel for cpu in taken))

    def resident_kib(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return int(found[1]) if found else 0


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(p for child in children for p in _family(int(child)))]


def _cpu_s(pid: int) -> Cpu:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks_a_second = os.sysconf("SC_CLK_TCK")
    return Cpu(int(fields[11]) / ticks_a_second, int(fields[12]) / ticks_a_second)


@contextmanager
def running(rival: Rival, hook: str, *, wait: bool = True) -> Iterator[Running]:
    """A rival that answers. RuntimeError where it does not."""
    folder = FOLDER / "run" / re.sub(r"\W+", "-", rival.name)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {**os.environ, **dict(rival.environment), "HOOK": hook, "NODE_PATH": str(MODULES)}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            rival.command(port, hook, folder),
            stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            if wait:
                wait_until_answered(port, process)
            yield Running(rival, process, port)
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself, and its children with it
                os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Receiver:
    """nginx, which acknowledges every CDR with 204 and counts them."""

    url: str
    port: int

    def count(self) -> int:
        """The requests that it has had. Each question counts as one itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return int(lines[2].split()[2])


@contextmanager
def receiving() -> Iterator[Receiver]:
    """The receiver of the CDRs."""
    folder = FOLDER / "run" / "receiver"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = filled("receiver.conf", folder, PORT=port, DIR=folder)
    with subprocess.Popen(
        ["nginx", "-c", str(config), "-e", str(folder / "receiver-error.log")],
        start_new_session=True,
    ) as process:
        receiver = Receiver(f"http://127.0.0.1:{port}/hook", port)
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                receiver.count()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.01)
        try:
            yield receiver
        finally:
            os.killpg(process.pid, signal.SIGKILL)
