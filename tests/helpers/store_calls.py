"""Calls placed in a store itself, without an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.deliveries import make_deliveries
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision
from pytest_mcn_mock.storage.memory import MemoryStore

if TYPE_CHECKING:
    from pytest_mcn_mock.storage.sql import SqlStore

ORDER = CallOrder(Method.FLASH_CALL, "79157777777")


def accept(standing: AccountSnapshot, now: float = 0.0) -> CallDecision:
    """A call that rings, and owes its CDR to every webhook."""
    account, balance, n, seq, first_delivery = standing
    call = place(account, balance, n, ORDER, Assumptions(cdr_delay_s=1.0), now, seq=seq)
    call = replace(call, ends_at=now)
    return CallDecision(call, make_deliveries(call, account, first_delivery), account)


def placed(
    store: MemoryStore | SqlStore, account_id: str, decide: Callable[[AccountSnapshot], CallDecision] = accept
) -> Call:
    """The call that was placed."""
    call, _ = store.calls.place(account_id, decide)
    return call
