"""Runs a command in this process; what the tests of verify and record share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from helpers.vendor_server import ACCOUNT, TOKEN
from pytest_mcn_mock.cli.commands import mcn_mock


@dataclass(frozen=True)
class Told:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def differences(self, **chosen: str) -> list[dict[str, Any]]:
        """The differences that have these values."""
        assert self.status == 1, self.err
        found: list[dict[str, Any]] = self.document["differences"]
        return [d for d in found if all(d[name] == value for name, value in chosen.items())]


def tool(*arguments: object, answer: str = "") -> Told:
    """Run ``mcn-mock`` with these arguments; ``answer`` is what is typed."""
    result = CliRunner(env={"MCN_MOCK_TOKEN": None}).invoke(mcn_mock, [str(a) for a in arguments], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Told(result.exit_code, result.stdout, result.stderr)


def whom(url: str, token: str = TOKEN, account: int | str = ACCOUNT) -> list[str]:
    """The options that name a server and an account."""
    return ["--base-url", url, "--token", token, "--account", str(account), "--pace", "0"]
