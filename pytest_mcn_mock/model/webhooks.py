"""Webhooks: an account's subscriptions to the event "Flash call", the certificates that an https endpoint may have, and
the targets that a server allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, ClassVar
from urllib.parse import urlsplit

from msgspec import Struct, field

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.calls import DEFAULT_VARIABLES, VARIABLES
from pytest_mcn_mock.model.checks import check_bool, check_list, check_mapping, check_url
from pytest_mcn_mock.text import is_encodable, shown_url


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

    ``cacert`` is the path of a PEM file of authorities that are trusted in place of the machine's, and ``authorities``
    is its text, read when the webhook was made. ``insecure`` accepts any certificate, and any host name in it.
    """

    _hidden = ("authorities",)

    cacert: str | None = None
    insecure: bool = False
    authorities: str | None = None


MACHINE = Trust()
"""The authorities that this machine trusts."""


MAX_FIELDS = 64
MAX_FIELD_LENGTH = 4096
_VARIABLES = str(list(DEFAULT_VARIABLES))
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""RFC 9110, 5.6.2: what a header's name is made of."""
_OURS = frozenset({"content-length", "transfer-encoding", "connection"})
"""Headers that frame the request; another value would break it."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class WebhookMethod(StrEnum):
    """How a CDR is sent: POST with a JSON body, or GET with the variables in the query string."""

    POST = "POST"
    GET = "GET"


class Subscription(HidesSecrets, frozen=True):
    """Where an account's CDRs go and what is in them.

    ``number`` counts the account's subscriptions from 1. ``body`` is the list of variables ("внутри массива JSON список
    переменных"), rendered as one JSON object. ``failed_in_a_row`` counts CDRs that failed since the last one
    that was acknowledged. ``disabled_at`` is when too many of them disabled it, in seconds since the epoch; None while
    it is enabled, and when a person disabled it. ``trust`` says which certificates an https endpoint may have.

    Raises UsageError, naming the argument, for a URL that is not http or https, an unknown variable, a header that
    cannot be sent, and for too many or too long fields.
    """

    _hidden = ("headers",)

    url: str
    body: tuple[str, ...] = DEFAULT_VARIABLES
    method: WebhookMethod = WebhookMethod.POST
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str | int | bool] = field(default_factory=dict)
    retry: bool = True
    never_disable: bool = False
    trust: Trust = MACHINE
    number: int = 0
    enabled: bool = True
    failed_in_a_row: int = 0
    disabled_at: float | None = None

    @property
    def why_disabled(self) -> str:
        """Why no CDR is sent to it: a sentence for people; empty while it is enabled."""
        if self.enabled:
            return ""
        if self.disabled_at is None:
            return f"webhook {self.number} is disabled: no CDR is sent to it"
        since = datetime.fromtimestamp(self.disabled_at, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
        return (
            f"webhook {self.number} is disabled since {since} UTC, after {self.failed_in_a_row} CDRs in a row failed: "
            "no CDR is sent to it until it is enabled again"
        )

    def __post_init__(self) -> None:
        check_url(self.url, name="url", example="http://localhost:8000/mcn")
        _check_body(self.body)
        for name, value in _fields("headers", self.headers, str).items():
            if name.lower() in _OURS:
                raise UsageError(f"headers: {name} frames the request, and is not for a subscription to set")
            if not _HEADER_NAME.fullmatch(name) or not isinstance(value, str) or _CONTROL.search(value):
                raise UsageError(
                    f"headers: {header_name(name)!r} cannot be sent; a name is a token and a value one line of text"
                )
        _fields("query", self.query, str)
        _fields("constants", self.constants)


def make_subscription(
    url: str,
    *,
    body: Sequence[str] | None = None,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    constants: Mapping[str, str | int | bool] | None = None,
    retry: bool = True,
    never_disable: bool = False,
    trust: Trust = MACHINE,
) -> Subscription:
    """Return a checked subscription from a tester's settings; see Subscription for their meaning and the errors."""
    try:
        known_method = WebhookMethod(str(method).upper())
    except ValueError:
        raise UsageError(f"method {str(method)[:40]!r} is not supported; a webhook is sent by POST or GET") from None
    variables = DEFAULT_VARIABLES if body is None else tuple(check_list(body, name="body", example=_VARIABLES))
    for name, fields in (("headers", headers), ("query", query), ("constants", constants)):
        if fields is not None:
            check_mapping(fields, name=name, example='{"X-Secret": "s3cret"}')
    for name, switch in (("retry", retry), ("never_disable", never_disable)):
        check_bool(switch, name=name)
    return Subscription(
        url=url,
        body=variables,
        method=known_method,
        headers=dict(headers or {}),
        query=dict(query or {}),
        constants=dict(constants or {}),
        retry=retry,
        never_disable=never_disable,
        trust=trust,
    )


def header_name(text: str) -> str:
    """Return the beginning of a text that can be a header's name; the rest may be a value, and secret."""
    match = _HEADER_NAME.match(text)
    return match[0][:40] if match else ""


def _check_body(body: Sequence[str]) -> None:
    if len(body) > MAX_FIELDS:
        raise UsageError(f"body is a list of at most {MAX_FIELDS} variables, such as {list(DEFAULT_VARIABLES)}")
    for variable in body:
        if not isinstance(variable, str) or variable not in VARIABLES:
            raise UsageError(
                f"body: variable {str(variable)[:40]!r} is unknown; {nearest(str(variable), list(VARIABLES))}"
            )


def _fields(name: str, fields: Mapping[str, object], *kinds: type) -> Mapping[str, object]:
    """The fields, their values of these kinds: text, numbers and booleans if none is given."""
    if len(fields) > MAX_FIELDS:
        raise UsageError(f"{name} has {len(fields)} fields; at most {MAX_FIELDS}")
    for key, value in fields.items():
        shown = header_name(str(key)) if name == "headers" else str(key)[:40]
        if not isinstance(key, str) or not isinstance(value, kinds or (str, int, bool)):
            right = "text" if kinds else "a text, a whole number or a boolean"
            raise UsageError(f"{name}: {shown!r} must be text with {right} for its value")
        if len(key) > MAX_FIELD_LENGTH or len(str(value)) > MAX_FIELD_LENGTH:
            raise UsageError(f"{name}: {shown!r} is too long; at most {MAX_FIELD_LENGTH} characters")
        if not is_encodable(f"{key}{value}"):
            raise UsageError(f"{name}: {shown!r} cannot be sent; it has a lone surrogate, which is not a character")
    return fields


_Address = IPv4Address | IPv6Address
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9.]+|0x[0-9a-f.x]+|.*:.*", re.ASCII)
"""What an operating system may take for an address, though it is none in the usual form: 127.1, 2130706433, 0x7f.1."""
MAX_TARGETS = 1_000
FORM = "a network such as '127.0.0.0/8', a host such as 'app.test', or a pattern such as '*.example.test'"


class Targets(Struct, frozen=True):
    """Where webhooks may be: addresses in ``networks``, and ``hosts`` by their names, whatever they resolve to.

    A host that begins with ``*.`` stands for every name under the rest. An IPv4 address that is written as an IPv6 one
    counts as the IPv4 address that it is.
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
        """Raise UsageError for a URL that can never be allowed. A name is looked at again when it is resolved."""
        host = urlsplit(url).hostname or ""
        if self.allows_name(host) or self.allows_address(host):
            return
        if is_literal(host) or not self.networks:
            raise UsageError(f"url: {host[:80]} is not among the webhook_targets, which are {self}")

    def __str__(self) -> str:
        listed = [*map(str, self.networks), *sorted(self.hosts)]
        return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "") or "none"


def make_targets(items: Sequence[str]) -> Targets:
    """Return targets from a tester's list; raise UsageError for an item that is neither a network nor a host."""
    if isinstance(items, str) or len(items) > MAX_TARGETS:
        raise UsageError(f"webhook_targets is a list of at most {MAX_TARGETS}, each {FORM}")
    networks: list[IPv4Network | IPv6Network] = []
    hosts: set[str] = set()
    for item in items:
        text = str(item).strip().lower()
        try:
            networks.append(ip_network(text.strip("[]")))
        except ValueError as error:
            is_numeric = _NUMERIC.fullmatch(text.partition("/")[0]) is not None and "@" not in text
            if is_numeric or not _HOST.fullmatch(text) or len(text) > 253:
                why = f" ({error})" if is_numeric and "/" in text else ""
                raise UsageError(f"webhook_targets: {shown_url(str(item), 80)!r} is not {FORM}{why}") from None
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
    """Return whether the host of a URL is an address, in a usual form or not, so that no resolver is asked."""
    return _NUMERIC.fullmatch(host.lower()) is not None


def _plain(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
