"""The lists of the admin API: their parameters, their pages, and the events that may add items."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from msgspec import Struct

from pytest_mcn_mock.errors import RefusalCode, nearest
from pytest_mcn_mock.model.mistakes import Expectations
from pytest_mcn_mock.model.numbering import NUMBER_FORM, is_code, is_number
from pytest_mcn_mock.model.requests import ApiRequest, Level
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.service.ports import has_fields
from pytest_mcn_mock.web.decoding import invalid
from pytest_mcn_mock.web.http import Request, Response, json_response
from pytest_mcn_mock.web.parameters import bounded, read_query

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_CURSOR: Final = 10**15
MAX_WAIT_S: Final = 60
CURSOR: Final = ("after", "limit")
PAGE: Final = (*CURSOR, "order")
OF_REQUESTS: Final = (*PAGE, "account_id", "verification_call_uuid", "login_did", "code", "wait")
OF_CALLS: Final = (*OF_REQUESTS, "state")
"""Further parameters of the lists of calls and of deliveries."""
EXPECTATIONS: Final = ("expect_refusal", "expect_undelivered", "fidelity", "wait")
"""The parameters of the list of mistakes."""
CALL_STATES: Final = ("ringing", "completed")
_INTEGER = re.compile(r"[0-9]{1,16}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,16}(\.[0-9]{1,32})?(e-?[0-9]{1,3})?", re.ASCII | re.IGNORECASE)
_T = TypeVar("_T")


class Wanted(Struct, frozen=True, kw_only=True):
    """A request for a list: at most ``limit`` items after the cursor ``after``, with these values.

    ``wait_s`` is for how long it waits for an item, in seconds of real time.
    """

    after: int
    limit: int
    newest_first: bool
    wait_s: float = 0
    values: Mapping[str, str] = {}

    def fields(self, *names: str) -> dict[str, str]:
        """Return the values that are wanted, of those of these names."""
        return {name: self.values[name] for name in names if name in self.values}

    def has_request(self, request: ApiRequest) -> bool:
        """Return whether a request is wanted. One that waits is answered with requests that have their answer."""
        return (
            has_fields(request, self.fields("account_id", "verification_call_uuid"))
            and self.fields("login_did", "code").items() <= request.parameters.items()
            and (request.is_answered or not self.wait_s)
        )

    def is_about_call(self, event: Event) -> bool:
        """Return whether calls that are wanted may have become more by an event."""
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):
                return has_fields(call, self.values)
            case _:
                return self._is_about_end(event)

    def is_about_delivery(self, event: Event) -> bool:
        """The same for deliveries."""
        match event:
            case events.CallPlaced(call) | events.CallEnded(call):  # it has new deliveries then
                return has_fields(call, self.fields("account_id", "verification_call_uuid", "login_did", "code"))
            case events.AttemptMade(delivery) | events.DeliveryResent(delivery) | events.DeliverySettled(delivery):
                return has_fields(delivery, self.fields("account_id", "verification_call_uuid", "state"))
            case _:
                return self._is_about_end(event)

    def is_about_request(self, event: Event) -> bool:
        """The same for requests."""
        match event:
            case events.RequestAnswered(request):
                return self.has_request(request)
            case _:
                return self._is_about_end(event)

    def _is_about_end(self, event: Event) -> bool:
        """Return whether the account or the call may be no more: nothing is to be waited for then."""
        match event:
            case events.AccountClosed(account_id):
                return account_id == self.values.get("account_id", account_id)
            case _:
                return isinstance(event, events.StateReset)


def read_wanted(request: Request, known: Sequence[str], *, states: Sequence[str] = ()) -> Wanted:
    """Return a request for a list with the ``known`` parameters. Raises Refusal ``invalid_parameter``.

    Values are checked if the items of the list can have valid ones only, which is so if they have ``states``.
    """
    given = bounded(list_parameters(request, known))
    after, limit = cursor_and_limit(given)
    order = given.get("order", "oldest")
    if order not in ("oldest", "newest"):
        raise invalid("order", Reason("order", {"value": repr(order[:40])}))
    values = {name: value for name, value in given.items() if name not in (*PAGE, "wait")}
    if states:
        _check_values(values, states)
    return Wanted(after=after, limit=limit, newest_first=order == "newest", wait_s=read_wait(given), values=values)


def read_wait(given: Mapping[str, str]) -> float:
    """Return for how long to wait, in seconds. Raises Refusal ``invalid_parameter``."""
    text = given.get("wait", "0")
    if not _NUMBER.fullmatch(text) or float(text) > MAX_WAIT_S:
        raise invalid("wait", Reason("wait", {"value": repr(text[:40]), "most": MAX_WAIT_S}))
    return float(text)


def read_expectations(given: Mapping[str, str]) -> Expectations:
    """Return the mistakes that a test expects. Raises Refusal ``invalid_parameter``."""
    codes = given["expect_refusal"].split(",") if "expect_refusal" in given else []
    return Expectations(
        refusals={_word("expect_refusal", code, RefusalCode) for code in codes},
        undelivered=_word("expect_undelivered", given.get("expect_undelivered", "false"), _Switch) is _Switch.TRUE,
        fidelity=_word("fidelity", given.get("fidelity", Level.ASSUMED), Level),
    )


def is_about_account(event: Event, account_id: str) -> bool:
    """Return whether an event may have changed the requests or CDRs in flight on an account."""
    match event:
        case events.CallEnded(item) | events.RequestAnswered(item):
            return item.account_id == account_id
        case events.AttemptMade(delivery) | events.DeliverySettled(delivery):
            return delivery.account_id == account_id
        case events.AccountClosed(closed):
            return closed == account_id
        case _:
            return isinstance(event, events.StateReset)


def list_parameters(request: Request, known: Sequence[str]) -> dict[str, str]:
    """Return the query's parameters. Raises Refusal for one that is unknown, and for one that is empty."""
    given = read_query(request.query)
    for name, value in given.items():
        if name not in known:
            raise invalid(
                name[:40], Reason("parameter_unknown", {"name": repr(name[:40]), "hint": nearest(name, known)})
            )
        if not value:
            raise invalid(name, Reason("parameter_empty", {"name": name}))
    return given


def cursor_and_limit(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Return the cursor, 0 for none, and how many items a page has. Raises Refusal ``invalid_parameter``."""
    return _integer(parameters, "after", 0, MAX_CURSOR), _integer(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)


def cut(items: Sequence[_T], cursor: Callable[[_T], int], wanted: Wanted) -> Sequence[_T]:
    """Return the items, of which the oldest is the first, that are behind the cursor: a page, and one more."""
    if wanted.newest_first:
        items = [item for item in reversed(items) if not wanted.after or cursor(item) < wanted.after]
    else:
        items = [item for item in items if cursor(item) > wanted.after]
    return items[: wanted.limit + 1]


def page(found: Sequence[_T], limit: int, show: Callable[[_T], Struct], cursor: Callable[[_T], int]) -> Response:
    """Return a list of at most ``limit`` items, with the cursor behind the last if ``found`` has one more."""
    shown = found[:limit]
    more = len(found) > limit and shown
    return json_response(200, {"items": [show(item) for item in shown], "next": cursor(shown[-1]) if more else None})


def _check_values(values: Mapping[str, str], states: Sequence[str]) -> None:
    login_did, code, state = values.get("login_did"), values.get("code"), values.get("state")
    if login_did is not None and not is_number(login_did):
        raise invalid("login_did", Reason("parameter_number", {"value": repr(login_did[:40]), "form": NUMBER_FORM}))
    if code is not None and not is_code(code):
        raise invalid("code", Reason("parameter_code", {"value": repr(code[:40])}))
    if state is not None and state not in states:
        raise invalid("state", Reason("state_unknown", {"value": repr(state[:40]), "hint": nearest(state, states)}))


def _integer(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or int(text) > most:
        raise invalid(name, Reason("parameter_whole", {"name": name, "value": repr(text[:40]), "most": most}))
    return int(text)


class _Switch(StrEnum):
    TRUE = "true"
    FALSE = "false"


_Word = TypeVar("_Word", bound=StrEnum)


def _word(name: str, text: str, words: type[_Word]) -> _Word:
    try:
        return words(text)
    except ValueError:
        hint = nearest(text, list(words))
        raise invalid(name, Reason("word_unknown", {"name": name, "value": repr(text[:40]), "hint": hint})) from None
