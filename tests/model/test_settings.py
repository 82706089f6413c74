from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.errors import RefusalCode, UsageError
from pytest_mcn_mock.model.accounts import Account, connect_number
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import VARIABLES
from pytest_mcn_mock.model.deliveries import next_retry
from pytest_mcn_mock.model.faults import Fault, FaultKind, draw_fault, fault_kind
from pytest_mcn_mock.model.webhooks import make_subscription


@pytest.mark.parametrize("failures,wait", [(1, 1.0), (2, 5.0), (3, 25.0), (4, None), (5, None)])
def test_retries_follow_the_schedule_and_end(failures: int, wait: float | None) -> None:
    assert next_retry((1.0, 5.0, 25.0), failures) == wait


def test_without_a_schedule_there_is_no_second_attempt() -> None:
    assert next_retry((), 1) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/x",
        "http://",
        "http:///x",
        "http://host:99999/",
        "http://host:0/",
        "http://ho st/",
        "http://host/\r\nX: y",
        "http://[::1",
        "http://host/" + "x" * 2048,
        None,
        5,
    ],
)
def test_a_subscription_needs_a_url_that_can_be_called(url: Any) -> None:
    with pytest.raises(UsageError, match="url"):
        make_subscription(url)


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"body": ["q931_statuss"]}, "did you mean 'q931_status'"),
        ({"body": "q931_status"}, "list"),
        ({"body": ["q931_status"] * 65}, "at most 64"),
        ({"method": "PUT"}, "POST or GET"),
        ({"headers": {"X Y": "z"}}, "headers"),
        ({"headers": {"X": "a\r\nY: b"}}, "one line"),
        ({"headers": {"X": 5}}, "headers"),
        ({"headers": {"content-length": "5"}}, "frames the request"),
        ({"query": {"x": None}}, "query"),
        ({"constants": {"x": 1.5}}, "constants"),
        ({"constants": {"x" * 5000: "y"}}, "too long"),
        ({"query": {str(i): "" for i in range(65)}}, "at most 64"),
    ],
)
def test_a_wrong_setting_of_a_subscription_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_subscription("http://localhost/hook", **settings)


def test_a_subscription_keeps_its_secrets_out_of_its_repr() -> None:
    assert "s3cret" not in repr(make_subscription("http://localhost/", headers={"Authorization": "s3cret"}))


def test_every_documented_variable_is_sent_by_default() -> None:
    assert make_subscription("http://localhost/").body == ("verification_call_uuid", "q931_status", "final_status")
    assert set(make_subscription("http://localhost/").body) < set(VARIABLES)


@pytest.mark.parametrize(
    "settings",
    [
        {"account_id": "0123"},
        {"account_id": "x"},
        {"account_id": "1" * 16},
        {"account_id": ""},
        {"token": ""},
        {"token": "with space"},
        {"token": "x" * 513},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": 2**63},
    ],
)
def test_an_account_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    given = {"account_id": "12345678", "token": "t", "seed": 1, **settings}
    with pytest.raises(UsageError):
        Account(given["account_id"], given["token"], given["seed"])


def test_an_account_keeps_its_token_out_of_its_repr() -> None:
    assert "s3cret" not in repr(Account("12345678", "s3cret", 1))


def test_a_number_is_connected_once_and_as_digits() -> None:
    account = connect_number(connect_number(Account("1", "t", 1), "+7 (915) 888-88-88"), "79158888888")
    assert account.numbers == ("79158888888",)
    with pytest.raises(UsageError, match="cannot be connected"):
        connect_number(account, "none")


@pytest.mark.parametrize(
    "assumed",
    [
        {"error_status": {RefusalCode.UNAUTHORIZED: 99}},
        {"unavailable_cause": 16},
        {"unavailable_cause": 0},
        {"cdr_delay_s": -1},
        {"ack_timeout_s": 601},
        {"retry_after_s": (1.0,) * 21},
        {"retry_after_s": (-1.0,)},
        {"disable_after": 0},
        {"disable_after": "x"},
        {"default_outcome": "nonsense"},
        {"number_format": "loose"},
        {"error_status": {"nonsense": 400}},
    ],
)
def test_an_assumption_that_cannot_be_is_refused(assumed: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Assumptions(**assumed)


@pytest.mark.parametrize(
    "fault",
    [
        {"times": 0},
        {"times": True},
        {"probability": 0},
        {"probability": 1.1},
        {"status": 404},
        {"kind": FaultKind.DELAY},
        {"kind": FaultKind.CDR_LATE},
        {"delay_s": -1},
        {"jitter_s": float("nan")},
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Fault(**{"kind": FaultKind.STATUS, **fault})


def test_an_unknown_fault_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'reset'"):
        fault_kind("rest")


def test_a_fault_is_spent_after_its_times_and_leaves_the_other_sort_alone() -> None:
    faults: tuple[Fault, ...] = (Fault(FaultKind.CDR_LOST), Fault(FaultKind.RESET, times=2))
    struck = []
    for n in range(3):
        fault, faults = draw_fault(faults, of_cdr=False, seed=1, n=n)
        struck.append(fault and fault.kind)
    assert struck == [FaultKind.RESET, FaultKind.RESET, None]
    assert faults == (Fault(FaultKind.CDR_LOST),)


def test_chance_is_drawn_from_the_seed_and_about_as_often_as_asked() -> None:
    faults = (Fault(FaultKind.RESET, times=None, probability=0.2),)

    def strikes(seed: int) -> list[bool]:
        return [draw_fault(faults, of_cdr=False, seed=seed, n=n)[0] is not None for n in range(1000)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 150 < sum(strikes(1)) < 250
