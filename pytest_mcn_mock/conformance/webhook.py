"""The webhook under check, as its subscription describes it, and the messages that can be sent to it.

Records are rendered by the rules of the operator's own CDRs; only the altered ones are written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import count
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.accounts import Account, is_account_id
from pytest_mcn_mock.model.assumptions import Assumptions, MissingFinalStatus
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.cdr import Cdr, fill_in, text_of, variables_in
from pytest_mcn_mock.model.checks import check_seconds
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import EXAMPLE_NUMBER
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.rendering import JSON_TYPE, TEXT_TYPE, make_request, render
from pytest_mcn_mock.model.webhooks import DataType, HidesSecrets, Subscription, Values, WebhookMethod

DEFAULT_ACCOUNT: Final = "12345678"
"""The account of the article's examples."""
DEFAULT_TIMEOUT_S: Final = Assumptions().ack_timeout_s
_ASSUMED: Final = Assumptions()
_BALANCE: Final = 10_000  # kopecks, more than a call costs
_TEXT: Final = "${{verification_call_uuid}} ${{q931_status}} ${{final_status}}"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Form(StrEnum):
    """How a subscription sends an event."""

    FLAT = "flat"
    """POST with a flat JSON object of the listed variables: the article's form."""
    WHOLE = "whole"
    """POST with the whole event in its envelope (handbook, "Каталог событий MCN Telecom", 2026-09-27)."""
    QUERY = "query"
    """GET with the variables in the query string (handbook, "GET запрос", 2026-08-12)."""
    TEXT = "text"
    """POST with a free text that contains variables (handbook, "POST запрос", 2026-08-11)."""


def form_of(subscription: Subscription) -> Form:
    """Return the form in which a subscription sends an event."""
    if subscription.method is WebhookMethod.GET:
        return Form.QUERY
    if subscription.template is not None:
        return Form.TEXT
    return Form.WHOLE if subscription.all_variables else Form.FLAT


def variables_of(record: Mapping[str, Any]) -> Any:
    """Return the variables of a record. In a whole event they are in ``data``."""
    return record.get("data") if "event_type" in record else record


class Webhook(HidesSecrets, frozen=True):
    """The endpoint and the form of the messages, as in the subscription.

    The uuids of the calls end in ``account_id``. An answer must come within ``timeout_s`` seconds. The repr leaves out
    the subscription, which may have secrets.

    Raises UsageError, naming the argument, for a value that is not valid.
    """

    _hidden = ("subscription",)

    subscription: Subscription
    account_id: str = DEFAULT_ACCOUNT
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if not is_account_id(self.account_id):
            raise UsageError(f"invalid account {self.account_id[:40]!r}: use one to fifteen digits, such as '12345678'")
        if check_seconds(self.timeout_s, name="timeout", most=600) == 0:
            raise UsageError("invalid timeout 0: use more than 0 seconds")

    @property
    def url(self) -> str:
        """The URL of the endpoint."""
        return self.subscription.url

    @property
    def form(self) -> Form:
        """The form in which the subscription sends an event."""
        return form_of(self.subscription)

    def in_form(self, form: Form) -> Subscription:
        """Return the subscription, changed to a form if it has another one."""
        if form is self.form:
            return self.subscription
        return replace(
            self.subscription,
            method=WebhookMethod.GET if form is Form.QUERY else WebhookMethod.POST,
            all_variables=form is Form.WHOLE,
            data_type=DataType.TEXT if form is Form.TEXT else DataType.JSON,
            template=_TEXT if form is Form.TEXT else None,
            values=Values.TYPED,
        )


class Message(Struct, frozen=True):
    """One request to the endpoint. ``cdr`` is the record that it carries: the flat object, the whole event, or the
    variables in a text. It is None if the request carries something else.
    """

    request: CdrRequest
    cdr: Mapping[str, Any] | None = None


class _AlteredCdr(Cdr):
    """The record of a call with some changed values. UNSET leaves a variable out."""

    def __init__(self, call: Call, assumptions: Assumptions, changes: Mapping[str, Any]) -> None:
        super().__init__(call, assumptions)
        self._changes = changes

    def value(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else super().value(name)


class Writer:
    """Places calls and writes records and mistakes for one case.

    ``uuids`` are calls that the endpoint knows. They are used in turn. If there are none, the calls are drawn from the
    seed. ``now`` is in seconds since the epoch. ``known`` lists the uuids of the calls that an endpoint should know
    when their records arrive, in the order in which they were placed.
    """

    def __init__(self, webhook: Webhook, *, seed: int, now: float, uuids: Sequence[str] = ()) -> None:
        self.now = now
        self.known: list[str] = []
        self._webhook = webhook
        self._seed = seed
        self._uuids = tuple(uuids)
        self._drawn = count()

    def call(self, *, known: bool = True, foreign: bool = False, age_s: float = 30.0) -> Call:
        """Place a call ``age_s`` seconds ago. A ``foreign`` call belongs to another account than the webhook's."""
        account_id = self._webhook.account_id
        if foreign:
            account_id = "87654321" if account_id != "87654321" else DEFAULT_ACCOUNT
        account = Account(id=account_id, token="none", seed=self._seed)  # noqa: S106 - no request is made with it
        order = CallOrder(Method.FLASH_CALL, EXAMPLE_NUMBER)
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
        changes: Mapping[str, Any] = _NOTHING,
        body: Iterable[str] | None = None,
        extra: Mapping[str, Any] = _NOTHING,
        missing: MissingFinalStatus = MissingFinalStatus.ABSENT,
        form: Form | None = None,
        later_s: float = 0.0,
    ) -> Message:
        """Write the CDR of a call that ended five seconds after it was placed: by an outcome, or by a Q.850 cause.

        ``changes`` are other values of variables; UNSET leaves one out. ``body`` lists the variables, instead of the
        form's own variables, and ``extra`` are additional fields; a text cannot have either. ``missing`` is the
        ``final_status`` if none is documented, ``form`` a form that is not the webhook's. The event is ``later_s``
        seconds later than now.
        """
        how = ending(None if cause else outcome, cause, unavailable_cause=_ASSUMED.unavailable_cause)
        ended = end(call, how, call.placed_at + 5)
        assumptions = replace(_ASSUMED, missing_final_status=missing)
        subscription = self._webhook.in_form(form or self._webhook.form)
        if body is not None and not subscription.all_variables:
            subscription = replace(subscription, body=tuple(body))
        cdr = Cdr(ended, assumptions)
        rendered = render(subscription, cdr, self.now + later_s)
        if not (changes or extra or (subscription.all_variables and body)):
            return Message(rendered.request, rendered.record)
        if subscription.template is not None:
            return self._altered_text(subscription, subscription.template, _AlteredCdr(ended, assumptions, changes))
        record = rendered.record
        fields = record["data"] if subscription.all_variables else record
        if subscription.all_variables and body is not None:
            fields = cdr.values(body)
        fields = {name: value for name, value in {**fields, **changes, **extra}.items() if value is not UNSET}
        if subscription.values is Values.TEXT:
            fields = {name: text_of(value) for name, value in fields.items()}
        record = {**record, "data": fields} if subscription.all_variables else fields
        written = make_request(subscription, cdr, record, json.dumps(record, ensure_ascii=False), JSON_TYPE)
        return Message(written.request, record)

    def _altered_text(self, subscription: Subscription, template: str, cdr: Cdr) -> Message:
        record = cdr.values(variables_in(template))
        request = make_request(subscription, cdr, record, fill_in(template, cdr), TEXT_TYPE).request
        return Message(request, record)

    def envelope(self, changes: Mapping[str, Any]) -> Message:
        """Write the whole event of an answered call with other keys of its envelope; UNSET leaves one out."""
        event = {**(self.record(self.call(), form=Form.WHOLE).cdr or {}), **changes}
        event = {name: value for name, value in event.items() if value is not UNSET}
        return Message(self.raw(json.dumps(event, ensure_ascii=False).encode()).request, event)

    def raw(self, body: bytes, content_type: str | None = JSON_TYPE, method: str = "POST") -> Message:
        """Write a request with any body."""
        cdr = Cdr(self.call(known=False), _ASSUMED)
        request = make_request(self._webhook.in_form(Form.FLAT), cdr, {}, "", JSON_TYPE).request
        return Message(self._with_type(replace(request, method=method, body=body), content_type))

    def body(self, **changes: Any) -> bytes:
        """Return the JSON of an answered call, with other values of variables."""
        return self.record(self.call(), changes=changes).request.body

    def _with_type(self, request: CdrRequest, content_type: str | None) -> CdrRequest:
        """Return the request with another content type, unless the user's own headers have one."""
        if any(name.lower() == "content-type" for name in self._webhook.subscription.headers):
            return request
        kept = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
        return replace(request, headers=kept if content_type is None else {**kept, "Content-Type": content_type})
