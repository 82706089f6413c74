"""Several sandboxes on one PostgreSQL database, and what has to hold of the state that they share."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from helpers.killed_sandbox import everything
from helpers.sandbox import Sandbox, running_sandbox, wait_until

T = TypeVar("T")
SHORT_LEASES = """
import pytest_mcn_mock.delivery.worker as worker
import pytest_mcn_mock.storage.sql as sql
worker.LEASE_S, sql.ORDER_S = 2.0, 3.0
"""
"""For ``before=``: another replica takes over after two seconds."""


@contextmanager
def running_replicas(
    url: str, count: int, *arguments: str, config: str = "", before: str = ""
) -> Iterator[list[Sandbox]]:
    """So many sandboxes on the database with that URL. They start at the same time."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as starters:
        start = partial(running_sandbox, "--state", url, *arguments, config=config, before=before)
        replicas = list(starters.map(lambda _: stack.enter_context(start()), range(count)))
        yield replicas


def at_once(do: Callable[[int], T], count: int) -> list[T]:
    """Call the function with each number below ``count`` at the same time; return what it returns."""
    ready = threading.Barrier(count)

    def begin(number: int) -> T:
        ready.wait()
        return do(number)

    with ThreadPoolExecutor(count) as workers:
        return list(workers.map(begin, range(count)))


def wait_for_deliveries(sandbox: Sandbox, count: int, state: str = "delivered") -> list[Any]:
    """All deliveries, once there are so many in that state."""
    found: list[Any] = []

    def are_there() -> bool:
        found[:] = everything(sandbox, "deliveries")
        return [delivery["state"] for delivery in found].count(state) == count

    wait_until(are_there)
    return found


class Watcher:
    """Listens to the live events of a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.events: list[tuple[str, Any]] = []
        connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)
        connection.request("GET", "/__admin/events")
        self._socket = connection.sock
        self._answer = connection.getresponse()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        kind = ""
        with suppress(OSError, http.client.HTTPException):
            while line := self._answer.readline():
                name, _, value = line.decode().rstrip().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self.events.append((kind, json.loads(value)))

    def wait_for(self, kind: str, **fields: Any) -> Any:
        """The first event of that kind with these fields."""

        def found() -> list[Any]:
            return [data for known, data in self.events if known == kind and fields.items() <= data.items()]

        wait_until(lambda: bool(found()))
        return found()[0]

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
