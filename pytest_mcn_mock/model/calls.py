"""A call from the order to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import CountryChoice, choose_country
from pytest_mcn_mock.model.outcomes import Ending
from pytest_mcn_mock.reasons import Reason


class Terms(Struct, frozen=True):
    """A dialect's terms for calls: its names of the methods, and the country of the number that calls.

    ``choose_country`` gets ``login_did`` and ``country_id``.
    """

    dialect: Dialect
    spelling: Mapping[Method, str]
    choose_country: Callable[[str, str | None], CountryChoice]


ARTICLES_TERMS: Final = Terms(Dialect.API_MCN, MappingProxyType({m: m.value for m in Method}), choose_country)
"""The terms of the article's dialect."""


class CallOrder(Struct, frozen=True):
    """An order with checked parameters. An optional parameter that is left out or empty is None.

    ``terms`` are those of the dialect in which the order came. ``how`` is the ending that a tester has chosen for the
    call; if it is None, magic number, outcome rules or the default decide.
    """

    method: Method
    login_did: str
    code: str | None = None
    country_id: str | None = None
    caller_did: str | None = None
    terms: Terms = ARTICLES_TERMS
    how: Ending | None = None


class Explanation(Struct, frozen=True, gc=False):
    """Why the call is as it is: reasons for the country, the calling number, the price, the outcome and the CDR.

    The code of a reason begins with the name of the property that has its text.
    """

    reasons: tuple[Reason, ...] = ()

    @property
    def country(self) -> str:
        """Why the call is from this country; empty for a call_for_2fa."""
        return self._text("country")

    @property
    def number(self) -> str:
        """Why the call is from this number."""
        return self._text("number")

    @property
    def price(self) -> str:
        """Why the call has this price."""
        return self._text("price")

    @property
    def outcome(self) -> str:
        """Why the call ends like this."""
        return self._text("outcome")

    @property
    def cdr(self) -> str:
        """Why a webhook does not get the CDR: it is disabled, or its filter does not let the call through. Empty if
        every webhook gets it.
        """
        return self._text("cdr")

    def _text(self, about: str) -> str:
        return "; ".join(str(reason) for reason in self.reasons if reason.code.startswith(f"{about}_"))

    def __str__(self) -> str:
        return "; ".join(map(str, self.reasons))


class Call(Struct, frozen=True, gc=False):
    """One accepted call. ``gc=False``, here and elsewhere: it never refers, directly or not, to something that refers
    back to it.

    ``price`` is in kopecks; ``placed_at``, ``ends_at`` and ``ended_at`` are seconds since the epoch. ``planned`` is how
    the call will end, at ``ends_at`` or, if that is None, when it is completed manually. ``ending`` and ``ended_at``
    are None until it has ended. ``country_id`` is the country of the number that calls, None for a call_for_2fa.
    ``cdr_fault`` is the fault that alters its CDR. ``seq`` numbers the calls of a storage as they arrive, from 1.
    ``dialect`` is the form of the API in which it was ordered.
    """

    verification_call_uuid: str
    account_id: str
    method: Method
    login_did: str
    caller_did: str
    code: str
    country_id: int | None
    price: int
    explanation: Explanation
    placed_at: float
    planned: Ending
    ends_at: float | None
    seq: int = 0
    ending: Ending | None = None
    ended_at: float | None = None
    cdr_fault: Fault | None = None
    dialect: Dialect = Dialect.API_MCN

    @property
    def state(self) -> str:
        """``ringing`` until the call has ended, ``completed`` afterwards."""
        return "ringing" if self.ending is None else "completed"

    @property
    def label(self) -> str:
        """The method, for people. Its dialect follows if it is not the article's."""
        return self.method if self.dialect is Dialect.API_MCN else f"{self.method} ({self.dialect})"


def account_of(verification_call_uuid: str) -> str:
    """Return the id of the account that a call's uuid names: ``<call id>_<account id>``."""
    return verification_call_uuid.rpartition("_")[2]


def end(call: Call, how: Ending, now: float) -> Call:
    """Return the call after it has ended in this way."""
    explanation = call.explanation
    if how != call.planned:
        why = Reason("outcome_manual", how.values())
        reasons = (why if reason.code.startswith("outcome_") else reason for reason in explanation.reasons)
        explanation = Explanation(tuple(reasons))
    return replace(call, ending=how, ended_at=now, ends_at=now, explanation=explanation)


def add_reasons(call: Call, reasons: Sequence[Reason]) -> Call:
    """Return the call with further reasons at the end of its explanation."""
    return replace(call, explanation=Explanation((*call.explanation.reasons, *reasons))) if reasons else call
