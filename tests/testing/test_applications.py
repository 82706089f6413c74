"""CDRs delivered into application objects, with no socket."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, TypeVarTuple

import django
import pytest
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path as django_path
from fastapi import FastAPI, Response
from fastapi import Request as FastApiRequest
from flask import Flask, request
from helpers.client import flash_call
from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from pytest_mcn_mock import Account, MCNServer, UsageError, WaitTimeout

PATH = "/webhooks/mcn"
RECEIVED: list[Any] = []
LEFT = "the application's event loop has stopped: its test ended before the CDR came"


@pytest.fixture(autouse=True)
def _nothing_received() -> None:
    RECEIVED.clear()


def flask_application() -> Flask:
    application = Flask(__name__)

    @application.post(PATH)
    def webhook() -> tuple[str, int]:
        RECEIVED.append(request.get_json())
        return "", 204

    return application


def fastapi_application() -> FastAPI:
    application = FastAPI()

    @application.post(PATH)
    async def webhook(request: FastApiRequest) -> Response:
        RECEIVED.append(await request.json())
        return Response(status_code=204)

    webhook.__annotations__["request"] = FastApiRequest
    return application


def starlette_application() -> Starlette:
    async def webhook(request: StarletteRequest) -> StarletteResponse:
        RECEIVED.append(await request.json())
        return StarletteResponse(status_code=204)

    return Starlette(routes=[Route(PATH, webhook, methods=["POST"])])


def django_webhook(request: HttpRequest) -> HttpResponse:
    RECEIVED.append(json.loads(request.body))
    return HttpResponse(status=204)


urlpatterns = [django_path(PATH[1:], django_webhook)]


def configure_django() -> None:
    if not django_settings.configured:
        django_settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], USE_TZ=True, MIDDLEWARE=[])
        django.setup()


def django_wsgi() -> WSGIHandler:
    configure_django()
    return WSGIHandler()


def django_asgi() -> ASGIHandler:
    configure_django()
    return ASGIHandler()


APPLICATIONS = [flask_application, fastapi_application, starlette_application, django_wsgi, django_asgi]


@pytest.mark.parametrize("make", APPLICATIONS)
def test_a_cdr_is_delivered_into_the_application(mcn: Account, make: Callable[[], object]) -> None:
    mcn.subscribe(make(), path=PATH, query={"a": "1"})
    uuid = flash_call(mcn).json()["object"]["verification_call_uuid"]
    assert mcn.wait_for_cdr().status == 204
    assert [{"verification_call_uuid": uuid, "q931_status": 16, "final_status": "ANSWERED"}] == RECEIVED


@pytest.mark.parametrize("make", [fastapi_application, django_asgi])
@pytest.mark.asyncio
async def test_the_same_where_the_test_is_on_an_event_loop(mcn: Account, make: Callable[[], object]) -> None:
    mcn.subscribe(make(), path=PATH)
    mcn.hold_cdrs()
    flash_call(mcn)
    delivery = await mcn.aio.complete(mcn.calls[0])
    assert delivery is not None
    assert delivery.status == 204


@pytest.mark.parametrize("make", APPLICATIONS)
def test_a_wrong_path_is_what_the_application_answers(mcn: Account, make: Callable[[], object]) -> None:
    mcn.expect_undelivered()
    mcn.subscribe(make(), path="/elsewhere", retry=False)
    flash_call(mcn)
    assert mcn.wait_for_cdr().status == 404


def wsgi_that_raises(environ: object, start_response: object) -> list[bytes]:
    raise ZeroDivisionError("in the application")


async def asgi_that_raises(scope: object, receive: object, send: object) -> None:
    pytest.fail("in the application")


async def asgi_that_exits(scope: object, receive: object, send: object) -> None:
    raise SystemExit("in the application")


@pytest.mark.parametrize(
    "application,name",
    [(wsgi_that_raises, "ZeroDivisionError"), (asgi_that_raises, "Failed"), (asgi_that_exits, "SystemExit")],
)
def test_what_the_application_raises_is_on_the_attempt_and_fails_the_test(
    mcn: Account, request: pytest.FixtureRequest, application: object, name: str
) -> None:
    server = request.getfixturevalue("mcn_server")
    mcn.subscribe(application)
    flash_call(mcn)
    mcn.settle()
    (attempt,) = mcn.deliveries[0].attempts
    assert attempt.error == f"the application raised {name}: in the application"
    (error,) = server.take_errors()
    assert type(error).__name__ == name


def test_an_application_that_gives_no_answer_is_recorded(mcn: Account) -> None:
    async def silent(scope: object, receive: object, send: object) -> None:
        pass

    mcn.expect_undelivered()
    mcn.subscribe(silent)
    flash_call(mcn)
    mcn.settle()
    assert mcn.deliveries[0].attempts[0].error == "the application ended without an answer"


@pytest.mark.parametrize("retry", [True, False])
def test_a_test_may_end_before_its_application_has_had_the_cdr(pytester: pytest.Pytester, retry: bool) -> None:
    """Its event loop stands still then: to wait for the acknowledgement would take the ten minutes that it may take."""
    pytester.makepyfile(
        f"""
        import asyncio
        import httpx, pytest
        from pytest_mcn_mock import Assumptions, Settings

        @pytest.fixture(scope="session")
        def mcn_settings():
            return Settings(assumptions=Assumptions(ack_timeout_s=600))

        @pytest.mark.asyncio
        async def test_login(mcn):
            called = asyncio.Event()

            async def app(scope, receive, send):
                called.set()
                await asyncio.Event().wait()

            mcn.subscribe(app, retry={retry})
            async with httpx.AsyncClient() as client:
                url = f"{{mcn.base_url}}/account/{{mcn.account_id}}/flash_call?login_did=79157777777"
                assert (await client.post(url, headers=mcn.headers)).status_code == 200
            await called.wait()
        """
    )
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")
    pytester.runpytest_inprocess("-q").assert_outcomes(passed=1)


Ts = TypeVarTuple("Ts")


class AnnouncedLoop(asyncio.SelectorEventLoop):
    """An event loop that says when another thread has asked something of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self.asked.set()
        return handle


class Waiting:
    """An ASGI application that never answers."""

    def __init__(self) -> None:
        self.is_entered = False

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        self.is_entered = True
        await asyncio.Event().wait()


def go_round(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop do what is ready, and no more."""
    loop.stop()
    loop.run_forever()


@pytest.fixture
def application() -> Waiting:
    return Waiting()


@pytest.fixture
def loop(mcn: Account, application: Waiting) -> Iterator[AnnouncedLoop]:
    """A loop that stands still, with a CDR on its way to the application."""

    async def subscribe() -> None:
        mcn.subscribe(application, retry=False)

    loop = AnnouncedLoop()
    loop.run_until_complete(subscribe())
    flash_call(mcn)
    assert loop.asked.wait(10)
    yield loop
    loop.close()
    del loop
    gc.collect()  # what was never awaited is warned of here, and in no other test


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_loop_may_be_closed_with_a_cdr_on_its_way_to_it(
    mcn: Account, mcn_server: MCNServer, loop: AnnouncedLoop, application: Waiting, rounds: int
) -> None:
    """It has not looked at the CDR, has not come to the application, or is in it: nothing is warned of in any case."""
    for _ in range(rounds):
        go_round(loop)
    assert application.is_entered == (rounds == 2)
    if application.is_entered:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        go_round(loop)
    loop.close()
    mcn_server.leave_stopped_loops()
    mcn.settle()
    assert mcn.deliveries[0].attempts[0].error == LEFT


def test_a_loop_that_is_being_closed_begins_no_application(
    mcn: Account, loop: AnnouncedLoop, application: Waiting
) -> None:
    """asyncio's runner goes round several times between the end of the test and the end of its loop."""
    loop.run_until_complete(loop.shutdown_asyncgens())
    go_round(loop)
    assert not application.is_entered
    mcn.settle()
    assert mcn.deliveries[0].attempts[0].error == LEFT


def test_what_was_failed_is_not_begun_by_a_loop_that_goes_on(
    mcn: Account, mcn_server: MCNServer, loop: AnnouncedLoop, application: Waiting
) -> None:
    mcn_server.leave_stopped_loops()
    mcn.settle()
    assert mcn.deliveries[0].attempts[0].error == LEFT
    go_round(loop)
    assert not asyncio.all_tasks(loop)
    assert not application.is_entered


def test_a_loop_may_be_closed_before_a_cdr_comes(mcn: Account, application: Waiting) -> None:
    async def subscribe() -> None:
        mcn.subscribe(application, retry=False)

    asyncio.run(subscribe())
    flash_call(mcn)
    mcn.settle()
    assert mcn.deliveries[0].attempts[0].error == LEFT


def test_what_a_wsgi_application_returns_is_closed(mcn: Account) -> None:
    closed = threading.Event()

    class Body(list[bytes]):
        def close(self) -> None:
            closed.set()

    def application(environ: object, start_response: Callable[..., object]) -> Body:
        start_response("204 No Content", [])
        return Body()

    mcn.subscribe(application)
    flash_call(mcn)
    mcn.settle()
    assert closed.is_set()


@pytest.mark.parametrize("is_async", [True, False])
def test_a_server_ends_though_an_application_hangs(is_async: bool) -> None:
    entered, release = threading.Event(), threading.Event()

    async def asgi(scope: object, receive: object, send: object) -> None:
        wsgi(scope, send)

    def wsgi(environ: object, start_response: object) -> list[bytes]:
        entered.set()
        release.wait(60)
        return []

    server = MCNServer()
    server.start()
    account = server.open_account()
    account.subscribe(asgi if is_async else wsgi)
    flash_call(account)
    assert entered.wait(30)
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()
    release.set()


def test_the_application_of_an_account_is_nobody_elses(mcn_server: MCNServer) -> None:
    """Not even after a test has ended, which forgets its applications, and the account lives on."""
    received: list[str] = []

    def application(name: str) -> Callable[..., list[bytes]]:
        def app(environ: object, start_response: Callable[..., object]) -> list[bytes]:
            received.append(name)
            start_response("204 No Content", [])
            return []

        return app

    old, new = mcn_server.open_account(strict=False), mcn_server.open_account()
    old.subscribe(application("old"), retry=False)
    mcn_server.clear()
    new.subscribe(application("new"))
    flash_call(old)
    assert old.wait_for_cdr().attempts[0].error == "the application was subscribed in a test that has ended"
    flash_call(new)
    assert new.wait_for_cdr().status == 204
    assert received == ["new"]
    old.close()
    new.close()


def trusting(*hosts: str) -> FastAPI:
    application = fastapi_application()
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    return application


def flask_at(**settings: Any) -> Flask:
    application = flask_application()
    application.config.update(settings)
    return application


@pytest.mark.parametrize("on_test_thread", [False, True])
@pytest.mark.parametrize(
    "make,headers",
    [
        (lambda: trusting("testserver"), {}),
        (lambda: trusting("shop.example"), {"host": "shop.example"}),
        (lambda: flask_at(SERVER_NAME="shop.example"), {}),
        (lambda: flask_at(TRUSTED_HOSTS=["shop.example"]), {"Host": "shop.example"}),
    ],
)
def test_an_application_that_looks_at_the_host_takes_the_cdr(
    mcn: Account, make: Callable[[], object], headers: dict[str, str], on_test_thread: bool
) -> None:
    mcn.subscribe(make(), path=PATH, headers=headers, on_test_thread=on_test_thread)
    flash_call(mcn)
    mcn.assert_cdr_delivered(status=204)


class Threads:
    """A WSGI and an ASGI application that remember the threads on which they are called."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def wsgi(self, environ: object, start_response: Callable[..., object]) -> list[bytes]:
        self.seen.append(threading.get_ident())
        start_response("204 No Content", [])
        return []

    async def asgi(self, scope: object, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.seen.append(threading.get_ident())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_application_is_called_on_the_tests_thread_while_the_test_waits(mcn: Account, kind: str) -> None:
    threads = Threads()
    mcn.subscribe(getattr(threads, kind), on_test_thread=True)
    for _ in range(40):  # more than are under way to one host at a time
        flash_call(mcn)
    assert threads.seen == []
    mcn.settle()
    assert threads.seen == [threading.get_ident()] * 40
    assert {delivery.status for delivery in mcn.deliveries} == {204}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.asyncio
async def test_the_same_on_the_tests_event_loop(mcn: Account, kind: str) -> None:
    threads = Threads()
    mcn.subscribe(getattr(threads, kind), on_test_thread=True)
    mcn.set_outcome("busy", delay_s=30)
    flash_call(mcn)
    await mcn.aio.advance(60)
    assert (await mcn.aio.wait_for_cdr()).status == 204
    assert threads.seen == [threading.get_ident()]


def test_a_wait_on_another_thread_says_what_it_waits_for(mcn: Account) -> None:
    mcn.subscribe(Threads().wsgi, on_test_thread=True)
    flash_call(mcn)
    told: list[str] = []

    def wait() -> None:
        try:
            mcn.wait_for_cdr(timeout=0.05)
        except WaitTimeout as error:
            told.append(str(error))

    other = threading.Thread(target=wait)
    other.start()
    other.join()
    assert "wait for the thread that subscribed with on_test_thread=True" in told[0]


def test_a_cdr_before_the_answer_is_refused_for_an_application_on_the_tests_thread(mcn: Account) -> None:
    mcn.inject("cdr_early")
    with pytest.raises(UsageError, match="cdr_early"):
        mcn.subscribe(Threads().wsgi, on_test_thread=True)
    mcn.clear_faults()
    mcn.subscribe(Threads().wsgi, on_test_thread=True)
    with pytest.raises(UsageError, match="cdr_early"):
        mcn.inject("cdr_early")


@pytest.mark.parametrize("wait", ["assert_cdr_delivered(status=204)", "wait_for_cdr(timeout=0.01)"])
def test_an_application_that_answers_500_may_hide_an_exception(mcn: Account, wait: str) -> None:
    def application(environ: object, start_response: Any) -> list[bytes]:
        start_response("500 Internal Server Error", [])
        return [b""]

    mcn.expect_undelivered()
    mcn.subscribe(application, path="/hook", retry="wait_for" in wait)
    flash_call(mcn)
    mcn.settle()
    with pytest.raises(AssertionError, match=r"let it raise \(Flask: app\.testing = True\)"):
        eval(f"mcn.{wait}", {"mcn": mcn})
