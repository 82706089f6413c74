"""schemathesis asks a real sandbox whatever the OpenAPI description lets it, and worse, and finds no failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import Sandbox, running_sandbox

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
"""Not ``negative_data_rejection``: the vendor's API ignores what it does not know, and so does ours."""
NOT_ASKED = ("get_events", "post_reset", "delete_accounts_account_id")
"""A stream has no end, and the other two would take the account away from the requests after them."""
FACES = {
    "vendor": ("/v2/rest", ["--include-tag", "flash call"]),
    "admin": (
        "",
        ["--include-tag", "admin", *(word for name in NOT_ASKED for word in ("--exclude-operation-id", name))],
    ),
}


def run(sandbox: Sandbox, folder: Path, *arguments: str) -> str:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{sandbox.url}/__admin/openapi.json",
        "--checks",
        ",".join(CHECKS),
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
    "face,examples,phases",
    [
        ("vendor", 20, "coverage,fuzzing"),
        ("admin", 5, "examples,fuzzing"),
        pytest.param("vendor", 1000, "examples,coverage,fuzzing", marks=pytest.mark.soak),
        pytest.param("admin", 200, "examples,coverage,fuzzing", marks=pytest.mark.soak),
    ],
)
def test_no_request_has_an_answer_that_is_not_described(tmp_path: Path, face: str, examples: int, phases: str) -> None:
    with running_sandbox() as sandbox:
        account = f"{sandbox.url}/__admin/accounts/12345678"
        requests.patch(account, json={"cdrs_held": True}, timeout=30)
        requests.post(f"{account}/webhooks", json={"url": f"{sandbox.url}/nowhere"}, timeout=30)
        uuid = sandbox.flash_call()["verification_call_uuid"]
        (tmp_path / "schemathesis.toml").write_text(f'[parameters]\nverification_call_uuid = "{uuid}"\n')
        base, chosen = FACES[face]
        limits = ("--max-examples", str(examples), "--seed", "1", "--phases", phases)
        told = run(sandbox, tmp_path, "--url", f"{sandbox.url}{base}", *chosen, *limits)
        assert "❌" not in told
