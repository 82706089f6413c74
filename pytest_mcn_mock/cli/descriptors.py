"""How many connections this process can serve with the file descriptors that it may open."""

from __future__ import annotations

import logging
from typing import Final

RESERVE: Final = 1024
"""Descriptors for everything but the clients' connections: CDRs, the state, modules that are imported late."""

_log = logging.getLogger("mcn_mock")


def connections_within_limit(wanted: int) -> int:
    """Return how many of the wanted connections can be served, at least one.

    First raise the soft limit of descriptors, as far as needed and as the hard limit allows. If that is not enough,
    keep a quarter of the descriptors for CDRs and the state, and log that.
    """
    limit = _raise_limit(wanted + RESERVE)
    if limit is None:
        return wanted
    possible = max(1, limit - min(RESERVE, max(32, limit // 4)))
    if possible >= wanted:
        return wanted
    _log.warning(
        "at most %d connections are served at once, not %d: this process may open %d files; raise the hard limit, "
        "ulimit -Hn, to %d",
        possible,
        wanted,
        limit,
        wanted + RESERVE,
    )
    return possible


def _raise_limit(needed: int) -> int | None:
    """Raise the limit of descriptors to ``needed`` if possible. Return the limit, or None if there is none."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None if soft == resource.RLIM_INFINITY else soft
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):  # macOS may allow less than its hard limit says
        return soft
    return raised
