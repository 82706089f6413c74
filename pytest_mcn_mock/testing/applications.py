"""Delivery into an application object, WSGI or ASGI, with no socket."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Response

from pytest_mcn_mock.compose import make_http_sender
from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.domain.targets import Targets
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.webhooks.dispatcher import Sender

Application = Callable[..., Any]
LEFT = "the application's event loop has stopped: its test ended before the CDR came"
"""Why an attempt got no answer, where that is nobody's mistake."""
DOMAIN = "application.invalid"
"""Where applications seem to be: a name that can never be resolved (RFC 6761, 6.4)."""


@dataclass(slots=True)
class _Mounted:
    """An application; ``pending`` are the deliveries under way on its ``loop``, and ``is_left`` says that no more go
    there.
    """

    application: Application
    is_async: bool
    loop: asyncio.AbstractEventLoop | None
    is_left: bool = False
    pending: set[Future[CdrResponse]] = field(default_factory=set)


class Applications:
    """The applications that CDRs are delivered into, each under a host name of its own.

    ``errors`` are the exceptions that came out of them.
    """

    def __init__(self) -> None:
        self._mounted: dict[str, _Mounted] = {}
        self.errors: list[BaseException] = []

    def mount(self, application: object, path: str) -> str:
        """The URL of a WSGI or ASGI application; an ASGI one runs on the event loop that is running now, if one is.

        Raises UsageError for what is no application, and for a path that does not start with a slash.
        """
        if not callable(application):
            raise UsageError(f"{application!r} is neither a URL nor a WSGI or ASGI application")
        if not path.startswith("/"):
            raise UsageError(f"path {path[:80]!r} must start with a slash, such as '/webhooks/mcn'")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        host = f"{len(self._mounted) + 1}.{DOMAIN}"
        self._mounted[host] = _Mounted(application, is_asgi(application), loop)
        return f"http://{host}{path}"

    def find(self, url: str) -> _Mounted | None:
        """The application of a URL, or None where it is a real one."""
        return self._mounted.get(urlsplit(url).hostname or "")

    def leave_stopped_loops(self) -> None:
        """Give up what is under way to an application whose event loop has stopped, as it has when a test has ended.

        Between two steps of a test it stands still too, and goes on with what has come meanwhile.
        """
        for mounted in self._mounted.values():
            if mounted.loop is not None and not mounted.loop.is_running():
                mounted.is_left = True
                for delivery in mounted.pending.copy():
                    delivery.cancel()

    def forget(self) -> None:
        """Drop every application and error."""
        self._mounted.clear()
        self.errors.clear()


class ApplicationSender:
    """Sends into the application of a URL, and over a socket where it has none."""

    def __init__(self, applications: Applications, targets: Targets | None) -> None:
        self._applications = applications
        self._targets = targets
        self._sockets: Sender | None = None
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="mcn-mock-wsgi")

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The answer; SendError where none comes in time. What an application raises is kept for the test."""
        mounted = self._applications.find(request.url)
        if mounted is None:
            if self._sockets is None:
                self._sockets = make_http_sender(self._targets)
            return await self._sockets.send(request, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._call(mounted, request)
        except TimeoutError:
            raise SendError(f"no answer within {timeout_s:g} s") from None
        except (SendError, asyncio.CancelledError):
            raise
        except BaseException as error:
            self._applications.errors.append(error)
            raise SendError(f"the application raised {type(error).__name__}: {error}"[:300]) from error

    async def close(self) -> None:
        """Close the kept connections and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._sockets is not None:
            await self._sockets.close()

    async def _call(self, mounted: _Mounted, request: CdrRequest) -> CdrResponse:
        loop = asyncio.get_running_loop()
        if not mounted.is_async:
            return await loop.run_in_executor(self._threads, call_wsgi, mounted.application, request)
        if mounted.loop is None or mounted.loop is loop:
            return await call_asgi(mounted.application, request)
        if mounted.is_left:
            raise SendError(LEFT)
        answer = _Visit(mounted.loop, mounted.application, request).answer
        mounted.pending.add(answer)
        answer.add_done_callback(mounted.pending.discard)
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it is the courier that stops, not the application
            raise SendError(LEFT) from None


def is_asgi(application: object) -> bool:
    """Whether an application is called as a coroutine; anything else is WSGI."""
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(
        getattr(application, "__call__", None)  # noqa: B004 - the method itself is looked at, not whether it is there
    )


def call_wsgi(application: Application, request: CdrRequest) -> CdrResponse:
    """The answer of a WSGI application, called on this thread; what it raises comes out."""
    builder = EnvironBuilder(
        path=request.url, method=request.method, headers=list(request.headers.items()), data=request.body
    )
    with Client(application, Response).open(builder) as response:
        return CdrResponse(response.status_code, dict(response.headers), response.get_data())


async def call_asgi(application: Application, request: CdrRequest) -> CdrResponse:
    """The answer of an ASGI application, called on this event loop; what it raises comes out."""
    parts = urlsplit(request.url)
    headers = {"host": parts.netloc, "content-length": str(len(request.body)), **request.headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (parts.hostname, 80),
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


class _Visit:
    """A request to an ASGI application on another thread's event loop, which may stop or be closed at any moment.

    ``asyncio.run_coroutine_threadsafe`` takes a coroutine that is there already, and one that its loop never comes to
    is warned of in the user's test. Here it is made when the loop comes to it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, application: Application, request: CdrRequest) -> None:
        self.answer: Future[CdrResponse] = Future()
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
            self.answer.set_exception(error)
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
