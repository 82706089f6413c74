"""Webhooks at https endpoints whose certificates the machine does not trust: file, admin API, command line, fixture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from helpers.client import flash_call
from helpers.sandbox import ACCOUNT, Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import AUTHORITY, https_endpoint

from pytest_mcn_mock import ConfigError, MCNServer, UsageError
from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.cli.config import load


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with https_endpoint() as url:
        yield url


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[MCNServer]:
    with MCNServer() as server:
        yield server


def settled(sandbox: Sandbox, account_id: int) -> list[Any]:
    """The deliveries of the account after their first attempts."""

    def items() -> list[Any]:
        found: list[Any] = sandbox.admin(f"deliveries?account_id={account_id}")["items"]
        return found

    wait_until(lambda: all(delivery["attempts"] for delivery in items()))
    return items()


def test_a_file_says_what_each_webhook_trusts(tmp_path: Path, endpoint: str, authority: Path) -> None:
    webhooks = [f'cacert = "{authority}"', "insecure = true", ""]
    tables = "".join(f'[[account.webhook]]\nurl = "{endpoint}"\n{line}\nretry = false\n' for line in webhooks)
    running = partial(running_sandbox, "--state", f"sqlite:///{tmp_path}/state.db", config=ACCOUNT + tables)
    with running() as sandbox:
        sandbox.flash_call()
        trusted, insecure, neither = settled(sandbox, 12345678)
        assert (trusted["state"], insecure["state"], neither["state"]) == ("delivered", "delivered", "failed")
        assert "is not trusted: unable to get local issuer" in neither["attempts"][0]["error"]
        shown = [(w["cacert"], w["insecure"]) for w in sandbox.admin("accounts/12345678/webhooks")["items"]]
        assert shown == [(str(authority), False), (None, True), (None, False)]
        sandbox.stop()
    with running() as sandbox:
        sandbox.flash_call()
        assert [d["state"] for d in settled(sandbox, 12345678)[3:]] == ["delivered", "delivered", "failed"]


def test_the_admin_api_takes_shows_and_changes_what_a_webhook_trusts(
    tmp_path: Path, server: MCNServer, endpoint: str, authority: Path
) -> None:
    account = server.open_account()
    url = f"{server.url}/__admin/accounts/{account.account_id}/webhooks"
    made = requests.post(url, json={"url": endpoint, "cacert": str(authority)}, timeout=30).json()
    assert (made["cacert"], made["insecure"]) == (str(authority), False)
    changed = requests.patch(f"{url}/1", json={"retry": False}, timeout=30).json()
    assert changed["cacert"] == str(authority)
    requests.patch(f"{url}/1", json={"cacert": "", "insecure": True}, timeout=30).raise_for_status()
    requests.patch(f"{url}/1", json={"insecure": False}, timeout=30).raise_for_status()
    assert requests.get(f"{url}/1", timeout=30).json()["cacert"] is None

    (tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "large.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 50_000)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"cacert": str(tmp_path / "none.pem")}, "none.pem' cannot be read: No such file or directory"),
        ({"cacert": str(tmp_path / "no.pem")}, "no.pem' has no PEM certificate"),
        ({"cacert": str(tmp_path / "broken.pem")}, "broken.pem' has a certificate that is not valid"),
        ({"cacert": str(tmp_path / "large.pem")}, "large.pem' is larger than"),
        ({"cacert": str(tmp_path)}, f"cacert '{tmp_path}' is not a file"),
        ({"cacert": "/dev/zero"}, "cacert '/dev/zero' is not a file"),
        ({"cacert": "a\0b"}, "cannot be read"),
        ({"cacert": str(authority), "insecure": True}, "cacert and insecure exclude each other"),
        ({"cacert": 5}, "cacert is 5; use text"),
        ({"insecure": "yes"}, "insecure is text; use true or false"),
    ]
    for asked, told in wrong:
        for answer in (
            requests.post(url, json={"url": endpoint, **asked}, timeout=30),
            requests.patch(f"{url}/1", json=asked, timeout=30),
        ):
            assert answer.status_code == (400 if "; use t" in told else 409)
            message = answer.json()["errors"][0]["message"]
            assert told in message
    assert len(requests.get(url, timeout=30).json()["items"]) == 1
    account.close()


def test_subscribe_says_what_the_webhook_trusts(
    server: MCNServer, endpoint: str, authority: Path, tmp_path: Path
) -> None:
    account = server.open_account()
    account.subscribe(endpoint, cacert=authority, retry=False)
    account.subscribe(endpoint, insecure=True, retry=False)
    account.subscribe(endpoint, retry=False)
    flash_call(account)
    account.settle()
    assert [delivery.state for delivery in account.deliveries] == ["delivered", "delivered", "failed"]
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (endpoint, {"cacert": tmp_path / "none.pem"}, r"cacert '.*none\.pem' cannot be read: No such file"),
        (endpoint, {"cacert": 5}, "cacert is '5'; give the path"),
        (endpoint, {"insecure": "no"}, "insecure is 'no'; use true"),
        (print, {"insecure": True}, "cacert and insecure are for an https URL"),
    ]
    for target, options, told in wrong:
        with pytest.raises(UsageError, match=told):
            account.subscribe(target, **options)
    assert len(account.deliveries) == 3
    account.close()


def test_trigger_says_what_it_trusts(endpoint: str, authority: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
    for options, status, told in (
        (("--cacert", str(authority)), 0, "HTTP 200, acknowledged"),
        (("--insecure",), 0, "HTTP 200, acknowledged"),
        ((), 1, "is not trusted: unable to get local issuer"),
        (("--cacert", str(tmp_path / "none.pem")), 2, "none.pem' cannot be read: No such file or directory"),
        (("--cacert", str(tmp_path / "no.pem")), 2, "has no PEM certificate"),
    ):
        done = CliRunner().invoke(mcn_mock, ["trigger", endpoint, *options])
        assert (done.exit_code, told in done.output) == (status, True), done


def test_a_file_with_a_cacert_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "mcn-mock.toml"
    webhook = f'[[account.webhook]]\nurl = "https://127.0.0.1/"\ncacert = "{tmp_path}/none.pem"\n'
    config.write_text(f'[[account]]\nid = 1\ntoken = "t"\n{webhook}', encoding="utf-8")
    with pytest.raises(ConfigError) as wrong:
        load(config)
    assert "account[0].webhook[0]: cacert" in str(wrong.value)
    assert "none.pem' cannot be read: No such file or directory" in str(wrong.value)


def test_an_account_is_opened_with_webhooks_that_trust_an_authority(
    shared: Sandbox, endpoint: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(authority.parent)
    for account_id, options in ((7, ["--webhook-cacert", authority.name]), (8, ["--webhook-insecure"])):
        opening = ["accounts", "open", "--url", shared.url, "--webhook", endpoint, "--token", f"t{account_id}"]
        opened = CliRunner().invoke(mcn_mock, [*opening, "--id", str(account_id), *options])
        assert opened.exit_code == 0, opened.output
        shared.flash_call(str(account_id), f"t{account_id}")
        (delivery,) = settled(shared, account_id)
        assert delivery["state"] == "delivered"
    (webhook,) = shared.admin("accounts/7/webhooks")["items"]
    assert webhook["cacert"] == str(authority)
