from __future__ import annotations

import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
from helpers.client import RUSSIAN, raw_request
from helpers.postgres import Cluster
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import Receiver
from prometheus_client.parser import text_string_to_metric_families

CONFIG = """
[server]
journal_size = 2
[assumed]
retry_after_s = []
[[account]]
id = 12345678
token = "test-token"
balance = "1.00"
numbers = ["79158888888"]
[[account.webhook]]
url = "{url}"
[[account.outcome]]
login_did = "7916*"
outcome = "busy"
"""


@pytest.fixture(scope="module")
def acknowledging() -> Iterator[Receiver]:
    with Receiver(500, 204) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def busy(acknowledging: Receiver) -> Iterator[Sandbox]:
    """A sandbox that has done this and that."""
    with running_sandbox(config=CONFIG.format(url=acknowledging.url)) as sandbox:
        sandbox.flash_call()
        for login_did in ("79161111111", "421901234567"):
            sandbox.flash_call(login_did=login_did)
        wait_until(lambda: count(sandbox, "mcn_mock_attempts_total") == 3)
        sandbox.order("call_for_2fa", caller_did="79158888888")
        requests.post(
            f"{sandbox.url}/api/protected/api/auth/call_2fa",
            json={"caller_did": "79158888888", "login_did": RUSSIAN},
            headers={"Authorization": "Bearer test-token"},
            timeout=30,
        )
        sandbox.order(login_did="x")
        sandbox.order(token="unknown")
        raw_request(sandbox.url, "GET", "/evil%22%7D%0A", {})
        raw_request(sandbox.url, "GET", "/__admin/calls", {"Host": "evil.test"})
        yield sandbox


def metrics(sandbox: Sandbox) -> dict[tuple[str, tuple[str, ...]], float]:
    response = requests.get(f"{sandbox.url}/__admin/metrics", timeout=30)
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def count(sandbox: Sandbox, name: str) -> float:
    return sum(value for (sample, _), value in metrics(sandbox).items() if sample == name)


def test_calls_charges_refusals_and_deliveries_are_counted(busy: Sandbox) -> None:
    found = metrics(busy)
    expected = {
        ("mcn_mock_calls_total", ("api_mcn", "flash_call", "answered")): 2,
        ("mcn_mock_calls_total", ("api_mcn", "flash_call", "busy")): 1,
        ("mcn_mock_calls_total", ("api_mcn", "call_for_2fa", "answered")): 1,
        ("mcn_mock_calls_total", ("paidmethods", "call_for_2fa", "answered")): 1,
        ("mcn_mock_charged_kopecks_total", ("api_mcn", "flash_call")): 15 + 15 + 45,
        ("mcn_mock_charged_kopecks_total", ("api_mcn", "call_for_2fa")): 1,
        ("mcn_mock_charged_kopecks_total", ("paidmethods", "call_for_2fa")): 1,
        ("mcn_mock_requests_total", ("200",)): 5,
        ("mcn_mock_requests_total", ("400",)): 1,
        ("mcn_mock_requests_total", ("401",)): 1,
        ("mcn_mock_requests_total", ("404",)): 1,
        ("mcn_mock_refusals_total", ("invalid_parameter",)): 1,
        ("mcn_mock_refusals_total", ("unauthorized",)): 1,
        ("mcn_mock_guarded_total", ("forbidden",)): 1,
        ("mcn_mock_deliveries_total", ("delivered",)): 2,
        ("mcn_mock_deliveries_total", ("failed",)): 1,
        ("mcn_mock_attempts_total", ("acknowledged",)): 2,
        ("mcn_mock_attempts_total", ("refused",)): 1,
        ("mcn_mock_cdr_seconds_count", ()): 2,
        ("mcn_mock_cdrs_pending", ()): 0,
        ("mcn_mock_cdrs_pending_limit", ()): 100_000,
        ("mcn_mock_cdr_lag_seconds", ()): 0,
        ("mcn_mock_attempts_under_way", ()): 0,
        ("mcn_mock_ready", ()): 1,
        ("mcn_mock_dropped_total", ("calls",)): 3,
        ("mcn_mock_dropped_total", ("events",)): 0,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["mcn_mock_dropped_total", ("requests",)] == found["mcn_mock_request_seconds_count", ()] - 2
    assert found["mcn_mock_request_seconds_sum", ()] > 0
    assert found["mcn_mock_build_info", (platform.python_version(), version("pytest-mcn-mock"))] == 1


def test_nothing_of_a_request_is_a_label(busy: Sandbox) -> None:
    text = requests.get(f"{busy.url}/__admin/metrics", timeout=30).text
    for of_a_request in ("evil", "12345678", "test-token", RUSSIAN, "unknown"):
        assert of_a_request not in text
    labels = {value for _, values in metrics(busy) for value in values}
    assert len(labels) < 100


def test_what_is_pending_and_under_way_is_shown() -> None:
    with Receiver() as receiver:
        release = receiver.hold()
        with running_sandbox(config=CONFIG.format(url=receiver.url)) as sandbox:
            sandbox.flash_call()
            wait_until(lambda: metrics(sandbox)["mcn_mock_attempts_under_way", ()] == 1)
            found = metrics(sandbox)
            assert found["mcn_mock_cdrs_pending", ()] == 1
            assert found["mcn_mock_cdr_lag_seconds", ()] > 0
            release()
            wait_until(lambda: metrics(sandbox)["mcn_mock_cdrs_pending", ()] == 0)


@pytest.mark.parametrize("store", ["memory", "sqlite", "postgresql"])
def test_a_server_says_its_name_and_where_its_state_is(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = {"MCN_MOCK_REPLICA": "eu-1\n"}
    if store == "sqlite":
        environment["MCN_MOCK_STATE"] = f"sqlite:///{tmp_path}/state.db"
    elif store == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        environment["MCN_MOCK_STATE"] = cluster.new_url()
    with running_sandbox(environment=environment) as sandbox:
        found = sandbox.admin("health")
        assert (found["store"], found["replica"]) == (store, "eu-1\\n")
        assert metrics(sandbox)["mcn_mock_replica_info", ("eu-1\\n", store)] == 1


def test_a_server_without_a_name_has_its_hosts_and_its_process(busy: Sandbox) -> None:
    assert busy.admin("health")["replica"] == f"{socket.gethostname()}-{busy.process.pid}"


def test_replicas_say_the_same_of_what_they_share_and_their_own_of_the_rest(cluster: Cluster) -> None:
    url = cluster.new_url()
    with (
        Receiver(500) as receiver,
        running_sandbox("--state", url, config=CONFIG.format(url=receiver.url)) as one,
        running_sandbox("--state", url, config=CONFIG.format(url=receiver.url)) as two,
    ):
        receiver.hold()
        one.flash_call()
        wait_until(lambda: metrics(two)["mcn_mock_cdrs_pending", ()] == 1)
        found = [metrics(one), metrics(two)]
        assert [each["mcn_mock_cdrs_pending", ()] for each in found] == [1, 1]
        assert [each.get(("mcn_mock_requests_total", ("200",)), 0) for each in found] == [1, 0]
        assert [sum(each[key] for key in each if key[0] == "mcn_mock_charged_kopecks_total") for each in found] == [
            15,
            0,
        ]
        told = requests.get(f"{one.url}/__admin/metrics", timeout=30).text
        help_of = {line.split()[2]: line for line in told.splitlines() if line.startswith("# HELP")}
        of_all = {name for name, line in help_of.items() if "take max and not sum" in line}
        assert of_all == {
            "mcn_mock_cdrs_pending",
            "mcn_mock_cdrs_pending_limit",
            "mcn_mock_attempts_waiting",
            "mcn_mock_cdr_lag_seconds",
            "mcn_mock_dropped_total",
        }


def test_without_the_library_the_answer_says_what_to_install() -> None:
    with running_sandbox(before="import sys; sys.modules['prometheus_client'] = None") as sandbox:
        response = requests.get(f"{sandbox.url}/__admin/metrics", timeout=30)
    assert response.status_code == 404
    assert "pip install 'pytest-mcn-mock[sandbox]'" in response.json()["errors"][0]["message"]


def test_the_library_is_not_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, pytest_mcn_mock.cli.server; "
        "print([name for name in ('prometheus_client', 'trustme') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
