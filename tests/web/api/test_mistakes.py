"""What strictness says of an account, for tests that ask over the admin API."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN, Api, refusal
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import MCNServer

TIMEOUT_S = 45


class Remote:
    """A test in another language, and its application: over HTTP alone."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url = url
        self.account = self.ask("POST", "accounts", settings).json()
        self.id = self.account["id"]

    def ask(self, method: str, path: str, body: Any = None, **parameters: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/__admin/{path}", json=body, params=parameters, timeout=TIMEOUT_S)

    def order(
        self, path: str = "flash_call", account: Any = None, token: str = "", **parameters: str
    ) -> dict[str, Any]:
        """The application's request."""
        response = requests.post(
            f"{self.url}/v2/rest/account/{account or self.id}/{path}",
            params=parameters or {"login_did": RUSSIAN},
            headers={"Authorization": f"Bearer {token or self.account['token']}"},
            timeout=TIMEOUT_S,
        )
        return dict(response.json())

    def mistakes(self, **parameters: Any) -> list[dict[str, Any]]:
        response = self.ask("GET", f"accounts/{self.id}/mistakes", **parameters)
        assert response.status_code == 200, response.text
        assert response.json()["next"] is None
        return list(response.json()["items"])

    def kinds(self, **parameters: Any) -> list[tuple[str, str | None]]:
        return [(item["code"], item["refusal"]) for item in self.mistakes(**parameters)]


def test_an_account_on_which_nothing_went_wrong_has_no_mistakes(api: Api, receiver: Receiver) -> None:
    api.post(query="login_did=x")  # of another account
    requests.get(f"{api.url}/v2/rest/nowhere", timeout=TIMEOUT_S)  # before the account was open
    remote = Remote(api.url, webhooks=[{"url": receiver.url}])
    remote.order()
    assert remote.mistakes(wait=40) == []
    assert len(receiver.received) == 1, "it has waited for the CDR"
    remote.ask("PATCH", f"accounts/{remote.id}", {"balance": "0"})
    assert remote.order()["errors"][0]["code"] == "insufficient_funds"
    assert remote.mistakes() == [], "no money is a scenario"


def test_requests_that_were_refused_are_mistakes_unless_they_were_expected(api: Api) -> None:
    remote = Remote(api.url)
    remote.order(login_did="+7 915")
    remote.order(token="unknown")
    remote.order(account=99)
    remote.order(path="flash_cal")
    everything = [
        ("refused", "invalid_parameter"), ("refused", "unauthorized"), ("refused", "account_not_found"),
        ("refused", "not_found"),
    ]  # fmt: skip
    assert remote.kinds() == everything
    first = remote.mistakes()[0]
    (request,) = remote.ask("GET", "requests", account_id=remote.id, login_did="+7 915").json()["items"]
    assert first == {
        "code": "refused",
        "message": f"refused: POST /v2/rest/account/{remote.id}/flash_call login_did=+7 915 -> 400 invalid_parameter: "
        f"{request['refusal']['message']}",
        "request": request["seq"],
        "refusal": "invalid_parameter",
        "delivery": None,
        "verification_call_uuid": None,
    }
    assert remote.kinds(expect_refusal="invalid_parameter,unauthorized") == everything[2:]
    (missing,) = remote.mistakes(expect_refusal="invalid_parameter,unauthorized,account_not_found,not_found,overloaded")
    assert (missing["code"], missing["refusal"]) == ("not_refused", "overloaded")
    assert missing["message"] == "expected a refusal overloaded, got none"


def test_cdrs_that_nobody_acknowledges_are_mistakes_unless_that_was_expected(api: Api) -> None:
    with Receiver(500) as receiver:
        remote = Remote(api.url, webhooks=[{"url": receiver.url, "retry": False}])
        uuid = remote.order()["object"]["verification_call_uuid"]
        (mistake,) = remote.mistakes(wait=40)
        (delivery,) = remote.ask("GET", "deliveries", verification_call_uuid=uuid).json()["items"]
        assert (mistake["code"], mistake["delivery"], mistake["verification_call_uuid"]) == (
            "cdr_failed",
            delivery["id"],
            uuid,
        )
        said = f"failed: the CDR of call {uuid} to {receiver.url} (delivery {delivery['id']}): attempt 1: "
        assert mistake["message"].startswith(said)
        assert "500" in mistake["message"].removeprefix(said)
        assert remote.mistakes(expect_undelivered="true") == []
        remote.ask("PUT", f"accounts/{remote.id}/faults", [{"kind": "cdr_lost"}])
        remote.order()
        assert len(remote.mistakes(wait=40)) == 1, "a fault that was switched on is a scenario"


def test_what_is_not_documented_is_a_mistake_at_a_level_of_fidelity(api: Api) -> None:
    remote = Remote(api.url)
    for _ in range(2):
        remote.order()
    assert remote.mistakes() == []
    found = remote.mistakes(fidelity="documented")
    assert {item["code"] for item in found} == {"undocumented"}
    assert len({item["message"] for item in found}) == len(found), "each once"
    assert all(item["verification_call_uuid"] for item in found)
    assert len(remote.mistakes(fidelity="observed")) < len(found)


@pytest.mark.parametrize(
    "parameters, named",
    [
        *(({"expect_refusal": codes}, "expect_refusal") for codes in ("x", "not_found,", "Not_found", "")),
        *(({"expect_undelivered": switch}, "expect_undelivered") for switch in ("True", "1", "")),
        *(({"fidelity": level}, "fidelity") for level in ("low", "Assumed", "")),
        *(({"wait": wait}, "wait") for wait in ("61", "x")),
        ({"after": "1"}, "after"),
    ],
)
def test_an_invalid_expectation_is_refused(api: Api, parameters: dict[str, str], named: str) -> None:
    response = requests.get(
        f"{api.url}/__admin/accounts/{api.account_id}/mistakes", params=parameters, timeout=TIMEOUT_S
    )
    assert refusal(response) == (400, "invalid_parameter", named)


def test_an_account_that_there_is_not_has_no_list(api: Api) -> None:
    for wait in (0, 40):
        response = requests.get(f"{api.url}/__admin/accounts/9/mistakes", params={"wait": wait}, timeout=TIMEOUT_S)
        assert refusal(response) == (404, "not_found", None)


def test_the_plugin_says_the_same(mcn_server: MCNServer, receiver: Receiver) -> None:
    receiver.statuses[:] = [500]
    account = mcn_server.open_account(strict=False)
    account.subscribe(receiver.url, retry=False)
    remote = Remote.__new__(Remote)
    remote.url, remote.id, remote.account = mcn_server.url, account.account_id, {"token": account.token}
    remote.order()
    remote.order(login_did="x")
    remote.order(path="nowhere")
    account.settle()
    account.expect_refusal("overloaded")
    account.require_fidelity("documented")
    said = remote.mistakes(expect_refusal="overloaded", fidelity="documented")
    assert [item["message"] for item in said] == account.mistakes()
    assert {item["code"] for item in said} == {"refused", "not_refused", "cdr_failed", "undocumented"}
    account.close()
