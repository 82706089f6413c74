"""A database that a sandbox cannot use: one line says why, without a secret. And the clock that counts is its own."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from helpers.postgres import Cluster
from helpers.replicas import SHORT_LEASES, wait_for_deliveries
from helpers.sandbox import MCN_MOCK, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.errors import ConfigError
from pytest_mcn_mock.storage.postgres import Postgres, _prepare

SECRET = "hush-1"
AN_HOUR_AHEAD = "import time; now = time.time; time.time = lambda: now() + 3600\n"


async def load(*_: object) -> None:
    """Read nothing."""


def why_not(url: str) -> str:
    with pytest.raises(ConfigError) as raised:
        Postgres(url, load)
    (problem,) = raised.value.problems
    assert SECRET not in problem
    assert "\n" not in problem
    return problem


@pytest.mark.parametrize(
    "url,why",
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:1/x", "refused"),
        (f"postgresql://u:{SECRET}@nowhere.invalid/x", "nowhere.invalid"),
        (f"postgresql://u:{SECRET}@127.0.0.1:99999/x", "invalid port number"),
        (f"postgresql://u:{SECRET}@127.0.0.1/", "names no database"),
        (f"postgresql://u:{SECRET}@127.0.0.1/x?unknown=1", "unknown"),
        (f"postgresql://u:{SECRET}%zz@127.0.0.1/x", "have to be encoded"),
        (f"postgresql://u:{SECRET}/@127.0.0.1/x", "have to be encoded"),
        (f"postgresql://u:@{SECRET}@127.0.0.1/x", "have to be encoded"),
        (f"postgresql://u@127.0.0.1:1/x?password={SECRET}", "refused"),
        (f"postgresql://u:{SECRET}@ho st/x", ""),
    ],
)
def test_a_url_that_leads_nowhere(url: str, why: str) -> None:
    assert why in why_not(url)


def test_what_the_server_refuses(cluster: Cluster) -> None:
    url = cluster.new_url()
    access = cluster.folder / "data" / "pg_hba.conf"
    access.write_text(f"local all locked scram-sha-256\n{access.read_text()}")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE locked LOGIN PASSWORD 'another'")
        admin.execute("CREATE ROLE powerless LOGIN")
        admin.execute("SELECT pg_reload_conf()")
    wait_until(lambda: "password authentication failed" in why_not(url.replace("postgres@", f"locked:{SECRET}@")))
    assert 'database "nobodys" does not exist' in why_not(cluster.url("nobodys"))
    assert "permission denied for database" in why_not(url.replace("postgres@", "powerless@"))
    Postgres(url, load)
    assert "permission denied for schema" in why_not(url.replace("postgres@", "powerless@"))


@pytest.mark.parametrize(
    "table", ["others (id int)", "meta (id int)", "meta (key text, value text)"], ids=["others", "meta", "same"]
)
def test_tables_of_another_program(cluster: Cluster, table: str) -> None:
    url = cluster.new_url()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA mcn_mock")
        admin.execute(f"CREATE TABLE mcn_mock.{table}".encode())
    assert "another program" in why_not(url)
    with psycopg.connect(url) as admin:
        assert len(admin.execute("SELECT FROM pg_tables WHERE schemaname = 'mcn_mock'").fetchall()) == 1


def test_a_newer_version_ends_the_command(cluster: Cluster) -> None:
    url = cluster.new_url()
    Postgres(url, load)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("UPDATE mcn_mock.meta SET value = '999' WHERE key = 'schema_version'")
    with_secret = url.replace("postgres@", f"postgres:{SECRET}@")
    command = [MCN_MOCK, "serve", "--port", "0", "--state", with_secret]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "a newer version of mcn-mock, form 999" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert SECRET not in ended.stderr


def test_a_server_that_is_too_old() -> None:
    info = SimpleNamespace(server_version=120_017, parameter_status=lambda _: "12.17")
    with pytest.raises(ConfigError, match=r"the server is PostgreSQL 12\.17; 13 or newer is needed"):
        _prepare(cast("psycopg.Connection[Any]", SimpleNamespace(info=info)))


def test_a_machine_whose_clock_is_an_hour_ahead(cluster: Cluster, receiver: Receiver) -> None:
    """Its claims run out when the database says so, and its calls and requests have the database's time."""
    state, config = ("--state", cluster.new_url()), with_webhook(receiver.url)
    with (
        running_sandbox(*state, config=config, before=AN_HOUR_AHEAD + SHORT_LEASES) as ahead,
        running_sandbox(*state, config=config, before=SHORT_LEASES) as right,
    ):
        release = receiver.hold()
        for sandbox in (ahead, right, ahead):
            sandbox.flash_call()
        wait_until(lambda: len(receiver.received) == 3)
        ahead.process.kill()
        release()
        wait_for_deliveries(right, 3)
        seqs = [request["seq"] for request in right.admin("requests")["items"]]
        assert seqs == sorted(seqs)
        times = [call["placed_at"] for call in right.admin("calls")["items"]]
        assert times == sorted(times)
        assert abs(datetime.fromisoformat(times[0]).timestamp() - time.time()) < 600
