"""The application under werkzeug's request and response: for pytest-httpserver."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from pytest_mcn_mock.web.application import ADMIN_PATH, BASE_PATH, Application
from pytest_mcn_mock.web.http import MAX_BODY, Closing, Request, Response, Spoilt


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
    if response.ready is not None:
        response.ready.result()
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    return WerkzeugResponse(_sent(response, request.environ), status=response.status, headers=headers)


def _sent(response: Response, environ: Mapping[str, Any]) -> Iterator[bytes]:
    """The body, as the fault has it. ``after`` follows when the server comes back for more: it has written it then."""
    try:
        if response.spoilt is None:
            yield response.body
        else:
            yield from _spoilt(response.body, response.spoilt, environ)
    finally:
        if response.after is not None:
            response.after()


def _spoilt(body: bytes, spoilt: Spoilt, environ: Mapping[str, Any]) -> Iterator[bytes]:
    time.sleep(spoilt.delay_s)  # the fault itself: nothing happens that could be waited for
    if spoilt.closing is Closing.RESET:
        _reset(environ["werkzeug.socket"])
        raise ConnectionAbortedError("the connection is reset by a fault")
    if spoilt.closing is Closing.CUT_OFF:
        yield body[: len(body) // 2]
    elif spoilt.drip_s:
        for byte in body:
            yield bytes((byte,))
            time.sleep(spoilt.drip_s / len(body))
    else:
        yield body


def _reset(connection: socket.socket) -> None:
    """Reset the connection, and leave the server a descriptor that it can go on to close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ours, stand_in = socket.socketpair()
    with ours, stand_in:
        # The connection's last descriptor goes with this, and with nothing to linger for that sends a reset.
        os.dup2(stand_in.fileno(), connection.fileno())
