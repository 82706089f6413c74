"""A stand-in for a sandbox, which answers whatever a test needs, a real one's bounds notwithstanding."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

CALL: dict[str, Any] = {
    "seq": 1,
    "verification_call_uuid": "119214e015ed_12345678",
    "account_id": 12345678,
    "dialect": "api_mcn",
    "method": "flash_call",
    "login_did": "79157777777",
    "caller_did": "74951230042",
    "code": "0042",
    "country_id": 643,
    "price": "0.15",
    "state": "completed",
    "outcome": "busy",
    "q931_status": 17,
    "final_status": "NO ANSWER",
    "explanation": {
        "country": "no country_id, and login_did is Russian: from a Russian number",
        "number": "Russian number, ends in the requested code 0042",
        "price": "flash_call from a Russian number costs 0.15",
        "outcome": "outcome rule for 7915*: busy (q931_status 17, NO ANSWER)",
    },
    "placed_at": "2026-01-01T12:00:00.000+00:00",
    "ends_at": "2026-01-01T12:00:02.000+00:00",
    "ended_at": "2026-01-01T12:00:02.000+00:00",
}
DELIVERY: dict[str, Any] = {
    "id": 7,
    "verification_call_uuid": "119214e015ed_12345678",
    "account_id": 12345678,
    "webhook": 1,
    "url": "http://localhost:8000/webhooks/mcn",
    "state": "pending",
    "due_at": "2026-01-01T12:00:09.000+00:00",
    "cdr": {"verification_call_uuid": "119214e015ed_12345678", "q931_status": 17, "final_status": "NO ANSWER"},
    "note": "",
    "request": {
        "method": "POST",
        "url": "http://localhost:8000/webhooks/mcn",
        "headers": {"Content-Type": "application/json", "X-Key": "***"},
        "body": '{"q931_status": 17}',
    },
    "attempts": [
        {
            "number": 1,
            "at": "2026-01-01T12:00:02.000+00:00",
            "duration_s": 0.004,
            "status": 503,
            "error": "HTTP 503, not acknowledged",
            "sent_twice": False,
            "response": {"headers": {"Content-Type": "text/plain"}, "body": "try later"},
        },
        {
            "number": 2,
            "at": "2026-01-01T12:00:03.000+00:00",
            "duration_s": 10.0,
            "status": None,
            "error": "no answer within 10 s",
            "sent_twice": False,
            "response": None,
        },
    ],
}
ACCOUNT: dict[str, Any] = {
    "id": 12345678,
    "name": "payments",
    "balance": "90071992547409.93",
    "credit": "0.00",
    "unlimited": False,
    "numbers": ["79158888888"],
    "seed": 1,
    "tariff": {
        "call_for_2fa": "0.01",
        "flash_call": {"643": "0.15", "703": "0.45"},
        "paidmethods": {"call_for_2fa": "0.01", "flash_call": {"643": "0.15", "398": "0.65"}},
    },
    "calls_held": False,
    "webhooks": [],
    "outcomes": [],
    "faults": [],
}
WEBHOOK: dict[str, Any] = {
    "n": 1,
    "url": "http://localhost:8000/webhooks/mcn",
    "body": ["verification_call_uuid", "q931_status"],
    "method": "POST",
    "all_variables": False,
    "data_type": "json",
    "template": None,
    "values": "typed",
    "filter": [],
    "enabled": True,
    "disabled_at": None,
}
_REASON = {"not_found": 404, "conflict": 409, "unauthorized": 401, "precondition_failed": 412}


def refused(code: str, message: str) -> tuple[int, dict[str, Any]]:
    """An answer: the error envelope."""
    status = _REASON[code]
    error = {"code": code, "message": message, "parameter": None}
    return status, {"status": "error", "code": status, "errors": [error]}


@dataclass
class Asked:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content: Any


Answer = tuple[int, Any]
Answering = Callable[[Asked], Answer]


@dataclass
class StandIn:
    """Answers each path with what ``answers`` has for it: a status and JSON or bytes, or a function that makes them."""

    answers: dict[str, Answer | Answering] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                content = json.loads(body) if body else None
                asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), content)
                stand_in.asked.append(asked)
                answer: Answer | Answering = stand_in.answers.get(
                    parts.path.removeprefix("/__admin/"), refused("not_found", "no such path")
                )
                status, said = answer(asked) if callable(answer) else answer
                sent = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client may hang up on what it does not want to read

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def listed(*items: Any, following: object = None) -> Answer:
    """An answer: a list."""
    return 200, {"items": list(items), "next": following}
