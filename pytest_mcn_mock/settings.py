"""The settings of one server, from which ``compose`` wires a fake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.checks import check_bool, check_list, check_text, check_whole, show
from pytest_mcn_mock.model.money import Tariff

MAX_SIZE: Final = 10**9


class Settings(Struct, frozen=True):
    """The settings of one server.

    ``tariff`` is for accounts without a tariff of their own. ``journal_size`` bounds the calls that are kept, and each
    account's ledger entries. ``max_pending`` bounds the pending CDRs: a call that would add one more is refused.
    ``webhook_targets`` are the networks and hosts that webhooks may use, None for any. With ``magic_numbers`` a
    ``login_did`` of ``MAGIC_NUMBERS`` forces the ending of its call; they are on by default in a sandbox, and off in a
    fixture's server. ``state`` is the URL of a database that keeps the state. Without it the state is in memory and is
    lost on exit.
    """

    tariff: Tariff = Tariff()
    assumptions: Assumptions = Assumptions()
    journal_size: int = 10_000
    magic_numbers: bool = False
    max_pending: int = 100_000
    webhook_targets: Sequence[str] | None = None
    state: str | None = None

    def __post_init__(self) -> None:
        for name, value, kind in (("tariff", self.tariff, Tariff), ("assumptions", self.assumptions, Assumptions)):
            if not isinstance(value, kind):
                raise UsageError(f"{name} is {show(value)}; use a {kind.__name__}")
        check_whole(self.journal_size, name="journal_size", least=1, most=MAX_SIZE)
        check_whole(self.max_pending, name="max_pending", least=0, most=MAX_SIZE)
        check_bool(self.magic_numbers, name="magic_numbers")
        if self.webhook_targets is not None:
            check_list(self.webhook_targets, name="webhook_targets", example='["127.0.0.0/8"], or None for any')
        if self.state is not None:
            check_text(self.state, name="state", example="sqlite:///mcn-mock.db")
