"""The request that carries a rendered CDR."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit

from pytest_mcn_mock.model.calls import CdrValue
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.model.webhooks import Subscription, WebhookMethod

_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder each time


def make_request(subscription: Subscription, record: dict[str, CdrValue]) -> CdrRequest:
    """The request that carries a rendered CDR to a subscription's endpoint."""
    url, body = subscription.url, b""
    query: Mapping[str, CdrValue] = subscription.query
    headers = {"Accept": "*/*", "User-Agent": "mcn-mock"}
    if subscription.method is WebhookMethod.GET:
        query = {**query, **record}
    else:
        headers["Content-Type"] = "application/json"
        body = _encode(record).encode()
    if query:
        url = _with_query(url, {name: _text(value) for name, value in query.items()})
    if subscription.headers:
        overridden = {name.lower() for name in subscription.headers}
        kept = {name: value for name, value in headers.items() if name.lower() not in overridden}
        headers = {**kept, **subscription.headers}
    return CdrRequest(subscription.method, url, headers, body)


def _text(value: CdrValue) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _with_query(url: str, query: dict[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))
