"""Calls an application object, WSGI or ASGI: here, on another thread's event loop, or on the test's own thread."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Response

from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.real_time import monotonic

Application = Callable[..., Any]
Answer = CdrResponse | BaseException
"""An application's answer, or what it raised: as an exception of a future, asyncio would make another of some."""
LEFT = "the application's event loop has stopped: its test ended before the CDR came"
"""Why an attempt got no answer, where that is nobody's mistake."""
HOST = "testserver"
"""The Host of requests: that of Django's and Starlette's test clients, the only one Django allows in tests."""


def is_asgi(application: object) -> bool:
    """Whether an application is called as a coroutine; anything else is WSGI."""
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(
        getattr(application, "__call__", None)  # noqa: B004 - the method itself is looked at, not whether it is there
    )


def call_wsgi(application: Application, request: CdrRequest) -> CdrResponse:
    """The answer of a WSGI application, called on this thread; what it raises comes out."""
    parts = urlsplit(request.url)
    builder = EnvironBuilder(
        path=parts.path or "/",
        base_url=f"http://{_host(request)}",
        query_string=parts.query,
        method=request.method,
        headers=[(name, value) for name, value in request.headers.items() if name.lower() != "host"],
        data=request.body,
    )
    with Client(application, Response).open(builder) as response:
        return CdrResponse(response.status_code, dict(response.headers), response.get_data())


async def call_asgi(application: Application, request: CdrRequest) -> CdrResponse:
    """The answer of an ASGI application, called on this event loop; what it raises comes out."""
    parts = urlsplit(request.url)
    own = {name.lower(): value for name, value in request.headers.items()}
    headers = {"host": HOST, "content-length": str(len(request.body)), **own}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(parts.path) or "/",
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (HOST, 80),
    }
    answer: list[MutableMapping[str, Any]] = []
    unread = [request.body]

    async def receive() -> MutableMapping[str, Any]:
        if not unread:
            await asyncio.Event().wait()  # who asks further waits for a disconnection, which never comes
        return {"type": "http.request", "body": unread.pop(), "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    await application(scope, receive, send)
    start = next((message for message in answer if message["type"] == "http.response.start"), None)
    if start is None:
        raise SendError("the application ended without an answer")
    body = b"".join(message.get("body", b"") for message in answer if message["type"] == "http.response.body")
    answered = {name.decode("latin-1"): value.decode("latin-1") for name, value in start.get("headers", ())}
    return CdrResponse(start["status"], answered, body)


def _host(request: CdrRequest) -> str:
    """Return the Host that the subscription's headers ask for, or HOST."""
    return next((value for name, value in request.headers.items() if name.lower() == "host"), HOST)


def uses_asgiref(application: object, depth: int = 2) -> bool:
    """Whether an ASGI application is Django's, or wraps one: asgiref calls its synchronous parts."""
    if any(owner.__module__.partition(".")[0] in ("django", "channels") for owner in type(application).__mro__):
        return True
    parts: list[object] = []
    if inspect.isfunction(application):
        with suppress(ValueError):  # a variable that has no value yet
            names = inspect.getclosurevars(application)
            parts = [*names.nonlocals.values(), *names.globals.values()]
    elif not inspect.isclass(application):
        parts = list(getattr(application, "__dict__", {}).values())
    return depth > 0 and any(uses_asgiref(part, depth - 1) for part in parts if callable(part))


@contextmanager
def _connections_kept() -> Iterator[None]:
    """Keep Django from closing this thread's database connections after a request, as its own test client does.

    It would end the test's transaction with them.
    """
    if "django.db" not in sys.modules:
        yield
        return
    from django.core.signals import request_finished, request_started  # noqa: PLC0415 - the application has imported it
    from django.db import close_old_connections  # noqa: PLC0415 - as above

    signals = [signal for signal in (request_started, request_finished) if signal.disconnect(close_old_connections)]
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


class CallOnThread:
    """A request to an application that is called on the test's own thread; a job of its inbox.

    ``runner`` is the event loop of an ASGI application on that thread, and None for a WSGI one.
    """

    def __init__(
        self,
        application: Application,
        request: CdrRequest,
        timeout_s: float,
        runner: asyncio.Runner | None,
        *,
        by_asgiref: bool,
    ) -> None:
        self.answer: Future[Answer] = Future()
        self._application = application
        self._request = request
        self._timeout_s = timeout_s
        self._runner = runner
        self._by_asgiref = by_asgiref

    def cancel(self) -> object:
        """Implements ``changes.Job``."""
        return self.answer.cancel()

    def run(self) -> None:
        """Implements ``changes.Job``."""
        if not self.answer.set_running_or_notify_cancel():
            return
        if self._runner is not None and _is_on_a_loop():
            task = asyncio.get_running_loop().create_task(self._call_asgi())
            task.add_done_callback(self._end)
            return
        began = monotonic()
        try:
            with _connections_kept():
                response = self._call()
        except BaseException as error:
            self.answer.set_result(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            if monotonic() - began > self._timeout_s:  # too late is as good as never
                self.answer.set_result(SendError(f"no answer within {self._timeout_s:g} s"))
            else:
                self.answer.set_result(response)

    def _call(self) -> CdrResponse:
        if self._runner is None:
            return call_wsgi(self._application, self._request)
        if self._by_asgiref:
            # Django's database connections belong to threads, and asgiref calls what is synchronous on this one.
            from asgiref.sync import async_to_sync  # noqa: PLC0415 - Django brings it along

            response: CdrResponse = async_to_sync(call_asgi)(self._application, self._request)
            return response
        return self._runner.run(self._call_asgi())

    async def _call_asgi(self) -> CdrResponse:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await call_asgi(self._application, self._request)
        except TimeoutError:
            if limit.expired():
                raise SendError(f"no answer within {self._timeout_s:g} s") from None
            raise

    def _end(self, task: asyncio.Task[CdrResponse]) -> None:
        if task.cancelled():
            self.answer.set_result(SendError(LEFT))
        elif (error := task.exception()) is not None:
            self.answer.set_result(error)
        else:
            self.answer.set_result(task.result())


class Visit:
    """A request to an ASGI application on another thread's event loop, which may stop or be closed at any moment.

    ``asyncio.run_coroutine_threadsafe`` takes a coroutine that is there already, and one that its loop never comes to
    is warned of in the user's test. Here it is made when the loop comes to it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, application: Application, request: CdrRequest) -> None:
        self.answer: Future[Answer] = Future()
        """To cancel it is to cancel the application."""
        self._loop = loop
        self._application = application
        self._request = request
        if not self._tell(self._begin):
            raise SendError(LEFT)

    def _begin(self) -> None:
        if self.answer.cancelled():
            return
        coroutine = call_asgi(self._application, self._request)
        task = self._loop.create_task(coroutine)
        task.add_done_callback(self._end)
        self.answer.add_done_callback(lambda _: self._leave(coroutine, task))

    def _end(self, task: asyncio.Task[CdrResponse]) -> None:
        if task.cancelled():
            self.answer.cancel()
        if not self.answer.set_running_or_notify_cancel():
            return
        if (error := task.exception()) is not None:
            self.answer.set_result(error)
        else:
            self.answer.set_result(task.result())

    def _leave(self, coroutine: Coroutine[Any, Any, CdrResponse], task: asyncio.Task[CdrResponse]) -> None:
        if not self.answer.cancelled() or self._tell(task.cancel):
            return
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()

    def _tell(self, job: Callable[[], object]) -> bool:
        """Have the loop do something, unless it is closed, as it may be between a look at it and this."""
        try:
            self._loop.call_soon_threadsafe(job)
        except RuntimeError:
            return False
        return True


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
