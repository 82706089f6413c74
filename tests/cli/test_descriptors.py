"""The sandbox within the limit of file descriptors: connections of clients leave some for CDRs and the state."""

from __future__ import annotations

from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from helpers.sandbox import Sandbox, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

resource = pytest.importorskip("resource")


def limited(soft: int, hard: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))"


def said(sandbox: Sandbox) -> list[str]:
    sandbox.log.seek(0)
    return [line for line in sandbox.log if "WARNING" in line]


def place(client: HTTPConnection) -> None:
    client.request(
        "POST",
        "/v2/rest/account/12345678/flash_call?login_did=79157777777",
        headers={"Authorization": "Bearer test-token"},
    )
    response = client.getresponse()
    assert (response.status, bool(response.read())) == (200, True)


def test_idle_clients_leave_descriptors_for_cdrs(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        running_sandbox(
            "--state",
            f"sqlite:///{tmp_path}/state.db",
            config=with_webhook(receiver.url),
            before=limited(256, 256) + "\nimport pytest_mcn_mock.cli.server as s; s.HEAD_TIMEOUT_S = 600",
        ) as sandbox,
        ExitStack() as stack,
    ):
        client = HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)
        stack.callback(client.close)
        place(client)
        for _ in range(300):
            stack.enter_context(sandbox.connect())
        for _ in range(5):
            place(client)
        wait_until(lambda: len(receiver.received) == 6)
        (line,) = said(sandbox)
    assert "at most 192 connections are served at once, not 1024: this process may open 256 files" in line


def test_the_soft_limit_is_raised_as_far_as_it_may_be() -> None:
    with running_sandbox(before=limited(64, 2048)) as sandbox:
        wanted = resource.prlimit(sandbox.process.pid, resource.RLIMIT_NOFILE)
        assert wanted == (2048, 2048)
        assert said(sandbox) == []


def test_without_a_descriptor_clients_wait_and_the_log_says_so_once(tmp_path: Path) -> None:
    with running_sandbox() as sandbox, ExitStack() as stack:
        assert sandbox.admin("health")
        pid, before = sandbox.process.pid, resource.prlimit(sandbox.process.pid, resource.RLIMIT_NOFILE)
        used = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, before[1]))
        clients = [stack.enter_context(sandbox.connect()) for _ in range(20)]
        wait_until(lambda: bool(said(sandbox)))
        for client in clients:
            client.sendall(b"GET /__admin/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for client in clients:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        (line,) = said(sandbox)
        assert "connections cannot be taken now, and wait" in line
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert sandbox.admin("health")
