"""The one tree of errors.

McnMockError
├── Refusal          the API refuses a client's request: one error envelope
│   └── StorageFailed … because what it changes could not be kept
├── UsageError       a tester's call or setting is wrong (also a ValueError)
│   └── Conflict     … because of the state that the thing is in, or of another setting
├── ConfigError      a configuration file is wrong: every mistake at once
├── NotFound      no such account, call or delivery (also a LookupError)
├── SendError        a webhook's endpoint gave no answer; recorded on the attempt (its kinds are webhooks/'s own)
├── Unreachable      no sandbox answers the command line
├── Declined         a sandbox answers the command line with a refusal
├── WebhookRaised    the application under test raised when it was sent a CDR (also an AssertionError)
├── MistakesError    a strict test passed although something went wrong (also an AssertionError)
└── WaitTimeout      what a test waited for did not happen (also an AssertionError and a TimeoutError)
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Self

from pytest_mcn_mock.reasons import Reason

_LONGEST_WORD = 80
"""Nobody misspells a longer one, and a client's may have any length."""


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
    """The stable words of the error envelope; how a client tells one refusal from another."""

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
    """The API refuses a request; nothing was charged and nothing changed.

    ``parameter`` names the request's parameter that was wrong, or is None where no single one was.
    """

    def __init__(self, code: RefusalCode, message: str | Reason, parameter: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(message)
        self.parameter = parameter

    def kept(self) -> Self:
        """Itself, without the frames that it went through: it would hold them for as long as the journal holds it."""
        self.__context__ = None
        return self.with_traceback(None)


class StorageFailed(Refusal):
    """The state cannot be written, so the step did not happen; the message says why."""

    def __init__(self, message: str | Reason) -> None:
        super().__init__(RefusalCode.STORAGE_FAILED, message)


class UsageError(McnMockError, ValueError):
    """A tester's argument or setting is wrong; the message says which and what would be right.

    ``parameter`` names the argument or the setting, for a form that shows the message beside it. None if it is not
    known, or if there is more than one.
    """

    def __init__(self, message: str | Reason, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class Conflict(UsageError):
    """The thing is in a state in which this cannot be done to it, or settings contradict one another; the message says
    which.
    """


class ConfigError(McnMockError):
    """A configuration is wrong. ``problems`` holds every mistake, each with its place.

    ``lines`` are the numbers of the lines that the mistakes are in, from 1; None for a mistake that is in no line.
    """

    def __init__(self, source: str, problems: Sequence[str], lines: Sequence[int | None] | None = None) -> None:
        self.problems = tuple(problems)
        self.lines = tuple(lines) if lines is not None else (None,) * len(self.problems)
        places = (source if line is None else f"{source}, line {line}" for line in self.lines)
        super().__init__("\n".join(f"{place}: {said}" for place, said in zip(places, self.problems, strict=True)))


class NotFound(McnMockError, LookupError):
    """No account, call or delivery has the identifier that was asked for."""


class SendError(McnMockError):
    """A webhook's endpoint gave no answer; the message says why."""


class Unreachable(McnMockError):
    """No sandbox answers at the URL that the command line was given; the message says why and what to do."""


class Declined(McnMockError):
    """A sandbox refuses what the command line asks of it. ``status`` is the HTTP status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebhookRaised(McnMockError, AssertionError):
    """A test waits for a CDR, and the application raised when it got it. The cause is what it raised."""


class MistakesError(McnMockError, AssertionError):
    """A test passed, but something went wrong on its account or server that it did not say it expects."""


class WaitTimeout(McnMockError, AssertionError, TimeoutError):
    """A wait ended without what it waited for; the message says what is pending instead."""


def nearest(word: str, known: Sequence[str]) -> Reason:
    """Return a hint for the end of a message: the known word that was probably meant, or all known ones if none is
    near.

    Near is a misspelling that keeps the first letter (``prot`` for ``port``), or the beginning of only one known word
    (``final`` for ``final_status``). Another word of the same field would send the reader the wrong way.
    """
    word = word[:_LONGEST_WORD].lower()
    alike = get_close_matches(word, [name for name in known if name[:1] == word[:1]], n=1, cutoff=0.75)
    begun = [name for name in known if len(word) > 1 and name.startswith(word)]
    if alike or len(begun) == 1:
        return Reason("meant", {"word": repr(str((alike or begun)[0]))})
    return Reason("known", {"words": ", ".join(known)}) if known else Reason("none_known")
