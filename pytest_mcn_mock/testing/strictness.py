"""What went wrong on an account although the test did not say so: what a strict test fails by."""

from __future__ import annotations

from pytest_mcn_mock.errors import RefusalCode, UsageError, nearest
from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.requests import ApiRequest, Level
from pytest_mcn_mock.testing.access import Access
from pytest_mcn_mock.testing.applications import RAISED
from pytest_mcn_mock.testing.calling import LEFT
from pytest_mcn_mock.testing.handle import Handle
from pytest_mcn_mock.testing.views import Delivery

_STATE = {DeliveryState.FAILED: "failed", DeliveryState.PENDING: "not acknowledged"}


class Strictness(Handle):
    """What a test expects to go wrong, and what went wrong besides."""

    def __init__(self, opened: accounts.Account, access: Access) -> None:
        super().__init__(opened, access)
        self._expected_refusals: set[RefusalCode] = set()
        self._expects_undelivered = False
        self._fidelity = Level.ASSUMED

    def require_fidelity(self, level: str) -> None:
        """The application may rely on what is ``documented``, on what was ``observed`` too, or on all that is
        ``assumed``: what a request uses beyond that is a mistake.
        """
        try:
            self._fidelity = Level(str(level))
        except ValueError:
            raise UsageError(f"fidelity {str(level)[:40]!r} is unknown; {nearest(str(level), list(Level))}") from None

    def expect_refusal(self, code: RefusalCode | str) -> None:
        """The test provokes refusals with this code: they do not fail it, and their absence does."""
        try:
            self._expected_refusals.add(RefusalCode(str(code)))
        except ValueError:
            raise UsageError(f"code {str(code)[:40]!r} is unknown; {nearest(str(code), list(RefusalCode))}") from None

    def expect_undelivered(self) -> None:
        """The test lets CDRs go unacknowledged: those that were tried in vain, or failed, do not fail it."""
        self._expects_undelivered = True

    def mistakes(self) -> list[str]:
        """What went wrong on the account or on the server and was not expected, a line each."""
        wrong = [request for request in self._heard() if request.refusal is not None]
        lines = [f"refused: {request}" for request in wrong if not self._is_expected(request)]
        refused = {request.refusal.code for request in wrong if request.refusal is not None}
        lines += [f"expected a refusal {code}, got none" for code in sorted(self._expected_refusals - refused)]
        if not self._expects_undelivered:
            lines += [f"{_STATE[d.state]}: {d!r}" for d in self.deliveries if _is_unacknowledged(d)]
        return lines + self._below_fidelity()

    def _below_fidelity(self) -> list[str]:
        """Each thing once that requests relied on and may not."""
        lines = [
            f"relied on: {request.method} …/{request.path.rstrip('/').rpartition('/')[2]}: {use}"
            for request in self.requests
            for use in request.undocumented
            if not self._fidelity.allows(use.level)
        ]
        return list(dict.fromkeys(lines))

    def _is_expected(self, request: ApiRequest) -> bool:
        return not request.is_mistake or (
            request.refusal is not None and request.refusal.code in self._expected_refusals
        )


def _is_unacknowledged(delivery: Delivery) -> bool:
    """Whether the webhook has not taken the CDR: it failed, or its last attempt failed.

    Not if a fault altered it, which is a scenario, if the test left the event loop of its application, or if the
    application raised, which is reported as such.
    """
    if delivery.note or delivery.state is DeliveryState.DELIVERED:
        return False
    if not delivery.attempts:
        return delivery.state is DeliveryState.FAILED
    error = delivery.attempts[-1].error or ""
    return error != LEFT and not error.startswith(RAISED)
