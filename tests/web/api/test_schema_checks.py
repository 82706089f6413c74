"""The check of every answer notices what does not fit: each case breaks one thing and hears of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from helpers import schema_plugin
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox
from msgspec.structs import replace

from pytest_mcn_mock.web.http import Request, Response, json_response

PLACED = {
    "status": "success",
    "code": 200,
    "object": {
        "login_did": RUSSIAN,
        "code": "0042",
        "account_id": "1",
        "verification_call_uuid": "fa278be48dc2_1",
    },
}
FLASH_CALL = Request("POST", "/v2/rest/account/1/flash_call")
CONTRACT = schema_plugin.install().contract
SOUND_CDR = {"verification_call_uuid": "fa278be48dc2_1", "q931_status": 17, "final_status": "NO ANSWER"}


def refusal(code: str, status: int) -> Response:
    error = {"code": code, "message": "?", "parameter": None}
    return json_response(status, {"status": "error", "code": status, "errors": [error]})


def changed(**values: Any) -> Response:
    return json_response(200, {**PLACED, "object": {**PLACED["object"], **values}})  # type: ignore[dict-item]


def test_what_fits_is_no_violation() -> None:
    assert CONTRACT.problems_of_answer(FLASH_CALL, json_response(200, PLACED)) == []
    assert CONTRACT.problems_of_answer(FLASH_CALL, refusal("insufficient_funds", 402)) == []
    assert CONTRACT.problems_of_answer(Request("GET", "/nothing"), refusal("not_found", 404)) == []
    assert CONTRACT.problems("cdr", {**SOUND_CDR, "number": RUSSIAN, "tenant": "shop"}) == []


@pytest.mark.parametrize(
    "response",
    [
        changed(code=42),
        changed(code="42"),
        changed(colour="red"),
        changed(verification_call_uuid="FA278BE48DC2_1"),
        json_response(200, {**PLACED, "object": {}}),
        json_response(201, PLACED),
        replace(json_response(200, PLACED), headers={"Content-Type": "text/plain"}),
        refusal("insufficient_funds", 403),
        refusal("no_such_code", 400),
        json_response(400, {"status": "error", "code": 400, "errors": []}),
    ],
)
def test_an_answer_that_does_not_fit_is_one(response: Response) -> None:
    assert CONTRACT.problems_of_answer(FLASH_CALL, response) != []


def test_an_answer_of_what_is_not_described_is_one() -> None:
    assert CONTRACT.problems_of_answer(Request("GET", "/__admin/secrets"), json_response(200, {})) != []


def test_a_body_where_none_is_described_is_one() -> None:
    assert CONTRACT.problems_of_answer(Request("DELETE", "/__admin/accounts/1"), Response(204, b"{}", {})) != []


@pytest.mark.parametrize(
    "cdr",
    [
        {**SOUND_CDR, "q931_status": "17"},
        {**SOUND_CDR, "final_status": "ANSWERED"},
        {**SOUND_CDR, "q931_status": 31},
        {**SOUND_CDR, "final_status": None},
        {"q931_status": 20},
        {**SOUND_CDR, "orig": "yes"},
    ],
)
def test_a_cdr_that_does_not_fit_is_one(cdr: dict[str, Any]) -> None:
    assert CONTRACT.problems("cdr", cdr) != []


BROKEN = """
from pytest_mcn_mock.web import admin, admin_types
plain = admin.json_response
def answer(status, content, **more):
    return plain(status, {"status": "fine"} if isinstance(content, admin_types.HealthJson) else content, **more)
admin.json_response = answer
"""


def test_a_sandbox_that_answers_otherwise_fails_its_test() -> None:
    def look(sandbox: Sandbox) -> None:
        assert json.loads(requests.get(f"{sandbox.url}/__admin/health", timeout=30).content) == {"status": "fine"}

    def run() -> None:
        with running_sandbox(before=BROKEN) as sandbox:
            look(sandbox)

    with pytest.raises(AssertionError, match="GET /__admin/health"):
        run()


def test_a_fixtures_server_that_answers_otherwise_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import urllib.request
        from pytest_mcn_mock.web.admin_types import RequestJson

        def test_passes_but_for_the_check(mcn, mcn_server, monkeypatch):
            monkeypatch.setattr(RequestJson, "of", lambda request: {"seq": str(request.seq)})
            urllib.request.urlopen(f"{mcn_server.url}/__admin/requests").read()
            request = urllib.request.Request(
                f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777", method="POST",
                headers=mcn.headers)
            urllib.request.urlopen(request).read()
            urllib.request.urlopen(f"{mcn_server.url}/__admin/requests").read()
        """
    )
    result = pytester.runpytest_inprocess("-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*GET /__admin/requests */items/0*"])
