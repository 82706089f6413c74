"""What many ask for at the same time is done in one step, and each gets its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pytest_mcn_mock.errors import NotFound, StorageFailed
from pytest_mcn_mock.storage.together import Together


class Batches:
    """Notes what was done together. ``items`` that are negative fail, and 99 fails all."""

    def __init__(self, limit: int = 10, gather_s: float = 0.0) -> None:
        self.done: list[tuple[str, list[int]]] = []
        self.together: Together[int, int] = Together(self._run, limit, gather_s)
        self.release = asyncio.Event()

    async def _run(self, key: str, items: Sequence[int]) -> Sequence[int | Exception]:
        self.done.append((key, [*items]))
        await self.release.wait()
        if 99 in items:
            raise StorageFailed("the database is away")
        return [NotFound(str(item)) if item < 0 else item * 2 for item in items]


def test_items_that_come_meanwhile_are_done_together_and_those_of_another_key_beside_them() -> None:
    async def test() -> None:
        batches = Batches(limit=3)
        first = asyncio.create_task(batches.together.do("a", 1))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(batches.together.do(key, n)) for key, n in (("a", 2), ("a", -3), ("b", 4))]
        more = [asyncio.create_task(batches.together.do("a", n)) for n in (5, 6)]
        await asyncio.sleep(0.01)
        batches.release.set()
        results = await asyncio.gather(first, *others, *more, return_exceptions=True)
        assert [str(result) for result in results] == ["2", "4", "-3", "8", "10", "12"]
        assert batches.done == [("a", [1]), ("b", [4]), ("a", [2, -3, 5]), ("a", [6])]
        assert await batches.together.do("a", 7) == 14

    asyncio.run(test())


@pytest.mark.parametrize("gather_s, later", [(0.0, [("a", [3]), ("a", [4])]), (0.1, [("a", [3, 4])])])
def test_after_a_step_of_several_more_are_waited_for(gather_s: float, later: list[tuple[str, list[int]]]) -> None:
    async def test() -> None:
        batches = Batches(gather_s=gather_s)
        batches.release.set()
        await asyncio.gather(*(batches.together.do("a", n) for n in (1, 2)))
        third = asyncio.create_task(batches.together.do("a", 3))
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.gather(third, batches.together.do("a", 4))
        assert batches.done == [("a", [1, 2]), *later]

    asyncio.run(test())


def test_a_failure_of_all_is_each_ones_own_and_the_next_are_done() -> None:
    async def test() -> None:
        batches = Batches()
        batches.release.set()
        results = await asyncio.gather(*(batches.together.do("a", n) for n in (1, 99)), return_exceptions=True)
        assert [type(result) for result in results] == [StorageFailed, StorageFailed]
        assert results[0] is not results[1]
        assert await batches.together.do("a", 2) == 4

    asyncio.run(test())


def test_one_who_leaves_takes_nobody_along() -> None:
    async def test() -> None:
        batches = Batches()
        tasks = [asyncio.create_task(batches.together.do("a", n)) for n in (1, 2)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        batches.release.set()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await tasks[1] == 4

    asyncio.run(test())
