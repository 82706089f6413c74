"""The webhook under check, as its subscription describes it, and what can be sent to it.

Records are rendered by the rules of the operator's own CDRs; only the altered ones are written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import count
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.accounts import Account, is_account_id
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, VARIABLES, Cdr, CdrValue, text_of
from pytest_mcn_mock.model.checks import check_seconds
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.webhooks import HidesSecrets, Subscription, make_subscription
from pytest_mcn_mock.service.deliveries import make_request, render

DEFAULT_ACCOUNT: Final = "12345678"
"""The account of the article's examples."""
DEFAULT_TEMPLATE: Final = "${{verification_call_uuid}} ${{q931_status}} ${{final_status}}"
DEFAULT_TIMEOUT_S: Final = Assumptions().ack_timeout_s
MAX_TEMPLATE: Final = 65_536
JSON_TYPE: Final = "application/json"
_ASSUMED: Final = Assumptions()
_BALANCE: Final = 10_000  # kopecks, more than a call costs


class Form(StrEnum):
    """How a subscription sends its variables: the article's JSON, or one of the two others of the vendor's form."""

    JSON = "json"
    """POST with a JSON body."""
    QUERY = "query"
    """GET with the variables in the query string."""
    TEXT = "text"
    """POST with a free text that the variables are put into."""


def form_of(method: str, data_type: str) -> Form:
    """Return the form for a subscription's method and data type; UsageError if the vendor's form does not have it."""
    if method.upper() not in ("GET", "POST"):
        raise UsageError(f"method {method[:40]!r} is not supported; a webhook is sent by POST or GET")
    if data_type.lower() not in ("json", "text"):
        raise UsageError(f"data type {data_type[:40]!r} is unknown; {nearest(data_type, ['json', 'text'])}")
    if method.upper() == "POST":
        return Form(data_type.lower())
    if data_type.lower() == "text":
        raise UsageError("a GET has no body: the data type goes with POST")
    return Form.QUERY


class Webhook(HidesSecrets, frozen=True):
    """Where the cases go and how they are written.

    ``template`` is the free text of ``Form.TEXT``, with ``${{name}}`` for a variable. ``account_id`` ends the uuids of
    the calls. ``headers`` may hold secrets: they are in no repr and no report. An answer has to come within
    ``timeout_s`` seconds.

    Raises UsageError, naming the argument, for a value that is not valid.
    """

    _hidden = ("url", "headers")

    url: str
    form: Form = Form.JSON
    headers: Mapping[str, str] = MappingProxyType({})
    account_id: str = DEFAULT_ACCOUNT
    template: str = DEFAULT_TEMPLATE
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        self.subscription()
        if not is_account_id(self.account_id):
            raise UsageError(f"account {self.account_id[:40]!r} is not one to fifteen digits, such as '12345678'")
        if check_seconds(self.timeout_s, name="timeout", most=600) == 0:
            raise UsageError("timeout is 0; an answer takes some time")
        if len(self.template) > MAX_TEMPLATE:
            raise UsageError(f"template has {len(self.template)} characters; at most {MAX_TEMPLATE}")

    def subscription(self, form: Form | None = None) -> Subscription:
        """Return the subscription that sends in the webhook's own form, or in another."""
        method = "GET" if (form or self.form) is Form.QUERY else "POST"
        return make_subscription(self.url, method=method, headers=self.headers)


class Message(Struct, frozen=True):
    """One request to the endpoint. ``cdr`` is the record that it carries; None if it carries something else."""

    request: CdrRequest
    cdr: Mapping[str, Any] | None = None


class Writer:
    """Places calls and writes records and mistakes for one case.

    ``uuids`` are calls that the endpoint knows; they are used in turn, over and over. Without any, the calls are drawn
    from the seed. ``now`` is in seconds since the epoch. ``known`` lists the uuids of the calls that an endpoint should
    know when their records arrive, in the order in which they were placed.
    """

    def __init__(self, webhook: Webhook, *, seed: int, now: float, uuids: Sequence[str] = ()) -> None:
        self.now = now
        self.known: list[str] = []
        self._webhook = webhook
        self._seed = seed
        self._uuids = tuple(uuids)
        self._drawn = count()

    def call(self, *, known: bool = True, foreign: bool = False, age_s: float = 30.0) -> Call:
        """Place a call ``age_s`` seconds ago. A ``foreign`` one is of an account that is not the webhook's."""
        account_id = self._webhook.account_id
        if foreign:
            account_id = "87654321" if account_id != "87654321" else DEFAULT_ACCOUNT
        account = Account(id=account_id, token="none", seed=self._seed)  # noqa: S106 - no request is made with it
        order = CallOrder(Method.FLASH_CALL, "79157777777")
        call = place(account, _BALANCE, next(self._drawn), order, _ASSUMED, self.now - age_s)
        if known and self._uuids:
            call = replace(call, verification_call_uuid=self._uuids[len(self.known) % len(self._uuids)])
        if known:
            self.known.append(call.verification_call_uuid)
        return call

    def record(
        self,
        call: Call,
        outcome: Outcome = Outcome.ANSWERED,
        cause: int | None = None,
        *,
        body: Iterable[str] = DEFAULT_VARIABLES,
        constants: Mapping[str, CdrValue] | None = None,
        form: Form | None = None,
    ) -> Message:
        """Write the CDR of a call that ended five seconds after it was placed: by an outcome, or by a Q.850 cause."""
        how = ending(None if cause else outcome, cause, unavailable_cause=_ASSUMED.unavailable_cause)
        flat = make_subscription(self._webhook.url, body=tuple(body), constants=constants)
        cdr = Cdr(end(call, how, call.placed_at + 5), _ASSUMED)
        return self.fields(render(flat, cdr, self.now).record, form)

    def fields(self, fields: Mapping[str, Any], form: Form | None = None) -> Message:
        """Write a record with any fields, in the webhook's form or in another."""
        form = form or self._webhook.form
        body = json.dumps(fields, ensure_ascii=False)
        if form is Form.TEXT:
            body = self._webhook.template
            for name in VARIABLES:
                body = body.replace(f"${{{{{name}}}}}", text_of(fields.get(name, "")))
        return Message(self._request(form, dict(fields), body), fields)

    def _request(self, form: Form, fields: dict[str, Any], body: str) -> CdrRequest:
        content_type = "text/plain; charset=utf-8" if form is Form.TEXT else JSON_TYPE
        cdr = Cdr(self.call(known=False), _ASSUMED)
        return make_request(self._webhook.subscription(form), cdr, fields, body, content_type).request

    def raw(self, body: bytes, content_type: str | None = JSON_TYPE, method: str = "POST") -> Message:
        """Write a request with any body."""
        request = replace(self._request(Form.JSON, {}, ""), method=method, body=body)
        return Message(self._with_type(request, content_type))

    def plain(self, **changes: Any) -> dict[str, Any]:
        """Return the three documented fields of an answered call, with changes."""
        return {**(self.record(self.call(), form=Form.JSON).cdr or {}), **changes}

    def plain_body(self, **changes: Any) -> bytes:
        """Return the same as JSON."""
        return json.dumps(self.plain(**changes), ensure_ascii=False).encode()

    def _with_type(self, request: CdrRequest, content_type: str | None) -> CdrRequest:
        """Return the request with another content type, unless the user's own headers have one."""
        if any(name.lower() == "content-type" for name in self._webhook.headers):
            return request
        kept = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
        return replace(request, headers=kept if content_type is None else {**kept, "Content-Type": content_type})
