"""A CDR that is due while no file descriptor is free: the attempt fails, and the next one is made."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.sandbox import running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import AUTHORITY, Receiver, https_endpoint

LIMIT = 100
HOLDING = f"""
import os, resource, signal
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
held = []
def hold(*_):
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
def free(*_):
    while held:
        os.close(held.pop())
signal.signal(signal.SIGUSR1, hold)
signal.signal(signal.SIGUSR2, free)
"""


@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_a_first_cdr_without_a_free_descriptor_is_a_failed_attempt_and_tried_again(
    tmp_path: Path, receiver: Receiver, is_tls: bool
) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with https_endpoint() if is_tls else nullcontext(receiver.url) as url:
        config = "[assumed]\nretry_after_s = [0.2, 600]\n" + with_webhook(url)
        environment = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}  # the authorities of this machine
        with (
            running_sandbox(config=config, before=HOLDING, environment=environment) as sandbox,
            requests.Session() as session,
        ):
            descriptors = Path(f"/proc/{sandbox.process.pid}/fd")
            session.get(f"{sandbox.url}/__admin/health", timeout=30).raise_for_status()  # keeps its connection
            os.kill(sandbox.process.pid, signal.SIGUSR1)
            wait_until(lambda: len(list(descriptors.iterdir())) == LIMIT)
            order = session.post(
                f"{sandbox.url}/v2/rest/account/12345678/flash_call?login_did=79157777777",
                headers={"Authorization": "Bearer test-token"},
                timeout=30,
            )
            assert order.status_code == 200

            def deliveries() -> list[dict[str, Any]]:
                listed = session.get(f"{sandbox.url}/__admin/deliveries", timeout=30).json()
                return list(listed["items"])

            wait_until(lambda: bool(deliveries()[0]["attempts"]))
            os.kill(sandbox.process.pid, signal.SIGUSR2)
            wait_until(lambda: len(deliveries()[0]["attempts"]) == 2)
            (delivery,) = deliveries()
            log = sandbox.stop()[2]
    first, second = delivery["attempts"]
    assert "Too many open files" in first["error"]
    assert (delivery["state"], second["status"], second["error"]) == ("delivered", 200 if is_tls else 204, None)
    assert "Traceback" not in log
