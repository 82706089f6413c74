"""A request's life is one coroutine, read from top to bottom. This is how it waits, whoever runs it.

The coroutine gives its driver one step at a time: a future to wait for, or an answer to send (``web.http.send``). It
goes on when the driver has done the step. The sandbox's event loop is one driver (``web.connection``), a thread of
werkzeug's the other (``web.wsgi``). A coroutine that never waits costs its driver no task.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from types import coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Turn(Future[_T]):
    """What a client waits for only as long as it is there: its driver cancels it when the client leaves."""


@coroutine
def until(future: Future[_T]) -> Generator[Future[Any], None, _T]:
    """Wait for the future; return its result or raise its exception."""
    if not future.done():
        yield future
    return future.result()


def finish(flow: Coroutine[Any, None, None]) -> None:
    """The answer was sent, or could not be: do what follows it, which does not wait."""
    try:
        flow.send(None)
    except StopIteration:
        return
    raise RuntimeError("a request waits after its answer")
