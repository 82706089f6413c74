"""A changed configuration file is loaded while the sandbox runs, by SIGHUP or ``mcn-mock reload``, or not at all."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from helpers.sandbox import Sandbox, running_sandbox, wait_until

from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.cli.reloading import merge_webhooks
from pytest_mcn_mock.model.accounts import Account, add_subscription
from pytest_mcn_mock.model.webhooks import Subscription, make_subscription

ACCOUNT = '[[account]]\nid = 12345678\ntoken = "test-token"\nbalance = "100.00"\nseed = 1\n'
FIRST = f"""{ACCOUNT}numbers = ["79158888888"]
[[account.webhook]]
url = "http://127.0.0.1:1/first"
[[account.webhook]]
url = "http://127.0.0.1:1/second"
"""


class Run:
    """A sandbox and its configuration file."""

    def __init__(self, path: Path, sandbox: Sandbox) -> None:
        self.path = path
        self.sandbox = sandbox

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def reload(self, text: str) -> Any:
        self.write(text)
        return self.sandbox.admin("reload", "POST")

    def account(self) -> Any:
        return self.sandbox.admin("accounts/12345678")

    def log(self) -> str:
        self.sandbox.log.seek(0)
        return self.sandbox.log.read()


@contextmanager
def started(tmp_path: Path, text: str, *options: str) -> Iterator[Run]:
    path = tmp_path / "mcn-mock.toml"
    path.write_text(text, encoding="utf-8")
    with running_sandbox("--config", str(path), *options) as sandbox:
        yield Run(path, sandbox)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with started(tmp_path, FIRST) as run:
        yield run


def test_a_file_that_has_not_changed_changes_nothing(run: Run) -> None:
    run.sandbox.admin("accounts/12345678", "PATCH", {"credit": "5.00", "numbers": []})
    run.sandbox.flash_call()
    before = run.account()
    reloaded = run.reload(FIRST)
    assert (reloaded["applied"], reloaded["restart"]) == ([], [])
    (difference,) = reloaded["differs"]
    assert "numbers none, in the file 79158888888" in difference
    assert run.account() == before
    assert len(run.sandbox.admin("calls")["items"]) == 1


def test_settings_hold_from_the_next_request_on(run: Run) -> None:
    settings = (
        '[server]\nmax_pending = 1\nmagic_numbers = false\nallowed_hosts = ["mock.test"]\n'
        '[tariff]\nflash_call = { 643 = "0.20", 703 = "0.45" }\n[assumed]\nerror_style = "numeric"\n'
    )
    there = {"Host": "mock.test"}
    assert requests.get(f"{run.sandbox.url}/__admin/calls", headers=there, timeout=60).status_code == 403
    assert run.sandbox.flash_call()["code"]
    reloaded = run.reload(settings + FIRST)
    assert set(reloaded["applied"]) == {
        "tariff", "assumed", "server.max_pending is 1", "server.magic_numbers is false", "server.allowed_hosts",
        "account 12345678: tariff",
    }  # fmt: skip
    assert reloaded["differs"] == []
    assert requests.get(f"{run.sandbox.url}/__admin/calls", headers=there, timeout=60).status_code == 200
    refusal = run.sandbox.order()
    assert refusal.status_code == 429
    assert refusal.json()["errors"]["code"] == 429
    assert run.account()["tariff"]["flash_call"]["643"] == "0.20"
    run.reload(settings.replace("max_pending = 1", "max_pending = 9") + FIRST)
    run.sandbox.flash_call()
    assert [call["price"] for call in run.sandbox.admin("calls")["items"]] == ["0.15", "0.20"]


def test_a_tariff_that_a_tester_has_set_stays(run: Run) -> None:
    run.sandbox.admin("accounts/12345678", "PATCH", {"tariff": {"call_for_2fa": "9.00"}})
    reloaded = run.reload(f'[tariff]\ncall_for_2fa = "0.05"\n{FIRST}')
    assert reloaded["applied"] == ["tariff"]
    assert "tariff" in reloaded["differs"][0]
    assert run.account()["tariff"]["call_for_2fa"] == "9.00"
    assert run.sandbox.admin("accounts", "POST", {})["tariff"]["call_for_2fa"] == "0.05"


def test_the_webhooks_of_the_file_change_and_those_of_testers_stay(run: Run) -> None:
    run.sandbox.admin("accounts/12345678/webhooks", "POST", {"url": "http://127.0.0.1:1/testers"})
    run.sandbox.admin("accounts/12345678/webhooks/1", "PATCH", {"enabled": False})
    reloaded = run.reload(
        FIRST.replace("/first", '/first"\nmethod = "GET').replace("/second", "/moved")
        + '[[account.webhook]]\nurl = "http://127.0.0.1:1/third"\n'
    )
    assert reloaded["applied"] == ["account 12345678: webhooks"]
    shown = [(w["n"], w["url"].rpartition("/")[2], w["method"], w["enabled"]) for w in run.account()["webhooks"]]
    assert shown == [
        (1, "first", "GET", False), (2, "moved", "POST", True), (3, "testers", "POST", True),
        (4, "third", "POST", True),
    ]  # fmt: skip
    assert run.reload(ACCOUNT + 'numbers = ["79158888888"]\n')["applied"] == ["account 12345678: webhooks"]
    assert [webhook["url"] for webhook in run.account()["webhooks"]] == ["http://127.0.0.1:1/testers"]


def test_accounts_are_opened_and_changed_and_none_is_closed(run: Run) -> None:
    new = (
        '[tariff]\ncall_for_2fa = "0.05"\n[[account]]\nid = 5\ntoken = "five"\nbalance = "1.00"\ncredit = "2.00"\n'
        '[[account.outcome]]\noutcome = "busy"\n'
    )
    reloaded = run.reload(new)
    assert reloaded["applied"] == ["tariff", "account 5: opened"]
    assert reloaded["differs"] == ["account 12345678 is not in the file any more and stays open until a reset"]
    assert run.sandbox.flash_call()["code"]
    five = run.sandbox.admin("accounts/5")
    assert (five["credit"], five["tariff"]["call_for_2fa"], five["outcomes"][0]["outcome"]) == ("2.00", "0.05", "busy")
    changed = new.replace("1.00", "7.00").replace("2.00", "3.00").replace("busy", "rejected")
    reloaded = run.reload(changed)
    assert reloaded["applied"] == ["account 5: credit, outcome rules"]
    assert "opening balance 1.00, in the file 7.00" in reloaded["differs"][0]
    five = run.sandbox.admin("accounts/5")
    assert (five["balance"], five["credit"], five["outcomes"][0]["outcome"]) == ("1.00", "3.00", "rejected")
    run.sandbox.admin("reset", "POST")
    assert [(a["id"], a["balance"]) for a in run.sandbox.admin("accounts")["items"]] == [(5, "7.00")]


def test_a_closed_account_stays_closed(run: Run) -> None:
    run.sandbox.admin("accounts/12345678", "DELETE")
    reloaded = run.reload(FIRST.replace("/first", "/other"))
    assert reloaded["differs"] == ["account 12345678 was closed and stays closed; a reset opens it again"]
    assert run.sandbox.admin("accounts")["items"] == []


@pytest.mark.parametrize(
    "text,said",
    [
        (
            f"[server]\nprot = 1\nmax_pending = 1\n{ACCOUNT}credit = 1.5\n",
            ["line 2: server.prot", "line 9: account[0]"],
        ),
        ("[[", ["is not valid TOML"]),
        (FIRST.replace("id = 12345678", "id = 5"), ["account 5: its token is that of account 12345678"]),
    ],
    ids=["mistakes", "no TOML", "another's token"],
)
def test_a_file_that_cannot_be_used_is_refused_as_a_whole(run: Run, text: str, said: list[str]) -> None:
    before = run.account()
    run.write(text)
    result = CliRunner().invoke(mcn_mock, ["reload", "--url", run.sandbox.url])
    assert (result.exit_code, result.stdout) == (1, "")
    run.sandbox.process.send_signal(signal.SIGHUP)
    wait_until(lambda: run.log().count("nothing was changed") == 2)
    for line in said:
        assert line in result.stderr
        assert line in run.log()
    run.path.unlink()
    missing = CliRunner().invoke(mcn_mock, ["reload", "--url", run.sandbox.url])
    assert "cannot be read" in missing.stderr
    assert run.account() == before
    assert run.sandbox.flash_call()["code"]
    assert run.reload(FIRST)["applied"] == []


def test_a_hang_up_loads_the_file(run: Run) -> None:
    run.write(f"[server]\nmax_pending = 1\n{FIRST}")
    run.sandbox.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the configuration was loaded: server.max_pending is 1" in run.log())
    assert run.sandbox.order().status_code == 429
    assert run.sandbox.stop()[0] == 0


def test_what_needs_a_restart_is_said_without_secrets(run: Run) -> None:
    server = (
        '[server]\nhost = "127.0.0.2"\nport = 9\nadmin_token = "s3cret-token"\nstate = "sqlite:///s3cret.db"\n'
        "journal_size = 5\nwebhook_targets = ['127.0.0.0/8']\n"
    )
    names = ["host", "admin_token", "state", "journal_size", "webhook_targets"]  # --port wins over the file's
    for _ in range(2):
        assert run.reload(server + FIRST)["restart"] == [f"server.{name}" for name in names]
    wait_until(lambda: "server.state has changed; restart" in run.log())
    assert "s3cret" not in run.log()
    assert run.reload(FIRST)["restart"] == []


def test_with_a_kept_state_the_differences_are_said(tmp_path: Path) -> None:
    state = f"sqlite:///{tmp_path / 'state.db'}"
    with started(tmp_path, FIRST, "--state", state) as run:
        run.sandbox.stop()
    with started(tmp_path, FIRST, "--state", state) as run:
        changed = FIRST.replace("100.00", "50.00").replace("test-token", "other-token").replace("/first", "/other")
        run.write(changed)
        result = CliRunner().invoke(mcn_mock, ["reload", "--url", run.sandbox.url])
        assert result.exit_code == 0
        applied, differs = result.stdout.splitlines()
        assert applied == "applied: account 12345678: webhooks"
        assert differs.startswith("the state differs from the file: account 12345678 stays as it is until a reset: ")
        assert "token; opening balance 100.00, in the file 50.00" in differs
        assert "other-token" not in run.log() + result.output
        assert run.account()["balance"] == "100.00"


def test_a_sandbox_without_a_file_has_nothing_to_load() -> None:
    with running_sandbox() as sandbox:
        result = CliRunner().invoke(mcn_mock, ["reload", "--url", sandbox.url])
    assert result.exit_code == 1
    assert "start the sandbox with --config" in result.stderr


def test_a_terminal_that_closes_ends_the_sandbox(tmp_path: Path) -> None:
    """Its SIGHUP is no wish to load a file."""
    path = tmp_path / "mcn-mock.toml"
    path.write_text(FIRST, encoding="utf-8")
    leader = (
        "import fcntl, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nimport os\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'pytest_mcn_mock', *sys.argv[1:]])"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", leader, "serve", "--port", "0", "--config", str(path)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        os.close(theirs)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("mcn-mock listens")
        os.close(ours)
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def test_a_name_of_the_file_is_given_to_its_account(run: Run) -> None:
    assert run.reload(FIRST.replace("seed = 1", 'seed = 1\nname = "Shop"'))["applied"] == ["account 12345678: name"]
    assert run.account()["name"] == "Shop"


def test_a_second_sandbox_on_the_same_state_changes_the_webhooks_once() -> None:
    def hooks(*names: str, **settings: Any) -> list[Subscription]:
        return [make_subscription(f"http://localhost/{name}", **settings) for name in names]

    before = hooks("kept", "moved", "gone", "removed-by-a-tester")
    after = [*hooks("kept", method="GET"), *hooks("here", "new")]
    account = Account("5", "five", 1)
    for webhook in [*before[:3], *hooks("testers")]:
        account = add_subscription(account, webhook)
    first = merge_webhooks(before, after, account)
    assert [(s.number, s.url.rpartition("/")[2], s.method) for s in first.subscriptions] == [
        (1, "kept", "GET"), (2, "here", "POST"), (3, "new", "POST"), (4, "testers", "POST"),
    ]  # fmt: skip
    assert merge_webhooks(before, after, first) == first


def test_one_change_that_is_not_possible_refuses_the_others_too(tmp_path: Path) -> None:
    """The targets of webhooks need a restart, and so does a webhook that only the new ones allow."""
    with started(tmp_path, f'[server]\nwebhook_targets = ["127.0.0.0/8"]\n{FIRST}') as run:
        before = run.account()
        run.write(
            '[server]\nwebhook_targets = ["127.0.0.0/8", "10.0.0.0/8"]\n[tariff]\ncall_for_2fa = "0.05"\n'
            + FIRST.replace("127.0.0.1:1/second", "10.0.0.1/second")
            + '[[account]]\nid = 5\ntoken = "five"\n'
        )
        refused = requests.post(f"{run.sandbox.url}/__admin/reload", timeout=60)
        assert refused.status_code == 409
        assert "account 12345678: " in refused.json()["errors"][0]["message"]
        assert run.sandbox.admin("accounts")["items"] == [before]
