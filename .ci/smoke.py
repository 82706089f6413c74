"""What the built wheel must do without the source tree: the fixture, the schemas and the sandbox's command."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_mcn_mock
from pytest_mcn_mock import schemas

if TYPE_CHECKING:
    from pytest_mcn_mock import Account, MCNServer


def test_this_is_the_installed_package() -> None:
    assert "site-packages" in pytest_mcn_mock.__file__


def test_a_call_is_placed_and_its_cdr_arrives(mcn: Account, mcn_server: MCNServer) -> None:
    mcn_server.expect_request("/hook", method="POST").respond_with_data("")
    mcn.subscribe(mcn_server.url_for("/hook"))
    request = urllib.request.Request(
        f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777&code=0042",
        method="POST",
        headers=mcn.headers,
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    delivery = mcn.wait_for_cdr()
    assert delivery.status == 200
    assert delivery.cdr is not None
    assert delivery.cdr["final_status"] == "ANSWERED"


def test_the_schemas_are_in_the_wheel() -> None:
    assert schemas.load("config")["title"] == "mcn-mock.toml"
    assert schemas.load("openapi")["openapi"].startswith("3.1")


def test_the_sandbox_serves() -> None:
    command = Path(sys.executable).with_name("mcn-mock")
    with subprocess.Popen([command, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        first = sandbox.stdout.readline()
        url = next(word for word in first.split() if word.startswith("http://")).removesuffix("/v2/rest")
        with urllib.request.urlopen(f"{url}/__admin/health") as response:
            assert response.status == 200
        sandbox.send_signal(signal.SIGTERM)
        assert "no CDR is pending" in sandbox.stdout.read()
        assert sandbox.wait() == 0
