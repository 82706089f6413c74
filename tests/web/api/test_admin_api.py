"""The admin API over a socket: once on the fixture's server, once on the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN, Api, refusal
from helpers.webhook_endpoints import Receiver

HOOK = "http://127.0.0.1:9/webhooks/mcn"


@dataclass
class Admin:
    """The admin API of a server, and an account of the test's own on it."""

    url: str
    id: int
    token: str

    def ask(self, method: str, path: str, body: Any = None, **settings: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/__admin/{path}", json=body, timeout=30, **settings)

    def get(self, path: str, **parameters: Any) -> Any:
        response = self.ask("GET", path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def on(self, path: str = "") -> str:
        return f"accounts/{self.id}{path and '/'}{path}"

    def flash_call(self, login_did: str = RUSSIAN) -> str:
        """Place a call; its uuid."""
        response = requests.post(
            f"{self.url}/v2/rest/account/{self.id}/flash_call",
            params={"login_did": login_did},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
        )
        return str(response.json()["object"]["verification_call_uuid"])


@pytest.fixture
def admin(api: Api) -> Iterator[Admin]:
    opened = requests.post(f"{api.url}/__admin/accounts", json={"balance": "1.00"}, timeout=30).json()
    yield Admin(api.url, opened["id"], opened["token"])
    requests.delete(f"{api.url}/__admin/accounts/{opened['id']}", timeout=30)


def test_an_account_opens_with_what_is_given_and_a_token_that_was_drawn_is_shown_once(admin: Admin) -> None:
    asked = {
        "token": "of-my-own",
        "seed": 7,
        "balance": "12.34",
        "numbers": ["+7 (915) 888-88-88"],
        "tariff": {"flash_call": {"643": "0.20"}, "paidmethods": {"flash_call": {"398": "0.70"}, "call_for_2fa": None}},
        "outcomes": [{"login_did": "7915*", "outcome": "busy", "delay_s": 2}, {"q931_status": 27}],
        "webhooks": [{"url": HOOK, "headers": {"X-Key": "secret"}}],
    }
    response = admin.ask("POST", "accounts", asked)
    opened = response.json()
    assert response.status_code == 201
    assert "token" not in opened
    assert "secret" not in response.text
    assert opened["balance"] == "12.34"
    assert opened["numbers"] == ["79158888888"]
    assert opened["tariff"] == {
        "call_for_2fa": "0.01",
        "flash_call": {"643": "0.20", "703": "0.45"},
        "paidmethods": {"call_for_2fa": "0.01", "flash_call": {"643": "0.15", "398": "0.70"}},
    }
    assert [(rule["outcome"], rule["q931_status"]) for rule in opened["outcomes"]] == [
        ("busy", 17),
        ("unavailable", 27),
    ]
    assert opened["webhooks"][0]["headers"] == {"X-Key": "***"}
    assert admin.get(f"accounts/{opened['id']}") == opened
    assert refusal(admin.ask("POST", "accounts", asked)) == (409, "conflict", "id")
    assert admin.ask("DELETE", f"accounts/{opened['id']}").status_code == 204
    assert refusal(admin.ask("GET", f"accounts/{opened['id']}")) == (404, "not_found", None)
    assert refusal(admin.ask("POST", "accounts", {"id": opened["id"]})) == (409, "conflict", "id")


def test_an_account_may_have_a_name(admin: Admin) -> None:
    opened = admin.ask("POST", "accounts", {"name": "Ветка «оплата»"}).json()
    path = f"accounts/{opened['id']}"
    assert opened["name"] == admin.get(path)["name"] == "Ветка «оплата»"
    assert admin.get(admin.on())["name"] == ""
    tag = admin.ask("GET", path).headers["ETag"]
    assert admin.ask("PATCH", path, {"name": "other"}, headers={"If-Match": tag}).json()["name"] == "other"
    assert admin.ask("PATCH", path, {"name": "third"}, headers={"If-Match": tag}).status_code == 412
    assert admin.ask("PATCH", path, {"name": None, "balance": "1"}).json()["name"] == "other"
    assert refusal(admin.ask("PATCH", path, {"name": "a\nb"})) == (400, "invalid_parameter", "name")
    assert admin.get(path)["name"] == "other"
    assert admin.ask("PATCH", path, {"name": ""}).json()["name"] == ""
    admin.ask("DELETE", path)


def test_accounts_are_listed_in_order_of_opening_and_never_with_a_token(admin: Admin) -> None:
    ids = [admin.ask("POST", "accounts", {}).json()["id"] for _ in range(3)]
    listed, after = [], 0
    while after is not None:
        page = admin.get("accounts", after=after, limit=2)
        assert len(page["items"]) <= 2
        listed += page["items"]
        after = page["next"]
    assert [item["id"] for item in listed][-3:] == ids
    assert admin.id in [item["id"] for item in listed]
    assert all("token" not in item for item in listed)
    for account_id in ids:
        admin.ask("DELETE", f"accounts/{account_id}")


def test_money_is_topped_up_set_and_listed_with_the_balance_after_each_entry(admin: Admin) -> None:
    assert admin.ask("POST", admin.on("top_up"), {"amount": "10.00"}).json()["balance"] == "11.00"
    assert admin.ask("PATCH", admin.on(), {"balance": "0.50"}).json()["balance"] == "0.50"
    uuid = admin.flash_call()
    entries = admin.get(admin.on("ledger"))["items"]
    assert [(e["n"], e["kind"], e["amount"], e["balance"]) for e in entries] == [
        (1, "opening", "1.00", "1.00"),
        (2, "top_up", "10.00", "11.00"),
        (3, "adjustment", "-10.50", "0.50"),
        (4, "charge", "-0.15", "0.35"),
    ]
    assert entries[-1]["verification_call_uuid"] == uuid
    newest = admin.get(admin.on("ledger"), order="newest", limit=3)
    assert [entry["n"] for entry in newest["items"]] == [4, 3, 2]
    assert [entry["n"] for entry in admin.get(admin.on("ledger"), order="newest", after=newest["next"])["items"]] == [1]


@pytest.mark.parametrize(
    "body,parameter",
    [
        ({"amount": "-1.00"}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": 0.1}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "0.001"}, "amount"),
        ({"amount": None}, "amount"),
        ({}, "amount"),
        ({"ammount": "1.00"}, "ammount"),
        ([], "body"),
        ("\ud800", "body"),
    ],
)
def test_a_top_up_that_cannot_be_changes_nothing(admin: Admin, body: Any, parameter: str | None) -> None:
    status, code, named = refusal(admin.ask("POST", admin.on("top_up"), body))
    assert (status, named) == (400, parameter)
    assert code in ("invalid_parameter", "missing_parameter")
    assert admin.get(admin.on())["balance"] == "1.00"


def test_a_credit_is_opened_shown_changed_and_used(admin: Admin) -> None:
    opened = admin.ask("POST", "accounts", {"balance": "0.00", "credit": "0.15"}).json()
    assert (opened["balance"], opened["credit"], opened["unlimited"]) == ("0.00", "0.15", False)
    path, order = f"accounts/{opened['id']}", {"method": "flash_call", "login_did": RUSSIAN}
    assert [admin.ask("POST", f"{path}/calls", order).status_code for _ in range(2)] == [201, 402]
    assert admin.ask("PATCH", path, {"credit": 1}).json()["credit"] == "1.00"
    assert admin.ask("POST", f"{path}/calls", order).status_code == 201
    shown = admin.get(path)
    assert (shown["balance"], shown["credit"]) == ("-0.30", "1.00")
    admin.ask("DELETE", path)


def test_an_unlimited_balance_is_opened_shown_and_ended_by_one_in_roubles(admin: Admin) -> None:
    opened = admin.ask("POST", "accounts", {"balance": "unlimited"}).json()
    assert (opened["balance"], opened["credit"], opened["unlimited"]) == ("0.00", "0.00", True)
    path, order = f"accounts/{opened['id']}", {"method": "flash_call", "login_did": RUSSIAN}
    assert admin.ask("POST", f"{path}/calls", order).status_code == 201
    assert admin.get(path)["balance"] == "-0.15"
    ended = admin.ask("PATCH", path, {"balance": "0.14"}).json()
    assert (ended["balance"], ended["unlimited"]) == ("0.14", False)
    assert admin.ask("POST", f"{path}/calls", order).status_code == 402
    again = admin.ask("PATCH", path, {"balance": "unlimited"}).json()
    assert (again["balance"], again["unlimited"]) == ("0.14", True)
    admin.ask("DELETE", path)


@pytest.mark.parametrize("change", [{"credit": "5.00"}, {"balance": "unlimited"}])
def test_a_credit_and_an_unlimited_balance_are_settings_with_an_etag(admin: Admin, change: dict[str, str]) -> None:
    tag = {"If-Match": admin.ask("GET", admin.on()).headers["ETag"]}
    assert admin.ask("PATCH", admin.on(), change, headers=tag).status_code == 200
    assert admin.ask("PATCH", admin.on(), change, headers=tag).status_code == 412


def test_a_change_is_made_whole_or_not_at_all(admin: Admin) -> None:
    before = admin.get(admin.on())
    changes: list[dict[str, Any]] = [
        {"balance": "5.00", "numbers": ["79158888888", "x"]},
        {"numbers": ["79158888888"], "balance": "0.001"},
        {"calls_held": True, "tariff": {"flash_call": {"44": "1.00"}}},
        {"calls_held": "yes"},
        {"balance": "unlimited", "credit": "-0.01"},
        {"credit": "5.00", "numbers": ["x"]},
        {"tarif": {}},
    ]
    for wrong in changes:
        assert admin.ask("PATCH", admin.on(), wrong).status_code == 400
        assert admin.get(admin.on()) == before


def test_of_two_people_the_second_is_told(admin: Admin) -> None:
    seen = admin.ask("GET", admin.on("outcomes"))
    if_match = {"If-Match": seen.headers["ETag"]}
    first = admin.ask("PUT", admin.on("outcomes"), [{"outcome": "busy"}], headers=if_match)
    assert first.status_code == 200
    second = admin.ask("PUT", admin.on("outcomes"), [{"outcome": "rejected"}], headers=if_match)
    assert refusal(second) == (412, "precondition_failed", None)
    assert [rule["outcome"] for rule in admin.get(admin.on("outcomes"))["items"]] == ["busy"]
    again = {"If-Match": first.headers["ETag"]}
    assert admin.ask("PUT", admin.on("outcomes"), first.json(), headers=again).json() == first.json()
    assert admin.ask("PUT", admin.on("outcomes"), [], headers={"If-Match": "*"}).json()["items"] == []


@pytest.mark.parametrize("path", ["", "outcomes", "faults", "webhooks", "webhooks/1"])
def test_what_can_be_overwritten_has_an_etag_that_changes_with_it(admin: Admin, path: str) -> None:
    admin.ask("POST", admin.on("webhooks"), {"url": HOOK})
    tags = [admin.ask("GET", admin.on(path)).headers["ETag"] for _ in range(2)]
    admin.ask("PUT", admin.on("outcomes"), [{"outcome": "busy"}])
    admin.ask("PUT", admin.on("faults"), [{"kind": "status"}])
    admin.ask("PATCH", admin.on("webhooks/1"), {"retry": False})
    assert tags[0] == tags[1] != admin.ask("GET", admin.on(path)).headers["ETag"]


@pytest.mark.parametrize("path", ["", "faults", "webhooks", "webhooks/1"])
def test_no_etag_changes_with_traffic(admin: Admin, path: str) -> None:
    """The balance shrinks, failures are counted, a webhook is disabled by them, and a fault is used up."""
    admin.ask("PATCH", admin.on(), {"balance": "5.00"})
    with Receiver(500) as receiver:
        admin.ask("POST", admin.on("webhooks"), {"url": receiver.url, "retry": False})
        faults = [{"kind": "status", "times": 1}, {"kind": "cdr_unknown_uuid", "times": 3}]
        assert admin.ask("PUT", admin.on("faults"), faults).status_code == 200
        tag = admin.ask("GET", admin.on(path)).headers["ETag"]
        order = {"method": "flash_call", "login_did": RUSSIAN}
        for _ in range(10):
            assert admin.ask("POST", admin.on("calls"), order).status_code == 201
            admin.ask("POST", "clock/advance", {"seconds": 0})
        with pytest.raises(requests.exceptions.JSONDecodeError):  # the fault answers this one, without JSON
            admin.flash_call()
    shown = admin.get(admin.on())
    assert (shown["webhooks"][0]["enabled"], shown["faults"], shown["balance"]) == (False, [], "3.35")
    assert shown["webhooks"][0]["disabled_at"] is not None
    assert admin.ask("GET", admin.on(path)).headers["ETag"] == tag
    method, change = {
        "": ("PATCH", {"numbers": ["79158888888"]}),
        "faults": ("PUT", [{"kind": "reset"}]),
        "webhooks": ("GET", None),
        "webhooks/1": ("PATCH", {"url": HOOK}),
    }[path]
    assert admin.ask(method, admin.on(path), change, headers={"If-Match": tag}).status_code == 200


def test_the_value_of_a_header_is_in_the_etag(admin: Admin) -> None:
    admin.ask("POST", admin.on("webhooks"), {"url": HOOK, "headers": {"X-Key": "one"}})
    paths = ("", "webhooks", "webhooks/1")
    before = [admin.ask("GET", admin.on(path)).headers["ETag"] for path in paths]
    admin.ask("PATCH", admin.on("webhooks/1"), {"headers": {"X-Key": "two"}})
    after = [admin.ask("GET", admin.on(path)).headers["ETag"] for path in paths]
    assert not set(before) & set(after)


def test_outcome_rules_are_replaced_and_apply(admin: Admin) -> None:
    rules = [{"login_did": "7915*", "q931_status": 34}, {"outcome": "no_answer"}]
    shown = admin.ask("PUT", admin.on("outcomes"), {"items": rules}).json()["items"]
    assert shown == admin.get(admin.on("outcomes"))["items"] == admin.get(admin.on())["outcomes"]
    assert admin.get(f"calls/{admin.flash_call()}")["q931_status"] == 34
    assert admin.get(f"calls/{admin.flash_call('421901234567')}")["outcome"] == "no_answer"


@pytest.mark.parametrize(
    "given, ended",
    [
        ({"outcome": "busy"}, ("busy", 17)),
        ({"outcome": "unavailable"}, ("unavailable", 18)),
        ({"q931_status": 27}, ("unavailable", 27)),
        ({"outcome": "unavailable", "q931_status": 27}, ("unavailable", 27)),
        ({"outcome": None, "q931_status": None}, ("no_answer", 16)),
        ({}, ("no_answer", 16)),
    ],
)
def test_a_call_is_placed_with_an_ending_that_wins_over_the_rules(
    admin: Admin, given: dict[str, Any], ended: tuple[str, int]
) -> None:
    admin.ask("PUT", admin.on("outcomes"), [{"outcome": "no_answer", "delay_s": 0}])
    placed = admin.ask("POST", admin.on("calls"), {"method": "flash_call", "login_did": RUSSIAN, **given}).json()
    uuid = placed["verification_call_uuid"]
    (call,) = admin.get("calls", verification_call_uuid=uuid, state="completed", wait=20)["items"]
    assert (call["outcome"], call["q931_status"]) == ended
    assert call["explanation"]["outcome"].startswith("chosen with the order" if any(given.values()) else "outcome rule")


def test_a_held_call_ends_as_it_was_placed_when_it_is_completed_as_planned(admin: Admin) -> None:
    admin.ask("PATCH", admin.on(), {"calls_held": True})
    order = {"method": "flash_call", "login_did": RUSSIAN, "outcome": "rejected"}
    placed = admin.ask("POST", admin.on("calls"), order).json()
    assert (placed["state"], placed["outcome"]) == ("ringing", None)
    assert admin.ask("POST", f"calls/{placed['verification_call_uuid']}/complete", {}).json()["outcome"] == "rejected"


def test_a_call_with_an_ending_that_contradicts_itself_is_not_placed(admin: Admin) -> None:
    order = {"method": "flash_call", "login_did": RUSSIAN, "outcome": "busy", "q931_status": 16}
    assert refusal(admin.ask("POST", admin.on("calls"), order))[:2] == (400, "invalid_parameter")
    assert admin.get("calls", account_id=admin.id)["items"] == []


@pytest.mark.parametrize("rule", [{}, {"outcome": "busy", "q931_status": 16}, {"outcome": "busy", "delay": 1}, "busy"])
def test_a_rule_that_cannot_be_replaces_nothing(admin: Admin, rule: Any) -> None:
    admin.ask("PUT", admin.on("outcomes"), [{"outcome": "rejected"}])
    assert admin.ask("PUT", admin.on("outcomes"), [{"outcome": "busy"}, rule]).status_code == 400
    assert [kept["outcome"] for kept in admin.get(admin.on("outcomes"))["items"]] == ["rejected"]


def test_faults_are_switched_on_and_off(admin: Admin) -> None:
    faults = [{"kind": "status", "status": 502, "times": 1, "accepted": False}, {"kind": "cdr_lost", "times": None}]
    shown = admin.ask("PUT", admin.on("faults"), faults).json()["items"]
    assert [(fault["kind"], fault["times"]) for fault in shown] == [("status", 1), ("cdr_lost", None)]
    assert admin.ask("PUT", admin.on("faults"), {"items": shown}).json()["items"] == shown
    url = f"{admin.url}/v2/rest/account/{admin.id}/flash_call?login_did={RUSSIAN}&user_hash={admin.token}"
    assert requests.post(url, timeout=30).status_code == 502
    assert [fault["kind"] for fault in admin.get(admin.on("faults"))["items"]] == ["cdr_lost"]
    for wrong in ({"kind": "statsu"}, {}, {"kind": "delay"}, {"kind": "status", "status": 200}, {"kind": 1}):
        assert admin.ask("PUT", admin.on("faults"), [wrong]).status_code == 400
    assert admin.ask("PUT", admin.on("faults"), []).json() == {"items": [], "next": None}


def test_a_webhook_is_added_changed_and_removed(admin: Admin) -> None:
    with Receiver() as receiver:
        asked = {"url": receiver.url, "headers": {"X-Key": "secret"}, "body": ["q931_status"]}
        added = admin.ask("POST", admin.on("webhooks"), asked)
        assert (added.status_code, added.json()["n"], added.json()["enabled"]) == (201, 1, True)
        changed = admin.ask("PATCH", admin.on("webhooks/1"), {"constants": {"a": 1}, "headers": {"X-Key": "***"}})
        assert changed.json() == admin.get(admin.on("webhooks/1"))
        assert changed.json()["body"] == ["q931_status"]
        uuid = admin.flash_call()
        admin.ask("POST", "clock/advance", {"seconds": 0})
        assert receiver.received == [{"q931_status": 16, "a": 1}]
        assert receiver.headers[0]["X-Key"] == "secret"
        (delivery,) = admin.get("deliveries", verification_call_uuid=uuid)["items"]
        assert delivery == admin.get(f"deliveries/{delivery['id']}")
        assert delivery["request"]["headers"]["X-Key"] == "***"
        assert delivery["request"]["body"] == '{"q931_status": 16, "a": 1}'
        assert delivery["attempts"][0]["response"]["headers"]
        admin.ask("PATCH", admin.on("webhooks/1"), {"enabled": False})
        admin.flash_call()
        assert len(admin.get("deliveries", account_id=admin.id)["items"]) == 1
    assert admin.ask("DELETE", admin.on("webhooks/1")).status_code == 204
    assert refusal(admin.ask("GET", admin.on("webhooks/1"))) == (404, "not_found", None)
    assert refusal(admin.ask("POST", f"deliveries/{delivery['id']}/resend")) == (409, "conflict", None)
    assert admin.ask("POST", admin.on("webhooks"), {"url": HOOK}).json()["n"] == 2


@pytest.mark.parametrize(
    "wrong", [{}, {"url": "ftp://x/"}, {"url": HOOK, "retry": 1}, {"url": HOOK, "retri": True}, [HOOK]]
)
def test_a_webhook_that_cannot_be_is_not_added(admin: Admin, wrong: Any) -> None:
    assert admin.ask("POST", admin.on("webhooks"), wrong).status_code == 400
    admin.ask("POST", admin.on("webhooks"), {"url": HOOK})
    if isinstance(wrong, dict) and wrong.get("url"):
        assert admin.ask("PATCH", admin.on("webhooks/1"), wrong).status_code == 400
    (webhook,) = admin.get(admin.on("webhooks"))["items"]
    assert (webhook["n"], webhook["url"], webhook["retry"]) == (1, HOOK, True)


def test_a_held_call_is_completed_once(admin: Admin) -> None:
    admin.ask("PATCH", admin.on(), {"calls_held": True})
    uuid = admin.flash_call()
    assert admin.get(f"calls/{uuid}")["state"] == "ringing"
    assert admin.ask("POST", f"calls/{uuid}/complete", {"outcome": "bsy"}).status_code == 400
    completed = admin.ask("POST", f"calls/{uuid}/complete", {"outcome": "busy"}).json()
    assert (completed["state"], completed["q931_status"], completed["final_status"]) == ("completed", 17, "NO ANSWER")
    assert refusal(admin.ask("POST", f"calls/{uuid}/complete")) == (409, "conflict", None)
    assert refusal(admin.ask("POST", "calls/nobody_1/complete")) == (404, "not_found", None)


def test_a_cdr_is_sent_again_with_retries_as_if_for_the_first_time(admin: Admin) -> None:
    with Receiver(204, 500, 204) as receiver:
        admin.ask("POST", admin.on("webhooks"), {"url": receiver.url})
        admin.ask("PATCH", admin.on(), {"calls_held": True})
        uuid = admin.flash_call()
        (delivery,) = admin.get("deliveries", account_id=admin.id)["items"]
        resend = f"deliveries/{delivery['id']}/resend"
        assert refusal(admin.ask("POST", resend)) == (409, "conflict", None)
        admin.ask("POST", f"calls/{uuid}/complete")
        admin.ask("POST", "clock/advance", {"seconds": 0})
        assert admin.ask("POST", resend).json()["state"] == "pending"
        admin.ask("POST", "clock/advance", {"seconds": 2})
        resent = admin.get(f"deliveries/{delivery['id']}")
    assert resent["state"] == "delivered"
    assert [attempt["status"] for attempt in resent["attempts"]] == [204, 500, 204]
    assert receiver.received[0] == receiver.received[1] == receiver.received[2]
    assert refusal(admin.ask("POST", "deliveries/999999999/resend")) == (404, "not_found", None)


def test_the_clock_is_put_forward_until_everything_due_was_tried(admin: Admin) -> None:
    with Receiver(500, 500, 204) as receiver:
        admin.ask("POST", admin.on("webhooks"), {"url": receiver.url})
        admin.ask("PUT", admin.on("outcomes"), [{"outcome": "busy", "delay_s": 3600}])
        uuid = admin.flash_call()
        assert admin.get(f"calls/{uuid}")["state"] == "ringing"
        assert admin.ask("POST", "clock/advance", {"seconds": 4000}).status_code == 200
        assert admin.get(f"calls/{uuid}")["state"] == "completed"
        assert len(receiver.received) == 3
    for wrong in ({}, {"seconds": -1}, {"seconds": "1"}, {"seconds": True}, {"second": 1}, {"seconds": 1e12}):
        assert admin.ask("POST", "clock/advance", wrong).status_code == 400


def test_lists_can_be_read_from_either_end(admin: Admin) -> None:
    uuids = [admin.flash_call() for _ in range(5)]
    for order, expected in (("oldest", uuids), ("newest", uuids[::-1])):
        seen, after = [], 0
        while after is not None:
            page = admin.get("calls", account_id=admin.id, order=order, after=after, limit=2)
            seen += [call["verification_call_uuid"] for call in page["items"]]
            after = page["next"]
        assert seen == expected


def test_requests_are_listed_with_why_they_were_refused_and_without_their_token(admin: Admin) -> None:
    url = f"{admin.url}/v2/rest/account/{admin.id}/flash_call"
    requests.post(url, params={"login_did": "x", "user_hash": admin.token}, timeout=30)
    uuid = admin.flash_call()
    refused, accepted = admin.get("requests", account_id=admin.id)["items"]
    assert refused["refusal"]["code"] == "invalid_parameter"
    assert (refused["refusal"]["parameter"], refused["status"]) == ("login_did", 400)
    assert (accepted["verification_call_uuid"], accepted["refusal"], accepted["status"]) == (uuid, None, 200)
    assert accepted["parameters"] == {"login_did": RUSSIAN}
    newest = admin.get("requests", account_id=admin.id, order="newest")["items"]
    assert newest == [accepted, refused]
    assert admin.token not in str(newest)


@pytest.mark.parametrize(
    "path,parameters",
    [
        ("calls", {"order": "up"}),
        ("calls", {"limit": "1001"}),
        ("calls", {"limit": "-1"}),
        ("calls", {"acount_id": "1"}),
        ("deliveries", {"after": "x"}),
        ("accounts", {"order": "newest"}),
        ("events", {"account": "1"}),
    ],
)
def test_a_list_that_is_asked_for_wrongly_is_refused(admin: Admin, path: str, parameters: dict[str, str]) -> None:
    status, code, named = refusal(admin.ask("GET", path, params=parameters))
    assert (status, code) == (400, "invalid_parameter")
    assert named in parameters


@pytest.mark.parametrize("path", ["calls", "deliveries", "requests"])
def test_a_list_of_no_account_is_not_found(admin: Admin, path: str) -> None:
    assert refusal(admin.ask("GET", path, params={"account_id": "404"})) == (404, "not_found", None)


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"amount": NaN}', b'{"amount": 1, "amount": 2}', b"[" * 50_000])
def test_a_body_that_is_no_json_is_refused(admin: Admin, body: bytes) -> None:
    response = requests.post(f"{admin.url}/__admin/{admin.on('top_up')}", data=body, timeout=30)
    assert refusal(response)[:2] == (400, "invalid_parameter")
    assert admin.get(admin.on())["balance"] == "1.00"


def test_a_wrong_method_and_path_are_refused(admin: Admin) -> None:
    response = admin.ask("PUT", admin.on())
    assert refusal(response) == (405, "method_not_allowed", None)
    assert response.headers["Allow"] == "DELETE, GET, PATCH"
    assert refusal(admin.ask("GET", "nothing")) == (404, "not_found", None)
    assert refusal(admin.ask("GET", "deliveries/x")) == (404, "not_found", None)


def test_the_overview_counts_what_happened(admin: Admin, receiver: Receiver) -> None:
    admin.ask("POST", admin.on("webhooks"), {"url": receiver.url})
    rules = [{"login_did": "79150000001", "outcome": "busy", "delay_s": 0}, {"outcome": "answered", "delay_s": 0}]
    admin.ask("PUT", admin.on("outcomes"), {"items": rules})
    admin.flash_call("79150000001")
    uuid = admin.flash_call()
    admin.ask("PATCH", admin.on(), {"calls_held": True})
    held = admin.flash_call()
    requests.post(f"{admin.url}/v2/rest/account/{admin.id}/flash_call", timeout=30)
    admin.ask("POST", "clock/advance", {"seconds": 1})

    shown = admin.get("overview", account_id=admin.id)
    assert (shown["accepted"], shown["listed"], shown["spent"]) == (3, 3, "0.45")
    assert {outcome: n for outcome, n in shown["calls"].items() if n} == {"ringing": 1, "answered": 1, "busy": 1}
    assert shown["deliveries"] == {"pending": 1, "delivered": 2, "failed": 0}
    assert shown["requests"] == {"accepted": 3, "refused": 1}
    assert len(shown["minutes"]) == 60
    assert sum(minute["calls"] for minute in shown["minutes"]) == 3
    assert sum(minute["answered"] for minute in shown["minutes"]) == 1
    assert shown["minutes"][0]["at"] < shown["minutes"][-1]["at"]
    assert admin.get("overview")["accepted"] >= 3
    assert admin.ask("GET", "overview", params={"account_id": 5}).status_code == 404
    assert [d["state"] for d in admin.get(f"calls/{uuid}")["deliveries"]] == ["delivered"]
    listed = admin.get("calls", account_id=admin.id)["items"]
    assert {call["verification_call_uuid"]: [d["state"] for d in call["deliveries"]] for call in listed}[held] == [
        "pending"
    ]
