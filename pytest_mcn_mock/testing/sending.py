"""Delivery into an application object, WSGI or ASGI, with no socket: on a thread of the plugin's, on an event loop, or
on the test's own thread while that waits.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Response

from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.compose import make_http_sender
from pytest_mcn_mock.delivery.worker import Sender
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.flow import on_loop
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import Targets
from pytest_mcn_mock.testing.applications import (
    DOMAIN,
    FORGOTTEN,
    HOST,
    LEFT,
    RAISED,
    Answer,
    Application,
    Applications,
    Subscribed,
    target_of,
)
from pytest_mcn_mock.testing.changes import running_loop
from pytest_mcn_mock.testing.door import Workers
from pytest_mcn_mock.text import printable


class ApplicationSender:
    """Sends into the application of a URL, and over a socket if it has none."""

    def __init__(self, applications: Applications, targets: Targets | None) -> None:
        self._applications = applications
        self._targets = targets
        self._sockets: Sender | None = None
        self._threads = Workers(_call_in_thread, "mcn-mock-wsgi")

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """Return the answer. Raises SendError if none comes in time. An exception of an application is kept for the
        test.
        """
        __tracebackhide__ = True
        subscribed = self._applications.find(request.url)
        if subscribed is None:
            if (urlsplit(request.url).hostname or "").endswith(f".{DOMAIN}"):
                raise SendError(FORGOTTEN)
            if self._sockets is None:
                self._sockets = make_http_sender(self._targets)
            return await self._sockets.send(request, timeout_s)
        await on_loop()
        # The test's thread may come to it in a minute: the time runs from then on.
        limit = asyncio.timeout(timeout_s if subscribed.thread is None else None)
        try:
            async with limit:
                return await self._call(subscribed, request, timeout_s)
        except (SendError, asyncio.CancelledError):
            raise
        except BaseException as error:
            if limit.expired():
                raise SendError(f"no answer within {timeout_s:g} s") from None
            self._applications.errors.append(error)
            self._applications.note(target_of(request.url), request.body, error)
            raise SendError(printable(f"{RAISED} {type(error).__name__}: {error}", 300)) from error

    async def close(self) -> None:
        """Close the kept connections and let the threads end. One whose application hangs is a daemon, and stays."""
        self._threads.stop()
        if self._sockets is not None:
            await self._sockets.close()

    async def _call(self, subscribed: Subscribed, request: CdrRequest, timeout_s: float) -> CdrResponse:
        __tracebackhide__ = True
        if subscribed.thread is not None:
            job = CallOnThread(subscribed, request, timeout_s)
            self._applications.changes.put(subscribed.thread, job)
            return await _answer(job.answer)
        if not subscribed.is_async:
            answered: Future[Answer] = Future()
            self._threads.start(answered, subscribed.application, request)
            return await _answer(answered)
        if subscribed.is_left:
            raise SendError(LEFT)
        loop = subscribed.loop or self._applications.loop.get()
        answer = CallOnLoop(loop, subscribed.application, request).answer
        subscribed.pending.add(answer)
        answer.add_done_callback(subscribed.pending.discard)
        return await _answer(answer)


async def _answer(future: Future[Answer]) -> CdrResponse:
    """Return the answer, or raise the exception in its place. Raise SendError if the call was cancelled."""
    __tracebackhide__ = True
    try:
        answer = await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the worker stops, not the application
        raise SendError(LEFT) from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _call_in_thread(future: Future[Answer], application: Application, request: CdrRequest) -> None:
    if future.set_running_or_notify_cancel():
        try:
            answer: Answer = call_wsgi(application, request)
        except BaseException as error:
            answer = error
        future.set_result(answer)


def call_wsgi(application: Application, request: CdrRequest) -> CdrResponse:
    """Return the answer of a WSGI application, called on this thread. Raises the exceptions of the application."""
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
    """Return the answer of an ASGI application, called on this event loop. Raises the exceptions of the application."""
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
            await asyncio.Event().wait()  # a further call waits for a disconnection, which never comes
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


@contextmanager
def _connections_kept() -> Iterator[None]:
    """Keep Django from closing this thread's database connections after a request, as its own test client does.

    It would end the test's transaction with them.
    """
    if "django.db" not in sys.modules:
        yield
        return
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections

    signals = [signal for signal in (request_started, request_finished) if signal.disconnect(close_old_connections)]
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


class CallOnThread:
    """A request to an application that is called on the test's own thread; a job of that thread."""

    def __init__(self, subscribed: Subscribed, request: CdrRequest, timeout_s: float) -> None:
        self.answer: Future[Answer] = Future()
        self._subscribed = subscribed
        self._request = request
        self._timeout_s = timeout_s

    def cancel(self) -> object:
        """Implements ``changes.Job``."""
        return self.answer.cancel()

    def run(self) -> None:
        """Implements ``changes.Job``."""
        if not self.answer.set_running_or_notify_cancel():
            return
        if self._subscribed.is_async and (loop := running_loop()) is not None:
            task = loop.create_task(self._call_asgi())
            task.add_done_callback(lambda task: self.answer.set_result(_answer_of(task)))
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
        subscribed = self._subscribed
        if not subscribed.is_async:
            return call_wsgi(subscribed.application, self._request)
        if subscribed.uses_asgiref:
            # Django's database connections belong to threads, and asgiref calls what is synchronous on this one.
            from asgiref.sync import async_to_sync

            response: CdrResponse = async_to_sync(call_asgi)(subscribed.application, self._request)
            return response
        return subscribed.runner.run(self._call_asgi())

    async def _call_asgi(self) -> CdrResponse:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await call_asgi(self._subscribed.application, self._request)
        except TimeoutError:
            if limit.expired():
                raise SendError(f"no answer within {self._timeout_s:g} s") from None
            raise


class CallOnLoop:
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
        if not self._post(self._begin):
            raise SendError(LEFT)

    def _begin(self) -> None:
        if self.answer.cancelled():
            return
        coroutine = self._call()
        task = self._loop.create_task(coroutine)
        task.add_done_callback(self._end)
        self.answer.add_done_callback(lambda _: self._leave(coroutine, task))

    async def _call(self) -> Answer:
        # The loop's runner has cancelled every task by now, and is about to close the loop. asyncio warns of an async
        # generator that begins then, such as Starlette's request body; there is no public way to ask.
        if getattr(self._loop, "_asyncgens_shutdown_called", False):
            return SendError(LEFT)
        try:
            return await call_asgi(self._application, self._request)
        except SystemExit as error:  # out of a task it would end the loop, for every application
            return error

    def _end(self, task: asyncio.Task[Answer]) -> None:
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_result(_answer_of(task))

    def _leave(self, coroutine: Coroutine[Any, Any, Answer], task: asyncio.Task[Answer]) -> None:
        if not self.answer.cancelled() or self._post(task.cancel):
            return
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()

    def _post(self, job: Callable[[], object]) -> bool:
        """Have the loop do something, unless it is closed, as it may be between a look at it and this."""
        try:
            self._loop.call_soon_threadsafe(job)
        except RuntimeError:
            return False
        return True


def _answer_of(task: asyncio.Task[Any]) -> Answer:
    return SendError(LEFT) if task.cancelled() else task.exception() or task.result()
