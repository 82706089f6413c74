"""Keeps the requests for some hosts from a proxy that the environment names, as in a company's network or in CI."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

OWN_HOSTS: Final = ("127.0.0.1", "localhost")
"""The hosts of the fixtures' servers."""
_NO_PROXY: Final = ("NO_PROXY", "no_proxy")
"""Clients differ in which of the two they read, and read first."""
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy"})

_bypassed: list[str] = []


@contextmanager
def bypassed(hosts: Iterable[str]) -> Iterator[None]:
    """Add the hosts to NO_PROXY if the environment names a proxy, and put it back as it was at the end."""
    hosts = list(hosts)
    _bypassed.extend(hosts)
    try:
        with bypassed_again():
            yield
    finally:
        for host in hosts:
            _bypassed.remove(host)


@contextmanager
def bypassed_again() -> Iterator[None]:
    """Do the same for all hosts that are bypassed now: a fixture may have changed the environment since."""
    # Most values are not looked at: to read them all would take a third of a test's set-up.
    if not any(os.environ.get(name) for name in os.environ if name.lower() in _PROXIES):
        yield
        return
    before = {name: os.environ.get(name) for name in _NO_PROXY}
    try:
        for name, other in (_NO_PROXY, _NO_PROXY[::-1]):
            value = before[name] if before[name] is not None else before[other]
            os.environ[name] = _with(value or "", _bypassed)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _with(listed: str, hosts: Iterable[str]) -> str:
    names = [name for name in re.split(r"[,\s]+", listed) if name]
    if "*" in names:
        return listed
    return ",".join(dict.fromkeys([*names, *hosts]))
