"""A request to the API as the journal keeps it: there on receipt, completed later, without its token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Final

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.fidelity import UndocumentedUse
from pytest_mcn_mock.text import printable

NOT_A_MISTAKE: Final = frozenset({RefusalCode.INSUFFICIENT_FUNDS, RefusalCode.PAYLOAD_TOO_LARGE})
"""Refusals that are a scenario: a sound application meets the one, and only a test sends the other."""


MAX_PATH: Final = 512
"""Characters of a request's path that are kept."""
MAX_PARAMETERS_SIZE: Final = 4096
"""Bytes that a request's parameters take up."""
MAX_BEYOND: Final = 16
"""Undocumented things that are kept of one request."""


def kept_parameters(given: Mapping[str, str]) -> dict[str, str]:
    """The parameters that are kept: the shortest, and how many more there were under the name ``…``."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in sorted(given.items(), key=lambda item: len(item[0]) + len(item[1])):
        size += getsizeof(name) + getsizeof(value)
        if size > MAX_PARAMETERS_SIZE:
            kept["…"] = f"{len(given) - len(kept)} more"
            break
        kept[name] = value
    return kept


@dataclass(slots=True, eq=False)
class ApiRequest:
    """One request. ``account_id`` is that of the path, None where there is none.

    ``received_at`` is in seconds since the epoch. ``parameters`` are those that were understood; of a long path and of
    many parameters only the beginning is kept: ``MAX_PATH``, ``kept_parameters``. ``status`` is the HTTP status of the
    answer, and ``is_answered`` says whether it was sent. ``beyond`` is what the request relied on that is not
    documented. ``token_account_id`` is the account whose token the request carried, if the path names another one; the
    token itself is not kept.
    """

    seq: int
    method: str
    path: str
    account_id: str | None
    received_at: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    verification_call_uuid: str | None = None
    refusal: Refusal | None = None
    fault: str | None = None
    is_answered: bool = False
    beyond: tuple[UndocumentedUse, ...] = ()
    token_account_id: str | None = None

    @property
    def is_mistake(self) -> bool:
        """Whether the request was wrong, so that a strict test fails by it."""
        return self.refusal is not None and self.refusal.code not in NOT_A_MISTAKE

    def __repr__(self) -> str:
        return f"<ApiRequest {self}>"

    def __str__(self) -> str:
        parameters = "".join(f" {name}={value}" for name, value in self.parameters.items())
        result = "in flight" if self.status is None else str(self.status)
        if self.refusal is not None:
            result += f" {self.refusal.code}: {self.refusal.message}"
        elif self.verification_call_uuid is not None:
            result += f" {self.verification_call_uuid}"
        if self.token_account_id is not None:
            result += f" (the token is that of account {self.token_account_id})"
        if self.fault is not None:
            result += f" (fault {self.fault})"
        return printable(f"{self.method} {self.path[:200]!s}{parameters} -> {result}")
