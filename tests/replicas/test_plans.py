"""No statement on the way of an order reads a large table from end to end."""

from __future__ import annotations

import psycopg
from helpers.postgres import Cluster
from helpers.replicas import wait_for_deliveries
from helpers.sandbox import running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

LARGE = ("calls", "deliveries", "ledger")
FILL = (
    """INSERT INTO calls SELECT copy.* FROM generate_series(1000000, 1050000) AS n, calls AS one,
       jsonb_populate_record(one, jsonb_build_object('seq', n, 'verification_call_uuid', n || '_1', 'account_id', '1'))
       AS copy""",
    """INSERT INTO deliveries SELECT copy.* FROM generate_series(1000000, 1050000) AS n, deliveries AS one,
       jsonb_populate_record(one, jsonb_build_object('id', n, 'call_seq', n, 'account_id', '1')) AS copy""",
    """INSERT INTO ledger (account_id, n, kind, kopecks, balance, at)
       SELECT '1', n, 'charge', -15, 0, n FROM generate_series(1000000, 1050000) AS n""",
    "ANALYZE",
)
"""Copies of the one call and of its delivery, which another account has."""


def scans(url: str) -> dict[str, int]:
    """How often each table was read from end to end, as PostgreSQL counts it; a connection reports at its end."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'mcn_mock' AND relname = ANY(%s)",
            [list(LARGE)],
        ).fetchall()
    return dict(found)


def pending(url: str) -> int:
    with psycopg.connect(url, options="-c search_path=mcn_mock") as connection:
        row = connection.execute("SELECT sum(pending)::int FROM totals").fetchone()
    assert row is not None
    return int(row[0])


def test_an_order_and_its_cdr_read_no_large_table_from_end_to_end(cluster: Cluster) -> None:
    url = cluster.new_url()
    with Receiver() as receiver:
        config = f"[server]\njournal_size = 100000\n{with_webhook(receiver.url)}"
        with running_sandbox("--state", url, config=config) as sandbox:
            sandbox.flash_call()
            wait_for_deliveries(sandbox, 1)
            sandbox.stop()
        with psycopg.connect(url, autocommit=True, options="-c search_path=mcn_mock") as connection:
            for statement in FILL:
                connection.execute(statement.encode())
        before = scans(url)
        with running_sandbox("--state", url, config=config) as sandbox:
            for _ in range(8):  # so often that PostgreSQL may choose a plan for all values
                sandbox.flash_call()
            wait_until(lambda: sandbox.admin("accounts/12345678/ledger?limit=1") and not pending(url))
            assert sandbox.stop()[0] == 0
        wait_until(lambda: scans(url).keys() == set(LARGE))
        assert scans(url) == before
