from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.errors import RefusalCode, UsageError
from pytest_mcn_mock.model.assumptions import DEFAULT_STATUS, Assumptions, PaidMethodsAssumptions
from pytest_mcn_mock.model.money import Method

NO_SECONDS = [float("nan"), float("inf"), -0.1, "1", True, None]


@pytest.mark.parametrize(
    "wrong,message",
    [
        *(({"unavailable_cause": cause}, "another meaning") for cause in (16, 17, 31)),
        ({"unavailable_cause": 0}, r"Q\.850"),
        *(
            ({"error_status": {RefusalCode.INSUFFICIENT_FUNDS: status}}, "insufficient_funds")
            for status in (0, 199, 600, "402", 402.0, None, True)
        ),
        ({"error_status": {"nonsense": 400}}, "'nonsense' is unknown"),
        ({"default_outcome": "nonsense"}, "'nonsense' is unknown"),
        ({"number_format": "loose"}, "'loose' is unknown"),
        *(({name: seconds}, name) for name in ("ring_s", "cdr_delay_s", "ack_timeout_s") for seconds in NO_SECONDS),
        *(({"retry_after_s": (seconds,)}, "retry_after_s") for seconds in NO_SECONDS),
        ({"ack_timeout_s": 601}, "ack_timeout_s"),
        ({"retry_after_s": (1.0,) * 21}, "at most 20"),
        ({"disable_after": 0}, "disable_after"),
        *(
            (
                {"created_at_offset_s": seconds},
                "created_at_offset_s is .*; use a number of seconds from -86400 to 86400",
            )
            for seconds in (-86_400.5, 86_401, "3h", float("nan"), True)
        ),
        (
            {"error_body": {"errors": [{"code": "$numbr"}]}},
            r"error_body: '\$numbr' is unknown; did you mean '\$number'",
        ),
        ({"disable_after": "x"}, "disable_after"),
    ],
)
def test_an_assumption_that_is_not_valid_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Assumptions(**wrong)


@pytest.mark.parametrize(
    "wrong,message",
    [
        ({"error_body": {"why": "$massage"}}, r"paidmethods\.error_body: '\$massage' is unknown; did you mean"),
        (
            {"call_for_2fa_body": {"result": {"c": "$country_id"}}},
            r"call_for_2fa_body: '\$country_id' is unknown",
        ),
    ],
)
def test_a_word_that_stands_for_nothing_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PaidMethodsAssumptions(**wrong)


def test_only_a_text_that_is_written_as_a_word_has_to_be_one() -> None:
    body = {"price": "$5", "note": "see $code", "all": ["$status", "$number", "$message", "$parameter", 1, None]}
    assert Assumptions(error_body=body).error_template == body
    assert PaidMethodsAssumptions(error_body=body).error_template == body


def test_a_status_that_is_not_set_is_the_default_one() -> None:
    assumptions = Assumptions(error_status={RefusalCode.INSUFFICIENT_FUNDS: 200})
    assert assumptions.status_of(RefusalCode.INSUFFICIENT_FUNDS) == 200
    assert assumptions.status_of(RefusalCode.UNAUTHORIZED) == 401
    assert set(DEFAULT_STATUS) == set(RefusalCode)


@pytest.mark.parametrize("setting,with_cdr", [(False, [Method.FLASH_CALL]), (True, list(reversed(Method)))])
def test_call_for_2fa_has_a_cdr_by_setting_only(setting: bool, with_cdr: list[Method]) -> None:
    assumptions = Assumptions(call_for_2fa_cdr=setting)
    assert {method for method in Method if assumptions.has_cdr(method)} == set(with_cdr)
