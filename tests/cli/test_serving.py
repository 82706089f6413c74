"""What the sandbox does with its settings, and with clients that are slow."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import MCN_MOCK, Sandbox, running_sandbox
from helpers.webhook_endpoints import Receiver

PAYING = '[[account]]\nid = {id}\ntoken = "{token}"\nbalance = "{balance}"\n'


@pytest.mark.parametrize("host", ["", "[::1]", "x" * 70, "192.0.2.1"])
def test_a_host_that_it_cannot_listen_on_is_said(host: str) -> None:
    command = [MCN_MOCK, "serve", "--port", "0", "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mcn-mock: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_arguments_come_before_the_file() -> None:
    with running_sandbox("--host", "127.0.0.1", config='[server]\nhost = "192.0.2.1"\nport = 1\n') as sandbox:
        assert sandbox.admin("accounts/12345678")["balance"] == "100.00"


def test_the_greeting_names_the_accounts_and_keeps_their_tokens() -> None:
    accounts = [PAYING.format(id=n, token=f"s3cret-{n}", balance=f"{n}.50") for n in range(1, 8)]
    with running_sandbox(config="".join(accounts)) as sandbox:
        assert "1 (1.50 roubles), 2 (2.50 roubles)" in sandbox.greeting[0]
        assert sandbox.greeting[0].rstrip().endswith("5 (5.50 roubles) and 2 more")
        assert "s3cret" not in "".join(sandbox.greeting)
        environment = {**os.environ, "TOKEN": "s3cret-1"}
        command = ["bash", "-c", sandbox.greeting[1]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert '"account_id": "1"' in done.stdout
        assert sandbox.admin("accounts/1")["balance"] == "1.35"


def test_a_file_sets_prices_outcomes_and_webhooks() -> None:
    with Receiver() as receiver:
        text = (
            '[tariff]\ncall_for_2fa = "0.02"\nflash_call = { 643 = "0.20", 703 = "0.65" }\n'
            + PAYING.format(id=42, token="t", balance="1.00")
            + 'numbers = ["79158888888"]\n'
            + '[[account.outcome]]\nlogin_did = "7915777*"\noutcome = "rejected"\n'
            + "[[account.outcome]]\nq931_status = 27\n"
            + f'[[account.webhook]]\nurl = "{receiver.url}"\nbody = ["number", "q931_status", "final_status"]\n'
            + 'headers = { "X-Key" = "k" }\nquery = { q = "1" }\nconstants = { tenant = "a", test = true }\n'
        )
        with running_sandbox(config=text) as sandbox:
            sandbox.flash_call("42", "t")
            sandbox.flash_call("42", "t", login_did="421901234567")
            assert sandbox.admin("accounts/42")["balance"] == "0.15"
            assert sandbox.stop()[0] == 0
    assert sorted(receiver.received, key=lambda cdr: cdr["q931_status"]) == [
        {"number": "421901234567", "q931_status": 27, "tenant": "a", "test": True},
        {"number": RUSSIAN, "q931_status": 31, "tenant": "a", "test": True},
    ]
    assert receiver.paths == ["/webhooks/mcn?q=1"] * 2
    assert receiver.headers[0]["X-Key"] == "k"


def test_the_same_seed_gives_the_same_calls() -> None:
    config = PAYING.format(id=42, token="t", balance="1.00") + "seed = 7\n"
    seen = []
    for _ in range(2):
        with running_sandbox(config=config) as sandbox:
            seen.append([sandbox.flash_call("42", "t") for _ in range(3)])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("level,logged", [("debug", True), ("info", False)])
def test_the_log_has_its_level_and_is_on_standard_error(level: str, logged: bool) -> None:
    with running_sandbox("--log-level", level) as sandbox:
        _, out, err = sandbox.stop()
    assert ("DEBUG" in err) is logged
    assert out == "mcn-mock stopped; no CDR is pending\n"


def test_a_client_that_dribbles_gets_its_answer_and_delays_nobody(shared: Sandbox) -> None:
    body = f'{{"login_did": "{RUSSIAN}"}}'.encode()
    head = (
        b"POST /v2/rest/account/12345678/flash_call HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with shared.connect() as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i, byte in enumerate(head + body):
            if i % 20 == 0:
                assert shared.admin("health")
            slow.sendall(bytes((byte,)))
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")


def test_one_connection_can_carry_many_requests(shared: Sandbox) -> None:
    url = f"{shared.url}/v2/rest/account/12345678/flash_call"
    with requests.Session() as session:
        for query, status in ((f"login_did={RUSSIAN}", 200), ("login_did=x", 400), (f"login_did={RUSSIAN}", 200)):
            response = session.post(f"{url}?{query}", headers={"Authorization": "Bearer test-token"}, timeout=60)
            assert response.status_code == status


def test_the_time_goes_no_further_than_there_are_dates() -> None:
    far = "import time; today = time.time; time.time = lambda: today() + 2.2e11"  # the year 8998
    with running_sandbox(before=far) as sandbox:
        url = f"{sandbox.url}/__admin/clock/advance"
        answers = [requests.post(url, json={"seconds": 365 * 86_400}, timeout=30) for _ in range(3)]
        assert {answer.status_code for answer in answers[:2]} <= {200, 409}
        assert answers[2].status_code == 409
        assert "beyond the year 8999" in answers[2].json()["errors"][0]["message"]
        uuid = sandbox.flash_call()["verification_call_uuid"]
        assert sandbox.admin(f"calls/{uuid}")["placed_at"].startswith("899")
