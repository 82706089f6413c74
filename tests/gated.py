"""A webhook whose every answer a test gives when it likes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WAIT_S = 60.0


class Gated:
    """A webhook endpoint on a socket of its own. ``answer`` says what a request gets, by the order of arrival from 0;
    with ``overlapping`` each one is acknowledged when the next one arrives, so that one is always under way.
    """

    def __init__(self, *, overlapping: bool = False) -> None:
        self.received: list[dict[str, Any]] = []
        self._overlapping = overlapping
        self._statuses: dict[int, int] = {}
        self._is_open = False
        self._changed = threading.Condition()
        gated = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(gated._take(body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        self._wait(lambda: len(self.received) >= count)

    def answer(self, number: int, status: int) -> None:
        """Let a request be answered, now or when it arrives."""
        with self._changed:
            self._statuses[number] = status
            self._changed.notify_all()

    def open(self) -> None:
        """Acknowledge at once whatever has no answer of its own."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.open()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, body: dict[str, Any]) -> int:
        with self._changed:
            number = len(self.received)
            self.received.append(body)
            self._changed.notify_all()
        self._wait(
            lambda: number in self._statuses or self._is_open or (self._overlapping and len(self.received) > number + 1)
        )
        return self._statuses.get(number, 204)

    def _wait(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(holds, WAIT_S):
                raise AssertionError(f"{len(self.received)} requests have arrived, and no more")
