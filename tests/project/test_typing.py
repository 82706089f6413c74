"""A project that uses the package is checked against its types, by both type checkers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import node

CONSUMER = """
from collections.abc import Mapping
from decimal import Decimal
from typing import assert_type

from pytest_mcn_mock import Account, Call, Delivery, MCNServer, Outcome, Settings, Tariff


def test_login(mcn: Account, mcn_server: MCNServer) -> None:
    assert_type(mcn.base_url, str)
    assert_type(mcn.balance, Decimal)
    assert_type(mcn.headers, Mapping[str, str])
    mcn.set_outcome(Outcome.BUSY, login_did="7915*")
    mcn.subscribe("http://127.0.0.1:8000/", body=["q931_status"])
    call = mcn.wait_for_call(timeout=1)
    assert_type(call, Call)
    assert_type(call.code, str)
    assert_type(mcn.wait_for_cdr(call), Delivery)
    assert_type(call.complete(Outcome.ANSWERED), Delivery | None)
    assert_type(mcn_server.open_account(balance="1.00"), Account)
    mcn_server.use_settings(Settings(tariff=Tariff(call_for_2fa=2)))
"""
MISTAKES = """
from pytest_mcn_mock import Account


def test_login(mcn: Account) -> None:
    mcn.set_outcome(5)
    mcn.wait_for_call(timeout="soon")
    mcn.no_such_name
"""


def mypy(folder: Path) -> dict[int, str]:
    """The errors of mypy, by line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--output", "json", "--config-file", "", "consumer.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.stderr == ""
    return {error["line"]: error["message"] for error in map(json.loads, filter(None, done.stdout.splitlines()))}


def pyright(folder: Path) -> dict[int, str]:
    """The errors of pyright, by line."""
    program = node.module("pyright") / "index.js"
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    command = ["node", str(program), "--outputjson", "--pythonpath", sys.executable, "consumer.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {error["range"]["start"]["line"] + 1: error["message"] for error in found}


@pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_consumer_passes_and_its_mistakes_are_found(check: object, tmp_path: Path) -> None:
    assert callable(check)
    consumer = tmp_path / "consumer.py"
    consumer.write_text(CONSUMER, encoding="utf-8")
    assert check(tmp_path) == {}
    consumer.write_text(MISTAKES, encoding="utf-8")
    assert sorted(check(tmp_path)) == [6, 7, 8]
