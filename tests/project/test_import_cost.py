"""pytest loads the plugin in every run of everybody who has it installed: it must not bring anything with it. A test
that uses the fixtures waits for what they load: that must not be what they only may need.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers.sandbox import running_sandbox

HEAVY = ["click", "httptools", "jsonschema", "msgspec", "phonenumbers", "pytest_httpserver", "werkzeug"]


def test_a_run_without_the_fixtures_loads_nothing_heavy(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others may load what they like
    pytester.makepyfile(f"""
        import sys

        def test_nothing_is_loaded():
            assert "pytest_mcn_mock.plugin" in sys.modules
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
    """)
    result = pytester.runpytest_subprocess("-p", "pytest_mcn_mock.plugin")
    result.assert_outcomes(passed=1)


def test_a_call_without_a_webhook_needs_no_plan_no_loop_no_page_and_nothing_of_the_sandboxs() -> None:
    """In a process of its own, and by the bare server: pytest and requests load a part of it themselves."""
    code = """
import sys, urllib.request
from pytest_mcn_mock import MCNServer
with MCNServer() as server:
    account = server.open_account()
    url = f"{account.base_url}/account/{account.account_id}/flash_call?login_did=79157777777"
    urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=account.headers), timeout=9).close()
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pytest_mcn_mock.testing.server" in loaded
    late = {"asyncio", "concurrent", "phonenumbers", "werkzeug.routing", "pytest_mcn_mock.schemas"}
    late |= {f"pytest_mcn_mock.delivery.{name}" for name in ("client", "worker")}
    late |= {f"pytest_mcn_mock.testing.{name}" for name in ("loops", "sending", "session")}
    late |= {f"pytest_mcn_mock.web.{name}" for name in ("admin", "admin_types", "page", "server")}
    extra = {"click", "jsonschema", "prometheus_client", "rich", "sqlalchemy", "trustme"}
    assert loaded & (late | extra) == set()


APPLICATION = "lambda environ, start: (start('204 No Content', []), [])[1]"


@pytest.mark.parametrize("target", ["server.url_for('/hook')", APPLICATION], ids=["URL", "application"])
def test_what_sends_a_cdr_is_loaded_with_its_webhook(target: str) -> None:
    """When the CDR is due, no file descriptor may be free, and an import would fail."""
    code = f"""
import sys, urllib.request
from pytest_mcn_mock import MCNServer
with MCNServer() as server:
    server.expect_request("/hook").respond_with_data("", 204)
    account = server.open_account()
    account.subscribe({target})
    before = set(sys.modules)
    url = f"{{account.base_url}}/account/{{account.account_id}}/flash_call?login_did=79157777777"
    urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=account.headers), timeout=60).close()
    account.assert_cdr_delivered(timeout=60)
print("asyncio" in before, *(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    was_loaded, *late = done.stdout.split()
    assert was_loaded == "True"
    assert [name for name in late if name.startswith(("asyncio", "concurrent", "pytest_mcn_mock"))] == []


def test_a_sandbox_answers_a_first_call_without_what_only_other_requests_need() -> None:
    config = '[[account]]\nid = 12345678\ntoken = "test-token"\n[[account.webhook]]\nurl = "http://127.0.0.1:9/"\n'
    profiled = {"PYTHONPROFILEIMPORTTIME": "1"}
    with running_sandbox(config=config, environment=profiled, unchecked=True) as sandbox:
        assert sandbox.order(login_did="79157777777").status_code == 200
        log = sandbox.stop()[2]
    loaded = {line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")}
    assert {"pytest_mcn_mock.web.server", "pytest_mcn_mock.web.routes"} <= loaded
    late = {"phonenumbers", "importlib.metadata", "tempfile", "webbrowser", "werkzeug"}
    late |= {f"pytest_mcn_mock.{name}" for name in ("cli.demo", "web.admin", "web.admin_types", "web.page", "testing")}
    extra = {"attr", "jsonschema", "prometheus_client", "pytest", "referencing", "rich", "sqlalchemy", "trustme"}
    assert loaded & (late | extra) == set()
