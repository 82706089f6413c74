"""What would be sent to a webhook, as the admin API previews it: on the fixture's server and on the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN, Api, refusal
from helpers.webhook_endpoints import Receiver

HOOK = "http://127.0.0.1:9/webhooks/mcn"


@pytest.fixture
def account(api: Api) -> Iterator[str]:
    """The path of an account of the test's own."""
    opened = requests.post(f"{api.url}/__admin/accounts", json={}, timeout=30).json()
    path = f"{api.url}/__admin/accounts/{opened['id']}"
    yield path
    requests.delete(path, timeout=30)


def ask(account: str, **settings: Any) -> requests.Response:
    return requests.post(f"{account}/webhooks/preview", json={"url": HOOK, **settings}, timeout=30)


def preview(account: str, **settings: Any) -> Any:
    response = ask(account, **settings)
    assert response.status_code == 200, response.text
    return response.json()


def place(account: str) -> str:
    order = {"method": "flash_call", "login_did": RUSSIAN}
    return str(requests.post(f"{account}/calls", json=order, timeout=30).json()["verification_call_uuid"])


FORMS: list[dict[str, Any]] = [
    {},
    {"body": ["number", "q931_status"], "constants": {"of": "${{did}}", "n": 7}, "values": "text"},
    {"method": "GET", "body": ["number"], "query": {"v": "2", "uuid": "${{verification_call_uuid}}"}},
    {"all_variables": True, "headers": {"X-Key": "s3cret-${{number}}"}},
    {"data_type": "text", "template": "${{number}}: ${{extra_info_id}}", "query": {"a": "b"}},
]


@pytest.mark.parametrize("settings", FORMS)
def test_a_preview_is_what_is_sent_for_the_newest_call(
    account: str, receiver: Receiver, settings: dict[str, Any]
) -> None:
    settings = {"url": receiver.url, **settings}
    requests.post(f"{account}/webhooks", json=settings, timeout=30)
    uuid = place(account)
    requests.post(f"{account.partition('accounts')[0]}clock/advance", json={"seconds": 0}, timeout=30)
    shown = preview(account, **settings)
    assert (shown["verification_call_uuid"], shown["made_up"], shown["note"]) == (uuid, False, "")
    assert receiver.methods == [shown["method"]]
    assert [shown["url"].removesuffix(path) + "/webhooks/mcn" for path in receiver.paths] == [receiver.url]
    assert shown["body"] == receiver.bodies[0].decode()
    masked = {name: "***" if name == "X-Key" else receiver.headers[0][name] for name in shown["headers"]}
    assert shown["headers"] == masked
    assert "s3cret" not in json.dumps(shown)


def test_without_a_call_the_preview_is_of_a_made_up_one_and_nothing_is_changed(account: str) -> None:
    requests.put(f"{account}/outcomes", json=[{"outcome": "busy", "delay_s": 60}], timeout=30)
    before = requests.get(account, timeout=30)
    shown = preview(account, body=["verification_call_uuid", "q931_status", "number"])
    assert json.loads(shown["body"]) == {
        "verification_call_uuid": shown["verification_call_uuid"],
        "q931_status": 17,
        "number": RUSSIAN,
    }
    assert shown["made_up"] is True
    after = requests.get(account, timeout=30)
    assert (after.json(), after.headers["ETag"]) == (before.json(), before.headers["ETag"])
    event = json.loads(preview(account, all_variables=True)["body"])
    ended, created = (datetime.fromisoformat(at) for at in (event["data"]["stop_time"], event["created_at"]))
    assert abs(created - ended - timedelta(hours=3)) < timedelta(milliseconds=1)
    assert place(account)
    assert preview(account)["made_up"] is True, "a call that rings has no record"


@pytest.mark.parametrize(
    "how,status",
    [({"outcome": "rejected"}, 31), ({"q931_status": 41}, 41), ({"outcome": "busy", "q931_status": 17}, 17)],
)
def test_the_call_may_be_previewed_with_another_end(account: str, how: dict[str, Any], status: int) -> None:
    uuid = place(account)
    shown = preview(account, **how)
    assert json.loads(shown["body"])["q931_status"] == status
    assert shown["verification_call_uuid"] == uuid


def test_a_preview_says_that_the_filter_does_not_let_the_call_through(account: str) -> None:
    condition = {"variable": "q931_status", "operator": "in", "value": [17, 18]}
    shown = preview(account, filter=[condition])
    assert shown["note"] == (
        "the filter does not let the call through: q931_status is 16, and the filter says: q931_status is in [17, 18]"
    )
    assert preview(account, filter=[condition], outcome="busy")["note"] == ""
    assert preview(account, filter=[{**condition, "not": True}])["note"] == ""


@pytest.mark.parametrize(
    "settings,parameter",
    [
        ({"url": "ftp://x"}, "url"),
        ({"body": ["numbr"]}, "body"),
        ({"data_type": "text", "template": "${{x}}"}, "template"),
        ({"values": "words"}, "values"),
        ({"constants": {"${{did}}": 1}}, "constants"),
        ({"query": {"a": "${{x}}"}}, "query"),
        ({"headers": {"X A": "1"}}, "headers"),
        ({"headers": {"X-A": "${{did"}}, "headers"),
        ({"filter": [{"variable": "did", "operator": "in", "value": "x"}]}, "filter"),
        ({"filter": [{"variable": "did", "value": "x"}] * 33}, "filter"),
        ({"q931_status": 128}, "q931_status"),
    ],
)
def test_settings_that_are_wrong_are_refused_as_when_a_webhook_is_added(
    account: str, settings: dict[str, Any], parameter: str | None
) -> None:
    previewed = ask(account, **settings)
    assert refusal(previewed) == (400, "invalid_parameter", parameter)
    if "q931_status" not in settings:
        added = requests.post(f"{account}/webhooks", json={"url": HOOK, **settings}, timeout=30)
        assert added.json() == previewed.json()


@pytest.mark.parametrize(
    "settings,parameter",
    [
        ({"method": "GET", "all_variables": True}, "method"),
        ({"method": "GET", "data_type": "text", "template": "x"}, "method"),
        ({"data_type": "text"}, "template"),
        ({"template": "x"}, "template"),
        ({"data_type": "text", "template": "x", "all_variables": True}, "all_variables"),
        ({"all_variables": True, "constants": {"a": 1}}, "constants"),
        ({"all_variables": True, "values": "text"}, "values"),
    ],
)
def test_settings_that_contradict_one_another_are_a_conflict(
    account: str, settings: dict[str, Any], parameter: str
) -> None:
    assert refusal(ask(account, **settings)) == (409, "conflict", parameter)
    webhooks = f"{account}/webhooks"
    assert refusal(requests.post(webhooks, json={"url": HOOK, **settings}, timeout=30)) == (409, "conflict", parameter)
    requests.post(webhooks, json={"url": HOOK}, timeout=30)
    assert refusal(requests.patch(f"{webhooks}/1", json=settings, timeout=30)) == (409, "conflict", parameter)


def test_a_file_of_authorities_that_cannot_be_read_is_a_conflict(account: str) -> None:
    assert refusal(ask(account, cacert="/no/such/file.pem")) == (409, "conflict", "cacert")
    assert refusal(ask(account, cacert="ca.pem", insecure=True)) == (409, "conflict", "insecure")


def test_a_webhook_goes_from_text_to_json_and_its_template_is_dropped(account: str) -> None:
    text = {"url": HOOK, "data_type": "text", "template": "${{number}}"}
    assert requests.post(f"{account}/webhooks", json=text, timeout=30).json()["template"] == "${{number}}"
    path = f"{account}/webhooks/1"
    assert requests.patch(path, json={"retry": False}, timeout=30).json()["template"] == "${{number}}"
    changed = requests.patch(path, json={"data_type": "json", "template": None}, timeout=30).json()
    assert (changed["data_type"], changed["template"]) == ("json", None)
