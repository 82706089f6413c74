"""Endpoints with one fault each, on real sockets, and what a run of the contract has to say about them."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, NamedTuple, Protocol

JSON = "application/json"


class Request(NamedTuple):
    method: str
    path: str
    content_type: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int = 204
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    body: bytes = b""


class Endpoint(Protocol):
    """Answers a request; what it raises is a 500, as servers make it. None is no answer, or one written by hand."""

    def __call__(self, request: Request, handler: BaseHTTPRequestHandler) -> Answer | None: ...


@contextmanager
def served(endpoint: Endpoint, certificate: Any = None) -> Iterator[str]:
    """The URL of an endpoint on a port of its own; with TLS where a certificate of trustme's is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(
                self.command, self.path, self.headers.get("Content-Type", ""), dict(self.headers.items()), body
            )
            try:
                answer = endpoint(request, self)
            except Exception:
                answer = Answer(500)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET = do_HEAD = do_PUT = do_OPTIONS = handle_one  # noqa: N815 - the names that http.server has

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A client that hangs up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http{'' if certificate is None else 's'}://127.0.0.1:{server.server_port}/webhooks/mcn"
    finally:
        server.shutdown()
        server.server_close()


def read(request: Request) -> Answer | dict[str, Any]:
    """The record of a request, or the answer to what is none: how a sound endpoint reads."""
    if request.method != "POST":
        return Answer(405)
    if request.content_type.partition(";")[0] != JSON:
        return Answer(415)
    try:
        cdr = json.loads(request.body)
    except (ValueError, RecursionError):
        return Answer(400)
    if not isinstance(cdr, dict) or not isinstance(cdr.get("verification_call_uuid"), str):
        return Answer(400)
    return cdr


def sound(request: Request, handler: object = None) -> Answer:
    cdr = read(request)
    return cdr if isinstance(cdr, Answer) else Answer()


def acting(act: Callable[[dict[str, Any]], Answer | None]) -> Endpoint:
    """A sound reader that does something with the record."""

    def endpoint(request: Request, handler: object) -> Answer:
        cdr = read(request)
        return cdr if isinstance(cdr, Answer) else act(cdr) or Answer()

    return endpoint


@dataclass(frozen=True)
class Fault:
    """A faulty endpoint. ``make`` makes it afresh; ``finds`` are the cases with an error, or with a warning where
    ``level`` says so; ``diagnosis`` and ``hint`` are regular expressions for what is said of the first one.
    """

    make: Callable[[], Endpoint]
    finds: tuple[str, ...]
    diagnosis: str
    hint: str
    arguments: tuple[str, ...] = ()
    level: str = "error"
    is_all: bool = True
    """Whether nothing else is found; where more is, only ``finds`` are run."""


NO_FINAL_STATUS = ("rejected", "unavailable", "without_final_status")
CAUSES = tuple(f"cause_{n}" for n in (1, 2, 3, 18, 19, 20, 21, 22, 27, 28, 34, 38, 41, 42, 88, 102, 127))


def needs_final_status() -> Endpoint:
    return acting(lambda cdr: {"ANSWERED": None}.get(cdr["final_status"]))


def unique_constraint() -> Endpoint:
    seen: set[str] = set()

    def insert(cdr: dict[str, Any]) -> None:
        if cdr["verification_call_uuid"] in seen:
            raise LookupError("UNIQUE constraint failed")
        seen.add(cdr["verification_call_uuid"])

    return acting(insert)


def conflict() -> Endpoint:
    seen: set[str] = set()

    def insert(cdr: dict[str, Any]) -> Answer | None:
        if cdr["verification_call_uuid"] in seen:
            return Answer(409)
        seen.add(cdr["verification_call_uuid"])
        return None

    return acting(insert)


def keyword_arguments() -> Endpoint:
    def note(verification_call_uuid: str, q931_status: int | None = None, final_status: str = "") -> None:
        pass

    return acting(lambda cdr: note(**cdr))


def cause_as_text() -> Endpoint:
    return acting(lambda cdr: cdr["q931_status"].strip() and None)


def cause_is_a_number() -> Endpoint:
    return acting(lambda cdr: (cdr.get("q931_status", 0) + 0) and None)


def three_causes_alone() -> Endpoint:
    return acting(lambda cdr: {16: None, 17: None, 31: None}[cdr.get("q931_status", 16)])


def hangs() -> Endpoint:
    """It asks something that never answers when a number is out of order."""

    def ask(cdr: dict[str, Any]) -> None:
        if cdr.get("q931_status") == 27:
            threading.Event().wait(30)

    return acting(ask)


def redirects() -> Endpoint:
    return lambda request, handler: Answer(302, {"Location": f"/login/?next={request.path}"})


def adds_a_slash() -> Endpoint:
    return lambda request, handler: Answer(301, {"Location": f"{request.path}/"})


def demands_a_csrf_token() -> Endpoint:
    return lambda request, handler: Answer(403, body=b"CSRF verification failed")


def utf8_alone() -> Endpoint:
    def endpoint(request: Request, handler: object) -> Answer:
        request.body.decode()
        return sound(request)

    return endpoint


def json_alone() -> Endpoint:
    def endpoint(request: Request, handler: object) -> Answer:
        if request.content_type.startswith(JSON):
            json.loads(request.body.decode(errors="replace"))
        return sound(request)

    return endpoint


def objects_alone() -> Endpoint:
    def endpoint(request: Request, handler: object) -> Answer:
        try:
            json.loads(request.body).get("verification_call_uuid")
        except (ValueError, RecursionError):
            return Answer(400)
        return sound(request)

    return endpoint


def ten_connections() -> Endpoint:
    """The eleventh of a crowd finds the pool empty. The first request, the probe, comes alone."""
    numbers, crowd = count(), threading.Barrier(11)

    def note(cdr: dict[str, Any]) -> None:
        if 1 <= next(numbers) <= 11 and crowd.wait(30) == 0:
            raise OSError("too many clients already")

    return acting(note)


def deadlocks() -> Endpoint:
    """Two at once wait for one another."""
    numbers = count()

    def lock(cdr: dict[str, Any]) -> None:
        if next(numbers) in (20, 21):
            threading.Event().wait(30)

    return acting(lock)


def closes() -> Endpoint:
    def endpoint(request: Request, handler: object) -> Answer | None:
        cdr = read(request)
        return None if isinstance(cdr, dict) and cdr.get("q931_status") == 31 else sound(request)

    return endpoint


def drips() -> Endpoint:
    def endpoint(request: Request, handler: BaseHTTPRequestHandler) -> Answer | None:
        if b"NO ANSWER" not in request.body:
            return sound(request)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n.")
        threading.Event().wait(30)
        return None

    return endpoint


def talks_nonsense() -> Endpoint:
    def endpoint(request: Request, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n")

    return endpoint


def compares_the_header() -> Endpoint:
    return lambda request, handler: Answer(415) if request.content_type != JSON else sound(request)


def sets_a_cookie() -> Endpoint:
    return lambda request, handler: sound(request)._replace(headers={"Set-Cookie": "session\x1b=s3cret; Path=/"})


def limits_the_rate() -> Endpoint:
    numbers = count()
    return acting(lambda _: Answer(429) if next(numbers) >= 30 else None)


def knows_no_call() -> Endpoint:
    return acting(lambda _: Answer(404))


def is_elsewhere() -> Endpoint:
    return lambda request, handler: Answer(404)


def always_fails() -> Endpoint:
    return lambda request, handler: Answer(500)


ONLY_POST = ("--method", "GET")
FAULTS: dict[str, Fault] = {
    "needs final_status": Fault(
        needs_final_status,
        (*NO_FINAL_STATUS, *CAUSES),
        "answered 500 to a record of a rejected call, which has no final_status$",
        r"documents no final_status for a rejected call: read it with \.get\(\)",
        is_all=False,
    ),
    "a unique constraint": Fault(
        unique_constraint,
        ("duplicate", "duplicate_at_once", "contradicted", "early"),
        r"answered 500 to a record that is sent three times \(2 of 3\)",
        r"ON CONFLICT DO NOTHING",
    ),
    "409 to a repeat": Fault(
        conflict,
        ("duplicate", "duplicate_at_once", "contradicted", "early"),
        r"acknowledged it once, and then answered 409 to a record that is sent three times \(2 of 3\)",
        r"let the second one change nothing and answer 2xx",
    ),
    "fails on unknown fields": Fault(
        keyword_arguments,
        ("unknown_fields", "all_variables", "late", "large_body"),
        "answered 500 to a record with additional fields",
        r"ignore what you do not know: no \*\*cdr",
    ),
    "takes the cause for text": Fault(
        cause_as_text,
        ("answered",),
        "answered 500 to an ordinary record of an answered call",
        "look into the application's log",
        is_all=False,
    ),
    "takes every cause for a number": Fault(
        cause_is_a_number,
        ("cause_null", "cause_as_text", "cause_list"),
        "answered 500 to a record with q931_status null",
        "test for None",
    ),
    "knows three causes": Fault(
        three_causes_alone,
        ("cause_27",),
        r"answered 500 to a record with q931_status 27 \(destination out of order\)",
        "let all but 16, 17 and 31 mean unavailable",
        is_all=False,
    ),
    "hangs": Fault(
        hangs,
        ("cause_27",),
        r"gave no answer within 1 s to a record with q931_status 27",
        "acknowledge first and work afterwards",
        ("--only", "cause_27", "--timeout", "1"),
    ),
    "redirects to a login": Fault(
        redirects,
        ("answered",),
        r"redirected \(302\) to /login/ in answer to an ordinary record",
        "exempt the webhook's path from logins",
        is_all=False,
    ),
    "redirects to a slash": Fault(
        adds_a_slash,
        ("answered",),
        r"redirected \(301\) to /webhooks/mcn/ in answer to an ordinary record",
        "follows no redirect.*the slash at the end",
        is_all=False,
    ),
    "demands a CSRF token": Fault(
        demands_a_csrf_token,
        ("answered",),
        "answered 403 to an ordinary record",
        "@csrf_exempt",
        is_all=False,
    ),
    "fails on what is no UTF-8": Fault(
        utf8_alone, ("broken_utf8",), "answered 500 to a body that is not UTF-8", "ValueError covers JSON and UTF-8"
    ),
    "fails on what is no JSON": Fault(
        json_alone,
        ("cut_off", "empty_body"),
        "answered 500 to a body that is cut off",
        "catch the parser's error and answer 400",
        is_all=False,
    ),
    "fails on what is no object": Fault(
        objects_alone,
        ("array", "json_text", "json_null"),
        "answered 500 to an array with the record in it",
        r"isinstance\(cdr, dict\)",
    ),
    "has ten connections": Fault(
        ten_connections,
        ("fifty_at_once",),
        r"answered 500 to 50 records at once \(1 of 50\)",
        "the database a pool with a wait",
        ("--only", "fifty_at_once"),
    ),
    "deadlocks in a crowd": Fault(
        deadlocks,
        ("fifty_at_once",),
        r"gave no answer within 1 s to 50 records at once \(\d+ of 50\)",
        "hold no lock while the record is worked on.*acknowledge first",
        ("--only", "fifty_at_once", "--timeout", "1"),
    ),
    "closes the connection": Fault(
        closes,
        ("rejected",),
        "closed the connection without an answer to a record of a rejected call",
        "look for a crash or a kill in the server's log",
    ),
    "ends no answer": Fault(
        drips,
        ("busy",),
        r"began an answer and did not end it within 1 s, to a record of a busy number",
        "send no body, or all of it at once",
        ("--only", "busy", "--timeout", "1"),
    ),
    "is no HTTP server": Fault(
        talks_nonsense, ("answered",), "gave an answer that is not HTTP", ".", ("--only", "answered"), is_all=False
    ),
    "compares the content type as a whole": Fault(
        compares_the_header,
        ("charset",),
        "answered 415 to a record with Content-Type application/json; charset=utf-8",
        "with and without a charset",
    ),
    "takes POST alone": Fault(
        lambda: sound,
        ("answered",),
        "answered 405 to an ordinary record",
        "the method that the subscription is set to",
        ONLY_POST,
        is_all=False,
    ),
    "takes JSON alone": Fault(
        lambda: sound,
        ("answered",),
        "answered 415 to an ordinary record",
        "the content type that the subscription sends",
        ("--data-type", "text"),
        is_all=False,
    ),
    "sets a cookie": Fault(
        sets_a_cookie,
        ("answered",),
        r"set a cookie \(session\\x1b\) in its answer to an ordinary record",
        "exempt the webhook's path from sessions",
        level="warning",
        is_all=False,
    ),
    "limits the rate": Fault(
        limits_the_rate,
        ("fifty_at_once",),
        r"answered 429 to 50 records at once \(21 of 50\)",
        "exempt .* from the rate limit",
        is_all=False,
    ),
    "knows no call": Fault(
        knows_no_call,
        ("answered",),
        "answered 404 to an ordinary record",
        "at last disables the webhook",
        level="warning",
        is_all=False,
    ),
    "is served under another path": Fault(
        is_elsewhere,
        ("answered", "busy"),
        "answered 404 to an ordinary record",
        "nothing is served under the path of this URL",
        is_all=False,
    ),
    "fails on everything": Fault(
        always_fails, ("busy", "answered"), "answered 500 to a record of a busy", "fix that first", is_all=False
    ),
}
"""Every faulty endpoint, by what is wrong with it."""
