"""Clients that are not ours, each a program of its own, against a sandbox: Java, Go, PHP, Node and the command line.

A client that is not on the machine is skipped; CI installs them all (see the Makefile).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox

from pytest_mcn_mock import Account

HERE = Path(__file__).parent
TOKEN, CALLER = "test-token", "79158888888"
FLASH_CALL = {"login_did": RUSSIAN, "code": "0042"}
FOR_2FA = {"login_did": RUSSIAN, "caller_did": CALLER}
CALLS = [("flash_call", FLASH_CALL), ("call_for_2fa", FOR_2FA)]
HTTPIE = str(Path(sys.executable).with_name("http"))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is missing: apt-get install {package}")


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def url_of(sandbox: Sandbox, method: str) -> str:
    return f"{sandbox.url}/v2/rest/account/12345678/{method}"


def check(sandbox: Sandbox, status: int, body: Any, method: str) -> None:
    """The answer is a success, and the call that it names was placed as asked."""
    assert (status, body["status"], body["code"]) == (200, "success", 200), body
    placed = body["object"]
    call = sandbox.admin(f"calls/{placed['verification_call_uuid']}")
    assert (call["method"], call["login_did"], call["code"]) == (method, RUSSIAN, placed["code"])
    assert placed["code"] == ("0042" if method == "flash_call" else CALLER[-4:])


@cache
def has_curl_extension() -> bool:
    return "curl" in subprocess.run(["php", "-m"], capture_output=True, text=True, check=False).stdout.split()


@needs("php", "php-cli php-curl")
@pytest.mark.parametrize("method,parameters", CALLS)
@pytest.mark.parametrize("variant", ["query", "no_body", "array", "expect", "user_hash", "form", "json"])
def test_php(sandbox: Sandbox, method: str, parameters: dict[str, str], variant: str) -> None:
    if not has_curl_extension():
        pytest.skip("PHP has no curl extension: apt-get install php-curl")
    told = run("php", str(HERE / "client.php"), url_of(sandbox, method), TOKEN, json.dumps(parameters), variant)
    answer = json.loads(told)
    check(sandbox, answer["status"], answer["body"], method)


@needs("node", "nodejs")
@pytest.mark.parametrize("method,parameters", CALLS)
@pytest.mark.parametrize("variant", ["query", "form", "multipart", "json"])
def test_node(sandbox: Sandbox, method: str, parameters: dict[str, str], variant: str) -> None:
    told = json.loads(
        run("node", str(HERE / "client.mjs"), url_of(sandbox, method), TOKEN, json.dumps(parameters), variant)
    )
    (answer,) = told["answers"]
    check(sandbox, answer["status"], answer["body"], method)


@needs("node", "nodejs")
def test_node_keeps_its_connections(sandbox: Sandbox) -> None:
    arguments = (url_of(sandbox, "flash_call"), TOKEN, json.dumps(FLASH_CALL), "query", "20")
    told = json.loads(run("node", str(HERE / "client.mjs"), *arguments))
    assert told["connections"] <= 2  # undici opens another where it has not quite done with the first
    assert len({answer["body"]["object"]["verification_call_uuid"] for answer in told["answers"]}) == 20


def written(parameters: dict[str, str], variant: str) -> tuple[str, str]:
    """The parameters as they are sent, and their media type; in the query they have none."""
    if variant == "json":
        return json.dumps(parameters), "application/json"
    return urlencode(parameters), "application/x-www-form-urlencoded" if variant == "form" else ""


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program in Go, compiled."""
    program = tmp_path_factory.mktemp("go") / "client"
    folders = {"GOCACHE": str(program.parent / "cache"), "GOPATH": str(program.parent / "path")}
    run("go", "build", "-o", str(program), str(HERE / "client.go"), **folders, GO111MODULE="off", GOPROXY="off")
    return str(program)


def check_lines(sandbox: Sandbox, told: str, method: str, times: int = 1) -> None:
    lines = told.splitlines()
    assert len(lines) == times
    for line in lines:
        status, _, body = line.partition(" ")
        check(sandbox, int(status), json.loads(body), method)


@pytest.fixture(scope="module")
def java_client(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The program in Java, compiled."""
    folder = str(tmp_path_factory.mktemp("java"))
    run("javac", "-d", folder, str(HERE / "Client.java"))
    return "java", "-cp", folder, "Client"


@needs("javac", "default-jdk-headless")
@pytest.mark.parametrize("method,parameters,variant", [(*CALLS[0], "query"), (*CALLS[1], "form"), (*CALLS[0], "json")])
def test_java(
    sandbox: Sandbox, java_client: tuple[str, ...], method: str, parameters: dict[str, str], variant: str
) -> None:
    """It asks for HTTP/2 with its first request, and goes on by HTTP/1.1 on the same connection."""
    told = run(*java_client, url_of(sandbox, method), TOKEN, *written(parameters, variant), "3")
    check_lines(sandbox, told, method, 3)


@needs("javac", "default-jdk-headless")
def test_java_places_calls_on_the_fixtures_server_too(mcn: Account, java_client: tuple[str, ...]) -> None:
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"
    told = run(*java_client, url, mcn.token, *written(FLASH_CALL, "json"), "2")
    assert [line.split()[0] for line in told.splitlines()] == ["200", "200"]
    assert [call.code for call in mcn.calls] == ["0042", "0042"]


@needs("go", "golang-go")
@pytest.mark.parametrize("method,parameters", CALLS)
@pytest.mark.parametrize("variant", ["query", "form", "json"])
def test_go(sandbox: Sandbox, go_client: str, method: str, parameters: dict[str, str], variant: str) -> None:
    told = run(go_client, url_of(sandbox, method), TOKEN, *written(parameters, variant), "3")
    check_lines(sandbox, told, method, 3)


@needs("curl", "curl")
@pytest.mark.parametrize("variant", ["data", "json"])
def test_curl_that_asks_for_http_2(sandbox: Sandbox, variant: str) -> None:
    content, media_type = written(FLASH_CALL, "json" if variant == "json" else "form")
    told = run(
        *("curl", "--silent", "--show-error", "--http2", "--write-out", "\n%{http_code}"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--header", f"Content-Type: {media_type}"),
        *("--data", content, url_of(sandbox, "flash_call")),
    )
    body, status = told.rsplit("\n", 1)
    check(sandbox, int(status), json.loads(body), "flash_call")


@needs("curl", "curl")
@pytest.mark.parametrize("method,parameters", CALLS)
@pytest.mark.parametrize("variant", ["query", "data", "multipart", "json"])
def test_curl(sandbox: Sandbox, method: str, parameters: dict[str, str], variant: str) -> None:
    pairs = [f"{name}={value}" for name, value in parameters.items()]
    given = {
        "query": ["--get", "--request", "POST", *(word for pair in pairs for word in ("--data-urlencode", pair))],
        "data": [word for pair in pairs for word in ("--data", pair)],
        "multipart": [word for pair in pairs for word in ("--form", pair)],
        "json": ["--header", "Content-Type: application/json", "--data", json.dumps(parameters)],
    }[variant]
    told = run(
        *("curl", "--silent", "--show-error", "--write-out", "\n%{http_code}"),
        *("--header", f"Authorization: Bearer {TOKEN}", *given, url_of(sandbox, method)),
    )
    body, status = told.rsplit("\n", 1)
    check(sandbox, int(status), json.loads(body), method)


@needs("curl", "curl")
def test_curl_keeps_its_connection_also_after_a_refusal(sandbox: Sandbox) -> None:
    url = url_of(sandbox, "flash_call")
    told = run(
        *("curl", "--silent", "--request", "POST", "--header", f"Authorization: Bearer {TOKEN}"),
        *("--write-out", "%{http_code}:%{num_connects} "),
        *(f"{url}?login_did={RUSSIAN}", f"{url}?login_did=x", f"{url}?login_did={RUSSIAN}"),
    )
    # After each body comes what is asked for.
    assert re.findall(r"\}(\d{3}):(\d) ", told) == [("200", "1"), ("400", "0"), ("200", "0")]


@pytest.mark.skipif(not Path(HTTPIE).exists(), reason="httpie is missing: pip install httpie")
@pytest.mark.parametrize(
    "method,parameters,variant",
    [(*CALLS[0], "query"), (*CALLS[1], "form"), (*CALLS[0], "multipart"), (*CALLS[1], "json")],
)
def test_httpie(sandbox: Sandbox, tmp_path: Path, method: str, parameters: dict[str, str], variant: str) -> None:
    # It looks for a newer version of itself on the internet, unless told not to.
    (tmp_path / "config.json").write_text('{"disable_update_warnings": true}')
    options = {"form": ["--form"], "multipart": ["--multipart"]}.get(variant, [])
    sign = "==" if variant == "query" else "="
    items = [f"{name}{sign}{value}" for name, value in parameters.items()]
    told = run(
        *(HTTPIE, "--ignore-stdin", "--check-status", "--print=b", *options, "--auth-type=bearer", f"--auth={TOKEN}"),
        *("POST", url_of(sandbox, method), *items),
        HTTPIE_CONFIG_DIR=str(tmp_path),
    )
    check(sandbox, 200, json.loads(told), method)


@pytest.mark.skipif(not Path(HTTPIE).exists(), reason="httpie is missing: pip install httpie")
def test_httpie_understands_a_refusal(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"disable_update_warnings": true}')
    done = subprocess.run(
        [HTTPIE, "--ignore-stdin", "--check-status", "--print=hb", "POST", url_of(sandbox, "flash_call")],
        env={**os.environ, "HTTPIE_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4  # "HTTP 4xx"
    assert "HTTP/1.1 401" in done.stdout
    assert '"unauthorized"' in done.stdout
