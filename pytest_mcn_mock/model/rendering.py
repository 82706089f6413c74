"""Render the CDR of a call in the form of a subscription, and the request that carries it.

Source: handbook, "POST запрос" and "GET запрос" (2026-08-11 and 2026-08-12).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from msgspec import Struct

from pytest_mcn_mock.model.cdr import Cdr, fill_in, text_of, variables_in
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.model.webhooks import Subscription, Values, WebhookMethod

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
"""The content type of a text body, which is assumed."""
_HEADERS: Final = {"Accept": "*/*", "User-Agent": "mcn-mock"}
_HEADERS_OF_BODY: Final = {type_: _HEADERS | {"Content-Type": type_} for type_ in (JSON_TYPE, TEXT_TYPE)}
"""The headers by content type. Kept requests share them."""


class Rendered(Struct, frozen=True):
    """A record and the request that carries it to a webhook.

    The record is the flat object or the whole event or, for a text, its variables.
    """

    record: dict[str, Any]
    request: CdrRequest


def render(subscription: Subscription, cdr: Cdr, now: float) -> Rendered:
    """Return the record and the request for a subscription's endpoint. ``now`` is in seconds since the epoch."""
    if subscription.template is not None:
        record = cdr.values(variables_in(subscription.template))
        return make_request(subscription, cdr, record, fill_in(subscription.template, cdr), TEXT_TYPE)
    if subscription.all_variables:
        record = cdr.whole_event(now)
    else:
        record = cdr.values(subscription.body)
        for name, constant in subscription.constants.items():
            record[name] = fill_in(constant, cdr) if isinstance(constant, str) else constant
        if subscription.values is Values.TEXT:
            record = {name: text_of(value) for name, value in record.items()}
    return make_request(subscription, cdr, record, text_of(record), JSON_TYPE)


def make_request(
    subscription: Subscription, cdr: Cdr, record: dict[str, Any], body: str, content_type: str
) -> Rendered:
    """Return a record with the request that carries it; a GET carries it in its query."""
    query = {name: fill_in(value, cdr) for name, value in subscription.query.items()}
    headers = _HEADERS_OF_BODY[content_type]
    if subscription.method is WebhookMethod.GET:
        headers = _HEADERS
        query |= {name: text_of(value) for name, value in record.items()}
        body = ""
    if subscription.headers:
        overridden = {name.lower() for name in subscription.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in overridden}
        headers |= {name: fill_in(value, cdr) for name, value in subscription.headers.items()}
    url = _with_query(subscription.url, query) if query else subscription.url
    return Rendered(record, CdrRequest(subscription.method, url, headers, body.encode()))


def _with_query(url: str, query: dict[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))
