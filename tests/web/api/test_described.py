"""Both servers take what the description allows, and refuse what it forbids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from helpers.client import Api
from helpers.schema_checks import Contract

from pytest_mcn_mock import schemas

CONTRACT = Contract()
HOOK = "http://127.0.0.1:9/mcn"
URLS = [
    "HTTPS://u:p@[::1]:443/a?b#c", "http://[::ffff:127.0.0.1]", "http://пример.рф/x", "http://a:", "http://a:65535",
    "0", "ftp://a", "http://", "http://:80/", "http://a:0/", "http://a:65536", "http://a b/", "http://a/\t", "//a",
    "http://[1::2::3]/", "http://[::1]*/", "http://u@/", f"http://a/{'x' * 2048}", "", None, 1,
]  # fmt: skip
ROUBLES = [
    0, 5, 5.0, -1, 5.5, 10**13, 10**13 + 1, "0", "5", "-5.5", "007.50", "10000000000000.00", "10000000000000.01",
    "1e2", "+5", " 5", "5.", ".5", "5.005", "NaN", "", "ten", "٥", True, None, [], {},
]  # fmt: skip
ENDINGS: list[Any] = [
    {"outcome": outcome, "q931_status": cause}
    for outcome in ("answered", "busy", "no_answer", "rejected", "unavailable", "lost", None)
    for cause in (16, 17, 20, 31, 31.0, 0, 128, None)
]
TARIFFS: list[Any] = [{}, {"call_for_2fa": None}, {"flash_call": None}, {"sms": 1}, [], "x"]
HEADERS: list[Any] = [
    {}, {"X-A": ""}, {"X A": ""}, {"": "x"}, {"X": "\n"}, {"X": "\u007f"}, {"X": 1}, {"X": None}, [],
    {"content-LENGTH": "1"}, {"X-Content-Length": "1"}, {"X": "x" * 4097},
]  # fmt: skip
LISTED: list[Any] = [["x", 1, True], [], ["x"] * 257, [1.5], "x"]
SINGLE: list[Any] = ["", "x" * 257, 16, True, 1.5, ["x"], {}, None]
CONDITIONS: list[Any] = [
    {},
    *({"variable": "did", "operator": "in", "value": value} for value in LISTED),
    *({"variable": "did", "value": value} for value in SINGLE),
    {"variable": "did", "operator": None, "value": "x", "not": None},
    {"variable": "did", "operator": "like", "value": "x"},
    {"variable": "did", "value": "x", "not": 1},
    {"variable": "x", "value": "x"},
    {"variable": "did", "value": "x", "is_negated": True},
]
NAMES = [
    "",
    "Ветка «оплата» 💬",
    "x" * 100,
    "x" * 101,
    "a\nb",
    "\x00",
    "\x9f",
    "\u2028",
    "a\u202eb",
    5,
    True,
    None,
    ["x"],
]
SECONDS = [0, 1, 0.5, 86400, 86400.5, -1, "1", True, None]
BODIES: dict[tuple[str, str, str], list[Any]] = {
    ("POST", "accounts", "account.open"): [
        {},
        dict.fromkeys(["id", "token", "balance", "credit", "numbers", "seed", "tariff", "outcomes", "webhooks"]),
        {"calls_held": True},
        {"unlimited": True},
        [],
        *({"balance": amount} for amount in [*ROUBLES, "unlimited", "Unlimited"]),
        *({"credit": amount} for amount in [*ROUBLES, "unlimited"]),
        *({"seed": seed} for seed in (0, 7.0, 2**63 - 1, 2**63, -1, 0.5, "1", True)),
        *({"id": id_} for id_ in (0, -1, 10**15, 1.5, "1", True)),
        *({"name": name} for name in NAMES),
        *({"token": token} for token in ("", " ", "x" * 513, "é", 5)),
        *({"numbers": numbers} for numbers in ([], ["79158888888", "+7 (915) 888-88-88"], ["0"], ["+"], [7], "7")),
        *({"tariff": tariff} for tariff in TARIFFS),
        *({"tariff": {"call_for_2fa": price}} for price in ROUBLES),
        *({"tariff": {"flash_call": {"643": price}}} for price in ROUBLES),
        {"tariff": {"flash_call": {"7": 1}}},
        {"outcomes": [{}]},
        {"webhooks": [{}]},
        {"webhooks": [{"url": HOOK}, None]},
    ],
    ("PATCH", "{account}", "account.change"): [
        {},
        dict.fromkeys(["balance", "credit", "numbers", "tariff", "calls_held"]),
        *({"name": name} for name in NAMES),
        {"token": "x"},
        {"calls_held": 1},
        {"unlimited": True},
        *({"balance": amount} for amount in [*ROUBLES, "unlimited"]),
        *({"credit": amount} for amount in [*ROUBLES, "unlimited"]),
    ],
    ("POST", "{account}/top_up", "top_up"): [{}, *({"amount": amount} for amount in [*ROUBLES, "0.00", "-0", "0.01"])],
    ("POST", "{account}/webhooks", "webhook.create"): [
        {},
        {"url": HOOK, **dict.fromkeys(["body", "method", "headers", "query", "constants", "retry", "enabled"])},
        *({"url": url} for url in URLS),
        *({"url": HOOK, "method": method} for method in ("POST", "GET", "post", "PUT", "", 1)),
        *({"url": HOOK, "body": body} for body in ([], ["did"], ["x"], [1], "did", ["did"] * 65)),
        *(
            {"url": HOOK, "headers": headers}
            for headers in HEADERS
        ),
        *({"url": HOOK, "query": query} for query in ({"": ""}, {"a": "\n"}, {"a": 1}, {"a": True}, {"x" * 4097: ""})),
        {"url": HOOK, "constants": {"a": 1, "b": "x", "c": False}},
        *({"url": HOOK, "constants": {"a": value}} for value in (1.0, 1.5, [1], None, "x" * 4097)),
        {"url": HOOK, "constants": {str(n): n for n in range(65)}},
        {"url": HOOK, "all_variables": True, "method": "GET"},
        {"url": HOOK, "data_type": "text"},
        {"url": HOOK, "template": "x" * 65537},
        *({"url": HOOK, "filter": [condition]} for condition in CONDITIONS),
        {"url": HOOK, "n": 1},
        {"url": HOOK, "retry": 1},
        [HOOK],
    ],
    ("POST", "{account}/webhooks/preview", "webhook.preview"): [
        {},
        {"url": HOOK, **dict.fromkeys(["body", "filter", "template", "outcome", "q931_status"])},
        *({"url": url} for url in URLS),
        *({"url": HOOK, **ending} for ending in ENDINGS),
        {"url": HOOK, "all_variables": True},
        {"url": HOOK, "data_type": "text", "template": "${{number}}"},
        {"url": HOOK, "filter": [{"variable": "did", "operator": "in", "value": ["x"], "not": True}]},
        {"url": HOOK, "filter": [{}]},
        {"url": HOOK, "n": 1},
        {"url": HOOK, "login_did": "79157777777"},
        [HOOK],
    ],
    ("PATCH", "{account}/webhooks/1", "webhook.change"): [
        {}, {"url": None}, {"method": "get"}, *({"url": url} for url in URLS),
    ],
    ("PUT", "{account}/outcomes", "outcome.replace"): [
        [], {"items": []}, {"items": [], "next": None}, {}, {"items": None}, {"items": [], "more": 1}, None, 1, [None],
        *([ending] for ending in ENDINGS),
        *([{"outcome": "busy", "login_did": pattern}] for pattern in ("7*", "?", "", "x", "79(1", "7" * 41, None, 7)),
        *([{"outcome": "busy", "delay_s": seconds}] for seconds in SECONDS),
    ],
    ("PUT", "{account}/faults", "fault.replace"): [
        [],
        *([{"kind": kind}] for kind in ("status", "drip", "cdr_late", "delay", "x", None)),
        *([{"kind": "delay", "delay_s": seconds}] for seconds in SECONDS),
        *([{"kind": "drip", "jitter_s": seconds, "delay_s": 0}] for seconds in SECONDS),
        *([{"kind": "status", "delay_s": seconds}] for seconds in SECONDS),
        *([{"kind": "reset", "times": times}] for times in (1, 2.0, 10**9, 10**9 + 1, 0, -1, 1.5, "1", None, True)),
        *([{"kind": "reset", "probability": chance}] for chance in (1, 0.5, 5e-324, 0, 1.1, -1, "1", None)),
        *([{"kind": "status", "status": status}] for status in (500, 599, 499, 600, 500.0, "503", None)),
        *([{"kind": "status", "accepted": accepted}] for accepted in (True, None, 1, "yes")),
    ],
    ("POST", "{account}/calls", "call.place"): [
        {},
        {"method": "flash_call"},
        *({"method": method, "login_did": "79157777777"} for method in ("flash_call", "call_for_2fa", "sms", None, 1)),
        *(
            {"method": "flash_call", "login_did": number}
            for number in ("", "1" * 15, "1" * 16, "0123456", "+79157777777", "x", None, 79157777777)
        ),
        *(
            {"method": "flash_call", "login_did": "79157777777", name: value}
            for name, value in (
                ("code", ""), ("code", "0042"), ("code", "42"), ("code", None), ("code", 1234), ("country_id", 703),
                ("country_id", ""), ("country_id", "x" * 257), ("country_id", None), ("caller_did", "x"),
                ("caller_did", "x" * 257), ("user_hash", "x"),
            )
        ),
        *({"method": "flash_call", "login_did": "79157777777", **ending} for ending in ENDINGS),
        *(
            {"method": "call_for_2fa", "login_did": "79157777777", **more}
            for more in ({"caller_did": "79158888888"}, {"caller_did": "x"}, {"caller_did": ""}, {"code": "x"})
        ),
        {"method": "call_for_2fa", "login_did": "79157777777", "caller_did": "79158888888", "code": "any"},
    ],
    ("POST", "clock/advance", "clock.advance"): [
        {}, *({"seconds": seconds} for seconds in (0, 0.001, 1e-9, -1, 31536001, "1", None, True)),
    ],
    ("POST", "session", "session.open"): [{}, {"token": ""}, {"token": 5}, {"token": None}, {"token": "x", "a": 1}],
}  # fmt: skip


@pytest.fixture
def account(api: Api) -> Iterator[str]:
    asked = {"balance": "1000000", "numbers": ["79158888888"], "webhooks": [{"url": HOOK}]}
    opened = requests.post(f"{api.url}/__admin/accounts", json=asked, timeout=30).json()
    yield f"accounts/{opened['id']}"
    requests.delete(f"{api.url}/__admin/accounts/{opened['id']}", timeout=30)


@pytest.mark.parametrize("operation", BODIES, ids=" ".join)
def test_a_body_is_taken_if_the_description_allows_it(api: Api, account: str, operation: tuple[str, str, str]) -> None:
    method, path, name = operation
    url = f"{api.url}/__admin/{path.format(account=account)}"
    wrong = []
    with requests.Session() as session:
        for body in BODIES[operation]:
            response = session.request(method, url, data=json.dumps(body), timeout=30)
            is_right = response.status_code != 400 if not CONTRACT.problems(name, body) else not response.ok
            if not is_right:
                wrong.append(f"{response.status_code} for {body!r}: {response.text}"[:300])
            if method == "POST" and path == "accounts" and response.ok:
                session.delete(f"{url}/{response.json()['id']}", timeout=30)
    assert wrong == []


@pytest.mark.parametrize("operation", BODIES, ids=" ".join)
def test_no_body_is_as_an_empty_object(api: Api, account: str, operation: tuple[str, str, str]) -> None:
    method, path, name = operation
    response = requests.request(method, f"{api.url}/__admin/{path.format(account=account)}", timeout=30)
    described = schemas.load("openapi")["paths"]
    (body,) = (
        item[method.lower()]["requestBody"]
        for where, item in described.items()
        if where == f"/__admin/{path.replace('{account}', 'accounts/{account_id}').replace('/1', '/{number}')}"
    )
    assert body["content"]["application/json"]["schema"]["$ref"].endswith(f"/{name}")
    assert (response.status_code == 400) is body["required"], response.text
    if response.ok and path == "accounts":
        requests.delete(f"{api.url}/__admin/accounts/{response.json()['id']}", timeout=30)


LISTS = ["calls", "deliveries", "requests", "{account}/ledger"]
TAKEN = ["limit=0", "limit=1000", "after=0", "after=1000000000000000", "order=newest", "order=oldest"]
"""Each is taken where the description has the parameter."""
REFUSED = [
    "limit=1001", "limit=-1", "limit=", "limit=x", "limit=1.5", "after=1000000000000001", "after=", "order=", "order=x",
    "account_id=", "account_id=AAA", "account_id=0", "limit=1&limit=1", "unknown=", "unknown=1",
]  # fmt: skip


@pytest.mark.parametrize("path", [*LISTS, "accounts"])
def test_a_lists_parameters_are_taken_as_described(api: Api, account: str, path: str) -> None:
    id_ = account.partition("/")[2]
    described = schemas.load("openapi")["paths"][f"/__admin/{path.replace('{account}', 'accounts/{account_id}')}"]
    names = {parameter["name"] for parameter in described["get"]["parameters"] if parameter["in"] == "query"}

    def status(query: str) -> int:
        url = f"{api.url}/__admin/{path.format(account=account)}?{query}"
        return requests.get(url, timeout=30).status_code

    for query in [*TAKEN, f"account_id={id_}"]:
        assert status(query) == (200 if query.partition("=")[0] in names else 400), query
    for query in REFUSED:
        assert status(query) in (400, 404), query


@pytest.mark.parametrize("query", ["account_id=AAA", "account_id=99", "account_id=", "limit=1", "x="])
def test_events_that_the_description_forbids_are_refused(api: Api, query: str) -> None:
    response = requests.get(f"{api.url}/__admin/events?{query}", timeout=30)
    assert response.status_code == (404 if query[-1].isalnum() and query.startswith("account_id") else 400)


def test_the_deliveries_of_a_call_are_listed_with_the_other_parameters(api: Api, account: str) -> None:
    order = {"method": "flash_call", "login_did": "79157777777"}
    requests.post(f"{api.url}/__admin/{account}/webhooks", json={"url": HOOK}, timeout=30)
    placed = requests.post(f"{api.url}/__admin/{account}/calls", json=order, timeout=30).json()

    def listed(**parameters: Any) -> tuple[list[int], int | None]:
        given = {"verification_call_uuid": placed["verification_call_uuid"], **parameters}
        content = requests.get(f"{api.url}/__admin/deliveries", params=given, timeout=30).json()
        return [delivery["id"] for delivery in content["items"]], content["next"]

    first, second = listed()[0]
    assert listed(order="newest") == ([second, first], None)
    assert listed(limit=1) == ([first], first)
    assert listed(after=first) == ([second], None)
    assert listed(limit=0)[0] == []
    assert listed(account_id=placed["account_id"])[0] == [first, second]
    assert listed(account_id=api.account_id)[0] == []


VENDOR_BODIES = [
    {}, {"x": 1}, {"x": 1.0}, {"x": None}, {"": ""}, {"x": "y" * 256}, {"x": "y" * 257}, {"x": 1.5}, {"x": True},
    {"x": []}, {"x": {}}, [], None, 1, "x", {str(n): n for n in range(64)}, {str(n): n for n in range(65)},
]  # fmt: skip


@pytest.mark.parametrize("body", VENDOR_BODIES, ids=lambda body: repr(body)[:20])
def test_a_json_body_of_a_method_is_taken_if_the_description_allows_it(api: Api, body: Any) -> None:
    headers = {**api.auth, "Content-Type": "application/json"}
    response = api.post(query="login_did=79157777777", data=json.dumps(body), headers=headers)
    is_described = not CONTRACT.problems("common#/$defs/json_parameters", body)
    assert (response.status_code == 200) is is_described, response.text
