"""A server that answers the vendor's API in its own way, whatever a test makes of it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "s3cret-token-of-the-account"
ACCOUNT = 117793


@dataclass(frozen=True)
class Asked:
    """A request as the server reads it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    @property
    def login_did(self) -> str:
        return self.query.get("login_did", [""])[0]


Reply = tuple[int, dict[str, str], bytes]
Behaviour = Callable[[Asked], "Reply | None"]
"""What it answers; None hangs until the test is over."""


def as_json(status: int, content: Any, **headers: str) -> Reply:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode()


class VendorServer:
    """``raw`` is sent in place of any answer, where it is given."""

    def __init__(self, behaviour: Behaviour, *, raw: bytes | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                asked = Asked(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body)
                server.asked.append(asked)
                if raw is not None:
                    self.wfile.write(raw)
                    return
                reply = behaviour(asked)
                if reply is None:
                    server._over.wait()
                    return
                status, headers, content = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """A client that has gone is no failure."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}/v2/rest"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def nowhere() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v2/rest"
