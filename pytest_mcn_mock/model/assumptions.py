"""Behaviour of the real service that we could not confirm: each is a setting, marked "assumed" in docs/fidelity.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from pytest_mcn_mock.errors import RefusalCode, UsageError, nearest
from pytest_mcn_mock.model.checks import (
    check_bool,
    check_list,
    check_mapping,
    check_seconds,
    check_whole,
    show,
)
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import KAZAKHSTAN, RUSSIA
from pytest_mcn_mock.model.outcomes import Outcome, ending

DEFAULT_STATUS: Mapping[RefusalCode, int] = MappingProxyType(
    {
        RefusalCode.MISSING_PARAMETER: 400,
        RefusalCode.INVALID_PARAMETER: 400,
        RefusalCode.UNAUTHORIZED: 401,
        RefusalCode.INSUFFICIENT_FUNDS: 402,
        RefusalCode.ACCOUNT_NOT_FOUND: 403,
        RefusalCode.FOREIGN_NUMBER: 403,
        RefusalCode.NOT_FOUND: 404,
        RefusalCode.METHOD_NOT_ALLOWED: 405,
        RefusalCode.PAYLOAD_TOO_LARGE: 413,
        RefusalCode.PRECONDITION_FAILED: 412,
        RefusalCode.CONFLICT: 409,
        RefusalCode.FORBIDDEN: 403,
        RefusalCode.OVERLOADED: 429,
        RefusalCode.SERVICE_UNAVAILABLE: 503,
        RefusalCode.STORAGE_FAILED: 503,
        RefusalCode.INTERNAL_ERROR: 500,
    }
)
REFUSAL_WORDS: Final = ("$status", "$code", "$number", "$message", "$parameter")
"""The texts in a refusal's body that are replaced by its values. Each must be a whole text."""
CALL_WORDS: Final = ("$login_did", "$caller_did", "$code", "$account_id", "$verification_call_uuid")
"""The texts in the answer of call_2fa that are replaced by the call's values. Each must be a whole text."""
_WORD: Final = r"\$[A-Za-z_]+"
DEFAULT_ERROR_BODY: Mapping[str, Any] = MappingProxyType(
    {
        "status": "error",
        "code": "$status",
        "errors": [{"code": "$code", "message": "$message", "parameter": "$parameter"}],
    }
)
NUMERIC_ERROR_BODY: Mapping[str, Any] = MappingProxyType(
    {"status": "error", "code": "$status", "errors": {"code": "$number", "message": "$message"}}
)
"""As the vendor's own client of v2 reads a refusal: ``errors`` is an object with ``message`` and a numeric ``code``."""
DEFAULT_ERROR_NUMBER: Mapping[RefusalCode, int] = MappingProxyType(
    {
        **DEFAULT_STATUS,
        RefusalCode.FOREIGN_NUMBER: 514,
        RefusalCode.ACCOUNT_NOT_FOUND: 583,
    }
)
"""The vendor's own client knows 514 "did belongs to another client" and 583 "client (account_id) not found". The others
are assumed: the status.
"""

PAIDMETHODS_STATUS: Mapping[RefusalCode, int] = MappingProxyType(
    {
        **DEFAULT_STATUS,
        RefusalCode.INSUFFICIENT_FUNDS: 403,
        RefusalCode.METHOD_NOT_ALLOWED: 404,
        RefusalCode.PAYLOAD_TOO_LARGE: 400,
    }
)
"""Of the statuses that the handbook lists, "Ответы на запросы методов API", 4 August 2026; 402, 405 and 413 are not
among them.
"""
PAIDMETHODS_ERROR_BODY: Mapping[str, Any] = MappingProxyType({"ok": False, "error": "$code", "name": "$parameter"})
PAIDMETHODS_2FA_BODY: Mapping[str, Any] = MappingProxyType(
    {
        "ok": True,
        "result": {
            "login_did": "$login_did",
            "caller_did": "$caller_did",
            "verification_call_uuid": "$verification_call_uuid",
            "account_id": "$account_id",
            "code": "$code",
        },
    }
)

MAX_DISABLE_AFTER = 10**9
RETRY_AFTER_S = tuple(float(2**n) for n in range(1, 16))
"""2, 4, 8, … 32,768 seconds (handbook, "Механизм повторной отправки веб-хуков", 2026-08-04: "2ⁿ секунд", 15 attempts,
about nine hours before the last one, about 18 hours in all).
"""
MAX_ACCOUNT_ID = 10**15 - 1
_DAY_S = 86_400
MAX_ERROR_NUMBER = 999_999


class NumberFormat(StrEnum):
    """How ``login_did`` and ``caller_did`` may be written."""

    DIGITS = "digits"
    """As the article writes them: only digits."""
    PASTED = "pasted"
    """Also as people paste them, ``+7 (915) 777-77-77``: other characters are dropped."""


class MissingFinalStatus(StrEnum):
    """The ``final_status`` of a call without a documented one: of cause 31, and of an unavailable number."""

    ABSENT = "absent"
    """The CDR has no ``final_status``, as in the article."""
    EMPTY = "empty"
    """An empty text. The handbook's catalogue (2026-09-27) marks the variable as required."""
    NULL = "null"


class ErrorStyle(StrEnum):
    """How a refusal's body identifies the refusal, if ``error_body`` is not given."""

    WORDS = "words"
    """``errors`` is a list with one object, whose ``code`` is a word."""
    NUMERIC = "numeric"
    """``errors`` is an object with ``message`` and a numeric ``code``, as the vendor's own client reads it."""


class PaidMethodsAssumptions(Struct, frozen=True):
    """The assumed behaviour of the dialect ``paidmethods``.

    Raises UsageError if a value is not valid.
    """

    error_status: Mapping[RefusalCode, int] = PAIDMETHODS_STATUS
    """The HTTP status of each refusal."""
    error_body: Mapping[str, Any] = PAIDMETHODS_ERROR_BODY
    """A refusal's JSON object. ``"$status"``, ``"$code"``, ``"$number"``, ``"$message"`` and ``"$parameter"`` are
    replaced by its values.
    """
    call_for_2fa_body: Mapping[str, Any] = PAIDMETHODS_2FA_BODY
    """The answer of call_2fa, which the handbook does not show. ``"$login_did"``, ``"$caller_did"``, ``"$code"``,
    ``"$account_id"`` and ``"$verification_call_uuid"`` are replaced by the call's values.
    """
    other_country: int = RUSSIA
    """The country of the number that calls a number that is neither Russian nor Kazakh: 643 or 398."""

    def __post_init__(self) -> None:
        _check_statuses("paidmethods.error_status", self.error_status)
        for name, body, words in (
            ("error_body", self.error_body, REFUSAL_WORDS),
            ("call_for_2fa_body", self.call_for_2fa_body, CALL_WORDS),
        ):
            check_mapping(body, name=f"paidmethods.{name}", example='{"ok": False}')
            _check_words(f"paidmethods.{name}", body, words)
        if isinstance(self.other_country, bool) or self.other_country not in (RUSSIA, KAZAKHSTAN):
            raise UsageError(f"paidmethods.other_country is {show(self.other_country)}; use 643 or 398")

    @property
    def error_template(self) -> Mapping[str, Any]:
        """The body of a refusal, with words for its values."""
        return self.error_body

    def status_of(self, code: RefusalCode) -> int:
        """Return the HTTP status of a refusal."""
        return self.error_status.get(code, PAIDMETHODS_STATUS[code])


def _check_statuses(name: str, statuses: Mapping[RefusalCode, int], *, least: int = 200, most: int = 599) -> None:
    """Raise UsageError unless these are whole numbers by refusal."""
    check_mapping(statuses, name=name, example='{"unauthorized": 403}')
    known = list(RefusalCode)
    for code, status in statuses.items():
        if code not in known:
            raise UsageError(f"{name}: {str(code)[:40]!r} is unknown; {nearest(str(code), known)}")
        check_whole(status, name=f"{name}.{code}", least=least, most=most)


def _check_words(name: str, template: object, words: Sequence[str]) -> None:
    """Raise UsageError for a text of a body's template that looks like one of these words and is not one."""
    if isinstance(template, Mapping):
        template = list(template.values())
    if isinstance(template, (list, tuple)):
        for item in template:
            _check_words(name, item, words)
    elif isinstance(template, str) and re.fullmatch(_WORD, template) and template not in words:
        raise UsageError(f"{name}: {template[:40]!r} is unknown; {nearest(template, words)}")


class Assumptions(Struct, frozen=True):
    """The assumed behaviour of one server. Times are in seconds.

    Raises UsageError if a value is not valid.
    """

    error_status: Mapping[RefusalCode, int] = DEFAULT_STATUS
    """The HTTP status of each refusal."""
    error_style: ErrorStyle = ErrorStyle.WORDS
    """The form of a refusal's body."""
    error_body: Mapping[str, Any] | None = None
    """A refusal's JSON object. ``"$status"``, ``"$code"``, ``"$number"``, ``"$message"`` and ``"$parameter"`` are
    replaced by its values. If it is None, ``error_style`` decides.
    """
    error_number: Mapping[RefusalCode, int] = DEFAULT_ERROR_NUMBER
    """The ``"$number"`` of each refusal."""
    number_format: NumberFormat = NumberFormat.DIGITS
    default_outcome: Outcome = Outcome.ANSWERED
    """How a call ends if no outcome rule matches."""
    unavailable_cause: int = 18
    """The Q.850 cause of Outcome.UNAVAILABLE: no user responding. The vendor's list of causes has no 20."""
    call_for_2fa_cdr: bool = False
    """Whether call_for_2fa has a CDR; the article promises one only for flash_call."""
    ring_s: float = 0.0
    """The time from the answer to the end of a call, if its outcome rule has no ``delay_s``."""
    cdr_delay_s: float = 0.0
    """The time from the end of a call to its CDR. Two of the vendor's took 3.6 and 5.2 s."""
    ack_timeout_s: float = 10.0
    """How long a webhook endpoint may take to acknowledge a CDR."""
    retry_after_s: tuple[float, ...] = RETRY_AFTER_S
    """The waits after the first, second, … failed attempt."""
    disable_after: int = 10
    """A webhook is disabled after this number of failed CDRs in a row."""
    missing_final_status: MissingFinalStatus = MissingFinalStatus.ABSENT
    """The ``final_status`` of a CDR if none is documented."""
    operator_account_id: int = 10002
    """The variable ``account_id`` of a CDR: not the client's account, but probably the vendor's own."""
    created_at_offset_s: float = 10_800.0
    """By how much ``created_at`` of a whole event is ahead of UTC: three hours in the vendor's samples."""
    paidmethods: PaidMethodsAssumptions = PaidMethodsAssumptions()
    """The assumed behaviour of the dialect ``paidmethods``."""

    def __post_init__(self) -> None:
        _check_statuses("error_status", self.error_status)
        _check_statuses("error_number", self.error_number, least=0, most=MAX_ERROR_NUMBER)
        if self.error_body is not None:
            check_mapping(self.error_body, name="error_body", example='{"error": "$code"}')
            _check_words("error_body", self.error_body, REFUSAL_WORDS)
        if not isinstance(self.paidmethods, PaidMethodsAssumptions):
            raise UsageError(f"paidmethods is {show(self.paidmethods)}; use a PaidMethodsAssumptions")
        for name, value, known in (
            ("number_format", self.number_format, NumberFormat),
            ("default_outcome", self.default_outcome, Outcome),
            ("missing_final_status", self.missing_final_status, MissingFinalStatus),
            ("error_style", self.error_style, ErrorStyle),
        ):
            if value not in list(known):
                raise UsageError(f"{name}: {str(value)[:40]!r} is unknown; {nearest(str(value), list(known))}")
        check_bool(self.call_for_2fa_cdr, name="call_for_2fa_cdr")
        ending(Outcome.UNAVAILABLE, unavailable_cause=self.unavailable_cause)
        if self.unavailable_cause in (16, 17, 31):
            raise UsageError(
                f"invalid unavailable_cause {self.unavailable_cause}: the article gives it another meaning; use any "
                "cause but 16, 17 and 31"
            )
        check_seconds(self.ring_s, name="ring_s")
        check_seconds(self.cdr_delay_s, name="cdr_delay_s")
        check_seconds(self.ack_timeout_s, name="ack_timeout_s", most=600)
        waits = check_list(self.retry_after_s, name="retry_after_s", example="(2.0, 4.0, 8.0)")
        if len(waits) > 20:
            raise UsageError(f"retry_after_s has {len(waits)} items; at most 20")
        for wait in waits:
            check_seconds(wait, name="retry_after_s")
        check_whole(self.disable_after, name="disable_after", least=1, most=MAX_DISABLE_AFTER)
        check_whole(self.operator_account_id, name="operator_account_id", least=1, most=MAX_ACCOUNT_ID)
        check_seconds(self.created_at_offset_s, name="created_at_offset_s", least=-_DAY_S, most=_DAY_S)

    def status_of(self, code: RefusalCode) -> int:
        """Return the HTTP status of a refusal."""
        return self.error_status.get(code, DEFAULT_STATUS[code])

    def number_of(self, code: RefusalCode) -> int:
        """Return the number of a refusal."""
        return self.error_number.get(code, DEFAULT_ERROR_NUMBER[code])

    @property
    def error_template(self) -> Mapping[str, Any]:
        """The body of a refusal, with words for its values."""
        if self.error_body is not None:
            return self.error_body
        return NUMERIC_ERROR_BODY if self.error_style is ErrorStyle.NUMERIC else DEFAULT_ERROR_BODY

    def has_cdr(self, method: Method) -> bool:
        """Return whether calls of a method have a CDR: flash_call always, call_for_2fa if ``call_for_2fa_cdr``."""
        return method is Method.FLASH_CALL or self.call_for_2fa_cdr
