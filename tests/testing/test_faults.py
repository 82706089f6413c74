from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from helpers.client import flash_call, placed, spoken
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, FaultKind, MCNServer
from pytest_mcn_mock.testing import wsgi

pytestmark = pytest.mark.usefixtures("each_dialect")


def test_a_server_error_is_answered_before_the_call_is_placed(mcn: Account) -> None:
    mcn.fail_next(status=502, times=2)
    assert [flash_call(mcn).status_code for _ in range(3)] == [502, 502, 200]
    mcn.assert_called(times=1)


def test_a_server_error_can_hide_a_call_that_was_charged(mcn: Account) -> None:
    mcn.fail_next(accepted=True)
    assert flash_call(mcn).status_code == 503
    mcn.assert_called(times=1)
    assert mcn.requests[0].fault == "status"


@pytest.mark.parametrize(
    "kind,error",
    [
        (FaultKind.RESET, requests.ConnectionError),
        (FaultKind.CUT_OFF, requests.exceptions.ChunkedEncodingError),
    ],
)
def test_a_lost_answer_is_charged_all_the_same(mcn: Account, kind: FaultKind, error: type[Exception]) -> None:
    mcn.inject(kind)
    with pytest.raises(error) as lost:
        flash_call(mcn)
    assert ("reset" in str(lost.value).lower()) is (kind is FaultKind.RESET)
    assert flash_call(mcn).status_code == 200
    with pytest.raises(AssertionError, match="got 2"):
        mcn.assert_charged_once(login_did="79157777777")


def test_a_malformed_answer_is_whole_but_no_json(mcn: Account) -> None:
    mcn.inject("malformed")
    response = flash_call(mcn)
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


@pytest.mark.parametrize("kind", ["delay", "drip"])
def test_a_late_answer_is_longer_than_the_applications_patience(mcn: Account, kind: str) -> None:
    mcn.inject(kind, delay_s=0.4)
    order = spoken().order(mcn, login_did="79157777777")
    if kind == "delay":
        with pytest.raises(requests.ReadTimeout):
            requests.post(**order, timeout=(30, 0.05))
        mcn.wait_for_call()  # the server may be later than the client's patience
    else:
        with requests.post(**order, timeout=30, stream=True) as response:
            assert len(list(response.iter_content(1))) > 100
    mcn.settle()
    mcn.assert_called(times=1)


def test_faults_by_chance_are_the_same_for_the_same_seed(mcn_server: MCNServer) -> None:
    def statuses(account_id: str) -> list[int]:
        account = mcn_server.open_account(seed=7, account_id=spoken().own(account_id))
        account.inject("status", times=None, probability=0.5, accepted=False)
        try:
            return [flash_call(account).status_code for _ in range(20)]
        finally:
            account.close()

    first = statuses("71000001")
    assert first == statuses("71000002")
    assert set(first) == {200, 503}


def lateness(mcn_server: MCNServer, receiver: Receiver, account_id: str, seed: int) -> list[float]:
    """How many seconds late the CDRs of some calls were."""
    account = mcn_server.open_account(seed=seed, account_id=spoken().own(account_id))
    account.subscribe(receiver.url)
    account.inject("cdr_late", times=None, delay_s=1, jitter_s=100)
    began = account.clock.now
    for _ in range(8):
        flash_call(account)
    account.clock.advance(200)
    late = [delivery.attempts[0].at - began for delivery in account.deliveries]
    account.close()
    return late


def test_how_late_a_cdr_is_is_drawn_from_the_seed(mcn_server: MCNServer, receiver: Receiver) -> None:
    late = lateness(mcn_server, receiver, "71000011", 7)
    assert all(1 < seconds <= 101 for seconds in late)
    assert len(set(late)) == len(late)
    assert min(late) < 51 < max(late)
    assert late == lateness(mcn_server, receiver, "71000012", 7)
    assert late != lateness(mcn_server, receiver, "71000013", 8)


def test_how_late_an_answer_is_does_not_depend_on_other_accounts(
    mcn_server: MCNServer, mcn: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(wsgi, "time", SimpleNamespace(sleep=waits.append))

    def delays(account_id: str) -> list[float]:
        waits.clear()
        account = mcn_server.open_account(seed=7, account_id=spoken().own(account_id))
        account.inject("delay", times=None, delay_s=1, jitter_s=10)
        for _ in range(4):
            flash_call(account)
        account.settle()
        account.close()
        return waits.copy()

    first = delays("71000021")
    flash_call(mcn)
    assert first == delays("71000022")
    assert all(1 < seconds <= 11 for seconds in first)
    assert len(set(first)) == 4


def test_faults_can_be_cleared(mcn: Account) -> None:
    mcn.fail_next(times=None)
    assert flash_call(mcn).status_code == 503
    mcn.clear_faults()
    assert flash_call(mcn).status_code == 200


def play(mcn: Account, receiver: Receiver, kind: str, **settings: Any) -> tuple[list[str], list[tuple[str, int]]]:
    """The uuids of two calls, of which the fault strikes the first, and what the endpoint got."""
    mcn.subscribe(receiver.url)
    mcn.inject(kind, **settings)
    uuids = [placed(flash_call(mcn))["verification_call_uuid"] for _ in range(2)]
    mcn.settle()
    mcn.clock.advance(60)
    return uuids, [(cdr["verification_call_uuid"], cdr["q931_status"]) for cdr in receiver.received]


def test_a_cdr_can_come_before_the_answer(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    mcn.inject("cdr_early")
    uuid = placed(flash_call(mcn))["verification_call_uuid"]
    assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [uuid]


@pytest.mark.parametrize(
    "kind,settings,order",
    [("cdr_duplicated", {}, (0, 0, 1)), ("cdr_reordered", {}, (1, 0)), ("cdr_late", {"delay_s": 59}, (1, 0))],
)
def test_a_cdr_can_come_twice_or_after_the_next_calls(
    mcn: Account, receiver: Receiver, kind: str, settings: dict[str, Any], order: tuple[int, ...]
) -> None:
    uuids, got = play(mcn, receiver, kind, **settings)
    expected = [(uuids[n], 16) for n in order]
    assert got == expected if kind != "cdr_duplicated" else sorted(got) == sorted(expected)


def test_a_cdr_can_be_lost(mcn: Account, receiver: Receiver) -> None:
    (first, second), got = play(mcn, receiver, "cdr_lost")
    assert got == [(second, 16)]
    assert "fault cdr_lost" in mcn.story()
    assert first in mcn.story()


@pytest.mark.parametrize("outcome,causes", [("answered", [16, 17]), ("busy", [17, 16])])
def test_a_second_cdr_can_contradict_the_first(
    mcn: Account, receiver: Receiver, outcome: str, causes: list[int]
) -> None:
    mcn.set_outcome(outcome)
    (first, _), got = play(mcn, receiver, "cdr_contradicted")
    assert [cause for uuid, cause in got if uuid == first] == causes


def test_a_cdr_can_name_a_call_that_nobody_placed(mcn: Account, receiver: Receiver) -> None:
    (first, second), got = play(mcn, receiver, "cdr_unknown_uuid")
    (unknown,) = [uuid for uuid, _ in got if uuid != second]
    assert unknown not in (first, second)
    assert unknown.endswith(f"_{mcn.account_id}")
    assert len(unknown) == len(first)


def test_a_fault_that_was_switched_on_is_no_mistake(mcn: Account) -> None:
    with Receiver(404) as receiver:
        mcn.subscribe(receiver.url, retry=False)
        mcn.inject("cdr_unknown_uuid")
        flash_call(mcn)
        mcn.settle()
    assert mcn.deliveries[0].state == "failed"
    assert mcn.mistakes() == []
