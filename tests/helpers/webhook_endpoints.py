"""Webhook endpoints on sockets of their own, and what they received."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import trustme

AUTHORITY = trustme.CA()
WAIT_S = 60.0


class Receiver:
    """A webhook endpoint on a socket of its own. ``statuses`` are answered in turn, the last one from then on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.received: list[dict[str, Any]] = []
        """The JSON bodies; an empty object in place of another."""
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.methods: list[str] = []
        self._lock = threading.Lock()
        self._gate = threading.Event()
        self._gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with receiver._lock:
                    is_json = self.headers.get_content_type() == "application/json"
                    receiver.received.append(json.loads(body) if body and is_json else {})
                    receiver.bodies.append(body)
                    receiver.paths.append(self.path)
                    receiver.methods.append(self.command)
                    receiver.headers.append(dict(self.headers))
                    count = len(receiver.received)
                receiver._gate.wait(60)
                self.send_response(receiver.statuses[min(count, len(receiver.statuses)) - 1])
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the name that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/mcn"

    def hold(self) -> Callable[[], None]:
        """Keep back every acknowledgement until the function that is returned is called."""
        self._gate.clear()
        return self._gate.set

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()


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


class _Acknowledge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def https_endpoint() -> Iterator[str]:
    """The URL of an endpoint that acknowledges everything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Acknowledge) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
