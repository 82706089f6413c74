"""Webhooks: an account's subscriptions to the event "Flash call", the certificates that an https endpoint may have, and
the targets that a server allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct, field

from pytest_mcn_mock.errors import Conflict, UsageError
from pytest_mcn_mock.model.cdr import (
    CONDITION_EXAMPLE,
    DEFAULT_VARIABLES,
    CdrValue,
    Condition,
    check_no_variable,
    check_template,
    check_variable,
    make_condition,
    variables_in,
)
from pytest_mcn_mock.model.checks import check_bool, check_list, check_mapping, check_text, check_url, is_short, show
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.text import is_encodable, shown_url

_Word = TypeVar("_Word", bound=StrEnum)


class HidesSecrets(Struct, frozen=True):
    """A value whose repr leaves out the fields that may be secret."""

    _hidden: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields that may be shown, by name."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self._hidden]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class Trust(HidesSecrets, frozen=True):
    """The certificates that are accepted: by default those that this machine trusts.

    ``cacert`` is the path of a PEM file of authorities that are trusted instead of the machine's, and ``authorities``
    is its text, read when the webhook was created. ``insecure`` accepts any certificate, and any host name in it.
    """

    _hidden = ("authorities",)

    cacert: str | None = None
    insecure: bool = False
    authorities: str | None = None


MACHINE = Trust()
"""The authorities that this machine trusts."""


MAX_FIELDS = 64
MAX_FIELD_LENGTH = 4096
MAX_TEMPLATE = 65_536
"""Characters of a text body's template."""
MAX_CONDITIONS = 32
MAX_PLACES = 256
"""How often ``${{name}}`` may be used in the texts of a webhook. A value has up to about 3,000 characters."""
_VARIABLES = str(list(DEFAULT_VARIABLES))
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""The characters of a header's name: RFC 9110, 5.6.2."""
_OURS = frozenset({"content-length", "transfer-encoding", "connection"})
"""Headers that frame the request; another value would break it."""
_CONTROL = r"[\x00-\x1f\x7f]"


class WebhookMethod(StrEnum):
    """How a CDR is sent: POST with a body, or GET with the variables in the query string."""

    POST = "POST"
    GET = "GET"


class DataType(StrEnum):
    """The form of a body: JSON, or free text with variables in it (handbook, "POST запрос", 2026-08-11)."""

    JSON = "json"
    TEXT = "text"


class Values(StrEnum):
    """The values of a flat JSON body."""

    TYPED = "typed"
    """As the event has them: the article prints ``q931_status`` as a number."""
    TEXT = "text"
    """All of them text, as in the handbook's example of a POST."""


class Subscription(HidesSecrets, frozen=True):
    """The settings of a webhook: the URL for an account's CDRs, and their form.

    ``number`` counts the account's subscriptions from 1. There are three bodies:

    - a flat JSON object: the variables of ``body``, in their order, then the ``constants`` ("внутри массива JSON список
      переменных"; handbook, "POST запрос"). ``values`` decides whether its values keep their types. The default.
    - with ``all_variables`` the whole event in its envelope (handbook, "Каталог событий MCN Telecom").
    - with ``data_type`` text the ``template``.

    ``${{name}}`` in the template and in values of constants, query and headers is replaced by a variable. An event is
    sent only if all conditions of ``filter`` hold. With ``ignore_response`` a CDR counts as delivered, whatever its
    endpoint answers ("Игнорирование отключения веб-хуков").

    ``failed_in_a_row`` counts the failed CDRs since the last acknowledged one. ``disabled_at`` is the time at which too
    many of them disabled the webhook, in seconds since the epoch; None if it is enabled, or was disabled manually.
    ``trust`` has the certificates that an https endpoint may have.

    Raises UsageError, naming the argument, for a URL that is not http or https, an unknown variable, a header that
    cannot be sent, and for too many or too long fields; Conflict for settings that contradict one another.
    """

    _hidden = ("headers",)

    url: str
    body: tuple[str, ...] = DEFAULT_VARIABLES
    method: WebhookMethod = WebhookMethod.POST
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, CdrValue] = field(default_factory=dict)
    retry: bool = True
    all_variables: bool = False
    data_type: DataType = DataType.JSON
    template: str | None = None
    values: Values = Values.TYPED
    ignore_response: bool = False
    filter: tuple[Condition, ...] = ()
    trust: Trust = MACHINE
    number: int = 0
    enabled: bool = True
    failed_in_a_row: int = 0
    disabled_at: float | None = None

    def why_disabled(self) -> Reason:
        """Return why no CDR is sent to it. It is disabled."""
        if self.disabled_at is None:
            return Reason("cdr_disabled", {"n": self.number})
        since = datetime.fromtimestamp(self.disabled_at, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
        return Reason("cdr_disabled_since", {"n": self.number, "since": since, "failed": self.failed_in_a_row})

    def __post_init__(self) -> None:
        check_url(self.url, name="url", example="http://localhost:8000/mcn")
        if len(self.body) > MAX_FIELDS:
            raise UsageError(
                Reason("body_too_long", {"n": len(self.body), "most": MAX_FIELDS, "example": _VARIABLES}), "body"
            )
        for variable in self.body:
            check_variable(variable, name="body")
        for name, value in _fields("headers", self.headers, str).items():
            if name.lower() in _OURS:
                raise UsageError(Reason("header_ours", {"header": name}), "headers")
            if not re.fullmatch(_HEADER_NAME, name) or not isinstance(value, str) or re.search(_CONTROL, value):
                raise UsageError(
                    Reason("header_invalid", {"header": repr(header_name(name))}),
                    "headers",
                )
        _fields("query", self.query, str)
        _fields("constants", self.constants)
        self._check_form()
        texts = [self.template, *self.constants.values(), *self.query.values(), *self.headers.values()]
        places = sum(len(variables_in(text)) for text in texts if isinstance(text, str))
        if places > MAX_PLACES:
            raise UsageError(Reason("too_many_places", {"n": places, "most": MAX_PLACES}))
        if len(self.filter) > MAX_CONDITIONS:
            raise UsageError(Reason("conditions_too_many", {"n": len(self.filter), "most": MAX_CONDITIONS}), "filter")

    def _check_form(self) -> None:
        """Raise Conflict if the settings of the body contradict one another, UsageError for an invalid template."""
        is_text = self.data_type is DataType.TEXT
        if is_text != (self.template is not None):
            raise Conflict(
                Reason("template_missing") if is_text else Reason("template_not_text"),
                "template",
            )
        if self.template is not None:
            if len(self.template) > MAX_TEMPLATE or not is_encodable(self.template):
                raise UsageError(Reason("template_too_long", {"most": MAX_TEMPLATE}), "template")
            check_template(self.template, name="template")
        if is_text and self.all_variables:
            raise Conflict(Reason("all_variables_text"), "all_variables")
        if self.method is WebhookMethod.GET and (is_text or self.all_variables):
            what = 'data_type = "text"' if is_text else "all_variables"
            raise Conflict(Reason("get_no_body", {"setting": what}), "method")
        if is_text or self.all_variables:
            if self.values is Values.TEXT:
                raise Conflict(Reason("values_flat"), "values")
            if self.constants:
                raise Conflict(Reason("constants_flat"), "constants")


def make_subscription(
    url: str,
    *,
    body: Sequence[str] | None = None,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    constants: Mapping[str, CdrValue] | None = None,
    retry: bool = True,
    all_variables: bool = False,
    data_type: str = "json",
    template: str | None = None,
    values: str = "typed",
    ignore_response: bool = False,
    filter: Sequence[Condition | Mapping[str, Any]] = (),  # noqa: A002 - the name of the vendor's setting
    trust: Trust = MACHINE,
) -> Subscription:
    """Return a checked subscription from a tester's settings; see Subscription for their meaning and the errors."""
    known_method = _word("method", str(method).upper(), WebhookMethod)
    known_type, known_values = _word("data_type", data_type, DataType), _word("values", values, Values)
    variables = DEFAULT_VARIABLES if body is None else tuple(check_list(body, name="body", example=_VARIABLES))
    for name, fields in (("headers", headers), ("query", query), ("constants", constants)):
        if fields is not None:
            check_mapping(fields, name=name, example='{"X-Secret": "s3cret"}')
    for name, switch in (("retry", retry), ("all_variables", all_variables), ("ignore_response", ignore_response)):
        check_bool(switch, name=name)
    if template is not None:
        check_text(template, name="template", example="call ${{verification_call_uuid}}")
    conditions = check_list(filter, name="filter", example=f"[{CONDITION_EXAMPLE}]")
    return Subscription(
        url=url,
        body=variables,
        method=known_method,
        headers=dict(headers or {}),
        query=dict(query or {}),
        constants=dict(constants or {}),
        retry=retry,
        all_variables=all_variables,
        data_type=known_type,
        template=template,
        values=known_values,
        ignore_response=ignore_response,
        filter=tuple(make_condition(condition) for condition in conditions),
        trust=trust,
    )


def _word(name: str, given: object, known: type[_Word]) -> _Word:
    try:
        return known(str(given))
    except ValueError:
        raise UsageError(
            Reason("word", {"name": name, "value": show(given), "words": " or ".join(known)}), name
        ) from None


def header_name(text: str) -> str:
    """Return the beginning of a text that can be a header's name; the rest may be a value, and secret."""
    match = re.match(_HEADER_NAME, text)
    return match[0][:40] if match else ""


def _fields(name: str, fields: Mapping[str, Any], *kinds: type) -> Mapping[str, Any]:
    """Return the fields, after a check. ``kinds`` are the types that a value may have: by default text, numbers and
    booleans.
    """
    if len(fields) > MAX_FIELDS:
        raise UsageError(Reason("fields_too_many", {"name": name, "n": len(fields), "most": MAX_FIELDS}), name)
    for key, value in fields.items():
        shown = header_name(str(key)) if name == "headers" else str(key)[:40]
        if not isinstance(key, str) or not isinstance(value, kinds or (str, int, bool)):
            code = "field_not_text" if kinds else "field_not_plain"
            raise UsageError(Reason(code, {"name": name, "key": repr(shown)}), name)
        check_no_variable(key, name=name)
        if isinstance(value, str):
            check_template(value, name=name)
        if not is_short(key, MAX_FIELD_LENGTH) or not is_short(value, MAX_FIELD_LENGTH):
            raise UsageError(
                Reason("field_too_long", {"name": name, "key": repr(shown), "most": MAX_FIELD_LENGTH}), name
            )
        if not is_encodable(f"{key}{value}"):
            raise UsageError(Reason("field_surrogate", {"name": name, "key": repr(shown)}), name)
    return fields


_Address = IPv4Address | IPv6Address
_HOST = r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NUMERIC = r"[0-9.]+|0x[0-9a-f.x]+|.*:.*"
"""Texts that an operating system may treat as an address, also in an unusual form: 127.1, 2130706433, 0x7f.1."""
MAX_TARGETS = 1_000
TARGET_FORM: Final = "a network such as '127.0.0.0/8', a host such as 'app.test', or a pattern such as '*.example.test'"


class Targets(Struct, frozen=True):
    """The allowed targets of webhooks: addresses in ``networks``, and ``hosts`` by name, whatever they resolve to.

    A host that begins with ``*.`` matches every subdomain of the rest. An IPv4 address in IPv6 form counts as the IPv4
    address.
    """

    networks: tuple[IPv4Network | IPv6Network, ...]
    hosts: frozenset[str]

    def allows_address(self, address: str) -> bool:
        """Return whether the address is in one of the networks. A text that is not an address is in none."""
        try:
            parsed = _plain(ip_address(address))
        except ValueError:
            return False
        return any(parsed in network for network in self.networks if network.version == parsed.version)

    def allows_name(self, host: str) -> bool:
        """Return whether the host is allowed by its name, so that its addresses need not be checked."""
        name = host.lower().removesuffix(".")
        labels = name.split(".")
        return name in self.hosts or any(f"*.{'.'.join(labels[i:])}" in self.hosts for i in range(1, len(labels)))

    def check(self, url: str) -> None:
        """Raise UsageError for a URL that can never be allowed. A name is checked again when it is resolved."""
        host = urlsplit(url).hostname or ""
        if self.allows_name(host) or self.allows_address(host):
            return
        if is_literal(host) or not self.networks:
            raise UsageError(Reason("target", {"host": host[:80], "targets": str(self)}), "url")

    def __str__(self) -> str:
        listed = [*map(str, self.networks), *sorted(self.hosts)]
        return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "") or "none"


def make_targets(items: Sequence[str]) -> Targets:
    """Return targets from a tester's list; raise UsageError for an item that is neither a network nor a host."""
    if isinstance(items, str) or len(items) > MAX_TARGETS:
        raise UsageError(f"invalid webhook_targets: use a list of at most {MAX_TARGETS} items, each {TARGET_FORM}")
    networks: list[IPv4Network | IPv6Network] = []
    hosts: set[str] = set()
    for item in items:
        text = str(item).strip().lower()
        try:
            networks.append(ip_network(text.strip("[]")))
        except ValueError as error:
            is_numeric = re.fullmatch(_NUMERIC, text.partition("/")[0]) is not None and "@" not in text
            if is_numeric or not re.fullmatch(_HOST, text) or len(text) > 253:
                why = f" ({error})" if is_numeric and "/" in text else ""
                raise UsageError(f"webhook_targets: {shown_url(str(item), 80)!r} is not {TARGET_FORM}{why}") from None
            hosts.add(text)
    return Targets(tuple(networks), frozenset(hosts))


def is_address(host: str) -> bool:
    """Return whether the host is an IPv4 or IPv6 address in its usual form."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_literal(host: str) -> bool:
    """Return whether the host of a URL is an address in any form, which needs no resolver."""
    return re.fullmatch(_NUMERIC, host.lower()) is not None


def _plain(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
