"""The fixture, beside a handler written by hand on pytest-httpserver: ``python benchmarks/fixture.py ROUNDS``.

Prints JSON: for each quantity, a list with one figure a round.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import requests
from pytest_httpserver import HTTPServer

from pytest_mcn_mock.testing.server import MCNServer

TESTS, FEW = 500, 50
QUERY = "login_did=79157777777&code=1234"
_TIMED = """
import statistics, time
import pytest
from pytest_mcn_mock import plugin

taken = []

@pytest.fixture
def mcn(request, mcn_server):
    fixture = plugin.mcn
    make = getattr(fixture, "_get_wrapped_function", None)
    steps = (make() if make else fixture.__wrapped__)(request, mcn_server)
    a = time.perf_counter()
    account = next(steps)
    b = time.perf_counter()
    yield account
    c = time.perf_counter()
    next(steps, None)
    taken.append(b - a + time.perf_counter() - c)

def pytest_sessionfinish():
    print("TAKEN", statistics.median(taken) * 1e6)
"""
_POSTS = """
import json, statistics, time
import requests
from werkzeug import Response

POSTS = 200
QUERY = "login_did=79157777777&code=1234"

def by_hand(request):
    if request.headers.get("Authorization") != "Bearer test-token" or not request.args["login_did"].isdecimal():
        return Response(status=401)
    called = {"login_did": request.args["login_did"], "code": request.args["code"], "verification_call_uuid": "a_1"}
    content = {"status": "success", "code": 200, "object": called}
    return Response(json.dumps(content), content_type="application/json")

def p50_ms(url, headers):
    taken = []
    for _ in range(POSTS):
        began = time.perf_counter()
        response = requests.post(url, headers=headers, timeout=9)
        taken.append(time.perf_counter() - began)
        response.raise_for_status()
    return 1000 * statistics.median(taken)

def test_posts(mcn, httpserver):
    mcn.set_balance("100000.00")
    path = "/v2/rest/account/1/flash_call"
    httpserver.expect_request(path, method="POST").respond_with_handler(by_hand)
    found = {"post, fixture": [], "post, by hand": []}
    for _ in range(ROUNDS):
        url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?{QUERY}"
        found["post, fixture"].append(p50_ms(url, mcn.headers))
        url = httpserver.url_for(f"{path}?{QUERY}")
        found["post, by hand"].append(p50_ms(url, {"Authorization": "Bearer test-token"}))
    print("TAKEN" + json.dumps(found))
"""
_LOGINS = """
import pytest
import requests

@pytest.fixture(scope="session")
def hook(make_httpserver):
    make_httpserver.expect_request("/hook", method="POST").respond_with_data("", 204)
    return make_httpserver.url_for("/hook")

@pytest.mark.parametrize("n", range(TESTS))
def test_login(mcn, hook, n):
    mcn.subscribe(hook)
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777&code=1234"
    requests.post(url, headers=mcn.headers, timeout=9).raise_for_status()
    assert mcn.wait_for_cdr().cdr["q931_status"] == 16
"""
_NOTHING = """
import pytest

@pytest.mark.parametrize("n", range(TESTS))
def test_nothing(n):
    pass
"""
_START = {
    "MCNServer": """
import pytest, requests, time
began = time.perf_counter()
from pytest_mcn_mock.testing.server import MCNServer
with MCNServer() as server:
    account = server.open_account()
    requests.post(f"{account.base_url}/account/{account.account_id}/flash_call?login_did=79157777777",
                  headers=account.headers, timeout=9).raise_for_status()
    print(time.perf_counter() - began)
""",
    "HTTPServer": """
import pytest, requests, time
began = time.perf_counter()
from pytest_httpserver import HTTPServer
with HTTPServer() as server:
    server.expect_request("/flash_call", method="POST").respond_with_json({"status": "success"})
    requests.post(server.url_for("/flash_call?login_did=79157777777"), timeout=9).raise_for_status()
    print(time.perf_counter() - began)
""",
}


def measure_posts(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a ``requests.post`` in a test, the median of each round."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, "test_posts.py").write_text(_POSTS.replace("ROUNDS", str(rounds)), encoding="utf-8")
        printed = _run_pytest(name)
    found: dict[str, list[float]] = json.loads(printed.partition("TAKEN")[2].splitlines()[0])
    return found


def _run_pytest(folder: str) -> str:
    options = ("-q", "-s", "-p", "no:randomly", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, folder]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


def measure_accounts(rounds: int) -> list[float]:
    """Microseconds of the fixture ``mcn``: its set-up and its teardown together, the median of each round's tests."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        Path(name, "conftest.py").write_text(_TIMED, encoding="utf-8")
        tests = f"import pytest\n@pytest.mark.parametrize('n', range({TESTS}))\ndef test_it(mcn, n):\n    pass\n"
        Path(name, "test_many.py").write_text(tests, encoding="utf-8")
        for _ in range(rounds):
            found.append(float(_run_pytest(name).partition("TAKEN")[2].split()[0]))  # noqa: PERF401 - it is a run
    return found


def measure_tests(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a test that orders a call and waits for its CDR, and of an empty one: the difference of a run
    with many tests and one with few.
    """
    found: dict[str, list[float]] = {"test, login": [], "test, nothing": []}
    for _ in range(rounds):
        for name, code in (("test, login", _LOGINS), ("test, nothing", _NOTHING)):
            few, many = (_seconds_of_run(code.replace("TESTS", str(tests))) for tests in (FEW, TESTS))
            found[name].append(1000 * (many - few) / (TESTS - FEW))
    return found


def _seconds_of_run(code: str) -> float:
    with tempfile.TemporaryDirectory() as name:
        Path(name, "test_many.py").write_text(code, encoding="utf-8")
        began = time.perf_counter()
        _run_pytest(name)
        return time.perf_counter() - began


def measure_starts(rounds: int) -> dict[str, list[float]]:
    """Milliseconds from the import of the server to its first answer, in processes that have loaded pytest."""
    found: dict[str, list[float]] = {f"start, {name}": [] for name in _START}
    for _ in range(rounds):
        for name, code in _START.items():
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            found[f"start, {name}"].append(1000 * float(done.stdout.split()[-1]))
    return found


def measure_stops(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of ``stop()``, of a server that has answered, and ours has sent a CDR too."""
    found: dict[str, list[float]] = {"stop, MCNServer": [], "stop, HTTPServer": []}
    for _ in range(rounds):
        with HTTPServer() as sink:
            sink.expect_request("/hook").respond_with_data("", 204)
            ours, theirs = MCNServer(), HTTPServer()
            ours.start()
            theirs.start()
            theirs.expect_request("/").respond_with_data("")
            requests.get(theirs.url_for("/"), timeout=9)
            account = ours.open_account()
            account.subscribe(sink.url_for("/hook"))
            url = f"{account.base_url}/account/{account.account_id}/flash_call?{QUERY}"
            requests.post(url, headers=account.headers, timeout=9)
            account.wait_for_cdr()
            for name, server in (("MCNServer", ours), ("HTTPServer", theirs)):
                began = time.perf_counter()
                server.stop()
                found[f"stop, {name}"].append(1000 * (time.perf_counter() - began))
    return found


def main() -> None:
    """Print every figure."""
    rounds = int(sys.argv[1])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    found = {**measure_posts(rounds), "account": measure_accounts(rounds), **measure_tests(rounds)}
    found |= {**measure_starts(2 * rounds + 1), **measure_stops(rounds)}
    print(json.dumps({**found, "pytest": pytest.__version__}))


if __name__ == "__main__":
    main()
