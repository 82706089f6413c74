"""What nobody here has seen: each with its default, and most of it a setting. docs/fidelity.toml has a row for each."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import phonenumbers
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
from helpers.webhook_endpoints import Receiver, https_endpoint

from pytest_mcn_mock import (
    Account,
    ErrorStyle,
    MCNServer,
    NumberFormat,
    Outcome,
    PaidMethodsAssumptions,
    Settings,
    Tariff,
)
from pytest_mcn_mock.errors import RefusalCode

CONNECTED = "79158888888"
PASTED = "+7 (915) 777-77-77"
SLOVAK = "421901234567"


def test_refusals_have_these_statuses_and_codes(mcn: Account) -> None:
    for code in ("missing_parameter", "invalid_parameter", "unauthorized", "account_not_found", "foreign_number"):
        mcn.expect_refusal(code)
    mcn.expect_refusal("not_found")
    mcn.expect_refusal("method_not_allowed")
    mcn.expect_refusal("payload_too_large")
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"

    def ask(method: str = "POST", url: str = url, **settings: Any) -> tuple[int, str, str | None]:
        return refusal(requests.request(method, url, **{"headers": mcn.headers, "timeout": 30, **settings}))

    assert ask() == (400, "missing_parameter", "login_did")
    assert ask(params={"login_did": "x"}) == (400, "invalid_parameter", "login_did")
    assert ask(headers={}) == (401, "unauthorized", None)
    assert ask(url=f"{mcn.base_url}/account/1/flash_call") == (403, "account_not_found", "account_id")
    assert refusal(call_for_2fa(mcn, CONNECTED)) == (403, "foreign_number", "caller_did")
    assert ask(url=f"{mcn.base_url}/nothing") == (404, "not_found", None)
    assert ask("GET") == (405, "method_not_allowed", None)
    assert ask(data=b"x" * 100_000) == (413, "payload_too_large", "body")
    mcn.set_balance("0.14")
    assert ask(params={"login_did": RUSSIAN}) == (402, "insufficient_funds", None)


def test_the_status_and_the_body_of_a_refusal_are_settings() -> None:
    body = {"ok": False, "error": {"word": "$code", "text": "$message", "of": "$parameter", "http": "$status"}}
    with assuming(error_status={RefusalCode.INSUFFICIENT_FUNDS: 200}, error_body=body) as account:
        account.set_balance("0")
        response = flash_call(account)
        assert response.status_code == 200
        assert response.json()["error"] == {
            "word": "insufficient_funds",
            "text": "the call costs 0.15 roubles; the balance is 0.00 and the credit 0.00",
            "of": None,
            "http": 200,
        }


@pytest.mark.mcn(balance="0.14")
def test_balance_plus_credit_has_to_cover_the_price(mcn: Account) -> None:
    for credit, status in (("0.00", 402), ("0.01", 200), ("0.15", 402), ("0.16", 200)):
        mcn.set_credit(credit)
        assert flash_call(mcn).status_code == status


def test_what_is_refused_costs_nothing_and_what_is_accepted_costs_whatever_becomes_of_it(mcn: Account) -> None:
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn, "x")
    assert mcn.balance == Decimal("100.00")
    mcn.set_outcome(Outcome.UNAVAILABLE)
    flash_call(mcn)
    assert mcn.balance == Decimal("99.85")


def test_prices_are_settings(mcn_server: MCNServer) -> None:
    account = mcn_server.open_account(tariff=Tariff(call_for_2fa=2, flash_call={643: 16, 703: 65}))
    flash_call(account, country_id="703")
    assert account.balance == Decimal("99.35")
    account.close()


def test_call_for_2fa_answers_in_the_same_envelope(mcn: Account) -> None:
    mcn.connect_number(CONNECTED)
    placed = call_for_2fa(mcn, CONNECTED).json()["object"]
    assert set(placed) == {"login_did", "caller_did", "code", "account_id", "verification_call_uuid"}


def test_call_for_2fa_has_no_cdr_unless_set(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.connect_number(CONNECTED)
    call_for_2fa(mcn, CONNECTED)
    assert mcn.calls[0].deliveries == []
    with assuming(call_for_2fa_cdr=True) as account:
        account.subscribe(receiver.url)
        account.connect_number(CONNECTED)
        call_for_2fa(account, CONNECTED)
        assert account.wait_for_cdr().status == 204


def test_a_number_is_7_to_15_digits_and_a_pasted_one_is_refused_unless_set(mcn: Account) -> None:
    mcn.expect_refusal("invalid_parameter")
    for number in ("123456", "1234567890123456", "+79157777777", PASTED):
        assert refusal(flash_call(mcn, number))[1] == "invalid_parameter"
    with assuming(number_format=NumberFormat.PASTED) as account:
        assert flash_call(account, PASTED).json()["object"]["login_did"] == RUSSIAN


def test_a_number_of_ten_digits_is_of_the_country_of_its_first_digits(mcn: Account) -> None:
    for number in ("7777777777", "9157777777"):
        flash_call(mcn, number)
    assert [(call.country_id, call.price) for call in mcn.calls] == [(703, Decimal("0.45"))] * 2


def test_the_callers_are_made_up(mcn: Account) -> None:
    for country_id in ("643", "703") * 5:
        flash_call(mcn, country_id=country_id)
    numbers = [phonenumbers.parse(f"+{call.caller_did}") for call in mcn.calls]
    assert all(phonenumbers.is_valid_number(number) for number in numbers)
    assert {phonenumbers.region_code_for_number(number) for number in numbers} == {"RU", "SK"}


@pytest.mark.parametrize("country_id", ["0703", "abc", "0643"])
def test_country_id_is_compared_as_text(mcn: Account, country_id: str) -> None:
    flash_call(mcn, SLOVAK, country_id=country_id)
    assert mcn.calls[0].country_id == 643


def test_a_number_of_no_known_country_is_called_from_a_slovak_one(mcn: Account) -> None:
    flash_call(mcn, "999123456789")
    assert mcn.calls[0].country_id == 703


def test_a_russian_number_with_8_in_place_of_7_is_of_no_known_country(mcn: Account) -> None:
    flash_call(mcn, "89157777777")
    (call,) = mcn.calls
    assert (call.country_id, call.price) == (703, Decimal("0.45"))
    assert "warning: login_did 89157777777" in call.explanation.country
    assert "79157777777 may be meant" in mcn.story()


def test_a_parameter_given_twice_is_refused_and_an_unknown_one_is_ignored(mcn: Account) -> None:
    mcn.expect_refusal("invalid_parameter")
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did={RUSSIAN}"
    assert requests.post(f"{url}&login_did={RUSSIAN}", headers=mcn.headers, timeout=30).status_code == 400
    assert requests.post(f"{url}&colour=red", headers=mcn.headers, timeout=30).status_code == 200


def test_a_request_may_be_written_otherwise_than_anybody_has_seen(mcn: Account) -> None:
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"

    def ask(path: str = "", **settings: Any) -> int:
        asked = {"params": {"login_did": RUSSIAN}, "headers": mcn.headers, "timeout": 30, **settings}
        return requests.post(url + path, **asked).status_code

    assert ask(headers={"Authorization": f"bearer {mcn.token}"}) == 200
    assert ask("/") == 200
    assert ask(data=b"?", headers={**mcn.headers, "Content-Type": "text/plain"}) == 200
    assert ask(params={}, json={"login_did": int(RUSSIAN)}) == 200
    assert all("assumed" in {use.level for use in request.undocumented} for request in mcn.requests)


def test_the_query_wins_over_the_body(mcn: Account) -> None:
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did={RUSSIAN}&code=1111"
    placed = requests.post(url, json={"code": "2222"}, headers=mcn.headers, timeout=30).json()["object"]
    assert placed["code"] == "1111"


def test_a_call_is_answered_unless_set(mcn: Account) -> None:
    flash_call(mcn)
    assert mcn.calls[0].outcome is Outcome.ANSWERED
    with assuming(default_outcome=Outcome.BUSY) as account:
        flash_call(account)
        assert account.calls[0].outcome is Outcome.BUSY


@pytest.mark.parametrize("cause", [31, 27])
def test_final_status_is_absent_for_31_and_the_rest_unless_set(mcn: Account, receiver: Receiver, cause: int) -> None:
    def final(account: Account) -> object:
        account.subscribe(receiver.url, body=["q931_status", "final_status"])
        account.set_outcome(q931_status=cause)
        flash_call(account)
        account.wait_for_cdr()
        return receiver.received[-1].get("final_status", "absent")

    assert final(mcn) == "absent"
    for word, value in (("empty", ""), ("null", None)):
        with assuming(missing_final_status=word) as account:
            assert final(account) == value


def test_unavailable_is_cause_18_unless_set(mcn: Account) -> None:
    mcn.set_outcome(Outcome.UNAVAILABLE)
    flash_call(mcn)
    assert mcn.calls[0].q931_status == 18
    with assuming(unavailable_cause=27) as account:
        account.set_outcome(Outcome.UNAVAILABLE)
        flash_call(account)
        assert account.calls[0].q931_status == 27


def test_a_call_rings_no_time_unless_set(mcn: Account, receiver: Receiver) -> None:
    def rings_s(account: Account) -> float:
        account.subscribe(receiver.url, body=["start_time", "stop_time"])
        flash_call(account)
        account.clock.advance(10)
        begun, ended = (datetime.fromisoformat(time) for time in receiver.received[-1].values())
        return (ended - begun).total_seconds()

    assert rings_s(mcn) == 0
    with assuming(ring_s=4) as account:
        assert rings_s(account) == 4


def test_the_cdr_follows_the_answer_at_once_unless_set(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    flash_call(mcn)
    mcn.settle()
    assert mcn.deliveries[0].attempts[0].at == mcn.clock.now
    with assuming(cdr_delay_s=30) as account:
        account.subscribe(receiver.url)
        flash_call(account)
        account.clock.advance(29)
        assert account.deliveries[0].attempts == ()
        account.clock.advance(1)
        assert account.deliveries[0].status == 204


def test_account_id_is_10002_unless_set(mcn: Account, receiver: Receiver) -> None:
    with assuming(operator_account_id=7) as other:
        for account, operator in ((mcn, 10002), (other, 7)):
            account.subscribe(receiver.url, body=["account_id"])
            flash_call(account)
            account.wait_for_cdr()
            assert receiver.received[-1] == {"account_id": operator}


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.BUSY])
def test_a_call_that_is_not_busy_has_the_same_variables(mcn: Account, receiver: Receiver, outcome: Outcome) -> None:
    always = {"hangup_cause": "", "orig": False, "vpbx_id": 0}
    mcn.set_outcome(outcome)
    mcn.subscribe(receiver.url, body=[*always, "call4raw"])
    flash_call(mcn)
    mcn.wait_for_cdr()
    raw = receiver.received[0].pop("call4raw")
    assert receiver.received == [always]
    assert {raw[name] for name in ("cost", "rate", "session_time", "billed_time", "pdd")} == {0}


def test_a_value_inside_a_text_is_its_json_or_nothing(receiver: Receiver) -> None:
    template = "${{apiRaws}} ${{orig}} '${{final_status}}' ${{extra_info_id}}"
    for word, final in (("absent", ""), ("null", "null")):
        with assuming(missing_final_status=word) as account:
            account.set_outcome(Outcome.REJECTED)
            account.subscribe(receiver.url, data_type="text", template=template)
            flash_call(account)
            account.wait_for_cdr()
            uuid = account.calls[0].verification_call_uuid
            assert receiver.bodies[-1].decode() == f'[] false \'{final}\' {{"autodial_uuid": "{uuid}"}}'


def test_the_headers_of_a_webhook_unless_set(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.subscribe(receiver.url, data_type="text", template="x")
    mcn.subscribe(receiver.url, headers={"Content-Type": "text/x-mine"})
    flash_call(mcn)
    mcn.settle()
    types = {headers["Content-Type"] for headers in receiver.headers}
    assert types == {"application/json", "text/plain; charset=utf-8", "text/x-mine"}
    assert {(headers["Accept"], headers["User-Agent"]) for headers in receiver.headers} == {("*/*", "mcn-mock")}


def test_nothing_is_signed(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    flash_call(mcn)
    mcn.wait_for_cdr()
    names = {name.lower() for name in receiver.headers[0]}
    assert names == {"host", "accept", "user-agent", "content-type", "content-length"}


def test_every_attempt_sends_the_same_request(mcn: Account) -> None:
    mcn.expect_undelivered()
    with Receiver(500) as receiver:
        mcn.subscribe(receiver.url, all_variables=True)
        flash_call(mcn)
        mcn.settle()
        mcn.clock.advance(6)
        assert len(receiver.bodies) == 3
        assert len(set(receiver.bodies)) == 1


def test_a_cdr_that_is_sent_again_does_not_hold_up_later_ones(mcn: Account) -> None:
    with Receiver(500, 204) as receiver:
        mcn.subscribe(receiver.url)
        for _ in range(2):
            flash_call(mcn)
            mcn.settle()
        mcn.clock.advance(2)
        first, second = (call.verification_call_uuid for call in mcn.calls)
        assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [first, second, first]


@pytest.mark.parametrize("status,state", [(200, "delivered"), (299, "delivered"), (302, "failed"), (400, "failed")])
def test_any_2xx_acknowledges_and_a_redirect_does_not(mcn: Account, status: int, state: str) -> None:
    mcn.expect_undelivered()
    with Receiver(status) as receiver:
        mcn.subscribe(receiver.url, retry=False)
        flash_call(mcn)
        mcn.settle()
        assert (mcn.deliveries[0].state, len(receiver.received)) == (state, 1)


def test_an_acknowledgement_has_10_seconds_unless_set(mcn: Account) -> None:
    assert mcn.ack_timeout_s == 10
    with assuming(ack_timeout_s=3) as account:
        assert account.ack_timeout_s == 3


def test_an_https_endpoint_needs_a_certificate_that_is_trusted_unless_set(mcn: Account) -> None:
    mcn.expect_undelivered()
    with https_endpoint() as url:
        mcn.subscribe(url, retry=False)
        mcn.subscribe(url, insecure=True)
        flash_call(mcn)
        mcn.settle()
    assert [delivery.state for delivery in mcn.deliveries] == ["failed", "delivered"]


def test_a_filter_compares_values_as_text(mcn: Account, receiver: Receiver) -> None:
    for value in ("16", 16, "016"):
        mcn.subscribe(receiver.url, filter=[{"variable": "q931_status", "value": value}])
    flash_call(mcn)
    mcn.settle()
    assert len(receiver.received) == 2


def test_a_webhook_is_disabled_after_10_cdrs_failed_unless_set() -> None:
    with Receiver(500) as receiver:
        for assumed, most in ({}, 10), ({"disable_after": 2}, 2):
            with assuming(**assumed) as account:
                account.subscribe(receiver.url, retry=False)
                for _ in range(most + 1):
                    flash_call(account)
                    account.settle()
                assert [len(call.deliveries) for call in account.calls] == [1] * most + [0]


def test_some_refusals_are_the_fakes_own(mcn: Account) -> None:
    mcn.hold_cdrs()
    flash_call(mcn)
    call = mcn.wait_for_call()
    admin = mcn.base_url.replace("/v2/rest", "/__admin")
    complete, account = f"{admin}/calls/{call.verification_call_uuid}/complete", f"{admin}/accounts/{mcn.account_id}"
    assert requests.post(complete, timeout=30).status_code == 200
    assert refusal(requests.post(complete, timeout=30)) == (409, "conflict", None)
    stale = requests.patch(account, json={"calls_held": False}, headers={"If-Match": '"x"'}, timeout=30)
    assert refusal(stale) == (412, "precondition_failed", None)


def test_magic_numbers_are_the_fakes_own_and_a_setting(mcn: Account) -> None:
    flash_call(mcn, "70000000002")
    assert mcn.wait_for_call().outcome is Outcome.ANSWERED
    with MCNServer(settings=Settings(magic_numbers=True)) as server:
        account = server.open_account()
        flash_call(account, "70000000002")
        assert account.wait_for_call().outcome is Outcome.BUSY
        assert refusal(flash_call(account, "70000000402")) == (402, "insufficient_funds", "login_did")


def test_the_code_is_there_also_where_none_was_asked_for(mcn: Account) -> None:
    assert flash_call(mcn).json()["object"]["code"] == mcn.calls[0].caller_did[-4:]


def test_a_number_of_ten_digits_is_taken(mcn: Account) -> None:
    assert flash_call(mcn, "7777777777").json()["object"]["login_did"] == "7777777777"


def test_the_password_of_basic_is_the_token(mcn: Account) -> None:
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"

    def ask(user: str, password: str) -> int:
        answer = requests.post(url, params={"login_did": RUSSIAN}, auth=(user, password), timeout=30)
        return answer.status_code

    assert ask("anybody", mcn.token) == 200
    assert "basic" in [use.rule for use in mcn.requests[0].undocumented]
    mcn.expect_refusal("unauthorized")
    assert ask(mcn.token, "anything") == 401
    for malformed in ("Basic", "Basic =", "Basic \u00fc", f"Basic {mcn.token}"):
        headers = {"Authorization": malformed.encode("latin-1")}
        assert requests.post(url, params={"login_did": RUSSIAN}, headers=headers, timeout=30).status_code == 401


def test_the_other_numbers_of_refusals_are_their_statuses_unless_set() -> None:
    style = {"error_style": ErrorStyle.NUMERIC}
    with assuming(**style) as account:
        assert flash_call(account, "x").json()["errors"]["code"] == 400
    with assuming(**style, error_number={RefusalCode.INVALID_PARAMETER: 7}) as account:
        assert flash_call(account, "x").json()["errors"]["code"] == 7
        account.set_balance(0)
        assert flash_call(account).json()["errors"]["code"] == 402


def test_flashcall_has_the_articles_parameters(mcn: Account) -> None:
    answers = [flashcall(mcn, number, country_id=country, code="0042").json()["result"]["country_id"]
               for number in (RUSSIAN, KAZAKH) for country in ("643", "398", "703", "abc")]  # fmt: skip
    assert answers == [643, 398, 643, 643] * 2
    assert {call.code for call in mcn.calls} == {"0042"}
    mcn.expect_refusal("missing_parameter")
    assert paid_refusal(flashcall(mcn, "")) == (400, "missing_parameter", "login_did")
    told = {use.text for request in mcn.requests for use in request.undocumented if use.level == "assumed"}
    assert {text.partition(" is assumed")[0] for text in told} == {
        f"the parameter {name} of flashcall" for name in ("login_did", "code", "country_id")
    }


def test_parameters_of_paidmethods_in_the_query_or_a_form(mcn: Account) -> None:
    url, given = f"{mcn.paid_url}/api/protected/api/auth/flashcall", {"login_did": RUSSIAN, "code": "0042"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    ways: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({}, {"params": given}),
        ({}, {"data": given}),
        ({}, {"files": {name: (None, value) for name, value in given.items()}}),
        (form, {"data": json.dumps(given)}),
    ]
    for more, sent in ways:
        headers = {**mcn.headers, "Accept": "application/json", **more}
        answer = requests.post(url, headers=headers, timeout=30, **sent)
        assert answer.json()["result"]["code"] == "0042"
    assert [request.undocumented[1].rule for request in mcn.requests] == [
        "query",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "json_in_a_form",
    ]


def test_a_number_of_a_third_country_is_called_from_a_russian_one_unless_set(mcn: Account) -> None:
    assert flashcall(mcn, SLOVAK).json()["result"]["country_id"] == 643
    assert "login_did is of SK, a third country: from a Russian number" in mcn.calls[0].explanation.country
    with assuming(paidmethods=PaidMethodsAssumptions(other_country=398)) as account:
        assert flashcall(account, SLOVAK).json()["result"]["country_id"] == 398
        assert flashcall(account).json()["result"]["country_id"] == 643
        assert str(account.calls[0].price) == "0.65"


def test_the_answer_of_call_2fa_is_a_setting(mcn: Account) -> None:
    mcn.connect_number(CONNECTED)
    uuid = call_2fa(mcn, CONNECTED).json()["result"].pop("verification_call_uuid")
    assert uuid == mcn.calls[0].verification_call_uuid
    assert call_2fa(mcn, CONNECTED).json() == {
        "ok": True,
        "result": {
            "login_did": RUSSIAN,
            "caller_did": CONNECTED,
            "verification_call_uuid": mcn.calls[1].verification_call_uuid,
            "account_id": int(mcn.account_id),
            "code": CONNECTED[-4:],
        },
    }
    with assuming(paidmethods=PaidMethodsAssumptions(call_for_2fa_body={"success": 1, "of": "$account_id"})) as account:
        account.connect_number(CONNECTED)
        assert call_2fa(account, CONNECTED).json() == {"success": 1, "of": int(account.account_id)}


def test_refusals_of_paidmethods_are_settings(mcn: Account) -> None:
    for code in ("missing_parameter", "invalid_parameter", "unauthorized", "foreign_number", "insufficient_funds"):
        mcn.expect_refusal(code)
    for code in ("not_found", "method_not_allowed", "payload_too_large"):
        mcn.expect_refusal(code)
    url = f"{mcn.paid_url}/api/protected/api/auth/flashcall"

    def ask(method: str = "POST", url: str = url, **settings: Any) -> tuple[int, str, str | None]:
        return paid_refusal(requests.request(method, url, **{"headers": mcn.headers, "timeout": 30, **settings}))

    assert ask() == (400, "missing_parameter", "login_did")
    assert ask(json={"login_did": "x"}) == (400, "invalid_parameter", "login_did")
    assert ask(json={"login_did": RUSSIAN, "code": "123"}) == (400, "invalid_parameter", "code")
    assert ask(headers={}, json={"login_did": RUSSIAN}) == (401, "unauthorized", None)
    assert ask(headers={}, json={"login_did": RUSSIAN, "user_hash": mcn.token}) == (401, "unauthorized", None)
    assert ask(headers={}, json={"login_did": RUSSIAN}, auth=("u", mcn.token)) == (401, "unauthorized", None)
    assert ask(url=f"{url}s") == (404, "not_found", None)
    assert ask("GET") == (404, "method_not_allowed", None)
    assert ask(data=b"x" * 100_000) == (400, "payload_too_large", "body")
    assert paid_refusal(call_2fa(mcn, CONNECTED)) == (403, "foreign_number", "caller_did")
    mcn.set_balance("0.14")
    assert paid_refusal(flashcall(mcn)) == (403, "insufficient_funds", None)
    assert mcn.calls == []
    body = {"success": 0, "because": "$message", "code": "$code", "http": "$status", "of": "$parameter"}
    other = PaidMethodsAssumptions(error_body=body, error_status={RefusalCode.INVALID_PARAMETER: 409})
    with assuming(paidmethods=other) as account:
        answer = flashcall(account, "x")
        assert (answer.status_code, answer.json()["success"], answer.json()["of"]) == (409, 0, "login_did")
        assert refusal(flash_call(account, "x")) == (400, "invalid_parameter", "login_did"), "of the other dialect"


def test_x_account_id_may_name_the_tokens_account(mcn: Account) -> None:
    url, body = f"{mcn.paid_url}/api/protected/api/auth/flashcall", {"login_did": RUSSIAN}

    def ask(account_id: str) -> requests.Response:
        return requests.post(url, json=body, headers={**mcn.headers, "x-account-id": account_id}, timeout=30)

    assert ask(mcn.account_id).status_code == ask("").status_code == 200
    assert ["account_header" in [use.rule for use in request.undocumented] for request in mcn.requests] == [True, False]
    mcn.expect_refusal("account_not_found")
    assert paid_refusal(ask("1")) == (403, "account_not_found", "x-account-id")
