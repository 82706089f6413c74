"""Retries and disabling as they happen by themselves: real time, sockets, and a schedule short enough to wait for."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests
from helpers.client import call_for_2fa, flash_call
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Assumptions, MCNServer, Outcome, Settings
from pytest_mcn_mock.errors import NotFound

pytestmark = pytest.mark.usefixtures("each_dialect")


@pytest.fixture(scope="module")
def server() -> Iterator[MCNServer]:
    assumptions = Assumptions(retry_after_s=(0.01, 0.02), disable_after=3, call_for_2fa_cdr=True)
    with MCNServer(settings=Settings(assumptions=assumptions)) as server:
        yield server


@pytest.fixture
def account(server: MCNServer) -> Iterator[Account]:
    account = server.open_account()
    yield account
    account.close()


def webhook_is_enabled(account: Account) -> bool:
    shown = requests.get(f"{account.base_url[:-8]}/__admin/accounts/{account.account_id}", timeout=30).json()
    (webhook,) = shown["webhooks"]
    return bool(webhook["enabled"])


def test_a_cdr_is_tried_again_until_it_is_acknowledged(account: Account) -> None:
    with Receiver(500, 302, 200) as receiver:
        account.subscribe(receiver.url)
        flash_call(account)
        delivery = account.wait_for_cdr()
    assert [attempt.status for attempt in delivery.attempts] == [500, 302, 200]
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
    assert delivery.state == "delivered"
    assert receiver.received == [delivery.cdr] * 3


def test_a_cdr_is_failed_after_the_last_wait_of_the_schedule(account: Account) -> None:
    with Receiver(500) as receiver:
        account.subscribe(receiver.url)
        flash_call(account)
        delivery = account.wait_for_cdr()
        assert delivery.state == "failed"
        assert len(receiver.received) == len(delivery.attempts) == 3


def test_a_webhook_is_disabled_after_so_many_cdrs_in_a_row_that_were_failed(account: Account) -> None:
    with Receiver(500) as receiver:
        account.subscribe(receiver.url, retry=False)
        for enabled in (True, True, False):
            flash_call(account)
            account.wait_for_cdr()
            assert webhook_is_enabled(account) is enabled
        flash_call(account)
        account.settle()
    assert len(receiver.received) == 3
    assert account.calls[3].deliveries == []
    assert "disabled after too many CDRs failed" in account.story()


def test_a_disabled_webhook_is_told_of_and_can_be_enabled_again(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver(500, 500, 500, 204) as receiver:
        account.subscribe(receiver.url, retry=False)
        for _ in range(3):
            flash_call(account)
            account.wait_for_cdr()
        warnings = [record for record in caplog.records if record.levelname == "WARNING"]
        assert [record.name for record in warnings] == ["mcn_mock"]
        assert "webhook 1 is disabled since " in warnings[0].getMessage()
        assert f"mcn-mock webhooks enable {account.account_id} 1" in warnings[0].getMessage()
        flash_call(account)
        why = account.calls[3].explanation
        assert why.cdr.startswith("webhook 1 is disabled since 20")
        assert "after 3 CDRs in a row failed" in str(why)
        assert account.story().count("webhook 1 is disabled since ") == 1, "of the call that it is about"
        assert account.calls[2].explanation.cdr == ""
        assert "mcn.enable_webhook(1)" in account.story()
        with pytest.raises(NotFound, match="subscription 2"):
            account.enable_webhook(2)
        enabled = account.enable_webhook()
        assert (enabled.enabled, enabled.failed_in_a_row, enabled.disabled_at) == (True, 0, None)
        flash_call(account)
        assert account.wait_for_cdr().status == 204
        assert account.calls[4].explanation.cdr == ""


def test_an_acknowledgement_begins_the_count_again(account: Account) -> None:
    with Receiver(500, 500, 200, 500, 500, 200) as receiver:
        account.subscribe(receiver.url, retry=False)
        for _ in range(6):
            flash_call(account)
            account.wait_for_cdr()
        assert webhook_is_enabled(account)
        assert len(receiver.received) == 6


def test_one_webhook_that_fails_takes_nothing_from_the_others(account: Account, receiver: Receiver) -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        account.subscribe(f"http://127.0.0.1:{refusing.getsockname()[1]}/")
        account.subscribe(receiver.url)
        for _ in range(4):
            flash_call(account)
            account.settle()
            for delivery in account.calls[-1].deliveries:
                account.wait_for_cdr(delivery.call)
    assert len(receiver.received) == 4
    assert {d.state for d in account.deliveries if d.url == receiver.url} == {"delivered"}


def test_a_subscription_made_while_a_call_rings_gets_later_calls_alone(account: Account, receiver: Receiver) -> None:
    account.subscribe(receiver.url)
    account.hold_cdrs()
    flash_call(account)
    account.subscribe(receiver.url, constants={"second": True})
    account.calls[0].complete(Outcome.BUSY)
    account.settle()
    assert [cdr.get("second") for cdr in receiver.received] == [None]


def test_call_for_2fa_has_a_cdr_where_the_setting_says_so(account: Account, receiver: Receiver) -> None:
    account.connect_number("79158888888")
    account.subscribe(receiver.url, body=["did", "number"])
    call_for_2fa(account, "79158888888")
    assert account.wait_for_cdr().cdr == {"did": "79158888888", "number": "79157777777"}
