"""Endpoints with one fault each, on real sockets, and what `mcn-mock check` has to say about them."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    """Answers a request; an exception is a 500, as servers make it. None is no answer, or one written manually."""

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
    """The record of a request, or the answer if it is not one: how a correct endpoint reads."""
    if request.method != "POST":
        return Answer(405)
    if request.content_type.partition(";")[0] != JSON:
        return Answer(415)
    try:
        cdr = json.loads(request.body)
    except (ValueError, RecursionError):
        return Answer(400)
    if isinstance(cdr, dict) and "event_type" in cdr:
        cdr = cdr.get("data")
    if not isinstance(cdr, dict) or not isinstance(cdr.get("verification_call_uuid"), str):
        return Answer(400)
    return cdr


def sound(request: Request, handler: object = None) -> Answer:
    cdr = read(request)
    return cdr if isinstance(cdr, Answer) else Answer()


def acting(act: Callable[[dict[str, Any]], Answer | None]) -> Endpoint:
    """A correct reader that does something with the record."""

    def endpoint(request: Request, handler: object) -> Answer:
        cdr = read(request)
        return cdr if isinstance(cdr, Answer) else act(cdr) or Answer()

    return endpoint


class Fault(NamedTuple):
    """A faulty endpoint. ``make`` makes a new one; ``finds`` are the cases with an error, or with a warning if
    ``level`` says so; ``diagnosis`` and ``hint`` are regular expressions for the first finding.
    """

    name: str
    make: Callable[[], Endpoint]
    finds: str
    diagnosis: str
    hint: str
    arguments: str = ""
    level: str = "error"
    is_all: bool = False
    """Whether nothing else is found; if more is, only ``finds`` are run."""


TEMPLATE = "${{verification_call_uuid}}/${{final_status}}"
CAUSES = tuple(f"cause_{n}" for n in (1, 2, 3, 18, 19, 20, 21, 22, 27, 28, 34, 38, 41, 42, 44, 88, 102, 127))


def always(answer: Answer) -> Callable[[], Endpoint]:
    return lambda: lambda request, handler: answer


def failing(act: Callable[[dict[str, Any]], object]) -> Callable[[], Endpoint]:
    """A correct reader that does something with the record, and fails if that does."""

    def note(cdr: dict[str, Any]) -> None:
        act(cdr)

    return lambda: acting(note)


def before(act: Callable[[Request], object]) -> Callable[[], Endpoint]:
    """It does something with the request before it reads it correctly; an answer of that is the answer."""

    def endpoint(request: Request, handler: object) -> Answer:
        done = act(request)
        return done if isinstance(done, Answer) else sound(request)

    return lambda: endpoint


def knows(repeated: Answer) -> Callable[[], Endpoint]:
    """It answers the second record of a call so."""

    def make() -> Endpoint:
        seen: set[str] = set()

        def insert(cdr: dict[str, Any]) -> Answer | None:
            uuid = cdr["verification_call_uuid"]
            if uuid in seen:
                return repeated
            seen.add(uuid)
            return None

        return acting(insert)

    return make


def counting(act: Callable[[int], object]) -> Callable[[], Endpoint]:
    """It does something with the number of the record, 0 for the probe; an answer of that is the answer."""

    def make() -> Endpoint:
        numbers = count()

        def note(cdr: dict[str, Any]) -> Answer | None:
            done = act(next(numbers))
            return done if isinstance(done, Answer) else None

        return acting(note)

    return make


def hang() -> bool:
    return threading.Event().wait(30)


def read_object(request: Request) -> Answer | None:
    try:
        json.loads(request.body).get("verification_call_uuid")
    except (ValueError, RecursionError):
        return Answer(400)
    return None


def read_json(request: Request) -> None:
    if request.content_type.startswith(JSON):
        json.loads(request.body.decode(errors="replace"))


def take_keywords(verification_call_uuid: str, q931_status: int | None = None, final_status: str = "") -> None:
    pass


def needs_data(request: Request) -> None:
    with suppress(ValueError, RecursionError):
        event = json.loads(request.body)
        if isinstance(event, dict) and "event_type" in event:
            event["data"].get("verification_call_uuid")


def needs_key(request: Request) -> None:
    with suppress(ValueError, RecursionError):
        event = json.loads(request.body)
        if isinstance(event, dict) and "event_type" in event:
            event["idempotencyKey"].strip()


def keyed(repeated: Callable[[dict[str, Any], dict[str, Any]], Answer | None]) -> Endpoint:
    """It answers an event whose key it has seen as the function of the first and of this one says."""
    seen: dict[str, dict[str, Any]] = {}

    def endpoint(request: Request, handler: object) -> Answer:
        answer = sound(request)
        if answer.status == 204 and b"idempotencyKey" in request.body:
            event = json.loads(request.body)
            first = seen.setdefault(event["idempotencyKey"], event)
            if first is not event:
                return repeated(first, event) or answer
        return answer

    return endpoint


def key_only_once() -> Endpoint:
    return keyed(lambda first, event: Answer(409))


def compares_the_envelope() -> Endpoint:
    return keyed(lambda first, event: Answer(500) if first["created_at"] != event["created_at"] else None)


def ten_connections() -> Endpoint:
    """The eleventh of a crowd finds the pool empty."""
    crowd = threading.Barrier(11)

    def note(number: int) -> None:
        if 1 <= number <= 11 and crowd.wait(30) == 0:
            raise OSError("too many clients already")

    return counting(note)()


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
        hang()
        return None

    return endpoint


def talks_nonsense() -> Endpoint:
    def endpoint(request: Request, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n")

    return endpoint


def sets_a_cookie() -> Endpoint:
    return lambda request, handler: sound(request)._replace(headers={"Set-Cookie": "session\x1b=s3cret; Path=/"})


FAULTS = (
    Fault("needs final_status", failing(lambda cdr: {"ANSWERED": None}.get(cdr["final_status"])),
          f"rejected unavailable without_final_status {' '.join(CAUSES)}",
          "answered 500 to a record of a rejected call, which has no final_status$",
          r"documents no final_status for a rejected call: read it with \.get\(\)"),
    Fault("a unique constraint", knows(Answer(500)), "duplicate duplicate_at_once contradicted early",
          r"answered 500 to a record that is sent three times \(2 of 3\)", "ON CONFLICT DO NOTHING", is_all=True),
    Fault("409 to a repeat", knows(Answer(409)), "duplicate duplicate_at_once contradicted early",
          r"acknowledged it once, and then answered 409 to a record that is sent three times \(2 of 3\)",
          "answer 2xx to a repeat, and change nothing", is_all=True),
    Fault("takes final_status for text", failing(lambda cdr: cdr.get("final_status", "").strip()),
          "final_status_null", r"answered 500 to records of a rejected call .* with final_status null \(2 of 2\)",
          "test for None before you call a method of it", is_all=True),
    Fault("has a list of statuses", failing(lambda cdr: ["ANSWERED", "NO ANSWER", "X", "CONGESTION", None].index(
          cdr.get("final_status"))), "final_status_empty",
          "answered 500 to records of a rejected call .* with an empty final_status", "as a missing",
          is_all=True),
    Fault("reads no envelope", before(lambda request: Answer(422) if b"event_type" in request.body else None),
          "answered", "answered 422 to an ordinary record", "with the uuid of a known call",
          "--all-variables", "warning"),
    Fault("needs data", before(needs_data), "without_data data_null data_list", "answered 500 to an event without data",
          "check that data is an object", "--all-variables", is_all=True),
    Fault("needs a key", before(needs_key), "without_key", "answered 500 to an event without idempotencyKey",
          r"read idempotencyKey with \.get\(\)", "--all-variables", is_all=True),
    Fault("takes an event with a key once", key_only_once, "duplicate duplicate_at_once repeated_key early",
          r"acknowledged it once, and then answered 409 to .*", "to a repeat, and change nothing", "--all-variables",
          is_all=True),
    Fault("compares all but data", compares_the_envelope, "repeated_key",
          r"answered 500 to an event that is sent three times with one idempotencyKey.* \(2 of 3\)",
          "compare only idempotencyKey", "--all-variables", is_all=True),
    Fault("fails on unknown fields", failing(lambda cdr: take_keywords(**cdr)),
          "unknown_fields all_variables late large_body", "answered 500 to a record with additional fields",
          r"ignore unknown fields: do not use \*\*cdr", is_all=True),
    Fault("takes the cause for text", failing(lambda cdr: cdr["q931_status"].strip()), "answered",
          "answered 500 to an ordinary record of an answered call", "find the error in the application's log"),
    Fault("takes every cause for a number", failing(lambda cdr: cdr.get("q931_status", 0) + 0),
          "cause_null cause_as_text cause_list", "answered 500 to a record with q931_status null", "test for None",
          is_all=True),
    Fault("knows three causes", failing(lambda cdr: {16: None, 17: None, 31: None}[cdr.get("q931_status", 16)]),
          "cause_27", r"answered 500 to a record with q931_status 27 \(destination out of order\)",
          "treat all but 16, 17 and 31 as unavailable"),
    Fault("hangs", failing(lambda cdr: cdr.get("q931_status") == 27 and hang()), "cause_27",
          "gave no answer within 1 s to a record with q931_status 27", "acknowledge first and work afterwards",
          "--timeout 1"),
    Fault("redirects to a login", always(Answer(302, {"Location": "/login/?next=/webhooks/mcn"})), "answered",
          r"redirected \(302\) to /login/ in answer to an ordinary record",
          "exempt the webhook's path from logins"),
    Fault("redirects to a slash", always(Answer(301, {"Location": "/webhooks/mcn/"})), "answered",
          r"redirected \(301\) to /webhooks/mcn/ in answer to an ordinary record",
          "does not follow redirects.*the slash at the end"),
    Fault("demands a CSRF token", always(Answer(403, body=b"CSRF verification failed")), "answered",
          "answered 403 to an ordinary record", "@csrf_exempt"),
    Fault("fails if it is not UTF-8", before(lambda request: request.body.decode()), "broken_utf8",
          "answered 500 to a body that is not UTF-8", "ValueError covers JSON and UTF-8", is_all=True),
    Fault("fails if it is not JSON", before(read_json), "cut_off empty_body",
          "answered 500 to a body that is cut off", "catch the parser's error and answer 400"),
    Fault("fails if it is not an object", before(read_object), "array json_text json_null",
          "answered 500 to an array with the record in it", r"isinstance\(cdr, dict\)", is_all=True),
    Fault("has ten connections", ten_connections, "fifty_at_once", r"answered 500 to 50 records at once \(1 of 50\)",
          "the database a pool with a wait"),
    Fault("deadlocks in a crowd", counting(lambda number: number in (20, 21) and hang()), "fifty_at_once",
          r"gave no answer within 1 s to 50 records at once \(\d+ of 50\)",
          "do not hold a lock while you process a record.*acknowledge first", "--timeout 1"),
    Fault("closes the connection", closes, "rejected final_status_empty final_status_null",
          "closed the connection without an answer to a record of a rejected call",
          "find the reason in the server's log", is_all=True),
    Fault("ends no answer", drips, "busy",
          "began an answer and did not end it within 1 s, to a record of a busy number",
          "send no body, or send it all at once", "--timeout 1"),
    Fault("is not an HTTP server", talks_nonsense, "answered", "gave an answer that is not HTTP", "."),
    Fault("compares the content type as a whole",
          before(lambda request: Answer(415) if request.content_type != JSON else None), "charset",
          "answered 415 to a record with Content-Type application/json; charset=utf-8", "with and without a charset",
          is_all=True),
    Fault("takes only POST", lambda: sound, "answered", "answered 405 to an ordinary record",
          "accept the subscription's method", "--method GET"),
    Fault("takes only JSON", lambda: sound, "answered", "answered 415 to an ordinary record",
          "accept the subscription's content type", f"--data-type text --template {TEMPLATE}"),
    Fault("sets a cookie", sets_a_cookie, "answered",
          r"set a cookie \(session\\x1b\) in its answer to an ordinary record",
          "exempt the webhook's path from sessions", level="warning"),
    Fault("limits the rate", counting(lambda number: Answer(429) if number >= 30 else None), "fifty_at_once",
          r"answered 429 to 50 records at once \(21 of 50\)", "exempt .* from the rate limit"),
    Fault("knows no call", lambda: acting(lambda cdr: Answer(404)), "answered", "answered 404 to an ordinary record",
          "at last disables the webhook", level="warning"),
    Fault("is served under another path", always(Answer(404)), "answered busy", "answered 404 to an ordinary record",
          "nothing is served at the path of this URL"),
    Fault("fails on everything", always(Answer(500)), "busy answered", "answered 500 to a record of a busy",
          "fix that first"),
)  # fmt: skip
"""Every faulty endpoint."""
