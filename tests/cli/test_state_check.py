"""``mcn-mock state check``."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from helpers.postgres import Cluster
from helpers.sandbox import running_sandbox, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.storage.database import SCHEMA_VERSION


def run(*arguments: str, status: int = 0, **environment: str) -> str:
    """What the command says, on whichever output."""
    done = CliRunner().invoke(mcn_mock, ["state", "check", *arguments], env=environment, prog_name="mcn-mock")
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a state that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.new_url()


def execute(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute(statement)
    else:
        with psycopg.connect(url, options="-c search_path=mcn_mock") as connection:
            connection.execute(statement.encode())


def test_it_counts_what_is_there_while_a_sandbox_runs_and_afterwards(url: str) -> None:
    with Receiver() as receiver:
        receiver.hold()
        with running_sandbox("--state", url, config=with_webhook(receiver.url)) as sandbox:
            sandbox.flash_call()
            sandbox.flash_call("12345678")
            running = json.loads(run(url, "--json"))
            sandbox.flash_call()  # its sandbox goes on
            sandbox.process.kill()
            sandbox.process.wait()
    left = json.loads(run(url, "--json"))
    assert running.pop("size") > 0
    assert left.pop("size") > 0
    assert running.pop("server_version") == left.pop("server_version")
    engine = url.partition(":")[0]
    expected = {"engine": engine, "schema_version": SCHEMA_VERSION, "known": True, "accounts": 1}
    assert running == {**expected, "calls": 2, "pending": 2}
    assert left == {**expected, "calls": 3, "pending": 3}


def test_it_is_a_table_and_takes_the_url_of_the_environment(url: str) -> None:
    with running_sandbox("--state", url) as sandbox:
        sandbox.flash_call()
        assert sandbox.stop()[0] == 0
    lines = dict(line.split("  ", 1) for line in run(MCN_MOCK_STATE=url).splitlines())
    fields = {name: text.strip() for name, text in lines.items()}
    assert fields["engine"].split()[0].lower() == url.partition(":")[0]
    assert fields["schema version"] == f"{SCHEMA_VERSION}, known to this program"
    assert (fields["accounts"], fields["calls"], fields["pending CDRs"]) == ("1", "1", "0")
    assert fields["size"].endswith(" bytes")


def test_another_version_is_named_and_not_read(url: str) -> None:
    with running_sandbox("--state", url) as sandbox:
        sandbox.stop()
    execute(url, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    found = json.loads(run(url, "--json"))
    assert (found["schema_version"], found["known"], found["calls"]) == (99, False, None)
    assert "99, not known to this program" in run(url)


def test_a_database_without_tables_is_a_state_to_be(cluster: Cluster, tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    for url in (cluster.new_url(), f"sqlite:///{empty}"):
        assert "none yet: the first start makes the tables" in run(url)
    assert empty.stat().st_size == 0


def test_a_file_that_only_another_user_may_write_is_read_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with running_sandbox("--state", f"sqlite:///{folder}/state.db") as sandbox:
        sandbox.stop()
    folder.chmod(0o500)
    assert "known to this program" in run(f"sqlite:///{folder}/state.db")
    folder.chmod(0o700)
    assert [path.name for path in folder.iterdir()] == ["state.db"]


@pytest.mark.parametrize(
    "url,why",
    [
        ("sqlite:////no/such/file.db", "there is no such file"),
        ("sqlite:///{folder}/text.db", "file is not a database"),
        ("sqlite:///{folder}/other.db", "it is a database of another program"),
        ("postgresql://u:s3cret@127.0.0.1:1/x", "refused"),
        ("postgresql://u:s3cret@/nobodys?host={folder}", "No such file"),
        ("mysql://u:s3cret@host/x", "'mysql' is not known"),
        ("s3cret", "is not a database URL"),
    ],
)
def test_a_state_that_cannot_be_used_is_a_line_without_the_password(tmp_path: Path, url: str, why: str) -> None:
    (tmp_path / "text.db").write_text("not a database, but a text that is long enough for one" * 20)
    execute(f"sqlite:///{tmp_path}/other.db", "CREATE TABLE others (id INTEGER)")
    said = run(url.format(folder=tmp_path), status=2)
    assert why in said
    assert len(said.splitlines()) == 1 or said.startswith("state: ")
    assert "s3cret" not in said


def test_a_table_of_another_program_and_a_missing_right_are_a_line(cluster: Cluster) -> None:
    url = cluster.new_url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA mcn_mock CREATE TABLE others (id integer)")
        connection.execute("CREATE ROLE stranger_of_states LOGIN")
    assert "it is a database of another program" in run(url, status=2)
    with running_sandbox("--state", (url := cluster.new_url())) as sandbox:
        sandbox.stop()
    said = run(url.replace("//postgres@", "//stranger_of_states@"), status=2)
    assert "permission denied" in said


def test_a_schema_that_was_prepared_needs_no_right_to_make_one(cluster: Cluster) -> None:
    url = cluster.new_url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE tenant LOGIN")
        connection.execute("CREATE SCHEMA mcn_mock AUTHORIZATION tenant")
    url = url.replace("//postgres@", "//tenant@")
    with running_sandbox("--state", url) as sandbox:
        sandbox.flash_call()
        assert json.loads(run(url, "--json"))["calls"] == 1


def test_without_a_url_it_says_what_to_give() -> None:
    assert "give the URL of the state" in run(status=2, MCN_MOCK_STATE="")
