"""What the vendor's handbook, another page of the vendor's or a public client shows.

docs/fidelity.toml has a row for each.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
import requests
from helpers.client import RUSSIAN, flash_call
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account


def post(mcn: Account, **settings: object) -> requests.Response:
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"
    return requests.post(url, timeout=30, **settings)  # type: ignore[arg-type]  # whatever the client sends


def test_the_success_envelope(mcn: Account) -> None:
    content = flash_call(mcn, code="0042").json()
    assert (content["status"], content["code"]) == ("success", 200)
    assert set(content["object"]) == {"login_did", "code", "account_id", "verification_call_uuid"}
    assert all(isinstance(value, str) for value in content["object"].values())
    assert content["object"]["code"] == "0042"


def test_the_code_is_there_also_where_none_was_asked_for(mcn: Account) -> None:
    assert flash_call(mcn).json()["object"]["code"] == mcn.calls[0].caller_did[-4:]


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


def test_a_number_of_ten_digits_is_taken(mcn: Account) -> None:
    assert flash_call(mcn, "7777777777").json()["object"]["login_did"] == "7777777777"


def test_the_further_variables_of_a_record(mcn: Account, receiver: Receiver) -> None:
    names = ["linkedid", "start_time", "stop_time", "accountId", "number", "did", "orig", "uniqueid"]
    mcn.subscribe(receiver.url, body=names)
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert list(receiver.received[0]) == names


def test_the_settings_of_a_subscription(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(
        receiver.url, method="GET", body=["q931_status"], constants={"c": "1"}, query={"q": "2"}, headers={"X-H": "3"}
    )
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert (receiver.methods, receiver.headers[0]["X-H"]) == (["GET"], "3")
    assert receiver.paths == ["/webhooks/mcn?q=2&q931_status=16&c=1"]


def test_retry_on_error(mcn: Account) -> None:
    with Receiver(500) as receiver:
        mcn.expect_undelivered()
        mcn.subscribe(receiver.url, retry=False)
        mcn.subscribe(receiver.url)
        flash_call(mcn)
        mcn.clock.advance(65_534)
        once, retried = (d.attempts for d in mcn.calls[0].deliveries)
        assert (len(once), len(retried)) == (1, 16)


def test_with_ignore_response_a_delivery_counts_as_delivered(mcn: Account) -> None:
    with Receiver(500) as receiver:
        mcn.subscribe(receiver.url, ignore_response=True)
        flash_call(mcn)
        delivery = mcn.wait_for_cdr()
        mcn.clock.advance(70_000)
        assert (delivery.state, delivery.status, len(receiver.received)) == ("delivered", 500, 1)
