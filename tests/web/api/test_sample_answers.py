"""The vendor's samples of an answer, key by key and type by type, as an order for the same call is answered.

``flashcall-api-response``: handbook, "Flash call — звонки для авторизации, API" (2026-08-12). The article's method has
no sample; ``confirmationcall-api-response`` is that of its sister, whose answer has its form (2026-08-07).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from pytest_mcn_mock import MCNServer

SAMPLES = Path(__file__).parents[2] / "model/samples"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


@pytest.mark.parametrize(
    "name,within,path",
    [
        ("flashcall-api-response", "result", "/api/protected/api/auth/flashcall"),
        ("confirmationcall-api-response", "object", "/v2/rest/account/{account_id}/flash_call"),
    ],
)
def test_an_answer_is_that_of_the_sample_but_for_the_calls_id(
    mcn_server: MCNServer, name: str, within: str, path: str
) -> None:
    expected = sample(name)
    placed = expected[within]
    account = mcn_server.open_account(account_id=str(placed["account_id"]))
    order = {"login_did": placed["login_did"], "code": placed["code"]}
    url = mcn_server.url + path.format(account_id=account.account_id)
    answer = requests.post(url, json=order, headers=account.headers, timeout=30)
    uuid = account.calls[0].verification_call_uuid
    assert len(uuid) == len(placed["verification_call_uuid"])
    placed["verification_call_uuid"] = uuid
    assert (answer.status_code, answer.text) == (200, json.dumps(expected)), "also the order of the keys"
    account.close()
