"""Tests that stop the clock, other event loops, a replaced file system, green threads."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import freezegun
import httpx
import pytest
import time_machine
import trio
from helpers.client import RUSSIAN, flash_call
from helpers.inner_pytest import run

from pytest_mcn_mock import Account, Assumptions, MCNServer, Outcome, Settings, UsageError, WaitTimeout

Stop = Callable[[], AbstractContextManager[Any]]
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)

stopped = pytest.mark.parametrize(
    "stop",
    [
        lambda: freezegun.freeze_time(NEW_YEAR),
        lambda: freezegun.freeze_time(NEW_YEAR, tick=True),
        lambda: time_machine.travel(NEW_YEAR, tick=False),
        lambda: time_machine.travel(NEW_YEAR),
    ],
    ids=["freezegun", "freezegun-tick", "time-machine", "time-machine-tick"],
)


@pytest.fixture
def impatient() -> Iterator[MCNServer]:
    with MCNServer(settings=Settings(assumptions=Assumptions(ack_timeout_s=0.2, retry_after_s=()))) as server:
        yield server


@pytest.fixture
def silent() -> Iterator[str]:
    """A webhook that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook"


@stopped
def test_an_endpoint_that_does_not_answer_is_failed(impatient: MCNServer, silent: str, stop: Stop) -> None:
    account = impatient.open_account()
    account.subscribe(silent)
    with stop():
        flash_call(account)
        delivery = account.wait_for_cdr(timeout=30)
    assert delivery.state == "failed"
    assert delivery.attempts[0].duration_s >= 0.1


@stopped
def test_an_application_that_does_not_answer_is_failed(impatient: MCNServer, stop: Stop) -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await asyncio.Event().wait()

    account = impatient.open_account()
    account.subscribe(app)
    with stop():
        flash_call(account)
        assert account.wait_for_cdr(timeout=30).state == "failed"


@stopped
def test_waits_time_out(mcn: Account, stop: Stop) -> None:
    async def wait() -> None:
        with pytest.raises(WaitTimeout):
            await mcn.aio.wait_for_call(timeout=0.05)
        await mcn.aio.assert_no_cdr(within=0.05)

    with stop():
        with pytest.raises(WaitTimeout):
            mcn.wait_for_call(timeout=0.05)
        mcn.assert_no_cdr(within=0.05)
        asyncio.run(wait())


@stopped
def test_what_is_due_later_happens(mcn: Account, mcn_server: MCNServer, stop: Stop) -> None:
    mcn_server.expect_request("/hook").respond_with_data("")
    mcn.subscribe(mcn_server.url_for("/hook"))
    mcn.set_outcome(Outcome.BUSY, delay_s=0.05)
    with stop():
        flash_call(mcn)
        assert mcn.wait_for_cdr(timeout=30).status == 200
        mcn.set_outcome(Outcome.BUSY, delay_s=3600)
        flash_call(mcn)
        mcn.clock.advance(3600)
        assert mcn.wait_for_cdr(timeout=30).status == 200


@stopped
def test_a_call_is_completed_on_an_event_loop(mcn: Account, mcn_server: MCNServer, stop: Stop) -> None:
    mcn_server.expect_request("/hook").respond_with_data("")
    mcn.subscribe(mcn_server.url_for("/hook"))
    mcn.hold_cdrs()

    async def complete() -> None:
        await asyncio.to_thread(flash_call, mcn)
        delivery = await mcn.aio.complete(mcn.calls[0])
        assert delivery is not None
        assert delivery.attempts
        await mcn.aio.advance(60)
        await mcn.aio.settle()

    with stop():
        asyncio.run(complete())


def test_the_clock_may_be_stopped_before_the_fixtures_are_first_used(project: pytest.Pytester) -> None:
    run(
        project,
        """
import asyncio, freezegun
from pytest_mcn_mock import WaitTimeout

@pytest.fixture(autouse=True, scope="session")
def stopped():
    with freezegun.freeze_time("2024-01-01"):
        yield

def test_it(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_data("")
    mcn.subscribe(mcn_server.url_for("/hook"))
    flash_call(mcn)
    assert mcn.wait_for_cdr().attempts[0].duration_s > 0
    with pytest.raises(WaitTimeout):
        asyncio.run(mcn.aio.wait_for_call(timeout=0.05)) and asyncio.run(mcn.aio.wait_for_call(timeout=0.05))
    mcn_server.stop()
    mcn_server.start()
""",
    ).assert_outcomes(passed=1)


async def play(mcn: Account) -> None:
    """A test on trio: its application is called on a loop of the plugin's."""

    async def app(scope: object, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def place() -> None:
        async with httpx.AsyncClient() as client:
            url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did={RUSSIAN}"
            assert (await client.post(url, headers=dict(mcn.headers))).status_code == 200

    mcn.subscribe(app, path="/hook")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place)
        call = await mcn.aio.wait_for_call()
    assert (await mcn.aio.wait_for_cdr(call)).status == 204
    mcn.hold_cdrs()
    await place()
    held = await mcn.aio.wait_for_call()
    await mcn.aio.assert_no_cdr(within=0.01)
    delivery = await mcn.aio.complete(held, Outcome.BUSY)
    assert delivery is not None
    assert delivery.status == 204
    await mcn.aio.settle()
    await mcn.aio.advance(60)
    with pytest.raises(WaitTimeout):
        await mcn.aio.wait_for_call(timeout=0.01)
    with trio.move_on_after(0.01) as scope:
        await mcn.aio.wait_for_call(timeout=60)
    assert scope.cancelled_caught


@pytest.mark.parametrize("stop", [nullcontext, lambda: freezegun.freeze_time(NEW_YEAR, ignore=["trio"])])
def test_the_waits_on_trio(mcn: Account, stop: Stop) -> None:
    with stop():
        trio.run(play, mcn)


def test_the_waits_say_that_no_event_loop_is_running(mcn: Account) -> None:
    waiting = mcn.aio.wait_for_call()
    with pytest.raises(UsageError, match="an event loop of asyncio or trio, and none is running"):
        waiting.send(None)


FAKE_FILES = """
import urllib.request
from pathlib import Path

def app(environ, start_response):
    start_response("204 No Content", [])
    return []

@pytest.fixture{scope}
def only_fake_files({fs}): assert not Path(__file__).exists()

pytestmark = pytest.mark.usefixtures("only_fake_files")

def by_urllib(mcn, base_url):
    url = f"{{base_url}}/account/{{mcn.account_id}}/flash_call?login_did=79157777777"
    return urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=mcn.headers)).status

def by_requests(mcn, base_url):
    url = f"{{base_url}}/account/{{mcn.account_id}}/flash_call?login_did=421905123456"
    return requests.post(url, headers=mcn.headers).status_code

def test_calls(mcn):
    mcn.subscribe(app)
    assert by_urllib(mcn, mcn.base_url) == by_requests(mcn, mcn.base_url) == 200
    assert mcn.wait_for_cdr().status == 204

def test_a_webhook_at_a_url(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_data("")
    mcn.subscribe(mcn_server.url_for("/hook"))
    flash_call(mcn)
    assert mcn.wait_for_cdr().status == 200

@pytest.mark.parametrize("place", [by_urllib, by_requests])
def test_an_interception(mcn, mcn_intercept, place): assert place(mcn, mcn_intercept) == 200

@pytest.mark.parametrize("path", ["", "static/main.js", "openapi.json", "schemas/config.json", "accounts"])
def test_the_admin_api(mcn_server, path): assert requests.get(mcn_server.url_for("/__admin/") + path).status_code == 200

def test_a_mistake(mcn): flash_call(mcn, "7915")

def test_that_fails(mcn): flash_call(mcn); raise ZeroDivisionError
"""


@pytest.mark.parametrize("fs", ["fs", "fs_session"])
def test_the_file_system_may_be_replaced(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, fs: str) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:faker -p no:schemathesis")  # the checks of this project read files
    scope = '(scope="session")' if fs == "fs_session" else ""
    result = run(project, FAKE_FILES.format(fs=fs, scope=scope), apart=True)
    result.assert_outcomes(passed=10, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*refused: POST * login_did=7915 -> 400*", "*- mcn-mock -*"])


def test_the_test_after_one_with_fake_files_intercepts(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:faker -p no:schemathesis")
    run(
        project,
        """
def place(mcn, base_url):
    url = f"{base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777"
    assert requests.post(url, headers=mcn.headers).status_code == 200

def test_with_fake_files(fs, mcn, mcn_intercept): place(mcn, mcn_intercept)

def test_that_fakes_them_last(mcn, mcn_intercept, fs): place(mcn, mcn_intercept)

def test_without(mcn, mcn_intercept): place(mcn, mcn_intercept)
""",
        apart=True,
    ).assert_outcomes(passed=3)


GREEN = """
import json, threading, urllib.request
import pytest
from pytest_mcn_mock import Outcome

def call(mcn, base_url=None):
    url = f"{base_url or mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777"
    request = urllib.request.Request(url, method="POST", headers=mcn.headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["status"]

def app(environ, start_response):
    start_response("204 No Content", [])
    return []

def test_cdr(mcn):
    mcn.subscribe(app)
    assert call(mcn) == "success"
    assert mcn.wait_for_cdr().status == 204
    mcn.hold_cdrs()
    call(mcn)
    assert mcn.calls[1].complete(Outcome.BUSY).status == 204

def test_webhook(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_data("ok")
    mcn.subscribe(mcn_server.url_for("/hook"))
    call(mcn)
    mcn.assert_cdr_delivered(status=200)

def test_clock(mcn):
    mcn.subscribe(app)
    mcn.set_outcome(Outcome.ANSWERED, delay_s=3600)
    call(mcn)
    mcn.assert_no_cdr(within=0.05)
    mcn.clock.advance(3600)
    assert mcn.wait_for_cdr().status == 204

def test_intercept(mcn, mcn_intercept): assert call(mcn, mcn_intercept) == "success"

def test_thread(mcn):
    caller = threading.Thread(target=call, args=(mcn,))
    caller.start()
    assert mcn.wait_for_call().login_did == "79157777777"
    caller.join()
"""


@pytest.mark.parametrize("patch", ["gevent.monkey; gevent.monkey.patch_all()", "eventlet; eventlet.monkey_patch()"])
def test_with_green_threads_it_works_or_says_that_it_does_not(pytester: pytest.Pytester, patch: str) -> None:
    pytester.makepyfile(GREEN)
    # Of other plugins, these are the ones that do not bear a replaced socket.
    plugins = [f"-pno:{name}" for name in ("randomly", "asyncio", "anyio", "hypothesispytest")]
    code = f"import {patch}\nimport sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-W", "ignore", "-c", code, "-q", *plugins]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "5 passed" in done.stdout, done.stdout + done.stderr
