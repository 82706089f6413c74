"""Whether the server is ready."""

from __future__ import annotations

from collections.abc import Callable


class Readiness:
    """Whether new calls are taken, and if not, why not."""

    def __init__(self) -> None:
        self._checks: list[Callable[[], str | None]] = []
        self.is_stopping = False

    def add(self, check: Callable[[], str | None]) -> None:
        """Ask this too; it returns the reason why the server is not ready, or None."""
        self._checks.append(check)

    def reasons(self) -> list[str]:
        """Why the server is not ready; empty while it is."""
        stopping = ["stopping"] if self.is_stopping else []
        return stopping + [reason for check in self._checks if (reason := check()) is not None]
