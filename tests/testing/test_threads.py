"""Several threads of a test that use the server, or its account, at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from helpers.client import flash_call, spoken
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, MCNServer, UsageError

pytestmark = pytest.mark.usefixtures("each_dialect")


@pytest.fixture(autouse=True)
def _restless() -> Iterator[None]:
    """Switch between threads as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_that_open_accounts_with_one_seed_get_an_account_each(mcn_server: MCNServer) -> None:
    threads, rounds = 4, 60
    barrier = Barrier(threads)

    def open_accounts() -> list[Account]:
        opened = []
        for _ in range(rounds):
            barrier.wait(60)
            opened.append(mcn_server.open_account(seed=1_907))
        return opened

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(open_accounts) for _ in range(threads)]
        accounts = [account for future in running for account in future.result()]
    try:
        assert len({account.account_id for account in accounts}) == threads * rounds
        assert len({account.token for account in accounts}) == threads * rounds
        assert {account.seed for account in accounts} == {1_907}
    finally:
        for account in accounts:
            account.close()


def test_threads_that_open_accounts_without_a_seed_get_a_seed_each() -> None:
    with MCNServer() as server, ThreadPoolExecutor(4) as pool:
        accounts = list(pool.map(lambda _: server.open_account(), range(200)))
        assert len({account.seed for account in accounts}) == 200


def test_an_id_or_a_token_that_is_given_and_taken_is_still_refused(mcn: Account, mcn_server: MCNServer) -> None:
    with pytest.raises(UsageError, match=r"account \d+ is still open; close it first \(account\.close\(\)\)"):
        mcn_server.open_account(account_id=mcn.account_id)
    with pytest.raises(UsageError, match="is used by another account"):
        mcn_server.open_account(token=mcn.token)


@pytest.mark.mcn(balance="0.10", credit="0.35")
def test_threads_that_call_at_once_spend_no_more_than_balance_and_credit(mcn: Account) -> None:
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: flash_call(mcn).status_code, range(12)))
    assert sorted(statuses) == [200] * 3 + [spoken().refused("insufficient_funds")[0]] * 9
    assert mcn.balance == Decimal("-0.35")
    mcn.assert_ledger_balanced()


def test_threads_that_wait_for_the_next_one_get_a_call_and_a_cdr_each(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    threads, rounds = 2, 15
    barrier = Barrier(threads + 1)

    def wait() -> tuple[list[str], list[int]]:
        calls, deliveries = [], []
        for _ in range(rounds):
            barrier.wait(60)
            calls.append(mcn.wait_for_call(timeout=60).verification_call_uuid)
            deliveries.append(mcn.wait_for_cdr(timeout=60).id)
        return calls, deliveries

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(wait) for _ in range(threads)]
        for _ in range(rounds):
            barrier.wait(60)
            for _ in range(threads):
                flash_call(mcn)
        waited = [future.result() for future in running]
    calls = [uuid for uuids, _ in waited for uuid in uuids]
    deliveries = [number for _, numbers in waited for number in numbers]
    assert sorted(calls) == sorted(call.verification_call_uuid for call in mcn.calls)
    assert sorted(deliveries) == [delivery.id for delivery in mcn.deliveries]


def test_the_next_one_is_the_first_that_was_placed_and_nobody_has(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    for _ in range(4):
        flash_call(mcn)
    mcn.settle()
    calls = mcn.calls
    assert mcn.wait_for_cdr(calls[1]).call == calls[1]
    assert [mcn.wait_for_cdr().call for _ in range(3)] == [calls[0], calls[2], calls[3]]
    assert [mcn.wait_for_call() for _ in range(4)] == calls
    mcn.assert_no_cdr(within=0)
