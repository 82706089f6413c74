from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from helpers.client import RUSSIAN, raw_request
from helpers.sandbox import Sandbox, running_sandbox, wait_until, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.cli.logs import JsonFormatter, TextFormatter, redacted
from pytest_mcn_mock.text import printable

SECRETS = ("t0ken-of-the-account", "t0ken-of-the-admin", "user-s3cret", "query-s3cret", "header-s3cret", "constant-in")
CONFIG = """
[assumed]
retry_after_s = [0.01]
[[account]]
id = 12345678
token = "t0ken-of-the-account"
balance = "1.00"
[[account.webhook]]
url = "{url}?key=query-s3cret-1"
headers = {{ X-Key = "header-s3cret" }}
query = {{ sig = "query-s3cret-2" }}
constants = {{ tenant = "constant-in" }}
"""


def go_through_a_day(sandbox: Sandbox) -> str:
    """Whatever a line can be about; the uuid of the call."""
    url = f"{sandbox.url}/v2/rest/account/12345678/flash_call"
    placed = requests.post(f"{url}?login_did={RUSSIAN}&user_hash=t0ken-of-the-account", timeout=30)
    assert placed.status_code == 200
    bearer = {"Authorization": "Bearer t0ken-of-the-account"}
    assert requests.post(f"{url}?login_did=x", headers=bearer, timeout=30).status_code == 400
    raw_request(sandbox.url, "GET", "/a%0A2026%20ERROR%20forged%1B%5B31m", {})
    wrong = {"Authorization": "Bearer t0ken-of-the-admin-but-wrong"}
    assert requests.get(f"{sandbox.url}/__admin/calls", headers=wrong, timeout=30).status_code == 401
    admin = {"Authorization": "Bearer t0ken-of-the-admin"}

    def is_settled() -> bool:
        deliveries = requests.get(f"{sandbox.url}/__admin/deliveries", headers=admin, timeout=30).json()["items"]
        return all(delivery["state"] != "pending" for delivery in deliveries)

    wait_until(is_settled)
    return str(placed.json()["object"]["verification_call_uuid"])


def logged(url: str, log_format: str, level: str) -> tuple[str, list[str]]:
    """The uuid of the call, and every line."""
    options = ("--log-format", log_format, "--log-level", level, "--admin-token", "t0ken-of-the-admin")
    config = CONFIG.format(url=url.replace("http://", "http://user:user-s3cret@"))
    with running_sandbox(*options, config=config) as sandbox:
        uuid = go_through_a_day(sandbox)
        _, out, err = sandbox.stop()
    for secret in SECRETS:
        assert secret not in err + out
    return uuid, err.splitlines()


def test_a_line_of_json_says_what_it_is_about() -> None:
    with Receiver(500, 204) as receiver:
        uuid, lines = logged(receiver.url, "json", "debug")
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    about_the_call = [entry for entry in entries if entry.get("verification_call_uuid") == uuid]
    assert [entry["event"] for entry in about_the_call] == ["call", "request", "delivery", "delivery"]
    assert [entry["level"] for entry in about_the_call] == ["info", "debug", "info", "debug"]
    assert about_the_call[2]["message"] == "CDR pending; attempt 1: HTTP 500, not acknowledged"
    assert about_the_call[2]["url"] == f"{receiver.url}?***"
    assert {uuid in line for line in lines if "verification_call_uuid" in line} == {True}
    refused = [entry for entry in entries if "code" in entry]
    assert [(entry["code"], entry["level"]) for entry in refused] == [
        ("invalid_parameter", "info"),
        ("not_found", "info"),
        ("unauthorized", "info"),
    ]
    assert {"time", "level", "logger", "message"} <= set(entries[0])
    assert any(entry.get("path") == "/a\n2026 ERROR forged\x1b[31m" for entry in entries)


def test_text_has_a_line_for_what_goes_wrong_and_none_for_what_does_not() -> None:
    with Receiver(500) as receiver:
        uuid, lines = logged(receiver.url, "text", "info")
    assert sorted(line.split(" ", 2)[1] for line in lines) == ["INFO"] * 5 + ["WARNING"]
    warning = next(line for line in lines if " WARNING " in line)
    assert "mcn_mock: CDR failed; attempt 2: HTTP 500, not acknowledged" in warning
    assert f" verification_call_uuid={uuid} account_id=12345678 " in warning
    assert any("path=/a\\n2026 ERROR forged\\x1b[31m status=404 code=not_found" in line for line in lines)
    assert not any(line.startswith("2026 ERROR") for line in lines)


def test_many_refusals_have_few_lines_that_count_them_all() -> None:
    """Otherwise the log of a load test grows by a line for each order."""
    with running_sandbox("--log-format", "json") as sandbox, requests.Session() as session:
        url = f"{sandbox.url}/v2/rest/account/12345678/flash_call?login_did=x"
        for n in range(400):
            token = "test-token" if n % 2 else "wrong"
            session.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        _, _, err = sandbox.stop()
    entries = [json.loads(line) for line in err.splitlines()]
    for code in ("invalid_parameter", "unauthorized"):
        about = [entry for entry in entries if entry["code"] == code]
        assert about[0]["message"].startswith("refused: ")
        assert sum(entry.get("count", 1) for entry in about) == 200
        assert len(about) < 100


def test_each_call_has_a_line_at_info() -> None:
    with running_sandbox() as sandbox:
        uuid = sandbox.flash_call(code="0042")["verification_call_uuid"]
        for_2fa = sandbox.flash_call(login_did="79160000009")["verification_call_uuid"]
        _, _, err = sandbox.stop()
    first, second = err.splitlines()
    assert " INFO mcn_mock: call completed, answered (q931_status 16, ANSWERED): to 79157777777 from 7" in first
    assert f"0042, 0.15 roubles verification_call_uuid={uuid} account_id=12345678 method=flash_call" in first
    assert for_2fa in second
    assert "test-token" not in err


def test_the_error_of_an_attempt_shows_nothing_of_its_url() -> None:
    _, lines = logged("http://127.0.0.1:1/hook", "text", "info")
    assert sum("connection refused by " in line and "url=http://127.0.0.1:1/hook?***" in line for line in lines) == 2


def test_a_resend_logs_the_new_attempt_alone() -> None:
    with Receiver(500) as receiver:
        config = with_webhook(receiver.url) + "retry = false\n"
        with running_sandbox("--log-level", "info", config=config) as sandbox:
            sandbox.flash_call()
            wait_until(lambda: sandbox.admin("deliveries/1")["state"] == "failed")
            done = CliRunner().invoke(mcn_mock, ["resend", "1", "--url", sandbox.url])
            _, _, err = sandbox.stop()
    assert (done.exit_code, done.stderr) == (1, "")
    assert "HTTP 500, not acknowledged" in done.stdout
    assert len(receiver.received) == 2
    assert [err.count(f"attempt {number}: ") for number in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    "url,shown",
    [
        ("http://a.test/hook", "http://a.test/hook"),
        ("https://u:p@a.test:8443/hook?k=v#f", "https://a.test:8443/hook?***"),
        ("http://u@[::1]:80/", "http://[::1]:80/"),
        ("http://[", "***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_no_character_leaves_its_line() -> None:
    assert printable("a\r\n\x00\x1b\x7f\x85\u2028\u202e\ud800ж") == (
        "a\\r\\n\\x00\\x1b\\x7f\\x85\\u2028\\u202e\\ud800ж"
    )


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_exception_is_logged_with_its_place(formatter: logging.Formatter) -> None:
    try:
        int("a\x1bb")
    except ValueError:
        record = logging.LogRecord("mcn_mock", logging.ERROR, "", 0, "it %s", ("failed",), sys.exc_info())
    line = formatter.format(record)
    assert "it failed" in line
    assert "test_logs.py" in line
    assert "\x1b" not in line
