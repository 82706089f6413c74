"""How a coroutine is run: its caller steps it until it waits for the first time; then the event loop runs the rest.

Each request and each action of a tester is one coroutine. Most of them never wait. Stepping such a coroutine takes one
microsecond, a task of the event loop twelve (docs/explanation/performance.md). An attempt at a CDR, which always waits,
is stepped by ``delivery.worker._Run``.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, Generic, TypeVar

from msgspec import Struct

_T = TypeVar("_T")
_K = TypeVar("_K")


class Done(Struct, Generic[_T], frozen=True):
    """A coroutine has ended with this result."""

    result: _T


def step(flow: Coroutine[Any, None, _T]) -> Done[_T] | Any:
    """Run a coroutine until it ends or waits. Return Done, or the yielded value, with which ``go_on`` continues."""
    try:
        return flow.send(None)
    except StopIteration as end:
        return Done(end.value)


def complete(flow: Coroutine[Any, None, _T]) -> _T:
    """Run a coroutine that never waits, and return its result."""
    ended = step(flow)
    if not isinstance(ended, Done):
        flow.close()
        raise RuntimeError("the coroutine waits, but must not")  # noqa: TRY004 - this does not depend on its type
    result: _T = ended.result
    return result


@coroutine
def on_loop() -> Generator[None, None, None]:
    """Wait until the coroutine is a task of the event loop. The code after it may use functions that need a task."""
    yield


async def go_on(flow: Coroutine[Any, None, _T], waits_for: Any) -> _T:
    """Run the rest of a coroutine that was stepped and waits for this. To be awaited in a task."""
    result: _T = await _go_on(flow, waits_for, ())
    return result


async def go_on_until(kind: type[_K] | tuple[type[_K], ...], flow: Coroutine[Any, None, Any], waits_for: Any) -> _K:
    """Run it in the same way until it yields a value of that kind, or of one of several; return the value."""
    value: _K = await _go_on(flow, waits_for, kind if isinstance(kind, tuple) else (kind,))
    return value


@coroutine
def _go_on(flow: Coroutine[Any, None, Any], yielded: Any, stop_at: tuple[type, ...]) -> Generator[Any, None, Any]:
    while not isinstance(yielded, stop_at):
        try:
            yield yielded
        except BaseException as error:  # such as CancelledError: the coroutine must get it too
            thrown = error
            try:
                yielded = flow.throw(thrown)
            except StopIteration as end:
                return end.value
        else:
            try:
                yielded = flow.send(None)
            except StopIteration as end:
                return end.value
    return yielded
