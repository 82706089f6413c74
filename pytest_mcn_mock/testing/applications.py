"""Delivery into an application object, WSGI or ASGI, with no socket: on a thread of the plugin's, on an event loop, or
on the test's own thread while that waits.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Response

from pytest_mcn_mock.clocks import monotonic
from pytest_mcn_mock.compose import make_http_sender
from pytest_mcn_mock.delivery.worker import Sender
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import Targets
from pytest_mcn_mock.testing.changes import Changes, is_asyncio_running
from pytest_mcn_mock.testing.door import LoopThread, RealTimeLoop, Workers
from pytest_mcn_mock.text import printable

Application = Callable[..., Any]
Answer = CdrResponse | BaseException
"""An application's answer, or its exception. (As a future's exception, asyncio would replace some of them.)"""
LEFT = "the application's event loop has stopped: its test ended before the CDR came"
"""Why an attempt got no answer, if that is not a mistake."""
HOST = "testserver"
"""The Host of requests: that of Django's and Starlette's test clients, the only one Django allows in tests."""
FORGOTTEN = "the application was subscribed in a test that has ended"
"""Why an attempt of an account that outlives its test got no answer."""
RAISED = "the application raised"
"""The beginning of an attempt's error if the application raised an exception, which already fails the test."""
DOMAIN = "application.invalid"
"""The domain of applications: a name that can never be resolved (RFC 6761, 6.4)."""


class _Raised(Struct):
    """An exception of an application or of a handler of the test. ``is_taken`` is true if a wait has raised it."""

    target: str
    body: bytes
    error: BaseException
    is_taken: bool = False


@dataclass(eq=False)
class _Subscribed:
    """An application that gets CDRs, and the place where it is called: on the ``thread`` with that number, while that
    thread waits; on an event loop; or, if it is WSGI, on any thread.

    ``pending`` are the deliveries in flight on its ``loop``. If ``is_left``, no more deliveries go there.
    """

    application: Application
    is_async: bool
    loop: asyncio.AbstractEventLoop | None
    thread: int | None
    is_left: bool = False
    pending: set[Future[Answer]] = field(default_factory=set)
    runner: asyncio.Runner = field(default_factory=lambda: asyncio.Runner(loop_factory=RealTimeLoop))
    """The event loop of an ASGI application on the thread; it starts with the first request."""

    @cached_property
    def uses_asgiref(self) -> bool:
        """Return whether the application's synchronous parts are called by asgiref."""
        return self.is_async and uses_asgiref(self.application)


class Applications:
    """The applications that CDRs are delivered into, each under a host name of its own.

    ``errors`` are the exceptions that came out of them.
    """

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self._subscribed: dict[str, _Subscribed] = {}
        self._numbers = count(1)
        self.loop = LoopThread("mcn-mock-asgi")
        """The loop of ASGI applications that were subscribed without a running loop. It is not the loop that owns the
        state, because an application may take any time."""
        self.errors: list[BaseException] = []
        self._raised: list[_Raised] = []

    def add(self, application: object, path: str, *, on_test_thread: bool = False) -> str:
        """Subscribe a WSGI or ASGI application, and return its URL.

        An ASGI application runs on the event loop that is running now, if there is one. With ``on_test_thread`` the
        application is called on the present thread, while that thread waits.

        Raises UsageError if the object is not an application, or if the path does not start with a slash.
        """
        if not callable(application):
            raise UsageError(f"{str(application)[:80]!r} is neither a URL nor a WSGI or ASGI application")
        if not path.startswith("/"):
            raise UsageError(f"invalid path {path[:80]!r}: start it with a slash, such as '/webhooks/mcn'")
        loop = asyncio.get_running_loop() if is_asyncio_running() else None
        host = f"{next(self._numbers)}.{DOMAIN}"
        is_async = is_asgi(application)
        # If a loop runs on this thread, the application is called on this thread anyway.
        thread = threading.get_ident() if on_test_thread and not (is_async and loop) else None
        self._subscribed[host] = _Subscribed(application, is_async, loop, thread)
        return f"http://{host}{path}"

    def find(self, url: str) -> _Subscribed | None:
        """Return the application of a URL, or None if it is a real one."""
        return self._subscribed.get(urlsplit(url).hostname or "")

    def leave_stopped_loops(self) -> None:
        """End the attempts in flight to applications whose event loop has stopped, for example after their test.

        A loop also stands still between two steps of a test. It then continues with the work that has come meanwhile.
        """
        for subscribed in list(self._subscribed.values()):
            if subscribed.loop is not None and not subscribed.loop.is_running():
                subscribed.is_left = True
                for delivery in subscribed.pending.copy():
                    delivery.cancel()

    def note(self, target: str, body: bytes, error: BaseException) -> None:
        """Remember the exception for a request; ``target`` is the path with the query."""
        self._raised.append(_Raised(target, body, error))

    @property
    def has_raised(self) -> bool:
        """Return whether anything was raised since ``forget_errors``."""
        return bool(self._raised)

    def take_raised(self, request: CdrRequest) -> BaseException | None:
        """Return the last exception for the request, only once; None if there is none."""
        target = _target_of(request.url)
        for raised in reversed(self._raised):
            if (raised.target, raised.body) == (target, request.body):
                is_new, raised.is_taken = not raised.is_taken, True
                return raised.error if is_new else None
        return None

    def forget_errors(self) -> None:
        """Drop every error."""
        self.errors.clear()
        self._raised.clear()

    def forget(self) -> None:
        """Drop every application and error."""
        dropped = list(self._subscribed.values())
        self._subscribed.clear()
        self.changes.cancel_jobs()  # no more come: a CDR to a dropped application is not sent
        for subscribed in dropped:
            subscribed.runner.close()
        self.forget_errors()


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
            self._applications.note(_target_of(request.url), request.body, error)
            raise SendError(printable(f"{RAISED} {type(error).__name__}: {error}", 300)) from error

    async def close(self) -> None:
        """Close the kept connections and let the threads end. One whose application hangs is a daemon, and stays."""
        self._threads.stop()
        if self._sockets is not None:
            await self._sockets.close()

    async def _call(self, subscribed: _Subscribed, request: CdrRequest, timeout_s: float) -> CdrResponse:
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


def _target_of(url: str) -> str:
    """Return the path and the query of a URL, as a request line has them."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def is_asgi(application: object) -> bool:
    """Return whether an application is called as a coroutine; anything else is WSGI."""
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(
        getattr(application, "__call__", None)  # noqa: B004 - the method itself is looked at, not whether it is there
    )


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


def uses_asgiref(application: object, depth: int = 2) -> bool:
    """Return whether an ASGI application is Django's, or wraps one: asgiref calls its synchronous parts."""
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
    """A request to an application that is called on the test's own thread; a job of that thread."""

    def __init__(self, subscribed: _Subscribed, request: CdrRequest, timeout_s: float) -> None:
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
        if self._subscribed.is_async and is_asyncio_running():
            task = asyncio.get_running_loop().create_task(self._call_asgi())
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
            from asgiref.sync import async_to_sync  # noqa: PLC0415 - Django brings it along

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
