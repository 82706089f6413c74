"""Answers that wait: a list of the admin API may be answered as soon as it has an item."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.web.http import hold

if TYPE_CHECKING:
    import asyncio

MAX_WAITS: Final = 100
"""Requests that wait at once."""
_T = TypeVar("_T")


class Waits:
    """The requests that wait. Each looks again after an event that may be about it, and never in between."""

    def __init__(self) -> None:
        self.under_way: set[_Wait] = set()
        """The requests that wait now."""
        self._is_open = True

    def hear(self, event: Event) -> None:
        """Let those look again that the event may be about."""
        for wait in self.under_way:
            if wait.is_about(event):
                wait.wake()

    def look_again(self) -> None:
        """Let all look again: events may have been missed."""
        for wait in self.under_way:
            wait.wake()

    def open(self) -> None:
        """Let requests wait again: the server starts."""
        self._is_open = True

    def close(self) -> None:
        """Let no request wait, now or from now on: the server stops."""
        self._is_open = False
        for wait in self.under_way:
            wait.end()

    async def until_found(
        self, look: Callable[[], Awaitable[Sequence[_T]]], is_about: Callable[[Event], bool], timeout_s: float
    ) -> Sequence[_T]:
        """Return the items that ``look`` finds, at once or after an event. Return nothing after ``timeout_s`` seconds
        of real time, or as soon as the client goes away or the server stops.

        ``is_about`` says whether ``look`` may find something after an event. Raises exceptions of ``look``, and Refusal
        ``service_unavailable`` if there are too many waits.
        """
        found = await look()
        if found or not timeout_s or not self._is_open:
            return found
        if len(self.under_way) >= MAX_WAITS:
            raise Refusal(RefusalCode.SERVICE_UNAVAILABLE, Reason("waits_full", {"n": MAX_WAITS}))
        wait = _Wait(is_about)
        self.under_way.add(wait)
        try:
            await hold(wait.end)
            return await wait.until_found(look, timeout_s)
        finally:
            self.under_way.discard(wait)


class _Wait:
    """One request that waits. Events may be heard on any thread; the request itself goes on on its loop."""

    def __init__(self, is_about: Callable[[Event], bool]) -> None:
        import asyncio

        self.is_about = is_about
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._has_ended = False

    def wake(self) -> None:
        """Look again."""
        if self._loop is None:  # nothing waits for it yet
            self._changed.set()
        else:
            self._loop.call_soon_threadsafe(self._changed.set)

    def end(self) -> None:
        """Look for the last time."""
        self._has_ended = True
        self.wake()

    async def until_found(self, look: Callable[[], Awaitable[Sequence[_T]]], timeout_s: float) -> Sequence[_T]:
        import asyncio

        self._loop = asyncio.get_running_loop()
        deadline = self._loop.time() + timeout_s
        while True:
            self._changed.clear()
            found = await look()
            if found or self._has_ended:
                return found
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return await look()
