"""A sandbox with a state file: what is there after it ended, in whatever way."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.client import refusal
from helpers.killed_sandbox import Killed, everything, wait_until_delivered
from helpers.sandbox import ACCOUNT, EAGER, MCN_MOCK, Sandbox, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

RULES = """
[[account.outcome]]
login_did = "79150*"
outcome = "answered"
delay_s = 1800
[[account.outcome]]
outcome = "busy"
[assumed]
retry_after_s = [3600]
"""


def state_in(folder: Path) -> tuple[str, str]:
    """The arguments for a state in that folder."""
    return "--state", f"sqlite:///{folder}/state.db"


def held(sandbox: Sandbox) -> dict[str, Any]:
    """All that a sandbox shows."""
    accounts = list(everything(sandbox, "accounts"))
    return {
        "accounts": accounts,
        "ledgers": [list(everything(sandbox, f"accounts/{account['id']}/ledger")) for account in accounts],
        "calls": list(everything(sandbox, "calls")),
        "deliveries": list(everything(sandbox, "deliveries")),
    }


def test_what_was_answered_outlives_sigkill(tmp_path: Path) -> None:
    with Receiver() as receiver:
        killed = Killed(tmp_path, receiver, seed=7)
        for _ in range(3):
            killed.round(80)
        killed.check()


def test_everything_goes_on_where_it_was(tmp_path: Path) -> None:
    """A call that rings, one that is held, a CDR to be sent again and one that waits for the next call's."""
    with Receiver(204, 503, 204) as receiver:
        state, config = state_in(tmp_path), with_webhook(receiver.url) + RULES
        with running_sandbox(*state, config=config) as sandbox:
            delivered = sandbox.flash_call()["verification_call_uuid"]
            wait_until_delivered(sandbox)
            sandbox.admin("accounts/12345678/faults", "PUT", [{"kind": "cdr_reordered"}])
            parked = sandbox.flash_call()["verification_call_uuid"]
            rings = sandbox.flash_call(login_did="79150000000")["verification_call_uuid"]
            refused = sandbox.flash_call()["verification_call_uuid"]
            while sum(len(delivery["attempts"]) for delivery in everything(sandbox, "deliveries")) < 2:
                pass
            sandbox.admin("accounts/12345678", "PATCH", {"calls_held": True})
            by_hand = sandbox.flash_call()["verification_call_uuid"]
            sandbox.admin("accounts/12345678/top_up", "POST", {"amount": "1.00"})
            before = held(sandbox)
            sandbox.process.kill()
        assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [delivered, refused]

        with running_sandbox(*state, config=config) as sandbox:
            assert "(100.25 roubles)" in sandbox.greeting[0]
            assert held(sandbox) == before
            now = sandbox.admin("clock/advance", "POST", {"seconds": 3700})["now"]
            sandbox.admin(f"calls/{by_hand}/complete", "POST", {"outcome": "busy"})
            wait_until_delivered(sandbox)
            sandbox.stop()
        arrived = [cdr["verification_call_uuid"] for cdr in receiver.received[2:]]
        assert sorted(arrived) == sorted([rings, parked, refused, by_hand])

        with running_sandbox(*state, config=config) as sandbox:
            assert [delivery["state"] for delivery in everything(sandbox, "deliveries")] == ["delivered"] * 5
            call = sandbox.flash_call()["verification_call_uuid"]
            shown = sandbox.admin(f"calls/{call}")
            assert (shown["seq"], shown["placed_at"] > now) == (6, True), "numbers and the time go on"


def test_the_states_accounts_stay_as_they_are_and_new_ones_are_opened(tmp_path: Path) -> None:
    account, state = '[[account]]\nid = {}\ntoken = "{}"\nbalance = "1.00"\n', state_in(tmp_path)
    with running_sandbox(*state, config=account.format(1, "a") + account.format(2, "b")) as sandbox:
        sandbox.admin("accounts/1/top_up", "POST", {"amount": "5.00"})
        sandbox.admin("accounts/2", "DELETE")
        sandbox.stop()

    config = account.format(1, "other") + account.format(2, "b") + account.format(3, "c")
    with running_sandbox(*state, config=config) as sandbox:
        assert [(a["id"], a["balance"]) for a in everything(sandbox, "accounts")] == [(1, "6.00"), (3, "1.00")]
        sandbox.flash_call("1", "a")
        sandbox.admin("reset", "POST", {})
        expected = [(1, "1.00"), (2, "1.00"), (3, "1.00")]
        assert [(a["id"], a["balance"]) for a in everything(sandbox, "accounts")] == expected
        sandbox.flash_call("1", "other")
        _, _, log = sandbox.stop()
    assert "the state has these accounts already, and keeps them: account 1;" in log
    assert "these accounts were closed, and stay closed: account 2;" in log
    with running_sandbox(*state, config=config) as sandbox:
        assert next((a["id"], a["balance"]) for a in everything(sandbox, "accounts")) == (1, "0.85")
        assert [call["seq"] for call in everything(sandbox, "calls")] == [2]
        sandbox.stop()

    path = tmp_path / "mcn-mock.toml"
    path.write_text(account.format(4, "c"), encoding="utf-8")
    assert (
        refused(*state, "--config", str(path))
        == "state: account 4: its token is that of account 3, which the state has kept\n"
    )


WEBHOOK = """
[[account]]
id = 5
token = "s3cret-{n}"
balance = "{n}.00"
credit = "0.{n}0"
name = "team {n}"
numbers = ["7915000000{n}"]
{seed}
[[account.webhook]]
url = "http://user:s3cret-{n}@127.0.0.{n}/hook?key=s3cret-{n}"
headers = {{ X-Key = "s3cret-{n}" }}
"""


def test_credit_and_unlimited_balance_are_kept(tmp_path: Path) -> None:
    state, config = state_in(tmp_path), ACCOUNT + 'credit = "5.00"\n'
    for spent in ("-0.15", "-0.30"):
        with running_sandbox(*state, config=config.replace("100.00", "unlimited")) as sandbox:
            sandbox.flash_call()
            kept = sandbox.admin("accounts/12345678")
            assert (kept["balance"], kept["credit"], kept["unlimited"]) == (spent, "5.00", True)
            _, _, log = sandbox.stop()
        assert "WARNING" not in log, "nothing differs"
    with running_sandbox(*state, config=config.replace("100.00", "0.00")) as sandbox:
        _, _, log = sandbox.stop()
    assert "differs from the configuration: whether the balance is unlimited\n" in log


def test_a_state_that_differs_from_the_file_is_warned_of(tmp_path: Path) -> None:
    state, config = state_in(tmp_path), WEBHOOK.format(n=1, seed="seed = 3")
    for _ in range(2):
        with running_sandbox(*state, config=config) as sandbox:
            _, _, log = sandbox.stop()
        assert "WARNING" not in log, "nothing differs"

    outcome = '[[account.outcome]]\noutcome = "busy"\n'
    config = '[tariff]\ncall_for_2fa = "0.02"\n' + WEBHOOK.format(n=2, seed="seed = 4") + outcome
    with running_sandbox(*state, config=config) as sandbox:
        sandbox.flash_call("5", "s3cret-1")
        _, out, log = sandbox.stop()
    (warning,) = [line for line in log.splitlines() if "differs from the configuration" in line]
    assert " WARNING " in warning
    for difference in (
        "token;", "seed 3, in the file 4", "opening balance 1.00, in the file 2.00", "tariff", "outcome rules",
        "credit 0.10, in the file 0.20", "name team 1, in the file team 2",
        "numbers 79150000001, in the file 79150000002", "headers of webhook 1",
        "url of webhook 1 http://***@127.0.0.1/hook?***, in the file http://***@127.0.0.2/hook?***",
    ):  # fmt: skip
        assert difference in warning
    assert "--reset-state" in log
    assert "s3cret" not in log + out + "".join(sandbox.greeting)

    with running_sandbox(*state, "--reset-state", config=config) as sandbox:
        assert (sandbox.admin("accounts/5")["balance"], list(everything(sandbox, "calls"))) == ("2.00", [])
        sandbox.flash_call("5", "s3cret-2")
        _, _, log = sandbox.stop()
    assert "WARNING" not in log
    with running_sandbox(*state, config=config) as sandbox:
        assert len(list(everything(sandbox, "calls"))) == 1, "it is emptied once, and kept from then on"
        _, _, log = sandbox.stop()
    assert "WARNING" not in log


def test_a_reset_of_the_state_needs_one() -> None:
    assert "give --state" in refused("--reset-state")


def refused(*arguments: str, start: tuple[str, ...] = (MCN_MOCK,)) -> str:
    """What a sandbox says that does not start."""
    command = [*start, "serve", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_state_that_cannot_be_used_is_said_and_nothing_starts(tmp_path: Path) -> None:
    assert refused("--state", "mysql://me:secret@localhost/x").startswith(
        "state: 'mysql' is not known; known is sqlite:///path"
    )
    state = state_in(tmp_path)
    with running_sandbox(config=f'[server]\nstate = "{state[1]}"\n'):
        assert refused(*state) == f"state: {tmp_path}/state.db cannot be used: another sandbox uses it\n"
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    assert "is of a newer version of mcn-mock" in refused(*state)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size, in memory."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


def test_a_full_disk_refuses_new_calls_and_forgets_none(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with Receiver() as receiver, small_disk(disk, "1m"):
        state, config = state_in(disk), with_webhook(receiver.url) + RULES
        with running_sandbox(*state, config=config, before=EAGER) as sandbox:
            fill(disk / "filler")
            accepted: list[str] = []
            while (answer := sandbox.order()).ok:
                accepted.append(answer.json()["object"]["verification_call_uuid"])
            assert refusal(answer)[:2] == (503, "storage_failed")
            assert "full" in answer.text
            shown = held(sandbox)
            assert [call["verification_call_uuid"] for call in shown["calls"]] == accepted
            assert shown["accounts"][0]["balance"] == f"{100 - 0.15 * len(accepted):.2f}"
            top_up = requests.post(f"{sandbox.url}/__admin/accounts/12345678/top_up", json={"amount": "1"}, timeout=60)
            assert refusal(top_up)[:2] == (503, "storage_failed")

            ready = requests.get(f"{sandbox.url}/__admin/health/ready", timeout=60)
            assert (ready.status_code, "storage_failed" in ready.text) == (503, True)

            (disk / "filler").unlink()
            while not (answer := sandbox.order()).ok:
                assert refusal(answer)[1] == "storage_failed"
            accepted.append(answer.json()["object"]["verification_call_uuid"])
            sandbox.admin("health/ready")
            wait_until_delivered(sandbox)
            _, _, log = sandbox.stop(signal.SIGKILL)
        assert {cdr["verification_call_uuid"] for cdr in receiver.received} == set(accepted)
        assert "Traceback" not in log
        assert "the state cannot be written: database or disk is full" in log
        assert "the state can be written again" in log

        with running_sandbox(*state, config=config) as sandbox:
            assert [call["verification_call_uuid"] for call in everything(sandbox, "calls")] == accepted
            sandbox.stop()
        fill(disk / "filler")
        assert "disk is full" in refused(*state)


def test_a_disk_that_is_read_only_is_said(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        with running_sandbox(*state_in(disk)) as sandbox:
            sandbox.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert refused(*state_in(disk)) == f"state: {disk}/state.db cannot be opened: Read-only file system\n"


WITHOUT_UNIX = """
import os, select, signal, sys, warnings
warnings.simplefilter("ignore")  # of filelock, which has a lock of Windows' own there
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios"), None))
for module, names in (
    (os, ("O_CLOEXEC", "getuid")),
    (select, ("poll",)),
    (signal, ("SIGHUP", "SIGUSR1", "pthread_kill")),
):
    for name in names:
        delattr(module, name)
"""


def test_a_state_needs_nothing_that_unix_alone_has(tmp_path: Path) -> None:
    """The modules and names that Windows lacks are taken away; the rest of that system is not tried."""
    state = state_in(tmp_path)
    with running_sandbox(*state, before=WITHOUT_UNIX) as sandbox:
        assert sandbox.flash_call()["account_id"] == "12345678"
        program = f"{WITHOUT_UNIX}\nfrom pytest_mcn_mock.cli import main; main()"
        assert (
            refused(*state, start=(sys.executable, "-c", program))
            == f"state: {tmp_path}/state.db cannot be used: another sandbox uses it\n"
        )
        assert sandbox.stop()[0] == 0
    with running_sandbox(*state, before=WITHOUT_UNIX) as sandbox:
        assert sandbox.admin("accounts/12345678")["balance"] == "99.85"


def test_a_state_that_is_reached_by_another_name_is_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(tmp_path, target_is_directory=True)
    with running_sandbox(*state_in(tmp_path)):
        assert "another sandbox uses it" in refused(*state_in(tmp_path / "other"))


def order(sandbox: Sandbox) -> tuple[int, str]:
    """The status of an order, and the code word of its refusal."""
    response = sandbox.order()
    return (200, "") if response.ok else refusal(response)[:2]


def reasons(sandbox: Sandbox) -> list[str]:
    content = requests.get(f"{sandbox.url}/__admin/health/ready", timeout=60).json()
    assert content["ready"] is not bool(content["reasons"])
    return list(content["reasons"])


def said(sandbox: Sandbox) -> list[str]:
    """The errors in the log, once there is one: the log is written a moment after the answer."""

    def errors() -> list[str]:
        log = os.pread(sandbox.log.fileno(), 1_000_000, 0).decode()  # a seek would move where the sandbox writes
        return [line for line in log.splitlines() if "ERROR" in line]

    wait_until(lambda: bool(errors()))
    return errors()


@pytest.mark.parametrize("is_idle", [False, True])
def test_a_folder_that_is_moved_away_is_noticed_until_it_is_back(tmp_path: Path, is_idle: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with running_sandbox(*state_in(here), before=EAGER) as sandbox:
        assert order(sandbox) == (200, "")
        here.rename(there)
        if is_idle:
            wait_until(lambda: reasons(sandbox) == ["storage_failed"])
        for _ in range(3):
            assert order(sandbox) == (503, "storage_failed")
        assert reasons(sandbox) == ["storage_failed"]
        assert sandbox.admin("accounts/12345678")["balance"] == "99.85"
        there.rename(here)
        wait_until(lambda: not reasons(sandbox))
        assert order(sandbox) == (200, "")
        (line,) = said(sandbox)
        assert "state.db is gone: it was deleted or moved; put it back, or start the sandbox again" in line
        sandbox.process.kill()
    with running_sandbox(*state_in(here)) as sandbox:
        assert sandbox.admin("accounts/12345678")["balance"] == "99.70"


def test_a_state_file_that_is_deleted_ends_the_orders(tmp_path: Path) -> None:
    with running_sandbox(*state_in(tmp_path)) as sandbox:
        assert order(sandbox) == (200, "")
        for path in tmp_path.iterdir():
            path.unlink()
        assert order(sandbox) == (503, "storage_failed")
        assert reasons(sandbox) == ["storage_failed"]
        assert len(said(sandbox)) == 1
        assert sandbox.stop()[0] == 0


def test_a_state_file_that_is_cut_short_ends_the_orders(tmp_path: Path) -> None:
    with running_sandbox(*state_in(tmp_path)) as sandbox:
        assert order(sandbox) == (200, "")
        os.truncate(tmp_path / "state.db", 0)
        assert order(sandbox) == (503, "storage_failed")
        assert reasons(sandbox) == ["storage_failed"]
        assert "state.db was cut short" in said(sandbox)[0]
        assert sandbox.stop()[0] == 0


def test_a_state_file_that_is_replaced_is_left_alone(tmp_path: Path) -> None:
    state, other = tmp_path / "state.db", tmp_path / "other.db"
    with running_sandbox("--state", f"sqlite:///{other}") as sandbox:
        assert order(sandbox) == (200, "")
        assert sandbox.stop()[0] == 0
    content = other.read_bytes()
    with running_sandbox(*state_in(tmp_path)) as sandbox:
        for _ in range(3):
            assert order(sandbox) == (200, "")
        other.rename(state)
        assert order(sandbox) == (503, "storage_failed")
        assert "state.db is another file now" in said(sandbox)[0]
        assert sandbox.stop()[0] == 0
    assert state.read_bytes() == content
    with running_sandbox(*state_in(tmp_path)) as sandbox:
        assert sandbox.admin("accounts/12345678")["balance"] == "99.85"


def test_a_write_ahead_log_that_is_deleted_costs_nothing(tmp_path: Path) -> None:
    with running_sandbox(*state_in(tmp_path), before=EAGER) as sandbox:
        assert order(sandbox) == (200, "")
        (tmp_path / "state.db-wal").unlink()
        assert said(sandbox)
        wait_until(lambda: not reasons(sandbox))
        assert order(sandbox) == (200, "")
        sandbox.process.kill()
    with running_sandbox(*state_in(tmp_path)) as sandbox:
        assert sandbox.admin("accounts/12345678")["balance"] == "99.70"
