"""What the tests of verify and record share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helpers.vendor_server import ACCOUNT, TOKEN


@dataclass(frozen=True)
class Told:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Tool = Callable[..., Told]


def whom(url: str, token: str = TOKEN, account: int | str = ACCOUNT) -> list[str]:
    """The options that name a server and an account."""
    return ["--base-url", url, "--token", token, "--account", str(account), "--pace", "0"]
