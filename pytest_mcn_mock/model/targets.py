"""Where CDRs may be sent: a list of networks and hosts, or no limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.subscriptions import shown_url

_Address = IPv4Address | IPv6Address
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9.]+|0x[0-9a-f.x]+|.*:.*", re.ASCII)
"""What an operating system may take for an address, though it is none in the usual form: 127.1, 2130706433, 0x7f.1."""
MAX_TARGETS = 1_000
FORM = "a network such as '127.0.0.0/8', a host such as 'app.test', or a pattern such as '*.example.test'"


@dataclass(frozen=True, slots=True)
class Targets:
    """What webhooks may be: addresses in ``networks``, and ``hosts`` by their names, whatever they resolve to.

    A host that begins with ``*.`` stands for every name under the rest. An IPv4 address that is written as an IPv6 one
    counts as the IPv4 address that it is.
    """

    networks: tuple[IPv4Network | IPv6Network, ...]
    hosts: frozenset[str]

    def allows_address(self, address: str) -> bool:
        """Whether the address is in one of the networks. What is no address is in none."""
        try:
            parsed = _plain(ip_address(address))
        except ValueError:
            return False
        return any(parsed in network for network in self.networks if network.version == parsed.version)

    def allows_name(self, host: str) -> bool:
        """Whether the host is allowed by its name, so that its addresses need not be looked at."""
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
    """Targets from what a tester writes; UsageError for an item that is neither a network nor a host."""
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
                raise UsageError(f"webhook_targets: {shown_url(str(item))!r} is not {FORM}{why}") from None
            hosts.add(text)
    return Targets(tuple(networks), frozenset(hosts))


def is_address(host: str) -> bool:
    """Whether the host is an IPv4 or IPv6 address in its usual form."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_literal(host: str) -> bool:
    """Whether the host of a URL is an address, in a usual form or not, so that no resolver is asked."""
    return _NUMERIC.fullmatch(host.lower()) is not None


def _plain(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
