"""The webhook in PHP that docs/how-to/use-from-other-languages.md shows, served by PHP and called by a sandbox."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from helpers.sandbox import running_sandbox, with_webhook

PAGE = Path(__file__).parents[3] / "docs/how-to/use-from-other-languages.md"

pytestmark = pytest.mark.skipif(shutil.which("php") is None, reason="php is missing: apt-get install php-cli")


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[str]:
    """Its URL; what it keeps is in the folder."""
    found = re.search(r"^```php\n(<\?php\n// webhook\.php\n.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    (tmp_path / "webhook.php").write_text(found[1])
    with socket.socket() as probe:  # PHP's server takes no port 0
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with subprocess.Popen(["php", "-S", address, "-t", tmp_path], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        yield f"http://{address}/webhook.php"
        process.kill()


def test_it_keeps_how_each_call_ended_and_refuses_what_is_no_record(webhook: str, tmp_path: Path) -> None:
    rules = (
        '[[account.outcome]]\nlogin_did = "79150000017"\noutcome = "busy"\n'
        '[[account.outcome]]\nlogin_did = "79150000020"\noutcome = "unavailable"\n'
    )
    expected = {"79157777777": "ANSWERED", "79150000017": "NO ANSWER", "79150000020": "UNAVAILABLE"}
    with running_sandbox(config=with_webhook(webhook) + rules) as sandbox:
        calls = {sandbox.flash_call(login_did=number)["verification_call_uuid"]: number for number in expected}
        assert sandbox.stop()[1] == "mcn-mock stopped; no CDR is pending\n"
    for uuid, number in calls.items():
        assert (tmp_path / f"{uuid}.txt").read_text() == expected[number]

    repeat = {"verification_call_uuid": next(iter(calls)), "q931_status": 16, "final_status": "ANSWERED"}
    for _ in range(2):
        assert requests.post(webhook, json=repeat, timeout=30).status_code == 204
    path = b'{"verification_call_uuid": "../../x_1", "q931_status": 16}'
    for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"verification_call_uuid": 1}', b"[" * 50_000, path):
        assert requests.post(webhook, data=body, timeout=30).status_code == 400, body[:40]
