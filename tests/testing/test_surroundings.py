"""The plugin among what else a project's tests do: proxies, skips, settings of their own, a stopped server, logs."""

from __future__ import annotations

import socket
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from helpers.inner_pytest import run, run_in_a_process

from pytest_mcn_mock import MCNServer, UsageError
from pytest_mcn_mock.testing.intercept import intercepted

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

THROUGH_NO_PROXY = """
import asyncio, os, urllib.request
import aiohttp, httpx

def by_requests(url, headers): return requests.post(url, headers=headers).status_code
def by_httpx(url, headers): return httpx.post(url, headers=headers).status_code
def by_urllib(url, headers):
    return urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers)).status
def by_aiohttp(url, headers):
    async def post():
        async with aiohttp.ClientSession(trust_env=True) as session, session.post(url, headers=headers) as response:
            return response.status
    return asyncio.run(post())

clients = pytest.mark.parametrize("post", [by_requests, by_httpx, by_urllib, by_aiohttp])

@pytest.fixture(scope="session")
def session_client(mcn_server):
    with httpx.Client(base_url=mcn_server.url) as client:
        yield client

@pytest.fixture
def late_proxy(monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

def place(post, base_url, mcn):
    assert post(f"{base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777", dict(mcn.headers)) == 200
    assert len(mcn.calls) == 1

@clients
def test_the_base_url(mcn, post): place(post, mcn.base_url, mcn)

@clients
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_the_interception(mcn, mcn_intercept, post, scheme):
    place(post, mcn_intercept.replace("https", scheme), mcn)

@clients
def test_a_proxy_that_a_later_fixture_sets(mcn, mcn_intercept, late_proxy, post): place(post, mcn_intercept, mcn)

def test_a_fixture_found_by_name(request):
    mcn = request.getfixturevalue("mcn")
    place(by_requests, mcn.base_url, mcn)

def test_the_server_alone(session_client): assert session_client.get("/__admin/health").status_code == 200
"""


@pytest.mark.parametrize("no_proxy", [None, "", "internal.example, 10.0.0.0/8", "*"])
def test_a_proxy_of_the_environment_is_not_asked(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, no_proxy: str | None
) -> None:
    """Nothing listens at the proxy, so that a request through it fails."""
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the proxies of its first request
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    if no_proxy is not None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    put_back = f"""
def test_another(): assert (os.environ.get("NO_PROXY"), os.environ.get("no_proxy")) == ({no_proxy!r}, None)
"""
    run(project, THROUGH_NO_PROXY + put_back, "-x").assert_outcomes(passed=19)


def test_without_a_proxy_the_environment_is_left_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*PROXIES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    run(
        project,
        """
import os

def test_it(mcn, mcn_intercept): assert not {"NO_PROXY", "no_proxy"} & set(os.environ)
""",
    ).assert_outcomes(passed=1)


def test_an_interception_that_cannot_hold_does_not_begin(
    mcn_server: MCNServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system whose own settings name a proxy."""
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://user:secret@proxy.example"})
    monkeypatch.setattr(urllib.request, "proxy_bypass", lambda host: False)
    before = socket.getaddrinfo
    with (
        pytest.raises(UsageError, match=r"set NO_PROXY=api\.mcn\.ru,api\.mcntele\.com") as raised,
        intercepted(mcn_server),
    ):
        pass
    assert "secret" not in str(raised.value)
    assert socket.getaddrinfo is before


NOT_PASSED = """
import unittest

def wrong(mcn): return flash_call(mcn, "7915")

def test_skipped(mcn): wrong(mcn); pytest.skip("no such service here")

def test_xfailed(mcn): wrong(mcn); pytest.xfail("not yet")

@pytest.mark.xfail(reason="known")
def test_marked(mcn): assert wrong(mcn).status_code == 200

@pytest.mark.xfail(strict=True, reason="known")
def test_strictly_marked(mcn): assert wrong(mcn).status_code == 200

@pytest.mark.xfail(reason="known")
def test_marked_that_passes(mcn): wrong(mcn)

@pytest.fixture
def skipping(mcn): wrong(mcn); pytest.skip("by a fixture")

def test_skipped_by_a_fixture(skipping): pass

def test_skipped_with_a_handler_that_raises(mcn, mcn_server):
    mcn_server.expect_request("/hook").respond_with_handler(lambda request: 1 / 0)
    requests.get(mcn_server.url_for("/hook"))
    pytest.skip("why")

def test_skipped_with_the_server_alone(mcn_server):
    mcn_server.expect_request("/hook").respond_with_handler(lambda request: 1 / 0)
    requests.get(mcn_server.url_for("/hook"))
    pytest.skip("why")

class TestCase(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _account(self, mcn): self.mcn = mcn

    @unittest.expectedFailure
    def test_expected(self): self.assertEqual(wrong(self.mcn).status_code, 200)

    def test_skipped(self): wrong(self.mcn); self.skipTest("why")

    def test_failed(self): wrong(self.mcn); self.fail()

    def test_passed(self): wrong(self.mcn)
"""


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "1")])
def test_strictness_speaks_of_a_test_that_has_passed_alone(
    project: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    result = run(project, NOT_PASSED, *arguments)
    result.assert_outcomes(passed=1, failed=1, skipped=5, xfailed=4, xpassed=1, errors=1)
    result.stdout.fnmatch_lines(["ERROR *::test_passed*"])


def test_an_interrupted_test_does_not_settle(project: pytest.Pytester) -> None:
    """Its application hangs, so that it could not."""
    result = run(
        project,
        """
import threading
entered, release = threading.Event(), threading.Event()

def app(environ, start_response):
    entered.set()
    release.wait()

def test_it(mcn, monkeypatch):
    monkeypatch.setattr(mcn, "settle", lambda timeout: print("it settles"))
    mcn.subscribe(app)
    flash_call(mcn)
    entered.wait()
    raise KeyboardInterrupt
""",
        "-s",
        apart=True,
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*it settles*")


SETTINGS = """
import pytest
from pytest_mcn_mock import Settings, Tariff

@pytest.fixture(scope="{scope}")
def mcn_settings(): return Settings(tariff=Tariff(call_for_2fa=1, flash_call={{643: {price}, 703: 45}}))
"""
PRICE = """
import pytest
from telephone import *

@pytest.fixture(scope="module")
def account(mcn_server):
    account = mcn_server.open_account()
    yield account
    account.close()

def test_the_price(mcn, account, mcn_server):
    for each in (mcn, account, mcn_server.open_account()):
        assert flash_call(each).status_code == 200
        assert str(each.calls[0].price) == "{price}"
    assert mcn_server.base_url == mcn.base_url

def test_with_the_server_alone(mcn_server):
    account = mcn_server.open_account()
    flash_call(account)
    assert str(account.calls[0].price) == "{price}"
    url = mcn_server.url_for("/__admin/accounts")
    assert int(account.account_id) in [a["id"] for a in requests.get(url).json()["items"]]
"""
IN_A_CLASS = """
from pytest_mcn_mock import Assumptions, NumberFormat, Settings

class TestOwn:
    @pytest.fixture
    def mcn_settings(self): return Settings(assumptions=Assumptions(number_format=NumberFormat.PASTED))

    def test_it(self, mcn): assert flash_call(mcn, "+7 915 777-77-77").status_code == 200

def test_another(mcn):
    mcn.expect_refusal("invalid_parameter")
    assert flash_call(mcn, "+7 915 777-77-77").status_code == 400
"""


@pytest.mark.parametrize(
    "arguments", [("a", "b", "c", "d"), ("d", "c", "b", "a"), ("-p", "xdist", "-n", "2", "b", "d", "a", "c")]
)
def test_settings_hold_where_they_are_overridden(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    for folder, price, scope in (("a", 99, "session"), ("b", 15, None), ("c", 33, "module")):
        Path(folder).mkdir()
        if scope is not None:
            Path(folder, "conftest.py").write_text(SETTINGS.format(price=price, scope=scope), encoding="utf-8")
        Path(folder, f"test_{folder}.py").write_text(PRICE.format(price=f"0.{price}"), encoding="utf-8")
    if "d" in arguments:
        Path("d").mkdir()
        Path("d", "test_d.py").write_text(f"from telephone import *\n{IN_A_CLASS}", encoding="utf-8")
    start = partial(run_in_a_process, project) if "-n" in arguments else project.runpytest_inprocess
    start("-p", "no:randomly", *arguments).assert_outcomes(passed=8)


def test_a_server_that_a_test_has_stopped_is_started_again(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nfilterwarnings = default\nasyncio_default_fixture_loop_scope = function\n")
    result = run(
        project,
        """
@pytest.fixture(scope="session")
def url(mcn_server): return mcn_server.url

@pytest.fixture
def api_down(mcn_server): mcn_server.stop()

@pytest.fixture
def api_down_for_a_test(mcn_server):
    mcn_server.stop()
    yield
    mcn_server.start()

@pytest.mark.parametrize("n", range(2))
def test_that_stops_it(mcn, mcn_server, url, n):
    assert flash_call(mcn).status_code == 200
    mcn_server.stop()
    with pytest.raises(requests.ConnectionError):
        flash_call(mcn)

def test_next(mcn, url):
    assert mcn.base_url.startswith(url)
    assert flash_call(mcn).status_code == 200

def test_that_starts_it_again(mcn, mcn_server):
    mcn_server.stop()
    mcn_server.start()
    assert flash_call(mcn).status_code == 200

def test_whose_fixture_stops_it(mcn, api_down): pass

def test_whose_fixture_starts_it_again(mcn, api_down_for_a_test): pass

def test_that_intercepts(mcn, mcn_intercept):
    url = f"{mcn_intercept}/account/{mcn.account_id}/flash_call?login_did=79157777777"
    assert requests.post(url, headers=mcn.headers).status_code == 200

def test_that_stops_it_last(mcn_server): mcn_server.stop()
""",
    )
    result.assert_outcomes(passed=8, warnings=4)
    result.stdout.fnmatch_lines(
        [
            "*PytestWarning: *::test_that_stops_it?0? stopped mcn_server and did not start it again; it was started*",
            "*PytestWarning: *::test_that_stops_it_last stopped mcn_server and did not start it again",
        ]
    )


def test_whose_port_is_taken_meanwhile_is_started_on_another(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nfilterwarnings = default\nasyncio_default_fixture_loop_scope = function\n")
    result = run(
        project,
        """
import socket
taken = []

def test_that_stops_it(mcn_server):
    mcn_server.stop()
    taken.append(socket.create_server((mcn_server.host, mcn_server.port), reuse_port=False))

def test_next(mcn):
    assert flash_call(mcn).status_code == 200
    taken[0].close()
""",
    )
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*it was started again for the next test, on port *, because * is taken*"])


def test_the_log_of_a_test_is_its_own(project: pytest.Pytester) -> None:
    run(
        project,
        """
import logging, threading
from werkzeug.serving import make_server

def test_quiet(mcn, caplog):
    caplog.set_level(logging.INFO)
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn)
    flash_call(mcn, "7915")
    assert caplog.records == []
    assert logging.getLogger("werkzeug").level == logging.NOTSET
    assert logging.getLogger("werkzeug").handlers == []

def test_asked(mcn, caplog):
    caplog.set_level(logging.DEBUG, logger="werkzeug")
    mcn.expect_refusal("invalid_parameter")
    flash_call(mcn, "7\\x1b[31m\\u202e15")
    line, = caplog.messages
    assert '"POST /v2/rest/account/' in line and line.endswith("400 -") and line.isprintable()

def test_the_users_own_server_logs_as_ever(mcn, caplog):
    caplog.set_level(logging.INFO)
    server = make_server("127.0.0.1", 0, lambda environ, start: start("204 No Content", []) and [] or [])
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    requests.get(f"http://127.0.0.1:{server.port}/mine")
    thread.join()
    server.server_close()
    assert "/mine" in caplog.text
""",
        apart=True,  # werkzeug sets its logger up for the whole process
    ).assert_outcomes(passed=3)
