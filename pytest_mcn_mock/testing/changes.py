"""Waiting for something to change in an account, without sleeping."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable


class Changes:
    """Implements ``operator.ports.Observer``: wakes the threads that wait on an account."""

    def __init__(self) -> None:
        self._conditions: defaultdict[str, threading.Condition] = defaultdict(threading.Condition)

    def changed(self, account_id: str) -> None:
        condition = self._conditions.get(account_id)
        if condition is not None:
            with condition:
                condition.notify_all()

    def wait_until(self, account_id: str, is_so: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``is_so`` after a change of the account, ``timeout`` seconds at most; return whether it is so."""
        condition = self._conditions[account_id]
        with condition:
            return condition.wait_for(is_so, timeout)

    def forget(self, account_id: str) -> None:
        """The account is closed."""
        self._conditions.pop(account_id, None)
