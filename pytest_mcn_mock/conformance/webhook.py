"""The webhook under check, as its subscription describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.accounts import is_account_id
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.checks import check_seconds
from pytest_mcn_mock.model.webhooks import Subscription, make_subscription

DEFAULT_ACCOUNT: Final = "12345678"
"""The account of the article's examples."""
DEFAULT_TEMPLATE: Final = "{verification_call_uuid} {q931_status} {final_status}"
DEFAULT_TIMEOUT_S: Final = Assumptions().ack_timeout_s
MAX_TEMPLATE: Final = 65_536


class Form(StrEnum):
    """How a subscription sends its variables: the article's JSON, or one of the two others of the vendor's form."""

    JSON = "json"
    """POST with a JSON body."""
    QUERY = "query"
    """GET with the variables in the query string."""
    TEXT = "text"
    """POST with a free text that the variables are put into."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the cases go and how they are written.

    ``template`` is the free text of ``Form.TEXT``, with ``{name}`` for a variable. ``account_id`` ends the uuids of the
    calls. ``headers`` may hold secrets: they are in no repr and no report. An answer has to come within ``timeout_s``
    seconds.

    Raises UsageError, naming the argument, for what cannot be.
    """

    url: str = field(repr=False)
    form: Form = Form.JSON
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
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
        """The subscription that sends so: in the webhook's own form, or in another."""
        method = "GET" if (form or self.form) is Form.QUERY else "POST"
        return make_subscription(self.url, method=method, headers=self.headers)

    @property
    def shown_url(self) -> str:
        """The URL for reports: without user, password and query, which may be secret."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}{parts.path}{'?…' if parts.query else ''}"


def form_of(method: str, data_type: str) -> Form:
    """The form for a subscription's method and data type; UsageError for what the vendor's form has not."""
    kinds = {("POST", "json"): Form.JSON, ("POST", "text"): Form.TEXT, ("GET", "json"): Form.QUERY}
    try:
        return kinds[method.upper(), data_type.lower()]
    except KeyError:
        pass
    if method.upper() == "GET":
        raise UsageError("a GET has no body: the data type goes with POST")
    if method.upper() != "POST":
        raise UsageError(f"method {method[:40]!r} is not supported; a webhook is sent by POST or GET")
    raise UsageError(f"data type {data_type[:40]!r} is unknown; {nearest(data_type, ['json', 'text'])}")
