"""What a server tells those who watch it, as server-sent events; and the way back to where it began."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN, Api, refusal
from helpers.in_process import run
from helpers.sandbox import running_sandbox, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import MCNServer, NotFound
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service.events import RequestAnswered
from pytest_mcn_mock.storage.memory import MemoryStorage
from pytest_mcn_mock.web.feed import MAX_LISTENERS, MAX_PENDING, Feed


class Events:
    """A stream of events, read as a browser's EventSource reads it."""

    def __init__(self, url: str, **parameters: Any) -> None:
        self._response = requests.get(f"{url}/__admin/events", params=parameters, stream=True, timeout=30)
        assert self._response.status_code == 200, self._response.text
        assert self._response.headers["Content-Type"] == "text/event-stream"
        self._lines = self._response.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(self._lines) == ":"  # sent at once, so that whoever reads it listens

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        event = ""
        for line in self._lines:
            name, _, value = str(line).partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, json.loads(value)

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next event of that name whose data has these fields."""
        return next(data for name, data in self if name == event and fields.items() <= data.items())

    def close(self) -> None:
        self._response.close()


def test_a_call_is_told_from_its_request_to_its_cdr(api: Api) -> None:
    admin = f"{api.url}/__admin"
    with Receiver() as receiver, closing(Events(api.url, account_id=api.account_id)) as events:
        webhook = requests.post(
            f"{admin}/accounts/{api.account_id}/webhooks", json={"url": receiver.url}, timeout=30
        ).json()
        assert events.until("account")["webhooks"][-1]["url"] == receiver.url
        uuid = api.post(query=f"login_did={RUSSIAN}").json()["object"]["verification_call_uuid"]
        seen: dict[str, Any] = {}
        for name, data in events:
            seen[name] = data
            # Which of the two is told first is nobody's to say: the fixture carries CDRs on a thread of their own.
            if "request" in seen and seen.get("delivery", {}).get("state") == "delivered":
                break
        requests.delete(f"{admin}/accounts/{api.account_id}/webhooks/{webhook['n']}", timeout=30)
        call = requests.get(f"{admin}/calls/{uuid}", timeout=30).json()
        assert [delivery["id"] for delivery in seen["call"]["deliveries"]] == [seen["delivery"]["id"]]
        assert {**seen["call"], "deliveries": call["deliveries"]} == call
        assert seen["delivery"] == requests.get(f"{admin}/deliveries/{seen['delivery']['id']}", timeout=30).json()
        assert seen["account"]["balance"] == api.balance()
        assert seen["request"]["verification_call_uuid"] == uuid


def test_a_refused_request_is_told_and_an_account_that_is_closed(api: Api) -> None:
    with closing(Events(api.url)) as events:
        api.post(query="login_did=x")
        assert events.until("request", status=400)["refusal"]["code"] == "invalid_parameter"
        opened = requests.post(f"{api.url}/__admin/accounts", json={}, timeout=30).json()
        assert events.until("account", id=opened["id"])["balance"] == "100.00"
        requests.delete(f"{api.url}/__admin/accounts/{opened['id']}", timeout=30)
        assert events.until("closed") == {"id": opened["id"]}


def test_one_account_is_told_nothing_of_another(api: Api) -> None:
    with closing(Events(api.url, account_id=api.account_id)) as events:
        opened = requests.post(f"{api.url}/__admin/accounts", json={}, timeout=30).json()
        api.post(query="login_did=x")
        told = next(iter(events))
        assert told[1].get("account_id") == api.account_id
        requests.delete(f"{api.url}/__admin/accounts/{opened['id']}", timeout=30)


def test_the_listeners_are_bounded_and_those_who_leave_make_room(api: Api) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_LISTENERS):
            stack.enter_context(closing(Events(api.url)))
        response = requests.get(f"{api.url}/__admin/events", stream=True, timeout=30)
        assert refusal(response) == (503, "service_unavailable", None)
    # A server hears that a client has left when it next has something to say, or at once.
    for _ in range(1000):
        api.post(query="login_did=x")
        if requests.get(f"{api.url}/__admin/events", stream=True, timeout=30).status_code == 200:
            break
    else:
        pytest.fail("nobody can listen any more")


def test_a_listener_that_is_slow_gets_the_last_and_is_told_how_much_it_missed() -> None:
    feed = Feed(MemoryStorage(1, has_one_time=True))
    listener = feed.listen()
    for seq in range(MAX_PENDING + 7):
        feed.hear(RequestAnswered(ApiRequest(seq, "POST", "/", "1", 0.0)))
        feed.hear(RequestAnswered(ApiRequest(seq, "POST", "/", "1", 0.0, status=400)))
    events = run(listener.take()).decode()
    assert events.count("event: request") == MAX_PENDING
    assert events.count('"status": 400') == MAX_PENDING
    assert events.endswith('event: dropped\ndata: {"count": 7}\n\n')
    assert run(listener.take()) == b""
    assert feed.dropped == 7


def test_a_stream_ends_with_the_server() -> None:
    with running_sandbox() as sandbox, closing(Events(sandbox.url)) as events:
        assert sandbox.stop() == (0, "mcn-mock stopped; no CDR is pending\n", "")
        assert list(events) == []


def test_a_reset_goes_back_to_the_configured_state() -> None:
    with Receiver() as receiver:
        rule = '[[account.outcome]]\noutcome = "busy"\ndelay_s = 60\n'
        with (
            running_sandbox(config=with_webhook(receiver.url) + rule) as sandbox,
            closing(Events(sandbox.url)) as events,
        ):
            admin = f"{sandbox.url}/__admin"
            before = sandbox.admin("accounts/12345678")
            first = sandbox.flash_call()
            opened = requests.post(f"{admin}/accounts", json={"id": 42, "token": "t"}, timeout=30).json()
            requests.put(f"{admin}/accounts/12345678/outcomes", json=[], timeout=30)
            assert requests.post(f"{admin}/reset", timeout=30).json() == {"status": "ok"}
            events.until("reset")
            assert sandbox.admin("accounts/12345678") == before
            assert [item["id"] for item in sandbox.admin("accounts")["items"]] == [12345678]
            assert sandbox.admin("calls")["items"] == sandbox.admin("deliveries")["items"] == []
            assert sandbox.admin("requests")["items"] == []
            requests.post(f"{admin}/clock/advance", json={"seconds": 3600}, timeout=30)
            assert receiver.received == []
            assert sandbox.flash_call() == first
            requests.post(f"{admin}/clock/advance", json={"seconds": 3600}, timeout=30)
            assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [first["verification_call_uuid"]]
            assert requests.post(f"{admin}/accounts", json={"id": opened["id"]}, timeout=30).status_code == 201


def test_a_fixtures_server_that_is_reset_has_no_account() -> None:
    with MCNServer() as server:
        account = server.open_account()
        assert requests.post(f"{server.url}/__admin/reset", timeout=30).status_code == 200
        with pytest.raises(NotFound):
            account.balance  # noqa: B018 - it is the look-up that raises
        account.close()
