"""What an account does, and what the fixture shows of it, in whichever dialect its calls are ordered."""

from __future__ import annotations

import pytest
import requests
from helpers.client import KAZAKH, RUSSIAN, call_for_2fa, flash_call, flashcall, placed, refusal, speaking, spoken
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Assumptions, Dialect, MCNServer, PaidMethodsAssumptions, Settings
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.outcomes import MAGIC_NUMBERS
from pytest_mcn_mock.testing.intercept import intercepted

pytestmark = pytest.mark.usefixtures("each_dialect")
CONNECTED = "79158888888"


def test_a_call_and_its_request_say_in_which_dialect_they_were_ordered(mcn: Account) -> None:
    mcn.connect_number(CONNECTED)
    uuids = [placed(answer)["verification_call_uuid"] for answer in (flash_call(mcn), call_for_2fa(mcn, CONNECTED))]
    name = spoken().table.name
    assert [(call.verification_call_uuid, call.dialect, call.method) for call in mcn.calls] == [
        (uuids[0], name, "flash_call"),
        (uuids[1], name, "call_for_2fa"),
    ]
    assert [(request.account_id, request.dialect) for request in mcn.requests] == [(mcn.account_id, name)] * 2
    assert [request.verification_call_uuid for request in mcn.requests] == uuids
    assert mcn.requests[1].parameters == {"caller_did": CONNECTED, "login_did": RUSSIAN}
    assert mcn.assert_called(dialect=name, method="call_for_2fa").caller_did == CONNECTED
    label = "flash_call" if name is Dialect.API_MCN else "flash_call (paidmethods)"
    assert f"{uuids[0]} {label} " in mcn.story()
    assert label in repr(mcn.calls[0])


def test_the_admin_api_and_the_events_name_the_dialect(mcn: Account, mcn_server: MCNServer) -> None:
    flash_call(mcn)
    admin = f"{mcn_server.url}/__admin"
    name = spoken().table.name
    for kind in ("calls", "requests"):
        (shown,) = requests.get(f"{admin}/{kind}", params={"account_id": mcn.account_id}, timeout=30).json()["items"]
        assert shown["dialect"] == name
    asked = {"method": "flash_call", "login_did": KAZAKH, "dialect": name}
    call = requests.post(f"{admin}/accounts/{mcn.account_id}/calls", json=asked, timeout=30).json()
    assert (call["dialect"], call["country_id"]) == (name, spoken().country_for(KAZAKH))


def test_what_goes_wrong_is_a_mistake_and_so_is_what_nobody_has_seen(mcn: Account) -> None:
    flash_call(mcn, "abc")
    flash_call(mcn, colour="red")
    path = spoken().path(mcn.account_id)
    (refused,) = mcn.mistakes()
    assert refused.startswith(f"refused: POST {path} login_did=abc -> 400 invalid_parameter")
    mcn.require_fidelity("observed")
    told = [line for line in mcn.mistakes() if "'colour'" in line]
    what = "the parameter 'colour', which is ignored, is assumed, not documented"
    assert [line.partition(" (")[0] for line in told] == [f"relied on: POST …/{path.rpartition('/')[2]}: {what}"]
    mcn.require_fidelity("assumed")
    mcn.expect_refusal("invalid_parameter")
    assert mcn.mistakes() == []


def test_a_request_has_the_time_of_its_account(mcn: Account) -> None:
    mcn.clock.advance(3600)
    flash_call(mcn)
    assert mcn.requests[0].received_at == mcn.clock.now == mcn.calls[0].ends_at


def test_a_token_is_of_one_account_and_its_settings_hold(mcn: Account, mcn_server: MCNServer) -> None:
    """Accounts with other settings live on the same server; in paidmethods only the token tells them apart."""
    other = Settings(assumptions=Assumptions(error_status={}, paidmethods=PaidMethodsAssumptions(other_country=398)))
    mcn_server.use_settings(other)
    try:
        second = mcn_server.open_account(account_id=spoken().own("7200004"))
    finally:
        mcn_server.use_settings(Settings())
    third_country = "421901234567"
    for account in (mcn, second):
        assert flash_call(account, third_country).status_code == 200
    first, changed = (account.calls[0].country_id for account in (mcn, second))
    assert first == spoken().country_for(third_country)
    assert changed == (398 if spoken().table.name is Dialect.PAIDMETHODS else 703)
    second.close()


@pytest.mark.parametrize("login_did", list(MAGIC_NUMBERS))
def test_magic_numbers_force_the_same_ending(login_did: str) -> None:
    magic = MAGIC_NUMBERS[login_did]
    with MCNServer(settings=Settings(magic_numbers=True)) as server:
        account = server.open_account()
        answer = flash_call(account, login_did)
        if magic.refusal is not None:
            assert refusal(answer)[:2] == spoken().refused(magic.refusal)[:2]
            return
        (call,) = account.calls
    assert (call.state == "ringing") is (magic.outcome is None and magic.q931_status is None)
    assert magic.outcome in (None, call.outcome)


def test_an_order_that_would_add_one_cdr_too_many_is_refused() -> None:
    with MCNServer(settings=Settings(max_pending=1)) as server:
        account = server.open_account()
        account.hold_cdrs()
        account.subscribe("http://127.0.0.1:1/nobody")
        assert flash_call(account).status_code == 200
        answer = flash_call(account)
        assert refusal(answer) == spoken().refused("overloaded")
        assert answer.headers["Retry-After"] == "1"


def test_both_dialects_share_the_account(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    with speaking(Dialect.API_MCN):
        flash_call(mcn)
    flashcall(mcn)
    mcn.settle()
    assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [
        call.verification_call_uuid for call in mcn.calls
    ]
    assert [call.dialect for call in mcn.calls] == ["api_mcn", "paidmethods"]
    assert str(mcn.balance) == "99.70"


def test_a_handler_of_the_tests_own_comes_first(mcn: Account, mcn_server: MCNServer) -> None:
    path = spoken().path(mcn.account_id)
    mcn_server.expect_oneshot_request(path, method="POST").respond_with_json({"mine": True})
    assert flash_call(mcn).json() == {"mine": True}
    assert placed(flash_call(mcn))["login_did"] == RUSSIAN


def test_the_vendors_own_urls_reach_the_fake(mcn: Account, mcn_server: MCNServer) -> None:
    order = spoken().order(mcn, login_did=RUSSIAN)
    table = spoken().table
    with intercepted(mcn_server) as base_url:
        assert base_url == "https://api.mcn.ru/v2/rest"
        for host in table.hosts:
            url = f"https://{host}{spoken().path(mcn.account_id)}"
            assert requests.post(**{**order, "url": url}, timeout=30).status_code == 200
    assert len(mcn.calls) == len(table.hosts) >= 2


def test_what_the_settings_of_one_dialect_say_is_not_so_in_the_other() -> None:
    settings = Settings(assumptions=Assumptions(error_status={RefusalCode.INVALID_PARAMETER: 418}))
    with MCNServer(settings=settings) as server:
        status = flash_call(server.open_account(), "x").status_code
    assert status == (418 if spoken().table.name is Dialect.API_MCN else 400)


@pytest.mark.mcn(strict=False)
@pytest.mark.parametrize(
    "content_type,body,why",
    [
        ("text/plain", "{}", "; the body is not read, because its Content-Type is neither application/json nor a form"),
        (
            "application/json",
            '{"phone_number": "1"}',
            "; the request has 'phone_number', which the method does not know",
        ),
        ("application/x-www-form-urlencoded", "code=0042", ""),
        ("application/json", "{}", ""),
    ],
)
def test_a_missing_parameter_is_explained(
    mcn: Account, mcn_server: MCNServer, content_type: str, body: str, why: str
) -> None:
    url = mcn_server.url + spoken().path(mcn.account_id, "flash_call")
    headers = {**mcn.headers, "Content-Type": content_type}
    assert requests.post(url, data=body, headers=headers, timeout=30).status_code == 400
    refused = mcn.requests[0].refusal
    assert refused is not None
    assert refused.message == f"login_did is required{why}"
