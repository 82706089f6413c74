"""The application under werkzeug's request and response: for pytest-httpserver."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from pytest_mcn_mock.web.application import ADMIN_PATH, BASE_PATH, Application
from pytest_mcn_mock.web.http import MAX_BODY, Request


def is_own_path(path: str) -> bool:
    """Whether the path belongs to the application, be there a route or not."""
    return path.startswith((f"{BASE_PATH}/", f"{ADMIN_PATH}/"))


def bound_body(request: WerkzeugRequest) -> bool:
    """Read the request's body if it is within MAX_BODY; False if it is larger and was left unread."""
    request.max_content_length = MAX_BODY
    try:
        request.get_data()
    except RequestEntityTooLarge:
        return False
    return True


def answer(application: Application, request: WerkzeugRequest, *, body_read: bool = True) -> WerkzeugResponse:
    """The application's answer to a werkzeug request whose body ``bound_body`` has read, or left."""
    response = application.handle(
        Request(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.get_data() if body_read else None,
        )
    )
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    return WerkzeugResponse(_sent(response.body, response.after), status=response.status, headers=headers)


def _sent(body: bytes, after: Callable[[], None] | None) -> Iterator[bytes]:
    """The body; ``after`` follows when the server comes back for more, which is when it has written it."""
    try:
        yield body
    finally:
        if after is not None:
            after()
