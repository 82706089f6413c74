"""The admin API for whoever operates the server: whether it is alive and ready, what it counts, a browser's session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.web import admin_input as given
from pytest_mcn_mock.web.guard import Guard
from pytest_mcn_mock.web.http import JSON_HEADERS, Endpoints, Request, Response, json_response

Render = Callable[[], Awaitable[tuple[str, bytes]]]
"""The metrics' content type and text."""
_NOT_STORED: Final[Mapping[str, str]] = {**JSON_HEADERS, "Cache-Control": "no-store"}


class OperationsApi:
    """Health, metrics and the page's session."""

    def __init__(self, service: Service, guard: Guard, version: str, render: Render | None) -> None:
        self._service = service
        self._guard = guard
        self._version = version
        self._render = render

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        return {
            ("GET", "health"): self.health,
            ("GET", "health/live"): self.live,
            ("GET", "health/ready"): self.ready,
            ("GET", "metrics"): self.metrics,
            ("POST", "session"): self.open_session,
            ("DELETE", "session"): self.close_session,
        }

    async def health(self, request: Request) -> Response:
        """That the server answers, its version, and whether it is ready."""
        ready = not await self._service.why_not_ready()
        return json_response(200, {"status": "ok", "version": self._version, "ready": ready}, headers=_NOT_STORED)

    async def live(self, request: Request) -> Response:
        """That the server answers."""
        return json_response(200, {"status": "ok"}, headers=_NOT_STORED)

    async def ready(self, request: Request) -> Response:
        """Whether new calls are taken; 503, and why not, while they are not."""
        reasons = await self._service.why_not_ready()
        content = {"status": "unavailable" if reasons else "ok", "ready": not reasons, "reasons": reasons}
        return json_response(503 if reasons else 200, content, headers=_NOT_STORED)

    async def metrics(self, request: Request) -> Response:
        """What the server counts, in Prometheus's text format."""
        if self._render is None:
            raise NotFound(
                "only the sandbox has metrics: pip install 'pytest-mcn-mock[sandbox]', and start it with mcn-mock serve"
            )
        content_type, text = await self._render()
        return Response(200, text, {"Content-Type": content_type, "Cache-Control": "no-store"})

    async def open_session(self, request: Request) -> Response:
        """Give a browser a session, for the admin token."""
        asked = given.read_object(request, {"token": str})
        if "token" not in asked:
            raise Refusal(RefusalCode.MISSING_PARAMETER, "token is required", "token")
        headers = {**_NOT_STORED, **self._guard.open_session(asked["token"])}
        return json_response(200, {"status": "ok"}, headers=headers)

    async def close_session(self, request: Request) -> Response:
        """Take a browser's session away."""
        return json_response(200, {"status": "ok"}, headers={**_NOT_STORED, **self._guard.close_session()})
