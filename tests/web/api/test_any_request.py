"""Whatever a request is made of: one of the two envelopes, money exactly as it should be, and never an accident."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from helpers.in_process import run
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.errors import Refusal
from pytest_mcn_mock.flow import step
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.web.http import Request, Response, json_response
from pytest_mcn_mock.web.parameters import MAX_PARAMETERS, read_query

ACCOUNT, TOKEN = "12345678", "test-token"
KNOWN = st.sampled_from(["login_did", "caller_did", "code", "country_id", "user_hash", "x", ""])
GOOD = st.sampled_from(["79157777777", "77012345678", "79158888888", "0042", "643", "703", TOKEN, ""])
PAIRS = st.lists(st.tuples(KNOWN | st.text(max_size=8), GOOD | st.text(max_size=20)), max_size=5)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "authorization": st.sampled_from([f"Bearer {TOKEN}", "Bearer x", "Bearer", ""]) | st.text(max_size=20),
        "content-type": st.sampled_from(
            ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"]
        )
        | st.text(max_size=20),
        "x-account-id": st.sampled_from([ACCOUNT, "", "1"]) | st.text(max_size=20),
    },
)
BODIES = (
    st.none()
    | st.binary(max_size=200)
    | st.dictionaries(KNOWN, GOOD | st.integers() | st.none() | st.booleans(), max_size=4).map(
        lambda value: json.dumps(value).encode()
    )
    | PAIRS.map(lambda pairs: "&".join(f"{quote(n)}={quote(v)}" for n, v in pairs).encode())
)
PATHS = st.sampled_from(
    [
        f"/v2/rest/account/{ACCOUNT}/flash_call",
        f"/v2/rest/account/{ACCOUNT}/call_for_2fa",
        "/v2/rest/account/1/flash_call",
        "/api/protected/api/auth/flashcall",
        "/api/protected/api/auth/call_2fa",
    ]
) | st.text(max_size=40).map(lambda text: f"/v2/rest/account/{text}/flash_call")


def make_fake() -> Fake:
    fake = compose(Settings())
    run(fake.service.accounts.open(seed=1, balance="1.00", account_id=ACCOUNT, token=TOKEN, numbers=["79158888888"]))
    return fake


def check(fake: Fake, request: Request) -> None:
    storage = fake.service.storage
    before = run(storage.account(ACCOUNT)).balance
    flow = fake.application.serve(request)
    response = step(flow)
    assert isinstance(response, Response)
    step(flow)
    content: dict[str, Any] = json.loads(response.body)
    after = run(storage.account(ACCOUNT)).balance
    assert after == sum(entry.kopecks for entry in run(storage.ledger(ACCOUNT)))
    placed = run(storage.calls(ACCOUNT, 0, 100))
    if request.path.startswith("/api/protected/api/auth/"):
        assert content["ok"] is (response.status == 200)
        assert content.get("error") != "internal_error"
        uuids = [content["result"]["verification_call_uuid"]] if content["ok"] else []
        assert [call.verification_call_uuid for call in placed] == uuids
        assert after == before - sum(call.price for call in placed)
    elif response.status == 200:
        assert content["status"] == "success"
        assert all(isinstance(value, str) for value in content["object"].values())
        assert [call.verification_call_uuid for call in placed] == [content["object"]["verification_call_uuid"]]
        assert after == before - placed[0].price
    else:
        assert (content["status"], content["code"]) == ("error", response.status)
        assert content["errors"][0]["code"] != "internal_error"
        assert (after, list(placed)) == (before, [])


@given(st.text("ab=&;%4+", max_size=30) | st.integers(0, 99).map(lambda n: "&".join(f"a{i}=1" for i in range(n))))
def test_a_query_is_read_as_the_library_reads_it(query: str) -> None:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        pairs = None
    if pairs is None or len(dict(pairs)) < len(pairs):
        with pytest.raises(Refusal):
            read_query(query.encode())
    else:
        assert list(read_query(query.encode()).items()) == pairs


@settings(max_examples=200)
@given(path=PATHS, pairs=PAIRS, headers=HEADERS, body=BODIES)
@example("/api/protected/api/auth/flashcall", [("login_did", "79157777777")], {"authorization": f"Bearer {TOKEN}"}, b"")
@example(
    f"/v2/rest/account/{ACCOUNT}/flash_call", [("login_did", "79157777777")], {"authorization": f"Bearer {TOKEN}"}, b""
)
def test_arbitrary_parameters(
    path: str, pairs: list[tuple[str, str]], headers: dict[str, str], body: bytes | None
) -> None:
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode()
    check(make_fake(), Request("POST", path, query, headers, body))


@settings(max_examples=100)
@given(
    method=st.sampled_from(["POST", "GET", "HEAD", "OPTIONS"]) | st.text("ABCX", min_size=1, max_size=6),
    path=st.text(max_size=60).map(lambda text: f"/{text}"),
    query=st.binary(max_size=60),
)
def test_arbitrary_bytes(method: str, path: str, query: bytes) -> None:
    check(make_fake(), Request(method, path, query, {"authorization": f"Bearer {TOKEN}"}))
    check(make_fake(), Request("POST", f"/v2/rest/account/{ACCOUNT}/flash_call", query, {"authorization": TOKEN}))


def test_what_utf_8_cannot_write_is_escaped_as_json_has_it() -> None:
    """Whatever came in without a look at the door."""
    content = {"note": "a\ud800b", "\udfff": "\U0001f600\u0000"}
    assert json.loads(json_response(200, content).body.decode()) == content
