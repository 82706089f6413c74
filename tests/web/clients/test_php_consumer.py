"""The consumer in PHP of docs/examples/webhook_bodies against a sandbox: each dialect with each body."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox

CONSUMER = Path(__file__).parents[3] / "docs/examples/webhook_bodies/consumer.php"
NAMES = ("verification_call_uuid", "q931_status", "final_status")
TEMPLATE = "&".join(f"{name}=${{{{{name}}}}}" for name in NAMES)
BODIES: dict[str, dict[str, Any]] = {
    "flat": {},
    "flat, all text": {"values": "text"},
    "whole event": {"all_variables": True},
    "text": {"data_type": "text", "template": TEMPLATE},
}
OUTCOMES = {
    "answered": "answered",
    "busy": "busy",
    "no_answer": "not answered",
    "rejected": "rejected",
    "unavailable": "unavailable",
}
ACCOUNTS = count(5000)

pytestmark = pytest.mark.skipif(shutil.which("php") is None, reason="php is missing: apt-get install php-cli")


@pytest.fixture(scope="module", params=["absent", "empty", "null"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with running_sandbox(config=f'[assumed]\nmissing_final_status = "{request.param}"\n') as sandbox:
        yield sandbox


@contextmanager
def consumer(folder: Path, **environment: str) -> Iterator[str]:
    """The URL of a running one."""
    with socket.socket() as probe:  # PHP's server takes no port 0
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["php", "-S", address, str(CONSUMER)]
    environment = {"CALLS": str(folder), "PATH": "/usr/bin:/bin", **environment}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        yield f"http://{address}"
        process.kill()


def settle(sandbox: Sandbox) -> None:
    sandbox.admin("clock/advance", "POST", {"seconds": 0})


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize("dialect", ["api.mcn.ru", "paidmethods"])
def test_it_knows_how_each_call_ended_and_handles_an_event_once(
    sandbox: Sandbox, dialect: str, body: dict[str, Any], tmp_path: Path
) -> None:
    account, token = next(ACCOUNTS), f"token-{dialect}-{next(ACCOUNTS)}"
    where = sandbox.url if dialect == "paidmethods" else f"{sandbox.url}/v2/rest"
    settings = {"MCN_DIALECT": dialect, "MCN_URL": where, "MCN_ACCOUNT": str(account), "MCN_TOKEN": token}
    with consumer(tmp_path, **settings) as url:
        webhooks = [{"url": f"{url}/webhooks/mcn", **body}]
        sandbox.admin("accounts", "POST", {"id": account, "token": token, "webhooks": webhooks})
        for outcome, expected in OUTCOMES.items():
            sandbox.admin(f"accounts/{account}/outcomes", "PUT", [{"outcome": outcome}])
            sandbox.admin(f"accounts/{account}/faults", "PUT", [{"kind": "cdr_duplicated"}])
            placed = requests.post(f"{url}/calls", data={"phone": RUSSIAN, "code": "0042"}, timeout=30).json()["call"]
            settle(sandbox)
            shown = requests.get(f"{url}/calls/{placed}", timeout=30).json()
            assert shown == {"outcome": expected, "events": [expected]}
    deliveries = sandbox.admin(f"deliveries?account_id={account}")["items"]
    assert [delivery["attempts"][0]["status"] for delivery in deliveries] == [204] * 2 * len(OUTCOMES)
    calls = sandbox.admin(f"calls?account_id={account}")["items"]
    assert [call["code"] for call in calls] == ["0042"] * len(OUTCOMES)


WRONG = [
    *(b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 50_000, b"a=b", b'{"data": {}, "idempotencyKey": "1"}'),
    b'{"verification_call_uuid": "fa278be48dc2_1"}',
    b'{"verification_call_uuid": "fa278be48dc2_1", "q931_status": true}',
    b'{"verification_call_uuid": "fa278be48dc2_1", "q931_status": 16, "final_status": ["ANSWERED"]}',
    b'{"verification_call_uuid": "../x", "q931_status": 16}',
]


def test_what_is_not_an_event_is_refused(tmp_path: Path) -> None:
    with consumer(tmp_path) as url:
        for body in WRONG:
            assert requests.post(f"{url}/webhooks/mcn", data=body, timeout=30).status_code == 400, body[:60]
    assert list(tmp_path.iterdir()) == []
