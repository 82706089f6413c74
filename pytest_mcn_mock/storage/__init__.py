"""The storages of the state. This module has their common parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.reasons import Reason

MAX_ANSWERS_SIZE: Final = 64 * 2**20
"""Bytes that answers of endpoints may take up. Above it the oldest ones keep only their status."""
ANSWER_SIZE: Final = 512
"""Bytes of an answer beside its text."""


class Room:
    """Counts how many attempts to each host may still begin."""

    def __init__(self, under_way: Mapping[str, int], per_host: int) -> None:
        self._under_way = dict(under_way)
        self._per_host = per_host

    @property
    def full(self) -> set[str]:
        """The hosts without room."""
        return {host for host, attempts in self._under_way.items() if attempts >= self._per_host}

    def has(self, host: str) -> bool:
        """Return whether an attempt to the host may begin."""
        return self._under_way.get(host, 0) < self._per_host

    def least(self) -> int:
        """Return how many attempts may begin to that host for which it is the fewest."""
        return self._per_host - max(self._under_way.values(), default=0)

    def take_if_has(self, host: str) -> bool:
        """Begin an attempt if there is room; return whether there is."""
        if not self.has(host):
            return False
        self.take(host)
        return True

    def take(self, host: str) -> None:
        """Begin an attempt."""
        self._under_way[host] = self._under_way.get(host, 0) + 1


def no_account(account_id: str) -> NotFound:
    """Return the error for an account that is not there."""
    return NotFound(Reason("account_not_found", {"account": repr(account_id[:40])}))


def no_call(verification_call_uuid: str) -> NotFound:
    """Return the error for a call that is not there."""
    return NotFound(Reason("call_not_found", {"uuid": repr(verification_call_uuid[:80])}))


def no_delivery(delivery_id: int) -> NotFound:
    """Return the error for a delivery that is not there."""
    return NotFound(Reason("delivery_not_found", {"delivery": delivery_id}))
