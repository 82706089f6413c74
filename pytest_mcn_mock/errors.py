"""The one tree of errors.

McnMockError
├── Refusal          the API refuses a client's request: one error envelope
│   └── StorageFailed … because its changes could not be kept
├── UsageError       a tester's call or setting is invalid (also a ValueError)
│   └── Conflict     … because of the current state, or of another setting
├── ConfigError      a configuration file is invalid: every mistake at once
├── NotFound         no such account, call or delivery (also a LookupError)
├── SendError        a webhook's endpoint gave no answer; recorded on the attempt (delivery/ has its kinds)
├── Unreachable      no sandbox answers the command line
├── Declined         a sandbox answers the command line with a refusal
├── WebhookRaised    the application under test raised an exception when it got a CDR (also an AssertionError)
├── MistakesError    a strict test passed, but there were mistakes (also an AssertionError)
└── WaitTimeout      the event that a test waited for did not happen (also an AssertionError and a TimeoutError)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pytest_mcn_mock.reasons import Reason

_LONGEST_WORD = 80
"""Characters of a word that are compared. A client's word may have any length."""


class McnMockError(Exception):
    """Anything that this package raises on purpose.

    ``reason`` is what was raised with, if it has a code; None if it is only a text.
    """

    reason: Reason | None = None

    def __init__(self, message: str | Reason = "") -> None:
        super().__init__(str(message))
        if isinstance(message, Reason):
            self.reason = message


class RefusalCode(StrEnum):
    """The stable words of the error envelope, by which a client recognises a refusal."""

    MISSING_PARAMETER = "missing_parameter"
    INVALID_PARAMETER = "invalid_parameter"
    UNAUTHORIZED = "unauthorized"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    ACCOUNT_NOT_FOUND = "account_not_found"
    FOREIGN_NUMBER = "foreign_number"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    PRECONDITION_FAILED = "precondition_failed"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    OVERLOADED = "overloaded"
    SERVICE_UNAVAILABLE = "service_unavailable"
    STORAGE_FAILED = "storage_failed"
    INTERNAL_ERROR = "internal_error"


class Refusal(McnMockError):
    """The API refuses a request. Nothing was charged, and nothing changed.

    ``parameter`` names the request's wrong parameter. It is None if there is not exactly one.
    """

    def __init__(self, code: RefusalCode, message: str | Reason, parameter: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(message)
        self.parameter = parameter

    def kept(self) -> Self:
        """Return the refusal without its traceback, which would otherwise stay in memory as long as the journal."""
        self.__context__ = None
        return self.with_traceback(None)


class StorageFailed(Refusal):
    """The state cannot be written, so the step did not happen. The message has the reason."""

    def __init__(self, message: str | Reason) -> None:
        super().__init__(RefusalCode.STORAGE_FAILED, message)


class UsageError(McnMockError, ValueError):
    """A tester's argument or setting is invalid. The message names it and the valid values.

    ``parameter`` names the argument or the setting, for a form that shows the message beside it. None if it is not
    known, or if there is more than one.
    """

    def __init__(self, message: str | Reason, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class Conflict(UsageError):
    """The current state does not allow this, or settings contradict one another. The message says which."""


class ConfigError(McnMockError):
    """A configuration is invalid. ``problems`` has every mistake, each with its place.

    ``lines`` are the numbers of the lines that the mistakes are in, from 1; None for a mistake that is in no line.
    """

    def __init__(self, source: str, problems: Sequence[str], lines: Sequence[int | None] | None = None) -> None:
        self.problems = tuple(problems)
        self.lines = tuple(lines) if lines is not None else (None,) * len(self.problems)
        places = (source if line is None else f"{source}, line {line}" for line in self.lines)
        super().__init__("\n".join(f"{place}: {said}" for place, said in zip(places, self.problems, strict=True)))


class NotFound(McnMockError, LookupError):
    """No account, call or delivery has this identifier."""


class SendError(McnMockError):
    """A webhook's endpoint gave no answer. The message has the reason."""


class Unreachable(McnMockError):
    """No sandbox answers at the URL that the command line uses. The message says why and what to do."""


class Declined(McnMockError):
    """A sandbox refuses a request of the command line. ``status`` is the HTTP status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebhookRaised(McnMockError, AssertionError):
    """A test waits for a CDR, and the application raised an exception when it got it. The exception is the cause."""


class MistakesError(McnMockError, AssertionError):
    """A test passed, but there was a mistake on its account or server that the test did not expect."""


class WaitTimeout(McnMockError, AssertionError, TimeoutError):
    """The event that a wait is for did not happen in time. The message says what is pending."""


def nearest(word: str, known: Sequence[str]) -> Reason:
    """Return a hint for the end of a message: the known word that was probably meant or, if none is similar, all.

    A word is similar if it is a misspelling with the same first letter (``prot`` for ``port``), or the beginning of
    only one known word (``final`` for ``final_status``). A less similar word would mislead the reader.
    """
    word = word[:_LONGEST_WORD].lower()
    from difflib import get_close_matches  # noqa: PLC0415 - every start would wait for it

    alike = get_close_matches(word, [name for name in known if name[:1] == word[:1]], n=1, cutoff=0.75)
    begun = [name for name in known if len(word) > 1 and name.startswith(word)]
    if alike or len(begun) == 1:
        return Reason("meant", {"word": repr(str((alike or begun)[0]))})
    return Reason("known", {"words": ", ".join(known)}) if known else Reason("none_known")
