"""When a CDR that was not acknowledged is sent again: a table, decided here and carried out elsewhere."""

from __future__ import annotations

from collections.abc import Sequence


def next_retry(retry_after_s: Sequence[float], failures: int) -> float | None:
    """Seconds until the next attempt, or None when the CDR has failed.

    ``failures`` counts the attempts that failed, so it is 1 after the first. ``retry_after_s`` is the schedule: its
    first item is the wait after the first failure, and there is one attempt more than it has items.
    """
    return retry_after_s[failures - 1] if failures <= len(retry_after_s) else None
