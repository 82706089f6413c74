"""The application under werkzeug's request and response: for pytest-httpserver."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from pytest_mcn_mock.testing.door import Door
from pytest_mcn_mock.web.application import BASE_PATH, Application, one_slash
from pytest_mcn_mock.web.guard import ADMIN_PATH
from pytest_mcn_mock.web.http import (
    KEEP_ALIVE,
    KEEP_ALIVE_S,
    LINGER_FORM,
    Closing,
    Response,
    ResponseFault,
    Stream,
)
from pytest_mcn_mock.web.reader import Unreadable

READ: Final = "mcn_mock.request"
"""Where a WSGI environment has the Request, or the Unreadable, that the server has read."""


def is_own_path(path: str) -> bool:
    """Whether the path belongs to the application, whether it has such a route or not."""
    return one_slash(path).startswith((f"{BASE_PATH}/", f"{ADMIN_PATH}/"))


def refuse_unread(application: Application, unread: Unreadable) -> WerkzeugResponse:
    """The application's answer to a request that could not be read."""
    response = application.refuse_unread(unread.status, unread.why)
    return WerkzeugResponse(response.body, status=response.status, headers=response.headers)


def answer(application: Application, request: WerkzeugRequest, door: Door) -> WerkzeugResponse:
    """The application's answer to a request that its server has read."""
    flow = application.serve(request.environ[READ])
    response = door.answer(flow)
    after = ExitStack()
    after.callback(door.finish, flow)
    if response.stream is not None:
        stream = response.stream
        after.callback(lambda: door.run(_close(stream)))
        streamed = WerkzeugResponse(_streamed(stream, after, door), status=response.status, headers=response.headers)
        streamed.call_on_close(after.close)
        return streamed
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    answered = WerkzeugResponse(_sent(response, request.environ, after), status=response.status, headers=headers)
    answered.call_on_close(after.close)  # to HEAD, and with 204, no body is sent, and _sent is never begun
    return answered


def _sent(response: Response, environ: Mapping[str, Any], after: ExitStack) -> Iterator[bytes]:
    """The body, as the fault has it. ``after`` follows when the server comes back for more: it has written it then."""
    with after:
        if response.fault is None:
            yield response.body
        else:
            yield from _faulty_body(response.body, response.fault, environ)


async def _close(stream: Stream) -> None:
    stream.close()


def _streamed(stream: Stream, after: ExitStack, door: Door) -> Iterator[bytes]:
    changed = threading.Event()
    stream.wake_by(changed.set)
    with after:
        while not stream.has_ended:
            changed.clear()
            yield door.run(stream.take()) or KEEP_ALIVE
            changed.wait(KEEP_ALIVE_S)


def _faulty_body(body: bytes, fault: ResponseFault, environ: Mapping[str, Any]) -> Iterator[bytes]:
    time.sleep(fault.delay_s)  # the fault itself: nothing happens that could be waited for
    if fault.closing is Closing.RESET:
        _reset(environ["werkzeug.socket"])
        raise ConnectionAbortedError("the connection is reset by a fault")
    if fault.closing is Closing.CUT_OFF:
        yield body[: len(body) // 2]
    elif fault.drip_s:
        for byte in body:
            yield bytes((byte,))
            time.sleep(fault.drip_s / len(body))
    else:
        yield body


def _reset(connection: socket.socket) -> None:
    """Reset the connection, and leave the server a descriptor that it can go on to close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER_FORM, 1, 0))
    ours, stand_in = socket.socketpair()
    with ours, stand_in:
        # The connection's last descriptor goes with this, and with nothing to linger for that sends a reset.
        os.dup2(stand_in.fileno(), connection.fileno())
