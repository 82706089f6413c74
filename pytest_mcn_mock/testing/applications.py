"""The application objects, WSGI or ASGI, that CDRs are delivered into with no socket, and what they have raised."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.testing.changes import Changes, running_loop
from pytest_mcn_mock.testing.door import LoopThread

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

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


class Subscribed:
    """An application that gets CDRs, and the place where it is called: on the ``thread`` with that number, while that
    thread waits; on an event loop; or, if it is WSGI, on any thread.

    ``pending`` are the deliveries in flight on its ``loop``. If ``is_left``, no more deliveries go there.
    """

    def __init__(
        self, application: Application, loop: asyncio.AbstractEventLoop | None, thread: int | None, *, is_async: bool
    ) -> None:
        self.application = application
        self.is_async = is_async
        self.loop = loop
        self.thread = thread
        self.is_left = False
        self.pending: set[Future[Answer]] = set()

    @cached_property
    def runner(self) -> asyncio.Runner:
        """Return the event loop of an ASGI application on the thread; it starts with the first request."""
        import asyncio

        from pytest_mcn_mock.testing.loops import RealTimeLoop

        return asyncio.Runner(loop_factory=RealTimeLoop)

    def close(self) -> None:
        """Close that event loop."""
        if "runner" in self.__dict__:
            self.runner.close()

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
        self._subscribed: dict[str, Subscribed] = {}
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
        loop = running_loop()
        host = f"{next(self._numbers)}.{DOMAIN}"
        is_async = is_asgi(application)
        # If a loop runs on this thread, the application is called on this thread anyway.
        thread = threading.get_ident() if on_test_thread and not (is_async and loop) else None
        self._subscribed[host] = Subscribed(application, loop, thread, is_async=is_async)
        return f"http://{host}{path}"

    def find(self, url: str) -> Subscribed | None:
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
        target = target_of(request.url)
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
            subscribed.close()
        self.forget_errors()


def target_of(url: str) -> str:
    """Return the path and the query of a URL, as a request line has them."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def is_asgi(application: object) -> bool:
    """Return whether an application is called as a coroutine; anything else is WSGI."""
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(
        getattr(application, "__call__", None)  # noqa: B004 - the method itself is looked at, not whether it is there
    )


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
