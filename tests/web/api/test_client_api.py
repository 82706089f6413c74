"""The client API as an application meets it, over a socket: once from the fixture's server, once from the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN, Api, placed, refusal, speaking, spoken

from pytest_mcn_mock import Dialect

pytestmark = pytest.mark.usefixtures("each_dialect")


@pytest.mark.parametrize(
    "body_of",
    [
        lambda parameters: {"data": parameters},
        lambda parameters: {"files": {name: (None, value) for name, value in parameters.items()}},
        lambda parameters: {"json": parameters},
    ],
    ids=["urlencoded", "multipart", "json"],
)
def test_parameters_can_be_in_the_body_and_the_query_wins(api: Api, body_of: Callable[[dict[str, str]], Any]) -> None:
    in_body = {"login_did": RUSSIAN, "code": "0042"}
    assert placed(api.post(**body_of(in_body)))["code"] == "0042"
    with_token = api.post(headers={}, **body_of({**in_body, "user_hash": api.token}))
    assert with_token.status_code == (200 if spoken().table.takes_user_hash else 401)
    in_body = {"login_did": "not looked at", "code": "1111"}
    answer = api.post(query=f"login_did={RUSSIAN}&code=2222", **body_of(in_body))
    assert placed(answer)["code"] == "2222"


@pytest.mark.parametrize(
    "query,code,parameter",
    [
        ("", "missing_parameter", "login_did"),
        ("login_did=", "missing_parameter", "login_did"),
        ("login_did=%2B79157777777", "invalid_parameter", "login_did"),
        ("login_did=+79157777777", "invalid_parameter", "login_did"),
        ("login_did=79157777777&login_did=79157777777", "invalid_parameter", "login_did"),
        ("login_did=8abcdefghij", "invalid_parameter", "login_did"),
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
    assert refusal(api.post(query=query)) == spoken().refused(code, parameter)
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
    assert refusal(response) == spoken().refused("invalid_parameter", parameter)
    assert api.balance() == before


def test_a_number_in_json_may_be_a_number_and_null_is_not_given(api: Api) -> None:
    assert api.post(json={"login_did": int(RUSSIAN), "code": None}).status_code == 200


def test_a_body_that_is_sent_and_too_large_is_refused(api: Api) -> None:
    response = api.post(data=b"x" * 1_000_000, headers={**api.auth, "Content-Type": "application/json"})
    assert refusal(response) == spoken().refused("payload_too_large", "body")


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
    answer = api.post(data=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == (400 if spoken().table.takes_user_hash else 401), "the token may be in the body"


@pytest.mark.parametrize("account_id", ["1", "abc", "9" * 40, "%2e%2e", "0", "-1", "012345678"])
def test_an_account_that_is_not_the_tokens_is_403_existing_or_not(api: Api, account_id: str) -> None:
    header = spoken().table.account_header
    for named, token in ((account_id, api.token), (api.account_id, api.other_token)):
        response = requests.post(
            api.url + spoken().path(named),
            params={"login_did": RUSSIAN},
            headers={"Authorization": f"Bearer {token}", **({header: named} if header else {})},
            timeout=30,
        )
        assert refusal(response) == (403, "account_not_found", header or "account_id")


@pytest.mark.parametrize("query,code,parameter", [
    (f"login_did={RUSSIAN}", "missing_parameter", "caller_did"),
    (f"login_did={RUSSIAN}&caller_did=79159999999", "foreign_number", "caller_did"),
    (f"login_did={RUSSIAN}&caller_did=x", "invalid_parameter", "caller_did"),
    ("caller_did=79158888888", "missing_parameter", "login_did"),
])  # fmt: skip
def test_call_for_2fa_rings_from_a_connected_number_alone(api: Api, query: str, code: str, parameter: str) -> None:
    before = api.balance()
    assert refusal(api.post("call_for_2fa", query)) == spoken().refused(code, parameter)
    assert api.balance() == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_refused_and_the_answer_says_which_to_use(api: Api, method: str) -> None:
    response = requests.request(method, api.method_url(), headers=api.auth, timeout=30)
    assert refusal(response) == spoken().refused("method_not_allowed")
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["x", "account/1", "account//flash_call", "account/1/flash_call/2", "flashcall/2", "%FF"]
)
def test_another_path_of_the_dialect_is_404(api: Api, path: str) -> None:
    url = f"{api.url}{spoken().table.root}/{path}"
    assert refusal(requests.post(url, headers=api.auth, timeout=30)) == (404, "not_found", None)


@pytest.mark.parametrize("word", ["x", "%0D%0A%1B", "%E2%80%AE", "y" * 500, "<b>"])
def test_a_404_says_which_method_may_be_meant(api: Api, word: str) -> None:
    with speaking(Dialect.API_MCN):  # the other dialect's refusals have no message
        url = api.method_url()
        misspelt = requests.post(url.replace("flash_call", "flash_cal"), headers=api.auth, timeout=30)
        unknown = requests.post(url.replace("flash_call", word), headers=api.auth, timeout=30)
        assert refusal(misspelt) == refusal(unknown) == (404, "not_found", None)
    assert misspelt.json()["errors"][0]["message"] == "there is no method 'flash_cal'; did you mean 'flash_call'?"
    message = unknown.json()["errors"][0]["message"]
    assert message.startswith("there is no method '")
    assert message.endswith("; known are call_for_2fa, flash_call")
    assert message.isprintable()
    assert len(message) < 150


@pytest.mark.parametrize("path", ["/", "/v2/rest", "/api/protected/api/auth", "/v1/rest/x", "/%FF"])
def test_a_path_of_no_dialect_is_404_in_the_articles_form(api: Api, path: str) -> None:
    with speaking(Dialect.API_MCN):
        assert refusal(requests.post(f"{api.url}{path}", headers=api.auth, timeout=30)) == (404, "not_found", None)
