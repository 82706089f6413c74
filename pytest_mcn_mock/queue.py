"""Calls that wait until there is room for their CDRs: the sandbox's way to slow its callers to the receiver's pace."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from pytest_mcn_mock.errors import Overloaded
from pytest_mcn_mock.flow import Turn
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.real_time import monotonic
from pytest_mcn_mock.service.ports import Item

MAX_WAITING: Final = 512
"""Calls that may wait at once: half of the sandbox's connections, so that the other half reaches its admin API."""

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Waiter:
    """``attempt`` places the call; ``refusal`` is what it hears where there was no room before ``deadline``, which is
    the machine's monotonic time.
    """

    attempt: Callable[[], Any]
    refusal: Overloaded
    deadline: float
    answer: Turn[Any] = field(default_factory=Turn)


class CallQueue:
    """Places calls in the order in which they came, each as soon as there is room, and refuses those that wait too
    long. Implements ``service.ports.Queue`` and, to hear of the room, ``service.ports.Observer``. Its methods may be
    called from any thread.

    ``is_full`` says whether there is no room at all, ``call_later`` runs a function so many seconds from now, and
    ``wait_s`` is how long a call may wait.
    """

    def __init__(
        self, is_full: Callable[[], bool], call_later: Callable[[float, Callable[[], None]], None], wait_s: float
    ) -> None:
        self._is_full = is_full
        self._call_later = call_later
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter] = deque()
        self._is_alarmed = False
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, refusal: Overloaded, attempt: Callable[[], _T]) -> Turn[_T]:
        waiter = _Waiter(attempt, refusal, monotonic() + self._wait_s)
        with self._lock:
            if self._is_closed or len(self._waiting) >= MAX_WAITING:
                raise refusal
            self._waiting.append(waiter)
            is_alarmed, self._is_alarmed = self._is_alarmed, True
        waiter.answer.add_done_callback(partial(self._leave, waiter))
        if not is_alarmed:
            self._call_later(self._wait_s, self._expire)
        self._move_up()  # there may be room since it was refused
        return waiter.answer

    def refuse_all(self) -> None:
        with self._lock:
            refused, self._waiting = self._waiting, deque()
        for waiter in refused:
            _refuse(waiter)

    def open(self) -> None:
        with self._lock:
            self._is_closed = False
            self._is_alarmed = False  # an alarm that was set before the server stopped may have ended with its loop

    def close(self) -> None:
        self._is_closed = True
        self.refuse_all()

    def changed(self, account_id: str, item: Item | None = None, before: Item | None = None) -> None:  # noqa: ARG002
        if self._waiting and isinstance(item, Delivery) and item.state is not DeliveryState.PENDING:
            self._move_up()

    def closed(self, account_id: str) -> None:  # noqa: ARG002
        if self._waiting:
            self._move_up()

    def reset(self) -> None:
        self.refuse_all()

    def _move_up(self) -> None:
        placed: list[Callable[[], None]] = []
        with self._lock:  # during the attempts too: nobody overtakes the one that is tried
            while self._waiting and not self._is_full():
                waiter = self._waiting[0]
                if not waiter.answer.cancelled():
                    try:
                        placed.append(partial(waiter.answer.set_result, waiter.attempt()))
                    except Overloaded:  # it needs more room than there is
                        break
                    except Exception as error:
                        placed.append(partial(waiter.answer.set_exception, error))
                self._waiting.popleft()
        for answer in placed:
            answer()

    def _expire(self) -> None:
        """Every call waits as long as another, so that the first is the first whose time is over."""
        late = []
        with self._lock:
            now = monotonic()
            while self._waiting and self._waiting[0].deadline <= now:
                late.append(self._waiting.popleft())
            left_s = self._waiting[0].deadline - now if self._waiting else None
            self._is_alarmed = left_s is not None
        if left_s is not None:
            self._call_later(left_s, self._expire)
        for waiter in late:
            _refuse(waiter)

    def _leave(self, waiter: _Waiter, answer: Future[Any]) -> None:
        if answer.cancelled():
            with self._lock, suppress(ValueError):
                self._waiting.remove(waiter)
            self._move_up()


def _refuse(waiter: _Waiter) -> None:
    if waiter.answer.set_running_or_notify_cancel():
        waiter.answer.set_exception(waiter.refusal)
