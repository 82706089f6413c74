"""The database goes away, or takes nothing: orders are refused at once, nothing that was answered is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from helpers.killed_sandbox import everything
from helpers.postgres import Cluster
from helpers.replicas import Watcher, at_once, running_replicas, wait_for_deliveries
from helpers.sandbox import Sandbox, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.delivery import worker
from pytest_mcn_mock.storage import postgres, replicas
from pytest_mcn_mock.storage.transactions import RETRY_S

BRIEF_LOCKS = 'import pytest_mcn_mock.storage.postgres as postgres; postgres._SETTINGS["lock_timeout"] = "300ms"'
SECOND = '[[account]]\nid = 222\ntoken = "token-222"\nbalance = "1.00"\n'


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield connection


def is_refused(sandbox: Sandbox) -> bool:
    """Whether orders are refused because of the database. The answer is there long before a connection's time-out."""
    answer = requests.post(
        f"{sandbox.url}/v2/rest/account/12345678/flash_call?login_did=79157777777",
        headers={"Authorization": "Bearer test-token"},
        timeout=4,
    )
    if answer.status_code == 200:
        return False
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "storage_failed")
    return True


def assert_unready(sandbox: Sandbox) -> None:
    ready = requests.get(f"{sandbox.url}/__admin/health/ready", timeout=4)
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["storage_failed"])
    assert not sandbox.admin("health")["ready"]
    assert sandbox.admin("health/live") == {"status": "ok"}


def wait_for_recovery(sandbox: Sandbox) -> None:
    wait_until(lambda: not is_refused(sandbox))
    assert sandbox.admin("health/ready")["ready"]


def test_a_database_that_is_back_is_found_within_two_seconds() -> None:
    """An attempt begins so long after the one before, or when that one was given up."""
    assert max(RETRY_S, postgres.CONNECT_TIMEOUT_S, worker.RETRY_S, replicas.POLL_S) <= 2


def test_a_server_that_crashes_and_comes_back(receiver: Receiver) -> None:
    with (
        closing_cluster() as cluster,
        running_replicas(cluster.new_url(), 2, config=with_webhook(receiver.url)) as replicas,
    ):
        watcher = Watcher(replicas[0])
        release = receiver.hold()
        answered = [sandbox.flash_call()["verification_call_uuid"] for sandbox in replicas * 2]
        wait_until(lambda: len(receiver.received) == 4)
        cluster.stop()
        watcher.events.clear()  # it may have been told that it missed something as it began
        release()  # what came of these attempts is kept when the database is there again
        for sandbox in replicas:
            assert all(at_once(lambda _: is_refused(sandbox), 12))  # noqa: B023 - called before the loop goes on
            assert_unready(sandbox)
            assert requests.get(f"{sandbox.url}/__admin/metrics", timeout=4).status_code in {200, 503}
        cluster.start()
        for sandbox in replicas:
            wait_for_recovery(sandbox)
        deliveries = wait_for_deliveries(replicas[0], 6)
        assert len(receiver.received) == 6
        assert all(len(delivery["attempts"]) == 1 for delivery in deliveries)
        charged = [entry["verification_call_uuid"] for entry in everything(replicas[1], "accounts/12345678/ledger")]
        assert charged[1:5] == answered
        assert len(charged) == len(set(charged)) == 7
        watcher.wait_for("dropped")
        uuid = replicas[1].flash_call()["verification_call_uuid"]
        watcher.wait_for("call", verification_call_uuid=uuid)
        status, _, log = replicas[0].stop(signal.SIGTERM)
        assert (status, "Traceback" in log) == (0, False), log


@contextmanager
def closing_cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    """A database of a user without special rights."""
    url = cluster.new_url()
    with connected(url) as admin:
        admin.execute("CREATE ROLE mcn LOGIN")
        admin.execute(f"GRANT CREATE ON DATABASE {admin.info.dbname} TO mcn")
    return url


@pytest.fixture(scope="module")
def one(url: str) -> Iterator[Sandbox]:
    with running_sandbox(
        "--state",
        url.replace("postgres@", "mcn@"),
        config=with_webhook("http://127.0.0.1:9/") + SECOND,
        before=BRIEF_LOCKS,
    ) as sandbox:
        yield sandbox


def end_sessions(admin: psycopg.Connection[Any]) -> None:
    """Wait until their processes are gone: they count until then, and their connections are open."""
    ended = "SELECT pg_terminate_backend(pid), pid FROM pg_stat_activity WHERE usename = 'mcn'"
    pids = [pid for (_, pid) in admin.execute(ended)]
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_connections_that_are_cut_cost_no_order(one: Sandbox, url: str) -> None:
    with connected(url) as admin:
        for _ in range(3):
            assert not is_refused(one)
            end_sessions(admin)
            assert not is_refused(one)


def test_a_database_that_is_read_only(one: Sandbox, url: str) -> None:
    with connected(url) as admin:
        database = f"ALTER DATABASE {admin.info.dbname}"
        admin.execute(f"{database} SET default_transaction_read_only = on".encode())
        end_sessions(admin)
        wait_until(lambda: is_refused(one) and not one.admin("health")["ready"])
        assert_unready(one)
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"{database} RESET default_transaction_read_only".encode())
        wait_for_recovery(one)


def test_too_many_connections(one: Sandbox, url: str) -> None:
    with connected(url) as admin:
        admin.execute("ALTER ROLE mcn CONNECTION LIMIT 2")
        end_sessions(admin)
        assert not any(at_once(lambda _: is_refused(one), 12)), "with one connection it goes on"
        admin.execute("ALTER ROLE mcn CONNECTION LIMIT 0")
        end_sessions(admin)
        wait_until(lambda: is_refused(one) and not one.admin("health")["ready"])
        assert_unready(one)
        admin.execute("ALTER ROLE mcn CONNECTION LIMIT -1")
        wait_for_recovery(one)


def test_a_statement_that_hangs(one: Sandbox, url: str) -> None:
    before = one.admin("accounts/12345678")["balance"]
    with connected(url) as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM mcn_mock.totals WHERE account_id = '12345678' FOR UPDATE")
        assert is_refused(one)
        answer = one.order(account_id="222", token="token-222")
        assert answer.status_code == 200, answer.text
        assert requests.get(f"{one.url}/__admin/health/ready", timeout=4).status_code == 200
        other.execute("ROLLBACK")
        assert one.admin("accounts/12345678")["balance"] == before
        assert not is_refused(one)
