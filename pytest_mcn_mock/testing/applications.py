"""Delivery into an application object, WSGI or ASGI, with no socket."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from urllib.parse import urlsplit

from pytest_mcn_mock.compose import make_http_sender
from pytest_mcn_mock.delivery.worker import Sender
from pytest_mcn_mock.errors import SendError, UsageError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.webhooks import Targets
from pytest_mcn_mock.testing.calling import (
    LEFT,
    Answer,
    Application,
    CallOnThread,
    Visit,
    call_wsgi,
    is_asgi,
    uses_asgiref,
)
from pytest_mcn_mock.testing.changes import Changes, Inbox
from pytest_mcn_mock.testing.door import LoopThread, RealTimeLoop
from pytest_mcn_mock.testing.workers import Workers
from pytest_mcn_mock.text import printable

FORGOTTEN = "the application was subscribed in a test that has ended"
"""Why an attempt of an account that outlives its test got no answer."""
RAISED = "the application raised"
"""How the error of an attempt begins if the application raised, which fails the test by itself."""
DOMAIN = "application.invalid"
"""Where applications seem to be: a name that can never be resolved (RFC 6761, 6.4)."""


@dataclass(frozen=True, slots=True)
class Raised:
    """What an application, or a handler of the test's, raised when it was sent a request."""

    target: str
    body: bytes
    error: BaseException


@dataclass(eq=False)
class _Mounted:
    """An application; ``pending`` are the deliveries under way on its ``loop``, and ``is_left`` says that no more go
    there. With an ``inbox`` it is called on the inbox's thread, when that waits.
    """

    application: Application
    is_async: bool
    loop: asyncio.AbstractEventLoop | None
    inbox: Inbox | None
    is_left: bool = False
    pending: set[Future[Answer]] = field(default_factory=set)
    runner: asyncio.Runner = field(default_factory=lambda: asyncio.Runner(loop_factory=RealTimeLoop))
    """The event loop of an ASGI application on the inbox's thread; it starts with the first request."""

    @cached_property
    def uses_asgiref(self) -> bool:
        """Whether the application's synchronous parts are called by asgiref."""
        return self.is_async and uses_asgiref(self.application)


class Applications:
    """The applications that CDRs are delivered into, each under a host name of its own.

    ``errors`` are the exceptions that came out of them, and ``raised`` those of the test's handlers too, each with what
    was sent.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._mounted: dict[str, _Mounted] = {}
        self._numbers = count(1)
        self.loop = LoopThread("mcn-mock-asgi")
        """Where an ASGI application runs if no event loop was running when it was subscribed. It is not the loop that
        owns the state: an application may take as long as it likes."""
        self.errors: list[BaseException] = []
        self.raised: list[Raised] = []

    def mount(self, application: object, path: str, *, on_test_thread: bool = False) -> str:
        """Return the URL of a WSGI or ASGI application.

        An ASGI application runs on the event loop that is running now, if one is. ``on_test_thread`` has the
        application called on the thread that runs now, while it waits.

        Raises UsageError for anything that is not an application, and for a path that does not start with a slash.
        """
        if not callable(application):
            raise UsageError(f"{str(application)[:80]!r} is neither a URL nor a WSGI or ASGI application")
        if not path.startswith("/"):
            raise UsageError(f"path {path[:80]!r} must start with a slash, such as '/webhooks/mcn'")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        host = f"{next(self._numbers)}.{DOMAIN}"
        is_async = is_asgi(application)
        # A loop that runs on this thread is where this thread calls it anyway.
        inbox = self._changes.inbox() if on_test_thread and not (is_async and loop) else None
        self._mounted[host] = _Mounted(application, is_async, loop, inbox)
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

    def note(self, target: str, body: bytes, error: BaseException) -> None:
        """Remember what was raised for a request; ``target`` is the path with the query."""
        self.raised.append(Raised(target, body, error))

    def error_of(self, request: CdrRequest) -> BaseException | None:
        """What was raised last for the request, or None."""
        target = target_of(request.url)
        for raised in reversed(self.raised):
            if (raised.target, raised.body) == (target, request.body):
                return raised.error
        return None

    def waiting_for_thread(self) -> int:
        """How many CDRs wait for the test's thread to wait."""
        return self._changes.count_jobs()

    def forget_errors(self) -> None:
        """Drop every error."""
        self.errors.clear()
        self.raised.clear()

    def forget(self) -> None:
        """Drop every application and error."""
        self._changes.forget_inboxes()
        for mounted in self._mounted.values():
            mounted.runner.close()
        self._mounted.clear()
        self.forget_errors()


class ApplicationSender:
    """Sends into the application of a URL, and over a socket where it has none."""

    def __init__(self, applications: Applications, targets: Targets | None) -> None:
        self._applications = applications
        self._targets = targets
        self._sockets: Sender | None = None
        self._threads = Workers(_call_in_thread, "mcn-mock-wsgi")

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """The answer; SendError where none comes in time. What an application raises is kept for the test."""
        __tracebackhide__ = True
        mounted = self._applications.find(request.url)
        if mounted is None:
            if (urlsplit(request.url).hostname or "").endswith(f".{DOMAIN}"):
                raise SendError(FORGOTTEN)
            if self._sockets is None:
                self._sockets = make_http_sender(self._targets)
            return await self._sockets.send(request, timeout_s)
        # The test's thread may come to it in a minute: the time runs from then on.
        limit = asyncio.timeout(timeout_s if mounted.inbox is None else None)
        try:
            async with limit:
                return await self._call(mounted, request, timeout_s)
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

    async def _call(self, mounted: _Mounted, request: CdrRequest, timeout_s: float) -> CdrResponse:
        __tracebackhide__ = True
        if mounted.inbox is not None:
            runner = mounted.runner if mounted.is_async else None
            call = CallOnThread(mounted.application, request, timeout_s, runner, by_asgiref=mounted.uses_asgiref)
            mounted.inbox.put(call)
            return await _answer(call.answer)
        if not mounted.is_async:
            answered: Future[Answer] = Future()
            self._threads.start(answered, mounted.application, request)
            return await _answer(answered)
        if mounted.is_left:
            raise SendError(LEFT)
        answer = Visit(mounted.loop or self._applications.loop.get(), mounted.application, request).answer
        mounted.pending.add(answer)
        answer.add_done_callback(mounted.pending.discard)
        return await _answer(answer)


async def _answer(answer: Future[Answer]) -> CdrResponse:
    """Return the answer, or raise what is in its place; SendError if it was cancelled."""
    __tracebackhide__ = True
    try:
        return _response(await asyncio.wrap_future(answer))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # it is the courier that stops, not the application
        raise SendError(LEFT) from None


def _response(answer: Answer) -> CdrResponse:
    __tracebackhide__ = True
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _try_wsgi(application: Application, request: CdrRequest) -> Answer:
    try:
        return call_wsgi(application, request)
    except BaseException as error:
        return error


def target_of(url: str) -> str:
    """Return the path and the query of a URL, as a request line has them."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _call_in_thread(answer: Future[Answer], application: Application, request: CdrRequest) -> None:
    if answer.set_running_or_notify_cancel():
        answer.set_result(_try_wsgi(application, request))
