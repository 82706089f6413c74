"""What no client library sends: both servers answer what they can, charge for nothing, and go on."""

from __future__ import annotations

import json
import logging
import socket
from urllib.parse import urlsplit

import pytest
import requests
from helpers.client import RUSSIAN, Api

from pytest_mcn_mock import Account, MCNServer


def head(api: Api, *lines: str, target: str | None = None) -> bytes:
    """The head of a sound request, with more header lines."""
    target = f"{api.path}/flash_call?login_did={RUSSIAN}" if target is None else target
    all_lines = [f"POST {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {api.token}", *lines]
    return "\r\n".join([*all_lines, "Connection: close", "", ""]).encode()


def envelope(answer: bytes) -> tuple[str, str]:
    """The status line's code and the refusal's code of a raw answer."""
    start, _, body = answer.partition(b"\r\n\r\n")
    return start.split()[1].decode(), json.loads(body)["errors"][0]["code"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /v2/rest HTTP/9.9.9\r\n\r\n",
        b"POST /v2/rest/account/1/flash_call HTTP/1.1\r\n: no name\r\n\r\n",
        b"POST /v2/rest/account/1/flash_call?login_did=" + b"7" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v2/rest/account/1/flash_call HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /v2/rest/account/1/flash_call HTTP/1.1\r\n" + b"X: y\r\n" * 2_000 + b"\r\n",
    ],
    ids=["nul", "tls", "no target", "version", "header", "long target", "long header", "many headers"],
)  # fmt: skip
def test_what_is_no_sound_http_is_turned_away_and_the_server_goes_on(api: Api, sent: bytes) -> None:
    before = api.balance()
    assert b"200 OK" not in api.exchange(sent, half_close=True)
    assert api.balance() == before
    assert api.post(query=f"login_did={RUSSIAN}").status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_that_ends_before_its_content_length_is_refused(api: Api, content_type: str) -> None:
    before = api.balance()
    answer = api.exchange(
        head(api, f"Content-Type: {content_type}", "Content-Length: 100") + b'{"code": "00', half_close=True
    )
    assert envelope(answer) == ("400", "invalid_parameter")
    assert api.balance() == before


@pytest.mark.parametrize(
    "chunks,told",
    [
        (b"zz\r\n{}\r\n", ("400", "invalid_parameter")),
        ((b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 3 + b"0\r\n\r\n", ("413", "payload_too_large")),
    ],
    ids=["broken", "too large"],
)
def test_a_chunked_body_that_is_broken_or_too_large_is_refused(api: Api, chunks: bytes, told: tuple[str, str]) -> None:
    before = api.balance()
    sent = head(api, "Content-Type: application/json", "Transfer-Encoding: chunked") + chunks
    assert envelope(api.exchange(sent)) == told
    assert api.balance() == before


@pytest.mark.parametrize(
    "target",
    ["{path}/flash_call?login_did=\u043d\u043e\u043c\u0435\u0440", "{path}/flash_call%00?login_did=79157777777",
     "/v2/rest/account/\u043b\u0441/flash_call?login_did=79157777777"],
    ids=["query", "nul", "path"],
)  # fmt: skip
def test_text_that_is_not_percent_encoded_is_refused(api: Api, target: str) -> None:
    before = api.balance()
    status, _ = envelope(api.exchange(head(api, target=target.format(path=api.path))))
    assert status in ("400", "403", "404")
    assert api.balance() == before


def test_two_authorization_headers_are_no_authorization(api: Api) -> None:
    answer = api.exchange(head(api, f"Authorization: Bearer {api.other_token}"))
    assert envelope(answer) == ("401", "unauthorized")


def test_a_body_said_to_be_huge_is_refused_whatever_else_is_wrong(api: Api) -> None:
    for target, status in ((f"{api.path}/flash_call", "413"), ("/v2/rest/nowhere", "404")):
        answer = api.exchange(head(api, f"Content-Length: {2**31}", target=target))
        assert envelope(answer)[0] == status


def test_a_client_that_leaves_without_its_answer_harms_nobody(api: Api) -> None:
    address = urlsplit(api.url)
    for _ in range(20):
        with socket.create_connection((address.hostname, address.port or 0)) as connection:
            connection.sendall(head(api))
    assert api.post(query=f"login_did={RUSSIAN}").status_code == 200


def test_an_answer_without_a_body_ends_its_request_too(mcn: Account) -> None:
    mcn.expect_refusal("method_not_allowed")
    response = requests.head(f"{mcn.base_url}/account/{mcn.account_id}/flash_call", headers=mcn.headers, timeout=30)
    assert (response.status_code, response.content) == (405, b"")
    mcn.settle()
    assert mcn.requests[0].is_answered


@pytest.mark.parametrize(
    "line",
    [
        "POST {path}/flash_call?login_did=79157777777&user_hash={token}&code=0042 HTTP/1.1",
        "POST {path}/flash_call?user_hash={token} HTTP/1.1",
        "POST {path}/flash_call?USER_HASH={token} HTTP/1.1",
        "POST {path}/flash_call?user%5Fhash={token} HTTP/1.1",
        "POST {path}/nowhere?user_hash={token} HTTP/1.1",
        "PUT /?a=100%25&user_hash={token} HTTP/1.1",
        "POST {path}/flash_call?user_hash={token} and more HTTP/1.1",
        "POST {path}/flash_call?user_hash={token}",
        "POST {path}/flash_call?user_hash={token} HTTP/x",
    ],
)
def test_no_token_of_the_address_is_logged(
    mcn_server: MCNServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    """Not even of a request line that is no HTTP, which the server quotes when it complains."""
    account = mcn_server.open_account(strict=False)
    api = Api(mcn_server.url, account.account_id, account.token, "")
    sent = line.format(path=api.path, token=api.token)
    with caplog.at_level(logging.DEBUG):
        api.exchange(f"{sent}\r\nHost: x\r\n\r\n".encode())
        api.post(query=f"login_did={RUSSIAN}")  # whose line comes after the one that is looked for
    account.close()
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name == "werkzeug")
    assert f'login_did={RUSSIAN} HTTP/1.1" 200' in logged
    assert api.token not in logged
    assert api.token not in "".join(capfd.readouterr())
    if line.endswith("HTTP/1.1") and " and " not in line:
        assert "=*** HTTP" in logged or "=***&code=0042 HTTP" in logged
