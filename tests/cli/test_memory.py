"""What the network can make the sandbox keep is bounded in bytes: docs/explanation/security.md states the bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from helpers.in_process import run
from helpers.sandbox import ACCOUNT, Sandbox, running_sandbox, wait_until

from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service.events import RequestAnswered
from pytest_mcn_mock.storage.memory import MemoryStorage
from pytest_mcn_mock.web.feed import MAX_MESSAGE, Feed

JOURNAL = 300
SECURITY = Path(__file__).parents[2] / "docs/explanation/security.md"
SMILE = "%F0%9F%98%80"
"""A character beyond the first 65,536: with it in, each character of a text takes four bytes."""


def stated_kib(what: str) -> int:
    """How much the page says that a thing takes at most."""
    found = re.findall(rf"^\| {what} \| .*?(\d+) KiB each", SECURITY.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[0])


def resident(sandbox: Sandbox) -> int:
    """The memory of the sandbox's process, in KiB."""
    status = Path(f"/proc/{sandbox.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


ORDER = "/v2/rest/account/12345678/flash_call?login_did=79157777777"


@contextmanager
def asked(
    more: str = "", server: str = f"journal_size = {JOURNAL}", **options: Any
) -> Iterator[tuple[Sandbox, HTTPConnection]]:
    """A sandbox with an account for many calls, and a client's connection to it."""
    account = ACCOUNT.replace("100.00", "1000.00")
    with (
        running_sandbox(
            config=f"[server]\n{server}\n[assumed]\ndisable_after = 1000000\n{account}{more}", **options
        ) as sandbox,
        closing(HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)) as client,
    ):
        yield sandbox, client


def ask(client: HTTPConnection, path: str, body: str | None = None) -> int:
    headers = {"Authorization": "Bearer test-token"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    client.request("POST", path, body, headers)
    response = client.getresponse()
    response.read()
    return response.status


def long_path(n: int) -> tuple[str, None]:
    return f"/{n}-{'a' * 40_000}{SMILE}", None


def long_account(n: int) -> tuple[str, None]:
    return f"/v2/rest/account/{n}-{'a' * 40_000}{SMILE}/flash_call", None


def long_parameters(n: int) -> tuple[str, str]:
    parameters = "&".join(f"{n}-{i}-{'b' * 800}=c{SMILE}{'d' * 100}" for i in range(60))
    return ORDER, parameters


@pytest.mark.parametrize("make", [long_path, long_account, long_parameters])
def test_long_requests_take_as_much_as_the_page_says(make: Callable[[int], tuple[str, str | None]]) -> None:
    with asked(unchecked=True) as (sandbox, client):
        for n in range(20):
            ask(client, *make(n))
        before = resident(sandbox)
        for n in range(JOURNAL):
            assert ask(client, *make(1000 + n)) in {200, 403, 404}
        noise = 4096
        assert resident(sandbox) - before < JOURNAL * stated_kib("requests listed") + noise
        assert len(sandbox.admin("requests?limit=1000")["items"]) == JOURNAL


def test_what_is_left_out_of_a_request_is_said() -> None:
    with asked() as (sandbox, client):
        assert ask(client, *long_parameters(0)) == 200
        assert ask(client, *long_path(0)) == 404
        many, path = sandbox.admin("requests")["items"]
        assert len(path["path"]) == 512
        assert many["parameters"]["login_did"] == "79157777777"
        assert many["parameters"]["…"] == f"{61 - len(many['parameters']) + 1} more"


def test_many_short_parameters_take_as_little_as_long_ones() -> None:
    with asked() as (sandbox, client):
        assert ask(client, f"{ORDER}&" + "&".join(f"{a}{b}=1" for a in "abcdefg" for b in "abcdefgh"), None) == 200
        (many,) = sandbox.admin("requests")["items"]
        assert many["parameters"]["…"] == f"{57 - len(many['parameters']) + 1} more"


@contextmanager
def complaining(page: str) -> Iterator[str]:
    """A webhook that refuses each CDR with a page and a header that are long."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500)
            self.send_header("X-Trace", "t" * 60_000)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def all_failed(sandbox: Sandbox, calls: int) -> bool:
    deliveries = sandbox.admin("deliveries?limit=1000")["items"]
    return len(deliveries) == calls and all(delivery["state"] != "pending" for delivery in deliveries)


def test_of_error_pages_the_beginning_is_kept_and_the_oldest_go() -> None:
    small = "import pytest_mcn_mock.storage.memory as memory; memory.MAX_ANSWERS_SIZE = 100_000"
    page = "<h1>it failed</h1>" + "x" * 64_000
    with complaining(page) as url:
        webhook = f'[[account.webhook]]\nurl = "{url}"\nretry = false\n'
        with asked(webhook, before=small) as (sandbox, client):
            for _ in range(30):
                assert ask(client, ORDER) == 200
            wait_until(lambda: all_failed(sandbox, 30))
            deliveries = sandbox.admin("deliveries?limit=1000")["items"]
            answers = [delivery["attempts"][0]["response"] for delivery in deliveries]
            assert {delivery["attempts"][0]["status"] for delivery in deliveries} == {500}
            whole = [answer for answer in answers if answer["body"]]
            assert {answer["body"] for answer in whole} == {page[:4096]}
            assert sum(len("".join(answer["headers"].values())) for answer in answers) < 100_000
            assert 8 <= len(whole) <= 20
            assert {(answer["body"], len(answer["headers"])) for answer in answers if not answer["body"]} == {("", 0)}


def test_error_pages_take_as_much_as_the_page_says() -> None:
    with complaining("x" * 65_000) as url:
        webhook = f'[[account.webhook]]\nurl = "{url}"\nretry = false\n'
        with asked(webhook, unchecked=True) as (sandbox, client):
            ask(client, ORDER)
            wait_until(lambda: all_failed(sandbox, 1))
            before = resident(sandbox)
            for _ in range(JOURNAL - 1):
                assert ask(client, ORDER) == 200
            wait_until(lambda: sandbox.admin("health")["ready"] and all_failed(sandbox, JOURNAL))
            # The 32 attempts that are under way at once have whole answers in hand.
            assert resident(sandbox) - before < JOURNAL * (stated_kib("calls listed") + 10) + 32 * 200 + 8192


def test_a_message_of_the_live_events_is_bounded() -> None:
    feed = Feed(MemoryStorage(10, has_one_time=True))
    listener = feed.listen()
    woken = []
    listener.wake_by(lambda: woken.append(True))
    for n in range(1, 1001):
        feed.hear(RequestAnswered(ApiRequest(n, "POST", "/", "1", 0.0, {"a": "b" * 4000})))
    woken.clear()
    message = run(listener.take())
    assert MAX_MESSAGE < len(message) < MAX_MESSAGE + 8192
    assert woken
    told = 0
    while message:
        told += message.count(b"event: request")
        message = run(listener.take())
    assert told == 1000


def test_calls_that_ring_for_long_are_bounded_although_they_owe_nothing() -> None:
    rule = '[[account.outcome]]\noutcome = "busy"\ndelay_s = 3600\n'
    with asked(rule, "journal_size = 2\nmax_pending = 3") as (sandbox, client):
        for _ in range(5):
            assert ask(client, ORDER) == 200
        assert ask(client, ORDER) == 429
        ready = requests.get(f"{sandbox.url}/__admin/health/ready", timeout=30)
        assert (ready.status_code, ready.json()["reasons"]) == (503, ["overloaded"])
        sandbox.admin("clock/advance", "POST", {"seconds": 3700})
        assert ask(client, ORDER) == 200
