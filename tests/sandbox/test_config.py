from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support import MCN_MOCK

from pytest_mcn_mock import ConfigError, NumberFormat, Outcome
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.sandbox import config

WHOLE = """
[server]
host = "127.0.0.1"
port = 8643
journal_size = 500
max_owed = 7
admin_token = "s3cret-of-the-admin"
allowed_hosts = ["mcn.example.test", "[::1]", "10.0.0.1"]
webhook_targets = ["localhost", "127.0.0.0/8"]
[tariff]
call_for_2fa = "0.02"
flash_call = { 703 = "0.65" }
[assumed]
error_status = { insufficient_funds = 200 }
number_format = "pasted"
default_outcome = "no_answer"
retry_after_s = [0.5, 1]
[[account]]
id = 12345678
token = "test-token"
balance = "100.00"
numbers = ["79158888888"]
seed = 1
[[account.webhook]]
url = "http://localhost:8000/webhooks/mcn"
body = ["verification_call_uuid", "q931_status", "final_status"]
[[account.outcome]]
login_did = "7915777*"
outcome = "busy"
delay_s = 2.0
[[account.outcome]]
q931_status = 27
"""
ACCOUNT = '[[account]]\nid = 1\ntoken = "s3cret"\n'


def load(tmp_path: Path, text: str) -> config.Config:
    path = tmp_path / "mcn-mock.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def test_every_part_of_a_file_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, WHOLE)
    assert (loaded.host, loaded.port, loaded.settings.journal_size) == ("127.0.0.1", 8643, 500)
    assert (loaded.settings.tariff.call_for_2fa, dict(loaded.settings.tariff.flash_call)) == (2, {643: 15, 703: 65})
    assumed = loaded.settings.assumptions
    assert assumed.status_of(RefusalCode.INSUFFICIENT_FUNDS) == 200
    assert assumed.status_of(RefusalCode.UNAUTHORIZED) == 401
    assert (assumed.number_format, assumed.default_outcome) == (NumberFormat.PASTED, Outcome.NO_ANSWER)
    assert assumed.retry_after_s == (0.5, 1)
    (account,) = loaded.accounts
    assert (account.id, account.balance, account.numbers, account.seed) == ("12345678", "100.00", ("79158888888",), 1)
    assert account.subscriptions[0].url == "http://localhost:8000/webhooks/mcn"
    assert [rule.ending.q931_status for rule in account.outcome_rules] == [17, 27]
    assert (loaded.settings.max_owed, loaded.settings.webhook_targets) == (7, ["localhost", "127.0.0.0/8"])
    assert loaded.admin_token == "s3cret-of-the-admin"
    assert loaded.allowed_hosts == ("mcn.example.test", "[::1]", "10.0.0.1")
    assert not {"test-token", "s3cret-of-the-admin"} & set(re.findall(r"[\w-]+", repr(loaded)))


def test_a_file_without_an_account_has_the_built_in_one(tmp_path: Path) -> None:
    (account,) = load(tmp_path, "[server]\nport = 0\n").accounts
    assert (account.id, account.token, account.balance) == ("12345678", "test-token", "100.00")


@pytest.mark.parametrize(
    "text,problems",
    [
        ("[serer]\n", ["serer: is unknown; did you mean 'server'?"]),
        ("[server]\nprot = 1\n", ["server.prot: is unknown; did you mean 'port'?"]),
        (
            "[server]\nport = 70000\nhost = 5\n",
            ["server.host: 5 must be string", "server.port: 70000 is more than 65535"],
        ),
        ("[tariff]\nflash_call = { 643 = 0.15 }\n", ["tariff.flash_call.643: 0.15 must be string, integer"]),
        ("[tariff]\ncall_for_2fa = '-1'\n", ["tariff.call_for_2fa: '-1' does not have the form"]),
        ("[tariff]\nflash_call = { 7 = '1' }\n", ["tariff.flash_call.7: is unknown"]),
        ("[assumed]\nack_timeout_s = 0\n", ["assumed.ack_timeout_s: 0 must be more than 0"]),
        ("[assumed]\nunavailable_cause = 16\n", ["assumed: unavailable_cause 16 has another meaning"]),
        ("[[account]]\nid = 1\n", ["account[0].token: is missing"]),
        (
            "[[account]]\nid = 'x'\ntoken = 's3cret x'\n",
            ["account[0].id: 'x' must be integer", "account[0].token: it does"],
        ),
        (ACCOUNT + "balance = 1.5\n", ["account[0].balance: 1.5 must be string, integer"]),
        (ACCOUNT + "balance = '0.001'\n", ["account[0]: balance is 0.001 roubles, which has a fraction"]),
        (ACCOUNT + "numbers = ['x']\n", ["account[0]: number 'x' cannot be connected"]),
        (ACCOUNT + "[[account.webhook]]\nurl = 'ftp://x'\n", ["account[0].webhook[0]: url 'ftp://x' is no http"]),
        (
            ACCOUNT + "[[account.webhook]]\nurl = 'http://x/'\nbody = ['final']\n",
            ["account[0].webhook[0]: body: variable 'final' is unknown; did you mean 'final_status'?"],
        ),
        (
            ACCOUNT + "[[account.outcome]]\noutcome = 'bussy'\n",
            ["account[0].outcome[0].outcome: 'bussy' is not one of"],
        ),
        (ACCOUNT + "[[account.outcome]]\ndelay_s = 1\n", ["account[0].outcome[0]: give either an outcome or"]),
        (
            ACCOUNT + "[[account.outcome]]\noutcome = 'busy'\nq931_status = 200\n",
            ["account[0].outcome[0].q931_status: 200 is more than 127"],
        ),
        (
            ACCOUNT + ACCOUNT,
            ["account[0].id: the id 1 is also", "account[1].id:", "account[0].token: the token is also"],
        ),
        ("[server]\nadmin_token = 's3cret'\n", ["server.admin_token: it does not have the form"]),
        ("[server]\nallowed_hosts = ['a b']\n", ["server.allowed_hosts[0]: 'a b' does not have the form"]),
        ("[server]\nmax_owed = 0\n", ["server.max_owed: 0 is less than 1"]),
        ("[server]\nwebhook_targets = ['127.0.0.1/8']\n", ["server: webhook_targets: '127.0.0.1/8' is not a network"]),
        (
            "[server]\nwebhook_targets = ['127.0.0.0/8']\n"
            + ACCOUNT
            + "[[account.webhook]]\nurl = 'http://10.0.0.1/'\n",
            ["account[0].webhook[0]: url: 10.0.0.1 is not among the webhook_targets, which are 127.0.0.0/8"],
        ),
        ("not toml", ["is no TOML"]),
        ("a = 1\na = 2", ["is no TOML"]),
    ],
)
def test_every_mistake_is_told_at_once_with_its_place(tmp_path: Path, text: str, problems: list[str]) -> None:
    with pytest.raises(ConfigError) as wrong:
        load(tmp_path, text)
    for problem in problems:
        assert any(told.startswith(problem) for told in wrong.value.problems), wrong.value.problems
    assert str(tmp_path) in str(wrong.value)
    assert "s3cret" not in str(wrong.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path / "latin.toml")


def test_the_command_ends_with_status_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "mcn-mock.toml"
    path.write_text("[server]\nprot = 1\n[tarif]\n")
    done = subprocess.run(
        [MCN_MOCK, "serve", "--config", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{path}: tarif: is unknown; did you mean 'tariff'?\n{path}: server.prot: is unknown; did you mean 'port'?\n"
    )


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff[server]\nport = 1234\n").port == 1234
