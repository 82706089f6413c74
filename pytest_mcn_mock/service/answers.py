"""How much is kept of what endpoints answered: a number of bytes for all of them, not for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from pytest_mcn_mock.model.deliveries import CdrResponse, Delivery

MAX_ANSWERS_SIZE: Final = 64 * 2**20
"""Bytes that the answers take up; then the oldest keep their status alone."""
_OVERHEAD: Final = 512
"""Bytes of an answer beside its text."""


class KeptAnswers:
    """The answers that attempts keep, the oldest first. ``is_listed`` says whether a delivery is still there. Not for
    several threads.
    """

    def __init__(self, is_listed: Callable[[int], bool]) -> None:
        self._is_listed = is_listed
        self._size = 0
        self._answers: deque[tuple[int, int, int]] = deque()

    def add(self, delivery_id: int, number: int, answer: CdrResponse) -> Iterator[tuple[int, int]]:
        """Count the answer to an attempt; yield the deliveries, and the attempts' numbers, whose answers are to go."""
        while self._answers and not self._is_listed(self._answers[0][0]):  # it took its answers along
            self._size -= self._answers.popleft()[2]
        taken = answer.size() + _OVERHEAD
        self._answers.append((delivery_id, number, taken))
        self._size += taken
        while self._size > MAX_ANSWERS_SIZE:
            oldest, number, size = self._answers.popleft()
            self._size -= size
            yield oldest, number

    def count_anew(self, deliveries: Iterator[Delivery]) -> Iterator[tuple[int, int]]:
        """Count these and no others; yield as ``add`` does."""
        self.clear()
        for delivery in deliveries:
            for attempt in delivery.attempts:
                if attempt.response is not None:
                    yield from self.add(delivery.id, attempt.number, attempt.response)

    def clear(self) -> None:
        """Nothing is kept any more."""
        self._answers.clear()
        self._size = 0
