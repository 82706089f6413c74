"""An advance of the time waits for what was due, and for nothing else: on both servers, while other things happen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import running_sandbox, wait_until
from helpers.webhook_endpoints import Gated, Receiver

from pytest_mcn_mock import Assumptions, MCNServer, Settings
from pytest_mcn_mock.delivery import worker
from pytest_mcn_mock.model.deliveries import CdrResponse
from pytest_mcn_mock.testing.sending import ApplicationSender

PATIENT_S = 60.0


class Server:
    """One of the two servers, by its admin API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        response = requests.request(method, f"{self.url}/__admin/{path}", json=content, timeout=30)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def open(self, account_id: int, url: str, **rule: Any) -> int:
        """An account whose CDRs go to the URL; with a rule, its calls ring for a while."""
        rules = [{"outcome": "busy", **rule}] if rule else []
        webhooks = [{"url": url}]
        content = {"id": account_id, "token": f"t{account_id}", "balance": "1000.00", "webhooks": webhooks}
        self.ask("POST", "accounts", {**content, "outcomes": rules})
        return account_id

    def place(self, account_id: int) -> str:
        response = requests.post(
            f"{self.url}/v2/rest/account/{account_id}/flash_call?login_did={RUSSIAN}",
            headers={"Authorization": f"Bearer t{account_id}"},
            timeout=30,
        )
        assert response.status_code == 200, response.text
        return str(response.json()["object"]["verification_call_uuid"])

    def advance(self, seconds: float) -> requests.Response:
        return requests.post(f"{self.url}/__admin/clock/advance", json={"seconds": seconds}, timeout=30)

    def state(self, uuid: str) -> str:
        return str(self.ask("GET", f"calls/{uuid}")["state"])

    def attempts(self, uuid: str) -> list[int | None]:
        (delivery,) = self.ask("GET", f"deliveries?verification_call_uuid={uuid}")["items"]
        return [attempt["status"] for attempt in delivery["attempts"]]


@pytest.fixture(params=["sandbox", "fixture"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose webhooks have more time than a test."""
    if request.param == "sandbox":
        with running_sandbox(config=f"[assumed]\nack_timeout_s = {PATIENT_S}\n") as sandbox:
            yield Server(sandbox.url)
    else:
        with MCNServer(settings=Settings(assumptions=Assumptions(ack_timeout_s=PATIENT_S))) as fixture:
            yield Server(fixture.url)


@contextmanager
def calling(place: Callable[[], object], clients: int = 3) -> Iterator[None]:
    """So many clients, each of which places a call as soon as it has the answer to the last one."""
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            place()

    with ThreadPoolExecutor(clients) as pool:
        called = [pool.submit(call) for _ in range(clients)]
        try:
            yield
        finally:
            done.set()
    for client in called:
        client.result()


@pytest.mark.parametrize("delay_s", [None, 0.05], ids=["ended at once", "ringing"])
def test_it_returns_while_calls_keep_coming_and_something_is_always_under_way(
    server: Server, delay_s: float | None
) -> None:
    with Gated(overlapping=True) as webhook:
        server.open(1, webhook.url, **({} if delay_s is None else {"delay_s": delay_s}))
        with calling(lambda: server.place(1)):
            webhook.wait_for(10)
            assert [server.advance(1).status_code for _ in range(2)] == [200] * 2
            webhook.open()


def test_it_waits_for_what_was_due_by_then_with_its_retries(server: Server) -> None:
    with Gated(overlapping=True) as busy, Receiver(500, 500, 204) as failing:
        server.open(1, busy.url)
        server.open(2, failing.url, delay_s=1800)
        uuid = server.place(2)
        with calling(lambda: server.place(1), 2):
            busy.wait_for(4)
            assert server.advance(900).status_code == 200
            assert server.state(uuid) == "ringing"
            assert server.advance(960).status_code == 200
            assert server.attempts(uuid) == [500, 500, 204]
            busy.open()


def test_other_calls_end_while_it_waits_for_a_slow_webhook(server: Server) -> None:
    with Gated() as slow, Receiver() as quick, ThreadPoolExecutor(1) as others:
        server.open(1, slow.url, delay_s=30)
        server.open(2, quick.url, delay_s=0.05)
        server.place(1)
        advanced = others.submit(server.advance, 60)
        slow.wait_for(1)
        uuids = [server.place(2) for _ in range(3)]
        wait_until(lambda: [server.state(uuid) for uuid in uuids] == ["completed"] * 3)
        assert not advanced.done()
        slow.open()
        assert advanced.result().status_code == 200
        wait_until(lambda: [server.attempts(uuid) for uuid in uuids] == [[204]] * 3)


def test_two_at_once_put_the_time_forward_by_both(server: Server) -> None:
    with Receiver() as receiver, ThreadPoolExecutor(2) as clients:
        server.open(1, receiver.url, delay_s=3600)
        uuids = [server.place(1) for _ in range(3)]
        assert [r.status_code for r in clients.map(server.advance, [1800, 1801])] == [200, 200]
        assert [server.attempts(uuid) for uuid in uuids] == [[204]] * 3


def test_a_webhook_that_never_answers_takes_the_time_of_its_attempts_and_no_more() -> None:
    config = "[assumed]\nack_timeout_s = 0.2\nretry_after_s = [60]\n"
    with Gated() as silent, running_sandbox(config=config) as sandbox:
        server = Server(sandbox.url)
        server.open(1, silent.url, delay_s=30)
        uuids = [server.place(1) for _ in range(40)]
        assert server.advance(120).status_code == 200
        assert [server.attempts(uuid) for uuid in uuids] == [[None, None]] * 40


def test_an_attempt_that_does_not_end_makes_it_fail_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes a sender that does not keep to its time."""
    monkeypatch.setattr(worker, "STALL_S", 0.2)

    async def never(*_: object) -> CdrResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(ApplicationSender, "send", never)
    with MCNServer(settings=Settings(assumptions=Assumptions(ack_timeout_s=0.05))) as fixture:
        server = Server(fixture.url)
        server.open(1, "http://127.0.0.1:1/")
        server.place(1)
        answer = server.advance(10)
        assert answer.status_code == 503
        (error,) = answer.json()["errors"]
        assert error["code"] == "service_unavailable"
        assert "no attempt to send a CDR ended for 0.3 s, and 1 are in flight" in error["message"]
