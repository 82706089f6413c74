"""schemathesis asks a sandbox for what the OpenAPI description allows, and for what it forbids, with every check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests
from helpers.sandbox import Sandbox, running_sandbox

BALANCE = "10000000000000"
CONFIG = """
[parameters]
verification_call_uuid = "{uuid}"
wait = 0

# As schemathesis has them, with 412 and 413: an ETag and a body's size in bytes are not in a description.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 413, 429, "5xx"]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429, "5xx"]
"""
OF_ONE_ACCOUNT = """
[[operations]]
include-operation-id = "post_accounts_account_id_calls"
parameters = { account_id = 12345678 }
"""
CALLS = "post_accounts_account_id_calls"
AWAY = ("post_reset", "delete_accounts_account_id")
"""They take away what the requests after them ask for."""
EVENTS = "get_events"


def operations(word: str, *names: str) -> list[str]:
    return [part for name in names for part in (f"--{word}-operation-id", name)]


GROUPS = {
    "vendor": ["--include-tag", "flash call"],
    # The vendor's list of statuses has no 405.
    "paidmethods": ["--include-tag", "paidmethods", "--exclude-checks", "unsupported_method"],
    "admin": ["--include-tag", "admin", *operations("exclude", CALLS, *AWAY, EVENTS)],
    "calls": operations("include", CALLS),
    "away": operations("include", *AWAY),
    # A stream of events has no end. What the description forbids is refused at once.
    "events": [*operations("include", EVENTS), "--mode", "negative"],
}
"""Every operation is in one of them. Calls cost money, which other requests take from their account."""


def run(sandbox: Sandbox, folder: Path, *arguments: str) -> str:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{sandbox.url}/__admin/openapi.json",
        "--checks",
        "all",
        "--header",
        "Authorization: Bearer test-token",
        "--request-timeout",
        "30",
        "--no-color",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "group,examples,phases",
    [
        ("vendor", 1, "coverage"),
        ("paidmethods", 1, "coverage"),
        pytest.param("vendor", 300, "examples,coverage,fuzzing,stateful", marks=pytest.mark.soak),
        pytest.param("paidmethods", 300, "examples,coverage,fuzzing,stateful", marks=pytest.mark.soak),
        pytest.param("admin", 100, "examples,coverage,fuzzing,stateful", marks=pytest.mark.soak),
        pytest.param("calls", 300, "examples,coverage,fuzzing", marks=pytest.mark.soak),
        pytest.param("away", 50, "examples,coverage,fuzzing", marks=pytest.mark.soak),
        pytest.param("events", 200, "examples,coverage,fuzzing", marks=pytest.mark.soak),
    ],
)
def test_what_the_description_allows_is_taken_and_what_it_forbids_is_refused(
    tmp_path: Path, group: str, examples: int, phases: str
) -> None:
    with running_sandbox() as sandbox:
        account = f"{sandbox.url}/__admin/accounts/12345678"
        requests.patch(account, json={"calls_held": True, "balance": BALANCE}, timeout=30).raise_for_status()
        requests.post(f"{account}/webhooks", json={"url": f"{sandbox.url}/nowhere"}, timeout=30).raise_for_status()
        uuid = sandbox.flash_call()["verification_call_uuid"]
        config = CONFIG.format(uuid=uuid) + (OF_ONE_ACCOUNT if group == "calls" else "")
        (tmp_path / "schemathesis.toml").write_text(config)
        base = "/v2/rest" if group == "vendor" else ""
        limits = ("--max-examples", str(examples), "--seed", "1", "--phases", phases)
        told = run(sandbox, tmp_path, "--url", f"{sandbox.url}{base}", *GROUPS[group], *limits)
        assert "❌" not in told
