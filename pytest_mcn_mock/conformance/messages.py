"""What the cases send. Records are rendered by the rules of the operator's own CDRs; only mistakes are made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from pytest_mcn_mock.conformance.webhook import Form, Webhook
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import DEFAULT_VARIABLES, VARIABLES, Call, CallOrder, CdrValue, end, render_cdr
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.service.cdr_requests import make_request

JSON_TYPE: Final = "application/json"
_ASSUMED = Assumptions()
_BALANCE: Final = 10_000  # kopecks, more than a call costs


@dataclass(frozen=True, slots=True)
class Message:
    """One request of a case. ``cdr`` is the record that it carries, None where it carries something else."""

    request: CdrRequest
    cdr: Mapping[str, Any] | None = None


class Writer:
    """Places calls and writes records and mistakes for one case.

    ``uuids`` are calls that the endpoint knows; they are used in turn, over and over. Without any, the calls are drawn
    from the seed. ``now`` is in seconds since the epoch. ``known`` lists the uuids of the calls that an endpoint should
    know by the time that their records arrive, as they were placed.
    """

    def __init__(self, webhook: Webhook, *, seed: int, now: float, uuids: Sequence[str] = ()) -> None:
        self.now = now
        self.known: list[str] = []
        self._webhook = webhook
        self._seed = seed
        self._uuids = tuple(uuids)
        self._drawn = count()

    @property
    def form(self) -> Form:
        """How records are sent where a case asks for nothing else."""
        return self._webhook.form

    def call(self, *, known: bool = True, foreign: bool = False, age_s: float = 30.0) -> Call:
        """A call placed ``age_s`` seconds ago. A ``foreign`` one is of an account that is not the webhook's."""
        account_id = self._webhook.account_id
        if foreign:
            account_id = "87654321" if account_id != "87654321" else "12345678"
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
        outcome: Outcome | None = Outcome.ANSWERED,
        cause: int | None = None,
        *,
        body: Iterable[str] = DEFAULT_VARIABLES,
        constants: Mapping[str, CdrValue] | None = None,
        form: Form | None = None,
    ) -> Message:
        """The CDR of a call that ended so, five seconds after it was placed: by an outcome, or by a Q.850 cause."""
        how = ending(None if cause else outcome, cause, unavailable_cause=_ASSUMED.unavailable_cause)
        return self.fields(render_cdr(end(call, how, call.placed_at + 5), body, constants or {}), form)

    def fields(self, fields: Mapping[str, Any], form: Form | None = None) -> Message:
        """A record with any fields, in the webhook's form or in another."""
        form = form or self.form
        request = make_request(self._webhook.subscription(form), dict(fields))
        if form is Form.TEXT:
            text = self._webhook.template
            for name in VARIABLES:
                text = text.replace(f"{{{name}}}", str(fields.get(name, "")))
            return Message(self._with_type(replace(request, body=text.encode()), "text/plain; charset=utf-8"), fields)
        return Message(request, fields)

    def raw(self, body: bytes, content_type: str | None = JSON_TYPE, method: str = "POST") -> Message:
        """A request with any body."""
        request = replace(make_request(self._webhook.subscription(Form.JSON), {}), method=method, body=body)
        return Message(self._with_type(request, content_type))

    def plain(self, **changes: Any) -> dict[str, Any]:
        """The three documented fields of an answered call, with changes."""
        record = self.record(self.call(), form=Form.JSON).cdr
        return {**(record or {}), **changes}

    def _with_type(self, request: CdrRequest, content_type: str | None) -> CdrRequest:
        """The request with another content type, unless the user's own headers say one."""
        if any(name.lower() == "content-type" for name in self._webhook.headers):
            return request
        kept = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
        return replace(request, headers=kept if content_type is None else {**kept, "Content-Type": content_type})


def encoded(value: Any) -> bytes:
    """The value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()
