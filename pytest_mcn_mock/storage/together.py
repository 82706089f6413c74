"""Requests that come at the same time are done in one step, with one round trip, one commit and one lock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.flow import on_loop

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Together(Generic[_Item, _Result]):
    """Gathers the items of a key while earlier items are being done. By default it does not wait for more items. After
    a step with several items, the next step waits ``gather_s`` for more.

    ``run`` does at most ``limit`` items of a key. It returns the result or the error of each, in order. If ``run``
    raises an exception, that is the error of every item.
    """

    def __init__(
        self,
        run: Callable[[str, Sequence[_Item]], Awaitable[Sequence[_Result | Exception]]],
        limit: int,
        gather_s: float = 0.0,
    ) -> None:
        self._run = run
        self._limit = limit
        self._gather_s = gather_s
        self._waiting: dict[str, deque[tuple[_Item, asyncio.Future[_Result]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, key: str, item: _Item) -> _Result:
        """Return the item's result, or raise its error. The item may be done although the caller is cancelled."""
        await on_loop()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Result] = loop.create_future()
        if (waiting := self._waiting.get(key)) is not None:
            waiting.append((item, done))
        else:
            self._waiting[key] = deque([(item, done)])
            task = loop.create_task(self._run_all(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await done

    async def _run_all(self, key: str) -> None:
        waiting = self._waiting[key]
        taken: list[tuple[_Item, asyncio.Future[_Result]]] = []
        try:
            while waiting:
                taken = [waiting.popleft() for _ in range(min(self._limit, len(waiting)))]
                taken = [(item, done) for item, done in taken if not done.done()]
                if taken:
                    self._tell(taken, await self._results(key, [item for item, _ in taken]))
                if self._gather_s and len(taken) > 1:
                    await asyncio.sleep(self._gather_s)
        finally:
            del self._waiting[key]
            for _, done in (*taken, *waiting):  # if this task was cancelled
                done.cancel()

    async def _results(self, key: str, items: Sequence[_Item]) -> Sequence[_Result | Exception]:
        try:
            return await self._run(key, items)
        except StorageFailed as error:
            return [StorageFailed(error.message) for _ in items]  # each with frames of its own
        except Exception as error:
            return [error] * len(items)

    def _tell(
        self, taken: Sequence[tuple[_Item, asyncio.Future[_Result]]], results: Sequence[_Result | Exception]
    ) -> None:
        for (_, done), result in zip(taken, results, strict=True):
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
