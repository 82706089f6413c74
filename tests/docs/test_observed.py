"""What the vendor's handbook, another page of the vendor's or a public client shows.

docs/fidelity.toml has a row for each.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from decimal import Decimal
from hashlib import md5
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests
from helpers.client import (
    KAZAKH,
    RUSSIAN,
    assuming,
    call_2fa,
    call_for_2fa,
    flash_call,
    flashcall,
    paid_refusal,
    refusal,
)
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Assumptions, ErrorStyle, MCNServer, Outcome, Settings
from pytest_mcn_mock.errors import RefusalCode, UsageError
from pytest_mcn_mock.model.assumptions import DEFAULT_STATUS
from pytest_mcn_mock.model.cdr import VARIABLES
from pytest_mcn_mock.model.numbering import region_of


def post(mcn: Account, **settings: object) -> requests.Response:
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"
    return requests.post(url, timeout=30, **settings)  # type: ignore[arg-type]  # whatever the client sends


def test_the_success_envelope(mcn: Account) -> None:
    content = flash_call(mcn, code="0042").json()
    assert (content["status"], content["code"]) == ("success", 200)
    assert set(content["object"]) == {"login_did", "code", "account_id", "verification_call_uuid"}
    assert all(isinstance(value, str) for value in content["object"].values())
    assert content["object"]["code"] == "0042"


def test_parameters_in_a_form_or_a_json_body(mcn: Account) -> None:
    form = {"login_did": RUSSIAN}
    assert post(mcn, headers=mcn.headers, data=form).status_code == 200
    assert post(mcn, headers=mcn.headers, json=form).status_code == 200
    assert post(mcn, headers=mcn.headers, files={"login_did": (None, RUSSIAN)}).status_code == 200


def test_user_hash_in_place_of_the_header(mcn: Account) -> None:
    assert post(mcn, params={"login_did": RUSSIAN, "user_hash": mcn.token}).status_code == 200


def test_a_request_without_the_two_headers_is_taken(mcn: Account) -> None:
    bare = {"Accept": "*/*", "Content-Type": None}
    assert post(mcn, params={"login_did": RUSSIAN}, headers={**mcn.headers, **bare}).status_code == 200
    assert [use.level for use in mcn.requests[0].undocumented] == ["observed", "observed"]


@pytest.mark.mcn(balance="0.00", credit="0.15")
def test_an_account_may_have_a_credit(mcn: Account) -> None:
    assert flash_call(mcn).status_code == 200
    assert mcn.balance == Decimal("-0.15")


def test_a_token_is_of_one_account(mcn: Account, mcn_server: MCNServer) -> None:
    other = mcn_server.open_account()
    mcn.expect_refusal("account_not_found")
    url = f"{mcn.base_url}/account/{other.account_id}/flash_call"
    answers = [
        requests.post(url, params={"login_did": RUSSIAN}, headers=account.headers, timeout=30)
        for account in (mcn, other)
    ]
    assert [answer.status_code for answer in answers] == [403, 200]
    other.close()


def test_statuses_are_of_the_vendors_list_but_for_402_405_412_and_413(mcn: Account) -> None:
    listed = {200, 201, 204, 400, 401, 403, 404, 409, 429, 500, 502, 503}
    assert {DEFAULT_STATUS[code] for code in RefusalCode} - listed == {402, 405, 412, 413}
    mcn.expect_refusal("invalid_parameter")
    (error,) = flash_call(mcn, "1").json()["errors"]
    assert (error["code"], error["parameter"]) == ("invalid_parameter", "login_did")
    assert "digits" in error["message"]


def test_basic_authorization_is_taken_beside_bearer(mcn: Account) -> None:
    assert post(mcn, params={"login_did": RUSSIAN}, auth=("user", mcn.token)).status_code == 200


def test_the_methods_are_served_abroad_too(mcn: Account, mcn_intercept: str) -> None:
    path = f"{urlsplit(mcn_intercept).path}/account/{mcn.account_id}/flash_call?login_did={RUSSIAN}"
    for host in ("api.mcntele.com", "api.kompaas.tech"):
        assert requests.post(f"https://{host}{path}", headers=mcn.headers, timeout=30).status_code == 200
    url = "https://paidmethods.kompaas.tech/api/protected/api/auth/flashcall"
    assert requests.post(url, json={"login_did": RUSSIAN}, headers=mcn.headers, timeout=30).status_code == 200
    mcn.assert_called(times=3)


def test_json_that_is_declared_as_a_form_is_read(mcn: Account) -> None:
    headers = {**mcn.headers, "Content-Type": "application/x-www-form-urlencoded"}
    assert post(mcn, headers=headers, data=f' {{"login_did": "{RUSSIAN}", "code": "0042"}}').status_code == 200
    assert mcn.calls[0].code == "0042"
    assert "json_in_a_form" in [use.rule for use in mcn.requests[0].undocumented]
    mcn.expect_refusal("invalid_parameter")
    assert refusal(post(mcn, headers=headers, data='{"login_did": ')) == (400, "invalid_parameter", "body")


def test_a_path_may_end_in_json(mcn: Account) -> None:
    mcn.connect_number("79158888888")
    for method, parameters in (("flash_call", {}), ("call_for_2fa", {"caller_did": "79158888888"})):
        url = f"{mcn.base_url}/account/{mcn.account_id}/{method}.json"
        answer = requests.post(url, params={"login_did": RUSSIAN, **parameters}, headers=mcn.headers, timeout=30)
        assert answer.json()["object"]["login_did"] == RUSSIAN
    mcn.expect_refusal("not_found")
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call.xml"
    answer = requests.post(url, params={"login_did": RUSSIAN}, headers=mcn.headers, timeout=30)
    assert refusal(answer) == (404, "not_found", None)
    assert 'no setting answer_format = "xml"' in answer.json()["errors"][0]["message"]


def test_a_path_without_a_suffix_is_answered_in_json(mcn: Account) -> None:
    answer = post(mcn, params={"login_did": RUSSIAN}, headers={**mcn.headers, "Accept": None})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_a_refusal_may_have_a_number() -> None:
    with MCNServer(settings=Settings(assumptions=Assumptions(error_style=ErrorStyle.NUMERIC))) as server:
        account = server.open_account()
        foreign = call_for_2fa(account, "79158888888")
        unknown = post(account, headers=account.headers, params={"login_did": RUSSIAN})
        other = requests.post(f"{account.base_url}/account/1/flash_call", headers=account.headers, timeout=30)
    assert unknown.status_code == 200
    assert foreign.json() == {
        "status": "error",
        "code": 403,
        "errors": {"code": 514, "message": "number 79158888888 is not connected to this account"},
    }
    assert other.json()["errors"]["code"] == 583


def sent(mcn: Account, receiver: Receiver, **settings: Any) -> Any:
    """What a webhook with these settings is sent of one call."""
    mcn.subscribe(receiver.url, **settings)
    flash_call(mcn)
    mcn.settle()
    return receiver.received[-1]


TEXT, NUMBER = str, int
CATALOGUE = {
    "linkedid": TEXT, "stop_time": TEXT, "apiRaws": list, "q931_status": NUMBER, "number": TEXT, "final_status": TEXT,
    "sip_ip": TEXT, "sip_call_hash_id": TEXT, "uniqueid": TEXT, "verification_call_uuid": TEXT, "extra_info_id": TEXT,
    "object_type": TEXT, "sip_port": TEXT, "eventType": TEXT, "server_id": NUMBER, "call_id": TEXT,
    "call_leg_id": NUMBER, "accountId": NUMBER, "vpbx_id": NUMBER, "start_time": TEXT, "account_id": NUMBER,
    "orig": bool, "call_id_md5": TEXT, "channame": TEXT, "last_linked_id": TEXT, "hangup_cause": TEXT, "did": TEXT,
}  # fmt: skip
"""The page's table, in its order."""


def test_the_event_has_the_catalogues_27_variables(mcn: Account, receiver: Receiver) -> None:
    record = sent(mcn, receiver, body=list(CATALOGUE))
    assert [(name, type(value)) for name, value in record.items()] == list(CATALOGUE.items())
    assert (len(record), record["eventType"]) == (27, "FlashCall")
    assert set(VARIABLES) == {*CATALOGUE, "call4raw"}


def test_the_billing_record_is_in_the_samples_alone(mcn: Account, receiver: Receiver) -> None:
    record = sent(mcn, receiver, body=["call4raw", "number", "did", "q931_status"])
    raw = record["call4raw"]
    assert (len(raw), raw["cost"], raw["disconnect_cause"]) == (101, 0, 16)
    assert (raw["numA"], raw["numB"]) == (record["did"], record["number"])


def test_the_whole_event_lacks_the_two_optional_variables(mcn: Account, receiver: Receiver) -> None:
    optional = ["call_id", "call_id_md5"]
    asked = sent(mcn, receiver, body=[*optional, "call4raw"])
    assert re.fullmatch(r"[0-9a-f]{32}@[0-9.]+", asked["call_id"])
    assert UUID(asked["call_id_md5"]).hex == md5(asked["call_id"].encode(), usedforsecurity=False).hexdigest()
    assert asked["call4raw"]["signalling_call_id"] == asked["call_id_md5"]
    with Receiver() as another:
        data = sent(mcn, another, all_variables=True)["data"]
    assert set(CATALOGUE) - set(data) == set(optional)


def test_did_is_the_caller_and_number_the_called(mcn: Account, receiver: Receiver) -> None:
    assert sent(mcn, receiver, body=["did", "number"]) == {"did": mcn.calls[0].caller_did, "number": RUSSIAN}


def test_times_are_utc_with_up_to_six_digits_of_a_fraction(mcn: Account, receiver: Receiver) -> None:
    before = mcn.clock.now
    record = sent(mcn, receiver, body=["start_time", "stop_time"])
    for written in record.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z", written)
        assert before - 1e-5 <= datetime.fromisoformat(written).timestamp() <= mcn.clock.now


def test_the_ids_of_a_call_belong_together(mcn: Account, receiver: Receiver) -> None:
    names = ["linkedid", "last_linked_id", "uniqueid", "sip_call_hash_id", "extra_info_id", "verification_call_uuid"]
    record = sent(mcn, receiver, body=names)
    call, _, first = record["linkedid"].rpartition(".")
    assert re.fullmatch(r"\d+-\d+", call)
    assert record["last_linked_id"] == f"{call}.{int(first) + 1}"
    assert record["uniqueid"] == record["sip_call_hash_id"] == f"{call}.{int(first) + 4}"
    assert json.loads(record["extra_info_id"]) == {"autodial_uuid": record["verification_call_uuid"]}


def test_account_id_is_another_account_than_the_clients(mcn: Account, receiver: Receiver) -> None:
    record = sent(mcn, receiver, body=["accountId", "account_id"])
    assert record["accountId"] == int(mcn.account_id) != record["account_id"]


def test_hangup_cause_is_empty_and_orig_false(mcn: Account, receiver: Receiver) -> None:
    mcn.set_outcome(Outcome.BUSY)
    always = {"hangup_cause": "", "orig": False, "vpbx_id": 0}
    assert sent(mcn, receiver, body=list(always)) == always


def test_a_flat_object_has_the_variables_in_their_order_then_the_constants(mcn: Account, receiver: Receiver) -> None:
    record = sent(mcn, receiver, body=["q931_status", "did", "eventType"], constants={"Key": "Example"})
    assert list(record) == ["q931_status", "did", "eventType", "Key"]


def test_the_whole_event_comes_in_its_envelope(mcn: Account, receiver: Receiver) -> None:
    event = sent(mcn, receiver, all_variables=True)
    assert list(event) == ["account_id", "event_type", "created_at", "idempotencyKey", "data"]
    assert (event["account_id"], event["event_type"]) == (int(mcn.account_id), "FlashCall")
    assert event["data"]["verification_call_uuid"] == mcn.calls[0].verification_call_uuid


def test_created_at_is_three_hours_ahead_unless_set(mcn: Account, receiver: Receiver) -> None:
    def ahead(account: Account) -> float:
        event = sent(account, receiver, all_variables=True)
        assert re.fullmatch(r"[0-9T:-]{19}\.\d{3}Z", event["created_at"])
        written = (event["created_at"], event["data"]["stop_time"])
        created, stopped = (datetime.fromisoformat(time).timestamp() for time in written)
        return created - stopped

    assert ahead(mcn) == pytest.approx(3 * 3600, abs=1)
    with assuming(created_at_offset_s=0) as account:
        assert ahead(account) == pytest.approx(0, abs=1)


def test_the_idempotency_key_is_the_same_in_every_attempt(mcn: Account) -> None:
    with Receiver(500) as receiver:
        mcn.expect_undelivered()
        mcn.subscribe(receiver.url, all_variables=True)
        for _ in range(2):
            flash_call(mcn)
        mcn.settle()
        mcn.clock.advance(14)
        keys = Counter(event["idempotencyKey"] for event in receiver.received)
    assert list(keys.values()) == [4, 4]
    assert all(UUID(key).version == 4 for key in keys)


def test_a_text_is_sent_with_its_variables_filled_in(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url, data_type="text", template="call ${{number}}: ${{q931_status}}")
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert receiver.bodies == [f"call {RUSSIAN}: 16".encode()]


def test_variables_may_be_in_values_of_constants_query_and_headers(mcn: Account, receiver: Receiver) -> None:
    template = "is ${{q931_status}}"
    how = {"constants": {"c": template}, "query": {"q": template}, "headers": {"X-H": template}}
    assert sent(mcn, receiver, body=[], **how) == {"c": "is 16"}
    assert receiver.paths == ["/webhooks/mcn?q=is+16"]
    assert receiver.headers[0]["X-H"] == "is 16"


@pytest.mark.parametrize("where", ["constants", "query", "headers"])
def test_a_variable_in_a_key_is_an_error(mcn: Account, where: str) -> None:
    settings: dict[str, Any] = {where: {"${{did}}": "x"}}
    with pytest.raises(UsageError, match=where):
        mcn.subscribe("http://127.0.0.1:9/", **settings)


def test_get_has_variables_and_constants_in_the_query(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url, method="GET", body=["q931_status", "eventType"], constants={"Key": "Example"})
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert receiver.paths == ["/webhooks/mcn?q931_status=16&eventType=FlashCall&Key=Example"]
    assert (receiver.methods, receiver.bodies) == (["GET"], [b""])


def test_the_settings_of_a_subscription(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(
        receiver.url, method="GET", body=["q931_status"], constants={"c": "1"}, query={"q": "2"}, headers={"X-H": "3"}
    )
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert (receiver.methods, receiver.headers[0]["X-H"]) == (["GET"], "3")
    assert receiver.paths == ["/webhooks/mcn?q=2&q931_status=16&c=1"]


def test_retry_on_error_is_on_by_default(mcn: Account) -> None:
    with Receiver(500) as receiver:
        mcn.expect_undelivered()
        mcn.subscribe(receiver.url, retry=False)
        mcn.subscribe(receiver.url)
        flash_call(mcn)
        mcn.settle()
        mcn.clock.advance(2)
        assert [len(delivery.attempts) for delivery in mcn.calls[0].deliveries] == [1, 2]


def test_a_cdr_is_sent_again_fifteen_times_after_2_to_32768_seconds_unless_set() -> None:
    doubled = [2**n for n in range(1, 16)]
    with Receiver(500) as receiver:
        for assumed, waits in ({}, doubled), ({"retry_after_s": (5.0,)}, [5]):
            with assuming(**assumed) as account:
                account.subscribe(receiver.url)
                flash_call(account)
                account.settle()
                account.clock.advance(200_000)
                (delivery,) = account.deliveries
                times = [attempt.at for attempt in delivery.attempts]
                assert [b - a for a, b in pairwise(times)] == waits
                assert delivery.state == "failed"


def test_with_ignore_response_a_delivery_counts_as_delivered(mcn: Account) -> None:
    with Receiver(500) as receiver:
        mcn.subscribe(receiver.url, ignore_response=True)
        flash_call(mcn)
        delivery = mcn.wait_for_cdr()
        mcn.clock.advance(70_000)
        assert (delivery.state, delivery.status, len(receiver.received)) == ("delivered", 500, 1)


def test_a_filter_lets_a_call_through_if_all_its_conditions_hold(mcn: Account, receiver: Receiver) -> None:
    busy = {"variable": "q931_status", "operator": "in", "value": [17, 18]}
    mcn.subscribe(receiver.url, filter=[busy, {"variable": "number", "value": RUSSIAN, "not": True}])
    for outcome in (Outcome.ANSWERED, Outcome.BUSY):
        mcn.set_outcome(outcome)
        for number in (RUSSIAN, "79157777778"):
            flash_call(mcn, number)
    mcn.settle()
    (record,) = receiver.received
    assert record["q931_status"] == 17
    assert mcn.calls[3].deliveries[0].state == "delivered"


def test_the_methods_of_paidmethods(mcn: Account) -> None:
    mcn.connect_number("79158888888")
    assert flashcall(mcn).status_code == call_2fa(mcn, "79158888888").status_code == 200
    assert [(call.dialect, call.method) for call in mcn.calls] == [
        ("paidmethods", "flash_call"),
        ("paidmethods", "call_for_2fa"),
    ]
    assert [call.account_id for call in mcn.calls] == [mcn.account_id] * 2
    mcn.require_fidelity("documented")
    relied_on = mcn.mistakes()
    mcn.require_fidelity("assumed")
    assert len([line for line in relied_on if "of paidmethods.mcn.ru is observed, not documented" in line]) == 2


def test_paidmethods_takes_a_json_body(mcn: Account) -> None:
    assert flashcall(mcn, code="0042").json()["result"]["code"] == "0042"
    assert "application/json" not in [use.rule for use in mcn.requests[0].undocumented]


def test_call_2fa_takes_two_numbers(mcn: Account) -> None:
    mcn.connect_number("79158888888")
    assert call_2fa(mcn, "79158888888").json()["ok"] is True
    assert (mcn.calls[0].caller_did, mcn.calls[0].login_did) == ("79158888888", RUSSIAN)
    assert [use.level for use in mcn.requests[0].undocumented] == ["observed"]
    mcn.expect_refusal("foreign_number")
    assert paid_refusal(call_2fa(mcn, "79159999999")) == (403, "foreign_number", "caller_did")


def test_is_with_redirect_is_taken(mcn: Account) -> None:
    for given in (True, False, "1", 1, None):
        body = {"login_did": RUSSIAN, "is_with_redirect": given}
        url = f"{mcn.paid_url}/api/protected/api/auth/flashcall"
        assert requests.post(url, json=body, headers=mcn.headers, timeout=30).status_code == 200
    assert {use.rule for request in mcn.requests for use in request.undocumented} == {"accept", "dialect", "parameter"}


def test_flashcall_answers_as_the_sample(mcn: Account) -> None:
    """The sample's keys in their order, and its types."""
    answer = flashcall(mcn, "79580001122", code="1234").json()
    uuid = answer["result"]["verification_call_uuid"]
    assert re.fullmatch(rf"[0-9a-f]{{12}}_{mcn.account_id}", uuid)
    sample = {
        "ok": True,
        "result": {
            "login_did": "79580001122",
            "country_id": 643,
            "verification_call_uuid": uuid,
            "account_id": int(mcn.account_id),
            "code": "1234",
        },
    }
    assert json.dumps(answer) == json.dumps(sample)


def test_paidmethods_has_prices_of_its_own(mcn: Account) -> None:
    mcn.connect_number("79158888888")
    flashcall(mcn)
    flashcall(mcn, KAZAKH)
    call_2fa(mcn, "79158888888")
    assert [str(call.price) for call in mcn.calls] == ["0.15", "0.65", "0.01"]
    assert str(mcn.balance) == "99.19"


def test_the_event_of_flashcall_is_the_same(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url, body=["eventType", "verification_call_uuid"])
    uuid = flashcall(mcn).json()["result"]["verification_call_uuid"]
    mcn.wait_for_cdr()
    assert receiver.received == [{"eventType": "FlashCall", "verification_call_uuid": uuid}]


def test_a_kazakh_number_is_called_from_a_kazakh_one(mcn: Account) -> None:
    assert flashcall(mcn, code="0042").json()["result"]["country_id"] == 643
    assert flashcall(mcn, KAZAKH, code="0042").json()["result"]["country_id"] == 398
    russian, kazakh = (call.caller_did for call in mcn.calls)
    assert (region_of(russian), region_of(kazakh)) == ("RU", "KZ")
    assert (russian[-4:], kazakh[-4:]) == ("0042", "0042")
