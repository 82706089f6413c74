"""The client API as an application meets it, over a socket: once from the fixture's server, once from the sandbox."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN, Api, refusal

BODY_FORMS = ["urlencoded", "multipart", "json"]


def test_the_success_envelope_has_text_values_and_keeps_leading_zeros(api: Api) -> None:
    response = api.post(
        query=f"login_did={RUSSIAN}&code=0042", headers={**api.auth, "Content-Type": "application/json"}
    )
    assert response.status_code == 200
    content = response.json()
    uuid = content["object"].pop("verification_call_uuid")
    assert content == {
        "status": "success",
        "code": 200,
        "object": {"login_did": RUSSIAN, "code": "0042", "account_id": api.account_id},
    }
    call_id, _, account_id = uuid.partition("_")
    assert len(call_id) == 12
    assert set(call_id) <= set("0123456789abcdef")
    assert account_id == api.account_id


def test_without_a_code_the_answer_has_the_callers_last_digits(api: Api) -> None:
    placed = api.post(query=f"login_did={RUSSIAN}").json()["object"]
    call = requests.get(f"{api.url}/__admin/calls/{placed['verification_call_uuid']}", timeout=30).json()
    assert call["caller_did"].endswith(placed["code"])


def test_call_for_2fa_answers_in_the_same_envelope_with_its_caller(api: Api) -> None:
    content = api.post("call_for_2fa", f"caller_did=79158888888&login_did={RUSSIAN}").json()
    uuid = content["object"].pop("verification_call_uuid")
    assert uuid.endswith(f"_{api.account_id}")
    assert content["object"] == {
        "login_did": RUSSIAN,
        "caller_did": "79158888888",
        "code": "8888",
        "account_id": api.account_id,
    }


def send_in_body(api: Api, form: str, parameters: dict[str, str], query: str = "") -> requests.Response:
    bodies: dict[str, dict[str, Any]] = {
        "urlencoded": {"data": parameters},
        "multipart": {"files": {name: (None, value) for name, value in parameters.items()}},
        "json": {"json": parameters},
    }
    return api.post(query=query, **bodies[form])


@pytest.mark.parametrize("form", BODY_FORMS)
def test_parameters_can_be_in_the_body(api: Api, form: str) -> None:
    placed = send_in_body(api, form, {"login_did": RUSSIAN, "code": "0042"}).json()["object"]
    assert (placed["login_did"], placed["code"]) == (RUSSIAN, "0042")


@pytest.mark.parametrize("form", BODY_FORMS)
def test_the_query_wins_over_the_body(api: Api, form: str) -> None:
    response = send_in_body(api, form, {"login_did": "not looked at", "code": "1111"}, f"login_did={RUSSIAN}&code=2222")
    assert response.json()["object"]["code"] == "2222"


@pytest.mark.parametrize("form", BODY_FORMS)
def test_user_hash_stands_for_the_header(api: Api, form: str) -> None:
    assert api.post(query=f"login_did={RUSSIAN}&user_hash={api.token}", headers={}).status_code == 200
    bodies: dict[str, dict[str, Any]] = {
        "urlencoded": {"data": {"user_hash": api.token}},
        "multipart": {"files": {"user_hash": (None, api.token)}},
        "json": {"json": {"user_hash": api.token}},
    }
    assert api.post(query=f"login_did={RUSSIAN}", headers={}, **bodies[form]).status_code == 200


@pytest.mark.parametrize(
    "query,code,parameter",
    [
        ("", "missing_parameter", "login_did"),
        ("login_did=", "missing_parameter", "login_did"),
        ("login_did=%2B79157777777", "invalid_parameter", "login_did"),
        ("login_did=+79157777777", "invalid_parameter", "login_did"),
        ("login_did=79157777777&login_did=79157777777", "invalid_parameter", "login_did"),
        ("login_did=" + "%D9%A7" * 11, "invalid_parameter", "login_did"),
        ("login_did=" + "7" * 5000, "invalid_parameter", "login_did"),
        ("login_did=%FF%FE", "invalid_parameter", "query"),
        ("%FF=1&login_did=79157777777", "invalid_parameter", "query"),
        ("&".join(f"p{i}=1" for i in range(100)), "invalid_parameter", "query"),
        ("login_did=79157777777&code=123", "invalid_parameter", "code"),
        ("login_did=79157777777&code=12345", "invalid_parameter", "code"),
        ("login_did=79157777777&code=abcd", "invalid_parameter", "code"),
        ("login_did=79157777777&code=%D9%A1%D9%A2%D9%A3%D9%A4", "invalid_parameter", "code"),
        ("login_did=79157777777&code=1234&code=1234", "invalid_parameter", "code"),
        ("login_did=79157777777&country_id=" + "9" * 300, "invalid_parameter", "country_id"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_and_costs_nothing(api: Api, query: str, code: str, parameter: str) -> None:
    before = api.balance()
    assert refusal(api.post(query=query)) == (400, code, parameter)
    assert api.balance() == before


@pytest.mark.parametrize("query", ["code=", "country_id=", "code=&country_id=", "unknown=1"])
def test_what_is_empty_or_unknown_is_as_if_not_given(api: Api, query: str) -> None:
    assert api.post(query=f"login_did={RUSSIAN}&{query}").status_code == 200


@pytest.mark.parametrize(
    "body,content_type,parameter",
    [
        (b'{"login_did": "791577', "application/json", "body"),
        (b"[" * 60_000, "application/json", "body"),
        (b'["79157777777"]', "application/json", "body"),
        (b'"79157777777"', "application/json; charset=utf-8", "body"),
        (b'{"login_did": "\xff"}', "application/json", "body"),
        (b'{"login_did": "79157777777", "login_did": "1"}', "application/json", "login_did"),
        (b'{"login_did": ["79157777777"]}', "application/json", "login_did"),
        (b'{"login_did": "79157777777", "code": 42}', "application/json", "code"),
        (b'{"login_did": "79157777777", "code": true}', "application/json", "code"),
        (b'{"login_did": 7915777777.5}', "application/json", "login_did"),
        (b'{"login_did": ' + b"9" * 5000 + b"}", "application/json", "body"),
        (b"login_did=%FF", "application/x-www-form-urlencoded", "query"),
        (b"--x\r\nContent-Disposition: form-data; nam", "multipart/form-data; boundary=x", "body"),
        (b"nothing", "multipart/form-data", "body"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x", "body"),
        (
            b'--x\r\nContent-Disposition: form-data; name="}\\"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "body",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="login_did"; filename="f"\r\n\r\n79157777777\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "login_did",
        ),
    ],
)
def test_a_broken_body_is_refused_and_costs_nothing(api: Api, body: bytes, content_type: str, parameter: str) -> None:
    before = api.balance()
    response = api.post(data=body, headers={**api.auth, "Content-Type": content_type})
    assert refusal(response) == (400, "invalid_parameter", parameter)
    assert api.balance() == before


def test_a_number_in_json_may_be_a_number_and_null_is_not_given(api: Api) -> None:
    assert api.post(json={"login_did": int(RUSSIAN), "code": None}).status_code == 200


def test_a_body_of_two_gigabytes_is_refused_unread(api: Api) -> None:
    headers = {**api.auth, "Content-Type": "application/json", "Content-Length": str(2 * 2**30)}
    status, content = api.raw("POST", f"{api.path}/flash_call?login_did={RUSSIAN}", {"Host": "x", **headers})
    assert (status, content["errors"][0]["code"]) == (413, "payload_too_large")


def test_a_body_that_is_sent_and_too_large_is_refused(api: Api) -> None:
    response = api.post(data=b"x" * 1_000_000, headers={**api.auth, "Content-Type": "application/json"})
    assert refusal(response) == (413, "payload_too_large", "body")


def test_a_chunked_body_is_read_and_bounded(api: Api) -> None:
    headers = {**api.auth, "Content-Type": "application/json"}
    small = api.post(data=iter([b'{"login_did": ', f'"{RUSSIAN}"}}'.encode()]), headers=headers)
    assert small.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "test-token"},
        {"Authorization": "Bearer test-token test-token"},
        {"Authorization": "Bearer \u00fc".encode("latin-1")},
    ],
)
def test_without_a_known_token_it_is_401(api: Api, headers: dict[str, Any]) -> None:
    assert refusal(api.post(query=f"login_did={RUSSIAN}", headers=headers)) == (401, "unauthorized", None)


def test_the_token_is_looked_at_before_the_parameters(api: Api) -> None:
    assert refusal(api.post(query="login_did=x", headers={"Authorization": "Bearer wrong"}))[0] == 401


@pytest.mark.parametrize("account_id", ["1", "abc", "9" * 40, "%2e%2e", "0", "-1", "012345678"])
def test_an_account_that_is_not_the_tokens_is_403_existing_or_not(api: Api, account_id: str) -> None:
    for path, token in ((account_id, api.token), (api.account_id, api.other_token)):
        response = requests.post(
            f"{api.url}/v2/rest/account/{path}/flash_call?login_did={RUSSIAN}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert refusal(response) == (403, "account_not_found", "account_id")


@pytest.mark.parametrize("query,code,parameter", [
    (f"login_did={RUSSIAN}", "missing_parameter", "caller_did"),
    (f"login_did={RUSSIAN}&caller_did=79159999999", "foreign_number", "caller_did"),
    (f"login_did={RUSSIAN}&caller_did=x", "invalid_parameter", "caller_did"),
    ("caller_did=79158888888", "missing_parameter", "login_did"),
])  # fmt: skip
def test_call_for_2fa_rings_from_a_connected_number_alone(api: Api, query: str, code: str, parameter: str) -> None:
    before = api.balance()
    status = 403 if code == "foreign_number" else 400
    assert refusal(api.post("call_for_2fa", query)) == (status, code, parameter)
    assert api.balance() == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_and_says_which_to_use(api: Api, method: str) -> None:
    response = requests.request(method, f"{api.url}{api.path}/flash_call", headers=api.auth, timeout=30)
    assert refusal(response) == (405, "method_not_allowed", None)
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/rest",
        "/v2/rest/account/1",
        "/v2/rest/account//flash_call",
        "/v1/rest/x",
        "/%FF",
        "/v2/rest/account/1/flash_call/2",
    ],
)
def test_another_path_is_404(api: Api, path: str) -> None:
    assert refusal(requests.post(f"{api.url}{path}", headers=api.auth, timeout=30)) == (404, "not_found", None)


def test_no_token_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        api.post(query=f"login_did={RUSSIAN}&user_hash={api.token}", headers={})
        api.post(query=f"login_did=x&user_hash={api.token}&code=1", headers={})
        api.post(query=f"login_did={RUSSIAN}")
    ours = [record.getMessage() for record in caplog.records if "urllib3" not in record.name]
    assert api.token not in "\n".join(ours)
