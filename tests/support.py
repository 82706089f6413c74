"""What several test modules share."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import checked
import requests

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.deliveries import CdrRequest, Delivery

if TYPE_CHECKING:
    from pytest_mcn_mock import Account
    from pytest_mcn_mock.service.deliveries import Deliveries


RUSSIAN = "79157777777"
KAZAKH = "77012345678"


def flash_call(mcn: Account, login_did: str = RUSSIAN, **parameters: str) -> requests.Response:
    """Place a flash call as an application does: parameters in the query, an empty body said to be JSON."""
    return requests.post(
        f"{mcn.base_url}/account/{mcn.account_id}/flash_call",
        params={"login_did": login_did, **parameters},
        headers={**mcn.headers, "Content-Type": "application/json", "Accept": "application/json"},
        timeout=30,
    )


def call_for_2fa(mcn: Account, caller_did: str, login_did: str = RUSSIAN) -> requests.Response:
    return requests.post(
        f"{mcn.base_url}/account/{mcn.account_id}/call_for_2fa",
        params={"caller_did": caller_did, "login_did": login_did},
        headers=mcn.headers,
        timeout=30,
    )


def prepared(deliveries: Deliveries, delivery_id: int) -> CdrRequest | None:
    """The request that carries a delivery as it is due now."""
    try:
        delivery = deliveries.get(delivery_id)
    except NotFound:
        delivery = Delivery(delivery_id, "", "", 0, "")
    return deliveries.prepare(delivery)


def refusal(response: requests.Response) -> tuple[int, str, str | None]:
    """The HTTP status, code and parameter of an error envelope, after a look at its form."""
    content = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert set(content) == {"status", "code", "errors"}
    assert content["status"] == "error"
    assert content["code"] == response.status_code
    (error,) = content["errors"]
    assert set(error) == {"code", "message", "parameter"}
    assert error["message"]
    return response.status_code, error["code"], error["parameter"]


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask again and again until it holds; what is asked takes its time itself."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"


class Receiver:
    """A webhook endpoint on a socket of its own. ``statuses`` are answered in turn, the last one from then on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.received: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.methods: list[str] = []
        self._lock = threading.Lock()
        self._gate = threading.Event()
        self._gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with receiver._lock:
                    receiver.received.append(json.loads(body) if body else {})
                    receiver.paths.append(self.path)
                    receiver.methods.append(self.command)
                    receiver.headers.append(dict(self.headers))
                    count = len(receiver.received)
                receiver._gate.wait(60)
                self.send_response(receiver.statuses[min(count, len(receiver.statuses)) - 1])
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the name that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/mcn"

    def hold(self) -> Callable[[], None]:
        """Keep back every acknowledgement until the function that is returned is called."""
        self._gate.clear()
        return self._gate.set

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()


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

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Stop it; its exit status, and what it said after the greeting on its two outputs."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        self.log.seek(0)
        return self.process.returncode, out, self.log.read()

    def admin(self, path: str) -> Any:
        response = requests.get(f"{self.url}/__admin/{path}", timeout=30)
        assert response.status_code == 200, response.text
        return response.json()

    def flash_call(self, account_id: str = "12345678", token: str = "test-token", **parameters: str) -> Any:
        response = requests.post(
            f"{self.url}/v2/rest/account/{account_id}/flash_call",
            params={"login_did": RUSSIAN, **parameters},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert response.status_code == 200, response.text
        return response.json()["object"]


MCN_MOCK = str(Path(sys.executable).with_name("mcn-mock"))


@contextmanager
def running_sandbox(
    *arguments: str,
    cwd: Path | None = None,
    before: str = "",
    last: str = "base URL ",
    environment: dict[str, str] | None = None,
    unchecked: bool = False,
) -> Iterator[Sandbox]:
    """A sandbox on a free port, ready to answer. ``before`` is Python that its process runs first. The last line that
    it greets with begins with ``last``.

    What it answers and sends is checked against the schemas, unless it is ``unchecked``: the command as installed.
    """
    environment = {**os.environ, **(environment or {})}
    with TemporaryDirectory() as folder:
        violations = Path(folder, "violations")
        violations.touch()
        program = f"{checked.in_a_process(violations)}\n{before}\nfrom pytest_mcn_mock.cli import main; main()"
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
def running_application(*command: str, cwd: Path) -> Iterator[str]:
    """The URL of an application that the command, ``flask --app app run``, serves on a free port."""
    run = [sys.executable, "-m", *command, "--port", "0"]
    with subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
        assert process.stderr is not None
        try:
            told = next(line for line in process.stderr if "Running on" in line)
            threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
            yield told.split()[-1]
        finally:
            process.kill()


@dataclass
class Api:
    """One of the two servers, with an account on it and another account's token."""

    url: str
    account_id: str
    token: str
    other_token: str

    @property
    def path(self) -> str:
        return f"/v2/rest/account/{self.account_id}"

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def post(self, method: str = "flash_call", query: str = "", **settings: Any) -> requests.Response:
        settings = {"headers": self.auth, "timeout": 30, **settings}
        return requests.post(f"{self.url}{self.path}/{method}{query and '?'}{query}", **settings)

    def balance(self) -> str:
        response = requests.get(f"{self.url}/__admin/accounts/{self.account_id}", timeout=30)
        return str(response.json()["balance"])

    def raw(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, Any]:
        """A request that requests would not send."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = json.loads(response.read())
        connection.close()
        return response.status, content

    def exchange(self, sent: bytes, *, half_close: bool = False) -> bytes:
        """All that comes back for bytes that need not be HTTP. ``half_close`` ends the client's half of the talk."""
        address = urlsplit(self.url)
        with socket.create_connection((address.hostname, address.port or 0), timeout=30) as connection:
            received = b""
            try:
                connection.sendall(sent)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while not _is_whole(received) and (chunk := connection.recv(65_536)):
                    received += chunk
            except TimeoutError:
                raise
            except OSError:
                pass  # the server hung up on what it did not want to read
            return received


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return length is not None and len(body) >= int(length[1])


def raw_request(
    url: str, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of the answer to a request with these headers alone, and the URL's Host."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value.encode())
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), content
