"""Lists of the admin API: those with given values, and those that wait until they have an item."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from helpers.client import Api, refusal
from helpers.sandbox import Sandbox, running_sandbox, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, MCNServer
from pytest_mcn_mock.web.waits import MAX_WAITS

FIRST, SECOND = "79161112233", "79164445566"
LISTS = ["calls", "deliveries", "requests"]
LONG = {"wait": 60}
"""A test fails after TIMEOUT_S if it is not woken before."""
TIMEOUT_S = 45


class Lists:
    """The lists of a server, and an account of the test's own on it."""

    def __init__(self, url: str, hook: str) -> None:
        self.url = url
        self.account = self.ask("POST", "accounts", {"webhooks": [{"url": hook}]}).json()
        self.id = self.account["id"]
        assert self.ask("PATCH", f"accounts/{self.id}", {"calls_held": True}).status_code == 200

    def ask(self, method: str, path: str, body: Any = None, **parameters: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/__admin/{path}", json=body, params=parameters, timeout=TIMEOUT_S)

    def get(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        response = self.ask("GET", path, **{"account_id": self.id, **parameters})
        assert response.status_code == 200, response.text
        return list(response.json()["items"])

    def order(self, login_did: str, code: str) -> str:
        """The uuid of a call that an application has placed, or the code word of the refusal."""
        response = requests.post(
            f"{self.url}/v2/rest/account/{self.id}/flash_call",
            params={"login_did": login_did, "code": code},
            headers={"Authorization": f"Bearer {self.account['token']}"},
            timeout=TIMEOUT_S,
        ).json()
        return str(
            response["object"]["verification_call_uuid"] if "object" in response else response["errors"][0]["code"]
        )

    def complete(self, uuid: str, outcome: str = "answered") -> None:
        assert self.ask("POST", f"calls/{uuid}/complete", {"outcome": outcome}).status_code == 200


@pytest.fixture
def lists(api: Api, receiver: Receiver) -> Iterator[Lists]:
    made = Lists(api.url, receiver.url)
    yield made
    made.ask("DELETE", f"accounts/{made.id}")


def uuids(items: list[dict[str, Any]]) -> list[str]:
    return [item["verification_call_uuid"] for item in items]


def test_a_list_has_only_items_with_the_given_values(lists: Lists) -> None:
    first, second, third = lists.order(FIRST, "0042"), lists.order(SECOND, "0042"), lists.order(FIRST, "4242")
    assert lists.order("8", "42") == "invalid_parameter"
    lists.complete(first)
    assert lists.get("deliveries", state="delivered", **LONG)
    expectations: list[tuple[str, dict[str, Any], list[str | None]]] = [
        ("calls", {"login_did": FIRST}, [first, third]),
        ("calls", {"code": "0042"}, [first, second]),
        ("calls", {"login_did": FIRST, "code": "4242"}, [third]),
        ("calls", {"state": "completed"}, [first]),
        ("calls", {"state": "ringing", "order": "newest", "limit": 1}, [third]),
        ("calls", {"verification_call_uuid": second}, [second]),
        ("calls", {"verification_call_uuid": second, "state": "completed"}, []),
        ("deliveries", {"login_did": FIRST}, [first, third]),
        ("deliveries", {"state": "pending"}, [second, third]),
        ("deliveries", {"state": "failed"}, []),
        ("deliveries", {"code": "0042", "state": "delivered"}, [first]),
        ("deliveries", {"verification_call_uuid": first, "state": "delivered"}, [first]),
        ("deliveries", {"verification_call_uuid": first, "state": "pending"}, []),
        ("deliveries", {"verification_call_uuid": first, "login_did": SECOND}, []),
        ("requests", {"login_did": FIRST}, [first, third]),
        ("requests", {"login_did": "8", "code": "42"}, [None]),
        ("requests", {"login_did": FIRST, "code": "0042"}, [first]),
        ("requests", {"verification_call_uuid": second}, [second]),
    ]
    for path, values, expected in expectations:
        assert uuids(lists.get(path, **values)) == expected, (path, values)
        found = lists.get(path, **values, wait=0.001)
        assert uuids(found) == expected, "a list that has an item waits for nothing"


@pytest.mark.parametrize(
    "path, parameters, named",
    [
        *(("calls", {"login_did": number}, "login_did") for number in ("+7", "8", "x" * 257, "7915*")),
        *(("deliveries", {"code": code}, "code") for code in ("42", "abcd", "00420", "٠٠٤٢")),
        *(("calls", {"state": state}, "state") for state in ("pending", "Ringing", "x")),
        ("deliveries", {"state": "ringing"}, "state"),
        ("requests", {"state": "answered"}, "state"),
        *((path, {"wait": wait}, "wait") for path in LISTS for wait in ("61", "-1", "x", "nan", "1e999", "1_0", "")),
        ("requests", {"login_did": "x" * 257}, "login_did"),
        ("accounts", {"wait": "1"}, "wait"),
    ],
)
def test_an_invalid_value_is_refused(api: Api, path: str, parameters: dict[str, str], named: str) -> None:
    response = requests.get(f"{api.url}/__admin/{path}", params=parameters, timeout=TIMEOUT_S)
    assert refusal(response) == (400, "invalid_parameter", named)


@pytest.mark.parametrize("path", LISTS)
def test_an_account_or_a_call_that_there_is_not_is_not_waited_for(lists: Lists, path: str) -> None:
    assert refusal(lists.ask("GET", path, account_id=9, **LONG)) == (404, "not_found", None)
    unknown = {"verification_call_uuid": "00112233aabb_9"}
    assert refusal(lists.ask("GET", path, **unknown, **LONG)) == (404, "not_found", None)


@pytest.mark.parametrize("path", LISTS)
def test_nothing_comes_after_the_time(lists: Lists, path: str) -> None:
    lists.order(SECOND, "0042")
    assert lists.get(path, login_did=FIRST, wait="1e-3") == []


@contextmanager
def waiting(lists: Lists, *asked: tuple[str, dict[str, Any]]) -> Iterator[Callable[[], list[list[dict[str, Any]]]]]:
    """Ask for lists that wait meanwhile; a function that returns their items, when all have an answer."""
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = [pool.submit(lists.get, path, **values, **LONG) for path, values in asked]
        yield lambda: [answer.result() for answer in answers]


def test_a_wait_ends_as_soon_as_something_fits(lists: Lists) -> None:
    with waiting(
        lists,
        ("calls", {"login_did": FIRST}),
        ("calls", {"code": "4242"}),
        ("deliveries", {"login_did": FIRST}),
        ("requests", {"login_did": FIRST}),
    ) as found:
        lists.order(SECOND, "0042")
        uuid = lists.order(FIRST, "4242")
        assert list(map(uuids, found())) == [[uuid]] * 4
    with waiting(
        lists,
        ("calls", {"verification_call_uuid": uuid, "state": "completed"}),
        ("calls", {"state": "completed"}),
        ("deliveries", {"verification_call_uuid": uuid, "state": "delivered"}),
        ("deliveries", {"code": "4242", "state": "delivered"}),
    ) as found:
        lists.complete(uuid, "busy")
        assert list(map(uuids, found())) == [[uuid]] * 4
    (call,) = lists.get("calls", state="completed")
    with waiting(lists, ("calls", {"after": call["seq"]})) as found:
        later = lists.order(FIRST, "0001")
        assert uuids(found()[0]) == [later]


def test_a_delivery_that_fails_is_waited_for(lists: Lists, receiver: Receiver) -> None:
    receiver.statuses[:] = [500]
    lists.ask("PATCH", f"accounts/{lists.id}/webhooks/1", {"retry": False})
    with waiting(lists, ("deliveries", {"state": "failed"})) as found:
        uuid = lists.order(FIRST, "0042")
        lists.complete(uuid)
        assert uuids(found()[0]) == [uuid]


def test_a_wait_for_an_account_ends_when_it_is_closed(api: Api) -> None:
    made = Lists(api.url, "http://127.0.0.1:9/")
    with ThreadPoolExecutor(len(LISTS)) as pool:
        answers = [pool.submit(made.ask, "GET", path, account_id=made.id, **LONG) for path in LISTS]
        made.ask("DELETE", f"accounts/{made.id}")
        assert [refusal(answer.result()) for answer in answers] == [(404, "not_found", None)] * len(LISTS)


def ask_and_leave_open(url: str, path: str) -> socket.socket:
    """A connection on which a list was asked for, and nothing was read."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=TIMEOUT_S)
    connection.sendall(f"GET /__admin/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def test_the_waits_are_bounded_and_clients_that_leave_make_room(lists: Lists) -> None:
    path = f"calls?account_id={lists.id}&wait=60"
    with ExitStack() as stack:
        asked = [stack.enter_context(ask_and_leave_open(lists.url, path)) for _ in range(MAX_WAITS + 1)]
        (refused,), _, _ = select.select(asked, (), (), TIMEOUT_S)
        status, envelope = read_answer(refused)
        assert (status, envelope["errors"][0]["code"]) == (b"503", "service_unavailable")
        assert lists.ask("GET", "calls", account_id=lists.id, wait=60).status_code == 503
    for _ in range(10_000):  # a server hears that a client has left some time later
        if lists.ask("GET", "calls", account_id=lists.id, wait="1e-3").status_code == 200:
            break
    else:
        pytest.fail("nobody can wait any more")


def read_answer(connection: socket.socket) -> tuple[bytes, Any]:
    with connection, connection.makefile("rb") as answer:
        status = answer.readline()
        length = 0
        while (line := answer.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status.split()[1], json.loads(answer.read(length))


@pytest.fixture(params=["memory", "sqlite"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Any, receiver: Receiver) -> Iterator[Sandbox]:
    state = [] if request.param == "memory" else ["--state", f"sqlite:///{tmp_path}/state.sqlite"]
    with running_sandbox(*state, config=with_webhook(receiver.url)) as started:
        yield started


def test_a_sandbox_that_stops_answers_at_once(sandbox: Sandbox) -> None:
    connections = [ask_and_leave_open(sandbox.url, f"{path}?wait=60") for path in LISTS]
    sandbox.admin("health")  # when it is answered, the three have been asked
    assert sandbox.stop()[0] == 0
    assert [read_answer(connection) for connection in connections] == [(b"200", {"items": [], "next": None})] * 3


def test_a_sandbox_is_waited_for_from_the_order_to_the_cdr(sandbox: Sandbox, receiver: Receiver) -> None:
    with ThreadPoolExecutor(1) as pool:
        listed = pool.submit(sandbox.admin, f"deliveries?login_did={FIRST}&state=delivered&wait=40")
        uuid = sandbox.flash_call(login_did=FIRST)["verification_call_uuid"]
        assert uuids(listed.result()["items"]) == [uuid] == uuids(receiver.received)


def test_a_fixtures_server_that_stops_answers_at_once_and_waits_again_when_it_starts() -> None:
    server = MCNServer()
    server.start()
    account = server.open_account()
    connection = ask_and_leave_open(server.url, f"calls?account_id={account.account_id}&wait=60")
    requests.get(f"{server.url}/__admin/health", timeout=TIMEOUT_S)
    server.stop()
    assert read_answer(connection) == (b"200", {"items": [], "next": None})
    server.start()
    with ThreadPoolExecutor(1) as pool:
        listed = pool.submit(requests.get, f"{server.url}/__admin/calls", params=LONG, timeout=TIMEOUT_S)
        call = place(server, account)
        assert uuids(listed.result().json()["items"]) == [call]
    server.stop()


def place(server: MCNServer, account: Account) -> str:
    order = {"method": "flash_call", "login_did": FIRST}
    url = f"{server.url}/__admin/accounts/{account.account_id}/calls"
    return str(requests.post(url, json=order, timeout=TIMEOUT_S).json()["verification_call_uuid"])
