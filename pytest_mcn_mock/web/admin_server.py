"""The admin API of the server itself: its time, its events, and the way back to where it began."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pytest_mcn_mock.errors import Conflict, Refusal, RefusalCode
from pytest_mcn_mock.model.checks import MAX_DELAY_S, check_seconds
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.web import admin_input as given
from pytest_mcn_mock.web.admin_views import show_time
from pytest_mcn_mock.web.feed import Feed
from pytest_mcn_mock.web.http import Endpoints, Request, Response, json_response

MAX_ADVANCE_S = 365 * MAX_DELAY_S
LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""No time is put further, so that whatever falls due later still has a date (at most the year 9999)."""
_EVENT_STREAM: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""The last one is for nginx: it passes each event on as it happens."""


class ServerApi:
    """What is of no account."""

    def __init__(self, service: Service, feed: Feed) -> None:
        self._service = service
        self._feed = feed

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        return {
            ("POST", "clock/advance"): self.advance,
            ("POST", "reset"): self.reset,
            ("GET", "events"): self.events,
        }

    async def advance(self, request: Request) -> Response:
        """Put the time forward for every account; answered when all that fell due has been tried.

        A call whose client has its answer is among that, though the server may not have heard yet that it was sent.
        """
        asked = given.read_object(request, {"seconds": (int, float)})
        if "seconds" not in asked:
            raise Refusal(RefusalCode.MISSING_PARAMETER, "seconds is required", "seconds")
        seconds = check_seconds(asked["seconds"], name="seconds", most=MAX_ADVANCE_S)
        clock = self._service.clock
        if clock.now(None) + seconds > LATEST:
            raise Conflict(f"seconds is {seconds:g}, which leads beyond the year 8999; advance by less")
        now = clock.now(None) + (seconds if clock.is_shared else 0)
        await self._service.advance(seconds)
        return json_response(200, {"now": show_time(now)})

    async def reset(self, request: Request) -> Response:
        """Go back to the configured state."""
        given.read_object(request, {})
        await self._service.reset()
        return json_response(200, {"status": "ok"})

    async def events(self, request: Request) -> Response:
        """What changes from now on, as it changes: server-sent events."""
        parameters = given.read_list_parameters(request, ("account_id",))
        account_id = parameters.get("account_id")
        if account_id is not None:
            await self._service.accounts.get(account_id)
        stream = self._feed.listen(account_id)
        return Response(200, b"", _EVENT_STREAM, stream=stream)
