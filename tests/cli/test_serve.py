"""``mcn-mock serve`` as a process of its own: how it greets, which arguments it takes, and how it stops."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import MCN_MOCK, Sandbox, running_sandbox, with_webhook
from helpers.webhook_endpoints import Receiver

ACCOUNTS = """
[[account]]
id = 1
token = "s3cret-1"
balance = "0.14"
[[account]]
id = 2
token = "s3cret-2"
balance = "5.00"
numbers = ["74950000001"]
"""
# "Пример вызова метода" of the vendor's article
ARTICLE = (
    "curl -X POST --header 'Content-Type: application/json' --header 'Accept: application/json' "
    "--header 'Authorization: Bearer <ТОКЕН>' 'https://api.mcn.ru/v2/rest/account/12345678/{}'"
)


def commands(sandbox: Sandbox) -> list[str]:
    return [line for line in sandbox.greeting if line.startswith("curl ")]


def run(command: str, **environment: str) -> str:
    words, environment = ["bash", "-c", command], {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout


def test_the_greeting_and_the_article_have_commands_that_work() -> None:
    with running_sandbox(unchecked=True) as sandbox:
        assert "12345678 (100.00 roubles)" in sandbox.greeting[0]
        flash, for_2fa, page, paid, client = sandbox.greeting[1:]
        assert paid == f"paid URL {sandbox.url}, for https://paidmethods.mcn.ru\n"
        assert page == f"page: {sandbox.url}/__admin/\n"
        assert client == f"base URL {sandbox.url}/v2/rest, account 12345678, token test-token\n"
        article = ARTICLE.replace("<ТОКЕН>", "test-token").replace("https://api.mcn.ru", sandbox.url)
        for command, balance in (
            (flash, "99.85"),
            (for_2fa, "99.84"),
            (article.format("call_for_2fa?caller_did=79158888888&login_did=79157777777"), "99.83"),
            (article.format("flash_call?login_did=79157777777"), "99.68"),
        ):
            assert '"status": "success"' in run(command)
            assert sandbox.admin("accounts/12345678")["balance"] == balance
        assert sandbox.admin("health")["version"] == version("pytest-mcn-mock")
        answer = requests.get(sandbox.url, timeout=30, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "__admin/"), "relative: it may be below a path"
        assert requests.get(f"{sandbox.url}/", timeout=30).url == f"{sandbox.url}/__admin/"
        assert requests.post(f"{sandbox.url}/", timeout=30).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost"])
def test_the_commands_work_for_whatever_host_is_listened_on(host: str) -> None:
    """The first account cannot pay, so that the commands are the second one's, with its own number."""
    with running_sandbox("--host", host, config=ACCOUNTS) as sandbox:
        flash, for_2fa = commands(sandbox)
        for command in (flash, for_2fa):
            assert '"status": "success"' in run(command, TOKEN="s3cret-2")
        assert "caller_did=74950000001" in for_2fa
        told = "".join(sandbox.greeting)
        assert "s3cret" not in told
        assert re.search(r"account 2; its token is in \S*/mcn-mock.toml: export TOKEN=", told)
        assert (f"every other address of this machine ({host})" in told) is (host != "localhost")
        page = next(line.split()[-1] for line in sandbox.greeting if line.startswith("page: "))
        assert requests.get(page, timeout=30).headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("money", ['balance = "0.10"\ncredit = "0.05"', 'balance = "unlimited"'])
def test_the_greeting_counts_on_a_credit_and_on_an_unlimited_balance(money: str) -> None:
    with running_sandbox(config=f'[[account]]\nid = 7\ntoken = "test-token"\n{money}\n') as sandbox:
        (flash,) = commands(sandbox)
        assert '"status": "success"' in run(flash)
        assert f" account 7 ({'unlimited' if 'unlimited' in money else '0.10 roubles'})" in sandbox.greeting[0]
        opened = sandbox.admin("accounts/7")
        sandbox.admin("reset", "POST")
        assert sandbox.admin("accounts/7")["credit"] == opened["credit"]
        assert sandbox.admin("accounts/7")["unlimited"] is opened["unlimited"] is ("unlimited" in money)


def test_where_a_command_cannot_work_the_greeting_says_what_to_do(tmp_path: Path) -> None:
    running = partial(
        running_sandbox,
        *("--state", f"sqlite:///{tmp_path}/state.db"),
        config='[[account]]\nid = 7\ntoken = "t"\nbalance = "0.10"\n',
    )
    with running() as sandbox:
        assert commands(sandbox) == []
        assert "account 7 has 0.10 roubles, too few for a call" in sandbox.greeting[1]
        assert "call_for_2fa needs a number that is connected to account 7" in sandbox.greeting[2]
        run(sandbox.greeting[1].partition("give it more: ")[2].replace("mcn-mock", MCN_MOCK))
        assert sandbox.admin("accounts/7")["balance"] == "100.10"
        sandbox.admin("accounts/7", "DELETE")
        sandbox.stop()
    with running() as sandbox:
        assert "7 (closed)" in sandbox.greeting[0]
        assert commands(sandbox) == []
        opened = run(sandbox.greeting[1].partition("open one: ")[2].replace("mcn-mock", MCN_MOCK))
        assert "79158888888" in opened
        assert len(sandbox.admin("accounts")["items"]) == 1


@pytest.mark.parametrize("options", [["--admin-token", "s3cret-admin"], ["--host", "0.0.0.0"]])
def test_the_greeting_says_how_to_give_enough_money_also_with_an_admin_token(options: list[str]) -> None:
    config = '[tariff]\nflash_call = { 643 = "250.00" }\n[[account]]\nid = 7\ntoken = "t"\n'
    with running_sandbox(*options, config=config) as sandbox:
        assert commands(sandbox) == []
        assert "s3cret" not in "".join(sandbox.greeting)
        command = sandbox.greeting[1].partition("give it more: ")[2].replace("mcn-mock", MCN_MOCK)
        assert "250.00 roubles" in run(command, ADMIN_TOKEN="s3cret-admin")


@pytest.mark.parametrize(
    "arguments,said",
    [
        (
            "--port {port}",
            "mcn-mock: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another port with --port",
        ),
        ("--port 70000", "70000"),
        ("--log-level loud", "loud"),
        ("--prot 1", "--prot"),
        ("--host no.such.host.invalid", "no.such.host.invalid"),
    ],
)
def test_a_wrong_argument_and_a_port_in_use_end_with_status_2(shared: Sandbox, arguments: str, said: str) -> None:
    port = urlsplit(shared.url).port
    command = [MCN_MOCK, "serve", *arguments.format(port=port).split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert said.format(port=port) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_delivers_what_is_pending_and_says_so(receiver: Receiver, number: int) -> None:
    """The call would end in an hour: at a stop its CDR is sent at once."""
    rule = '[[account.outcome]]\noutcome = "busy"\ndelay_s = 3600\n'
    with running_sandbox(config=with_webhook(receiver.url) + rule) as sandbox:
        sandbox.flash_call()
        status, out, _ = sandbox.stop(number)
    assert (status, out) == (0, "mcn-mock stopped; no CDR is pending\n")
    assert [cdr["q931_status"] for cdr in receiver.received] == [17]


def test_a_stop_says_what_is_left_and_no_token() -> None:
    with Receiver(503) as receiver:
        config = with_webhook(receiver.url).replace("test-token", "very-s3cret")
        with running_sandbox("--log-level", "debug", config=config) as sandbox:
            uuid = sandbox.flash_call(token="very-s3cret")["verification_call_uuid"]
            requests.post(f"{sandbox.url}/v2/rest/account/12345678/flash_call?user_hash=very-s3cret", timeout=30)
            status, out, err = sandbox.stop()
    assert status == 0
    assert "1 CDR still pending" in out
    assert f"{uuid} to {receiver.url}" in out
    assert "HTTP 503" in out
    assert "very-s3cret" not in "".join(sandbox.greeting) + out + err


def test_a_stop_finishes_the_request_in_flight_and_does_not_wait_for_an_idle_connection() -> None:
    with running_sandbox() as sandbox:
        idle = http.client.HTTPConnection(urlsplit(sandbox.url).netloc)
        idle.request("GET", "/__admin/health")
        idle.getresponse().read()
        slow = sandbox.connect()
        body = f'{{"login_did": "{RUSSIAN}"}}'.encode()
        slow.sendall(
            b"POST /v2/rest/account/12345678/flash_call HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        answers: list[bytes] = []
        reader = threading.Thread(target=lambda: answers.append(slow.recv(65536)))
        reader.start()
        # An answer to a later request shows that the server has begun with the one before.
        assert sandbox.admin("health")
        sandbox.process.send_signal(signal.SIGTERM)
        slow.sendall(body)
        reader.join()
        assert answers[0].startswith(b"HTTP/1.1 200")
        assert sandbox.process.wait(timeout=60) == 0
        slow.close()
        idle.close()


@pytest.mark.parametrize("missing,command", [("click", "--help"), ("jsonschema", "serve --config mcn-mock.toml")])
def test_without_the_extra_the_command_says_what_to_install(missing: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "mcn-mock.toml").write_text("wrong = 1", encoding="utf-8")
    code = f"import sys; sys.modules[{missing!r}] = None; from pytest_mcn_mock.cli import main; main()"
    words = [sys.executable, "-c", code, *command.split()]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert missing in done.stderr
    assert "pip install 'pytest-mcn-mock[sandbox]'" in done.stderr


def test_the_version_is_told() -> None:
    done = subprocess.run([MCN_MOCK, "--version"], capture_output=True, text=True, check=True)
    assert "mcn-mock" in done.stdout
