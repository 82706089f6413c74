"""The commands, run in this process."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from helpers.command_runs import Told, Tool

from pytest_mcn_mock.cli.commands import mcn_mock


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.delenv("MCN_MOCK_TOKEN", raising=False)

    def run(*arguments: object, answer: str = "") -> Told:
        result = CliRunner().invoke(mcn_mock, [str(a) for a in arguments], input=answer, prog_name="mcn-mock")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    return run
