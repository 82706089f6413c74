"""Threads that are kept for the next request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Workers:
    """Gives each job to a thread that waits for one, or to a new thread where none does, so that no job waits for
    another: as ``socketserver.ThreadingMixIn`` does, which starts a thread for every request.

    ``start`` is called by one thread alone, the one that accepts connections.
    """

    def __init__(self, work: Callable[..., object], name: str = "mcn-mock-request") -> None:
        self._work = work
        self._name = name
        self._jobs: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0

    def start(self, *job: Any) -> None:
        """Do the work with these arguments, in a thread."""
        with self._lock:
            is_new = not self._waiting
            if not is_new:
                self._waiting -= 1
        if is_new:
            threading.Thread(target=self._run, daemon=True, name=self._name).start()
        self._jobs.put(job)

    def stop(self) -> None:
        """Let the threads end, each when its job has."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._work(*job)
            with self._lock:
                self._waiting += 1
        self._jobs.put(None)  # the next one is to end too
