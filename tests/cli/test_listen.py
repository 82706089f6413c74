"""``mcn-mock listen``: a webhook receiver as a process of its own, and what it prints of each CDR."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner
from helpers.sandbox import MCN_MOCK, running_listener, running_sandbox, wait_until, with_webhook

from pytest_mcn_mock.cli.commands import mcn_mock

CDR = {"verification_call_uuid": "fa278be48dc2_12345678", "q931_status": 17, "final_status": "NO ANSWER"}


def test_every_cdr_of_a_sandbox_is_printed_and_acknowledged() -> None:
    with running_listener() as listener, running_sandbox(config=with_webhook(f"{listener.url}/mcn")) as sandbox:
        uuid = sandbox.flash_call()["verification_call_uuid"]
        wait_until(lambda: sandbox.admin("deliveries")["items"][0]["state"] == "delivered")
        status, printed = listener.stop()
    assert status == 0
    first, *fields = printed.splitlines()
    assert first.endswith("POST /mcn  answered 200")
    assert [line.split(None, 1) for line in fields] == [
        ["verification_call_uuid", uuid],
        ["q931_status", "16, normal call clearing"],
        ["final_status", "ANSWERED"],
    ]


def test_every_answer_has_the_status_that_was_asked_for() -> None:
    with running_listener("--status", "503") as listener:
        answers = [
            requests.request(method, f"{listener.url}/{path}", json=CDR, timeout=60)
            for method, path in (("POST", "a"), ("GET", "b"), ("PUT", ""))
        ]
    assert [(answer.status_code, answer.content) for answer in answers] == [(503, b"")] * 3


def test_an_answer_that_is_delayed_is_cut_off_by_ctrl_c() -> None:
    """The operator finds no answer then, as with a receiver that crashes."""
    with running_listener("--delay", "600") as listener:
        parts = urlsplit(listener.url)
        with socket.create_connection((parts.hostname, parts.port or 0), timeout=60) as client:
            client.sendall(b"POST /late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            wait_until(lambda: "/late" in listener.printed())
            status, _ = listener.stop()
            assert client.recv(100) == b""
    assert status == 0


@pytest.mark.parametrize(
    "body,lines",
    [
        (json.dumps({"a": None, "b": True, "c": "x\x1b[2Jy"}), ["a  null", "b  true", r"c  x\x1b[2Jy"]),
        (json.dumps({"data": {"q931_status": 16, "deep": {"a": 1, "b": 2}}}),
         ["data.q931_status  16, normal call clearing", "data.deep         2 items; --json prints them"]),
        ("busy \x1b[2J 17", [r"busy \x1b[2J 17"]),
        ("[1, 2]", ["[1, 2]"]),
        ("", []),
        ("[" * 60_000, ["[" * 60_000]),
        ("x" * 70_000, ["the body is larger than 65536 bytes and was not read"]),
    ],
    ids=["flat", "event", "text", "list", "empty", "deep", "large"],
)  # fmt: skip
def test_a_body_is_printed_so_that_a_person_can_read_it(body: str, lines: list[str]) -> None:
    with running_listener() as listener:
        answer = requests.post(f"{listener.url}/a\x1b?key=value", body.encode(), timeout=60)
        first, *printed = listener.stop()[1].splitlines()
    assert answer.status_code == (413 if "larger" in str(lines) else 200)
    assert r"POST /a\x1b?key=value" in first
    assert [line.strip() for line in printed] == lines


def test_with_json_each_request_is_one_document_without_secrets() -> None:
    with running_listener("--json", "--status", "204") as listener:
        headers = {"Authorization": "Bearer s3cret", "Cookie": "s3cret", "X-Key": "mine"}
        requests.post(f"{listener.url}/hook?shop=main", json=CDR, headers=headers, timeout=60)
        requests.get(f"{listener.url}/hook?q931_status=17", timeout=60)
        _, printed = listener.stop()
    posted, got = map(json.loads, printed.splitlines())
    assert (posted["method"], posted["path"], posted["query"], posted["body"]) == (
        "POST", "/hook", {"shop": "main"}, CDR,
    )  # fmt: skip
    assert (posted["headers"]["authorization"], posted["headers"]["x-key"]) == ("Bearer ***", "mine")
    assert (got["body"], got["status"]) == ({"q931_status": "17"}, 204)
    assert "s3cret" not in printed


def test_a_request_that_is_not_http_is_refused_and_the_next_one_is_taken() -> None:
    with running_listener() as listener:
        parts = urlsplit(listener.url)
        with socket.create_connection((parts.hostname, parts.port or 0), timeout=60) as client:
            client.sendall(b"hello\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        assert requests.post(listener.url, json=CDR, timeout=60).status_code == 200


def test_it_ends_when_what_arrives_cannot_be_printed() -> None:
    command = f"{MCN_MOCK} listen --port 0 >/dev/full"
    with subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(word for word in process.stderr.readline().split() if word.startswith("http"))
        requests.post(url, json=CDR, timeout=60)
        assert "standard output cannot be written" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_an_address_that_is_taken_is_said_in_one_line() -> None:
    with running_listener() as listener:
        port = str(urlsplit(listener.url).port)
        result = CliRunner().invoke(mcn_mock, ["listen", "--port", port])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr
    assert "choose another port with --port" in result.stderr


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_mcn_mock", "schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "openapi" in done.stdout.splitlines()


def test_the_page_is_opened_once_it_serves(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    with running_sandbox("--open", environment={"BROWSER": str(browser)}) as sandbox:
        wait_until(opened.exists)
        page = opened.read_text().strip()
        assert page == f"{sandbox.url}/__admin/"
        assert requests.get(page, timeout=60).status_code == 200


def test_a_browser_that_cannot_be_started_leaves_the_sandbox_running() -> None:
    with running_sandbox("--open", environment={"BROWSER": "/no/such/browser", "PATH": ""}) as sandbox:
        wait_until(lambda: f"open {sandbox.url}/__admin/ yourself" in sandbox.logged())
        sandbox.flash_call()


def test_a_file_is_checked_without_a_sandbox(tmp_path: Path) -> None:
    path = tmp_path / "mcn-mock.toml"

    def checked(text: str, *options: str) -> tuple[int, str, str]:
        path.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(mcn_mock, ["config", "check", str(path), *options])
        return result.exit_code, result.stdout, result.stderr

    wrong = '[server]\nprot = 1\n[[account]]\nid = 1\ntoken = "s3cret"\nbalance = 1.5\n'
    status, out, err = checked(wrong)
    assert (status, out) == (2, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [f"{path}, line 2", f"{path}, line 6"]
    assert "did you mean 'port'?" in err
    status, out, err = checked(wrong, "--json")
    document = json.loads(out)
    assert (status, err, document["valid"]) == (2, "", False)
    assert [problem["line"] for problem in document["problems"]] == [2, 6]
    valid = with_webhook("http://localhost/")
    assert checked(valid) == (0, f"{path} is valid: 1 account, 1 webhook\n", "")
    assert json.loads(checked(valid, "--json")[1]) == {"valid": True, "problems": []}
    missing = CliRunner().invoke(mcn_mock, ["config", "check", "/no/such/file"])
    assert (missing.exit_code, missing.stderr) == (2, "/no/such/file: cannot be read: No such file or directory\n")
