from __future__ import annotations

from typing import Any

import pytest
from helpers.client import KAZAKH, RUSSIAN, flash_call, spoken
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, UsageError
from pytest_mcn_mock.errors import nearest

pytestmark = pytest.mark.usefixtures("each_dialect")


def test_assert_called_finds_the_call(mcn: Account) -> None:
    flash_call(mcn, code="0042")
    flash_call(mcn, KAZAKH)
    assert mcn.assert_called(login_did=RUSSIAN, code="0042").code == "0042"
    assert mcn.assert_called(country_id=spoken().country_for(KAZAKH), times=1).login_did == KAZAKH
    mcn.assert_called(times=2)
    mcn.assert_not_called(code="9999")


def test_a_miss_shows_the_nearest_first_field_by_field(mcn: Account) -> None:
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn, KAZAKH, code="1111")
    flash_call(mcn, RUSSIAN, code="1234")
    flash_call(mcn, "abc")
    with pytest.raises(AssertionError) as missed:
        mcn.assert_called(login_did="79157777778", code="1234")
    lines = str(missed.value).splitlines()
    assert lines[0] == "expected a call with login_did='79157777778', code='1234' at least once, got never"
    assert "1234" in lines[1]
    assert lines[2] == f"    login_did: expected '79157777778', got '{RUSSIAN}'"
    assert any("code: expected '1234', got '1111'" in line for line in lines[3:])
    assert "refused" in lines[-1]
    assert "invalid_parameter" in lines[-1]


def test_too_many_calls_are_told(mcn: Account) -> None:
    flash_call(mcn)
    flash_call(mcn)
    with pytest.raises(AssertionError, match="once, got 2 times"):
        mcn.assert_called(times=1)
    with pytest.raises(AssertionError, match="expected no call"):
        mcn.assert_not_called(login_did=RUSSIAN)


def test_no_request_at_all_is_told(mcn: Account) -> None:
    with pytest.raises(AssertionError, match=r"does the application use mcn\.base_url"):
        mcn.assert_called()


def test_assert_charged_once_catches_an_application_that_pays_twice(mcn: Account) -> None:
    flash_call(mcn)
    mcn.assert_charged_once(login_did=RUSSIAN)
    flash_call(mcn)
    with pytest.raises(AssertionError, match=r"got 2, 0\.30 roubles"):
        mcn.assert_charged_once(login_did=RUSSIAN)


def test_assert_cdr_delivered_waits_and_tells_the_attempts(mcn: Account) -> None:
    mcn.expect_undelivered()
    with Receiver(204, 500) as receiver:
        mcn.subscribe(receiver.url, retry=False)
        flash_call(mcn)
        mcn.assert_cdr_delivered(status=204)
        flash_call(mcn)
        with pytest.raises(AssertionError, match="attempt 1: HTTP 500, not acknowledged"):
            mcn.assert_cdr_delivered(mcn.calls[1])


def test_assert_cdr_delivered_looks_at_the_status(mcn: Account, receiver: Receiver) -> None:
    mcn.subscribe(receiver.url)
    flash_call(mcn)
    with pytest.raises(AssertionError, match="acknowledged with 200"):
        mcn.assert_cdr_delivered(status=200)


def test_assert_ledger_balanced_holds_after_many_calls(mcn: Account) -> None:
    for _ in range(10):
        flash_call(mcn)
    mcn.assert_ledger_balanced()


@pytest.mark.parametrize("field", ["phone", "account_id", "number", "did", "price", "status", "x" * 10_000])
def test_an_unknown_field_that_is_near_no_other_is_told_with_all_fields(mcn: Account, field: str) -> None:
    fields: dict[str, Any] = {field: "1"}
    for ask in (mcn.assert_called, mcn.assert_not_called):
        with pytest.raises(UsageError) as refused:
            ask(**fields)
        assert "did you mean" not in str(refused.value)
        assert "known are login_did, code, caller_did, country_id, method" in str(refused.value)
        assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "field,near",
    [
        ("login_id", "login_did"),
        ("logindid", "login_did"),
        ("cod", "code"),
        ("country", "country_id"),
        ("CODE", "code"),
    ],
)
def test_an_unknown_field_that_is_near_another_is_told_with_it(mcn: Account, field: str, near: str) -> None:
    fields: dict[str, Any] = {field: "1"}
    with pytest.raises(UsageError, match=f"did you mean '{near}'"):
        mcn.assert_called(**fields)


def test_a_hint_says_so_if_nothing_is_known() -> None:
    assert str(nearest("x", [])) == "there are none"
