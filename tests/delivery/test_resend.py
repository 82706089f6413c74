"""A CDR that is sent again manually while an attempt at it is under way, in every order of what becomes of the two."""

from __future__ import annotations

import pytest
import requests
from helpers.client import flash_call
from helpers.sandbox import wait_until
from helpers.webhook_endpoints import Gated

from pytest_mcn_mock import Account, Assumptions, Delivery, MCNServer, Settings

OK, REFUSED = 204, 500


class Twice:
    """A delivery whose first attempt is under way when it is sent again."""

    def __init__(self, server: MCNServer, webhook: Gated, *, retry: bool) -> None:
        self.account: Account = server.open_account()
        self.account.subscribe(webhook.url, retry=retry, never_disable=True)
        flash_call(self.account)
        webhook.wait_for(1)
        (self.delivery,) = self.account.deliveries
        path = f"{server.url}/__admin/deliveries/{self.delivery.id}/resend"
        assert requests.post(path, json={}, timeout=30).json()["state"] == "pending"
        webhook.wait_for(2)
        self._webhook = webhook

    def answer(self, number: int, status: int) -> Delivery:
        """Let one of the two be answered; the delivery after that."""
        before = len(self.delivery.attempts)
        self._webhook.answer(number, status)
        wait_until(lambda: len(self.delivery.attempts) > before)
        return self.delivery

    def failures(self) -> int:
        account = self.account._operator.accounts.get(self.account.account_id)  # noqa: SLF001 - shown nowhere
        return account.subscriptions[0].failed_in_a_row


@pytest.fixture
def server() -> MCNServer:
    return MCNServer(settings=Settings(assumptions=Assumptions(retry_after_s=(3600.0, 7200.0))))


@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("first", [0, 1], ids=["the older first", "the newer first"])
@pytest.mark.parametrize("statuses", [(OK, OK), (OK, REFUSED), (REFUSED, OK), (REFUSED, REFUSED)])
def test_acknowledged_stays_acknowledged_and_a_failure_counts_once(
    server: MCNServer, statuses: tuple[int, int], first: int, retry: bool
) -> None:
    with server, Gated() as webhook:
        twice = Twice(server, webhook, retry=retry)
        order = (first, 1 - first)
        after = [(twice.answer(n, statuses[n]).state.value, twice.failures()) for n in order]
        assert [attempt.status for attempt in twice.delivery.attempts] == [statuses[n] for n in order]
        assert [attempt.number for attempt in twice.delivery.attempts] == [1, 2]
        if OK in statuses:
            assert after[-1] == ("delivered", 0)
            assert twice.delivery.due_at is None
        elif retry:
            assert after[-1] == ("pending", 0)
            assert twice.delivery.due_at == twice.account.clock.now + 3600
        else:
            assert after[-1] == ("failed", 1)
        if statuses[first] == OK:
            assert after[0] == ("delivered", 0), "what comes later changes nothing"


def test_the_retries_begin_again_with_the_newer_one(server: MCNServer) -> None:
    with server, Gated() as webhook:
        twice = Twice(server, webhook, retry=True)
        for number in (1, 0):
            twice.answer(number, REFUSED)
        for number in (2, 3):
            webhook.answer(number, REFUSED)
        twice.account.clock.advance(3600)
        assert len(webhook.received) == 3
        twice.account.clock.advance(7200)
        assert (len(webhook.received), twice.delivery.state, twice.failures()) == (4, "failed", 1)


def test_the_webhook_is_not_disabled_by_a_cdr_that_was_acknowledged() -> None:
    settings = Settings(assumptions=Assumptions(disable_after=1))
    with MCNServer(settings=settings) as server, Gated() as webhook:
        account = server.open_account()
        account.subscribe(webhook.url, retry=False)
        flash_call(account)
        webhook.wait_for(1)
        requests.post(f"{server.url}/__admin/deliveries/1/resend", json={}, timeout=30)
        webhook.wait_for(2)
        webhook.answer(0, OK)
        wait_until(lambda: len(account.deliveries[0].attempts) == 1)
        webhook.answer(1, REFUSED)
        wait_until(lambda: len(account.deliveries[0].attempts) == 2)
        shown = requests.get(f"{server.url}/__admin/accounts/{account.account_id}/webhooks/1", timeout=30).json()
        assert shown["enabled"] is True
        assert account.deliveries[0].state == "delivered"


def test_one_that_has_not_begun_yet_is_not_sent_beside_the_one_that_replaces_it(server: MCNServer) -> None:
    """It waits behind as many attempts as one host may have at once."""
    with server, Gated() as webhook:
        account = server.open_account()
        account.subscribe(webhook.url)
        for _ in range(33):
            flash_call(account)
        webhook.wait_for(32)
        last = account.deliveries[-1]
        requests.post(f"{server.url}/__admin/deliveries/{last.id}/resend", json={}, timeout=30)
        webhook.open()
        for call in account.calls:
            account.wait_for_cdr(call)
        account.settle()
        account.clock.advance(1)
        assert (len(webhook.received), len(last.attempts)) == (33, 1)
