"""The journal of requests: each is in it from the moment it arrives. Bounded, and in memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.requests import MAX_PATH, ApiRequest
from pytest_mcn_mock.service.events import Events, RequestAnswered
from pytest_mcn_mock.service.ports import Clock

_MAX_WORD: Final = 32
"""Characters that are kept of a method, and of the path's account id. No valid one is longer."""


class Numbers(Protocol):
    """Gives each request its ``seq``."""

    def take(self) -> int:
        """Return the number of a request that has just arrived: greater than all before."""
        ...

    def last_before(self, reset_at: float) -> int:
        """Return a number that no request after a reset has, and that no request before it exceeds."""
        ...


class OwnNumbers:
    """Counts the requests from 1: no other process has the same state."""

    def __init__(self) -> None:
        self._last = 0

    def take(self) -> int:
        """See ``Numbers``."""
        self._last += 1
        return self._last

    def last_before(self, reset_at: float) -> int:  # noqa: ARG002 - the reset is now
        """See ``Numbers``."""
        return self._last


class Journal:
    """The last ``size`` requests to the API, also those to unknown paths and accounts."""

    def __init__(self, clock: Clock, events: Events, size: int, numbers: Numbers) -> None:
        self.size = size
        self._clock = clock
        self._events = events
        self._requests: deque[ApiRequest] = deque(maxlen=size)
        self._numbers = numbers
        self._before: dict[str, int] = {}
        """The last request before each account was opened."""
        self.dropped = 0
        """How many requests are not listed any more, because the journal was full."""

    def receive(self, method: str, path: str, account_id: str | None, dialect: Dialect | None = None) -> ApiRequest:
        """Enter a request that has just arrived. Only the beginnings of a long path and id are kept."""
        now = self._clock.now(account_id)
        if len(path) > MAX_PATH or len(method) > _MAX_WORD:
            path, method = path[:MAX_PATH], method[:_MAX_WORD]
        if account_id is not None and len(account_id) > _MAX_WORD:
            account_id = account_id[:_MAX_WORD]
        request = ApiRequest(self._numbers.take(), method, path, account_id, now, dialect=dialect)
        self.dropped += len(self._requests) == self._requests.maxlen
        self._requests.append(request)
        return request

    def assign(self, request: ApiRequest, account_id: str) -> None:
        """Note whose a request is that names no account in its path: the account's whose token it carries."""
        request.account_id = account_id
        request.received_at = self._clock.now(account_id)

    def add(self, requests: Sequence[ApiRequest]) -> None:
        """Enter requests that other processes on the same state have answered, unless they are known."""
        new = {request.seq: request for request in requests}
        first = min(new, default=math.inf)
        while self._requests and self._requests[-1].seq >= first:
            known = self._requests.pop()
            new[known.seq] = known
        self.dropped += max(0, len(self._requests) + len(new) - self.size)
        self._requests.extend(request for _, request in sorted(new.items()))

    def answered(self, request: ApiRequest) -> None:
        """Note that the answer to a request was sent, or could not be sent."""
        request.is_answered = True
        self._events.publish(RequestAnswered(request))

    def since(self, after: int) -> Sequence[ApiRequest]:
        """Return the requests behind the one whose ``seq`` is ``after``, 0 for all."""
        return [request for request in self._requests.copy() if request.seq > after]

    def note_opening(self, account_id: str) -> None:
        """Note that an account was opened now."""
        self._before[account_id] = self.last_seq()

    def note_closing(self, account_id: str) -> None:
        """Forget when an account was opened: it is closed."""
        self._before.pop(account_id, None)

    def since_opening(self, account_id: str) -> int | None:
        """Return the ``seq`` of the last request before this process opened the account, 0 if there was none. Return
        None if it has not opened it.
        """
        return self._before.get(account_id)

    def page(
        self,
        is_wanted: Callable[[ApiRequest], bool] = lambda _: True,
        after: int = 0,
        limit: int = 100,
        *,
        newest_first: bool = False,
    ) -> Sequence[ApiRequest]:
        """Return those requests that are wanted, in order of arrival or newest first, behind that ``seq``."""
        requests = self._requests.copy()
        if newest_first:
            requests.reverse()
        found = (
            request
            for request in requests
            if is_wanted(request) and (request.seq < after if newest_first and after else request.seq > after)
        )
        return list(islice(found, limit))

    def clear(self, reset_at: float) -> None:
        """Forget the requests before a reset, at a moment that the storage has returned."""
        self._before.clear()
        kept = self.since(self._numbers.last_before(reset_at))
        self._requests.clear()
        self._requests.extend(kept)

    def last_seq(self) -> int:
        """Return the ``seq`` of the last request, 0 if there is none."""
        return self._requests[-1].seq if self._requests else 0
