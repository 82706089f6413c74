"""The examples under deploy/: what of them can be tried without a container engine."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from click.testing import CliRunner
from helpers.client import RUSSIAN
from helpers.nginx import needs_nginx, running_nginx
from helpers.sandbox import running_sandbox, with_webhook
from helpers.sandbox_stub import StandIn
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.cli.commands import mcn_mock

DEPLOY = Path(__file__).parents[2] / "deploy"
TOKEN = "a-long-admin-token"
NAME = "mcn.example.test"
NONE: Mapping[str, str] = {}


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "mcn-mock.service"])
def test_every_option_of_an_example_is_one_of_serve(name: str) -> None:
    known = {option for parameter in mcn_mock.commands["serve"].params for option in parameter.opts}
    text = "\n".join(line for line in read(name).splitlines() if "serve" in line or line.lstrip().startswith("- --"))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert used
    assert used <= known


def health(*options: str, **environment: str) -> tuple[int, str]:
    """The status and the line of a health check, in a sandbox's environment."""
    done = CliRunner().invoke(mcn_mock, ["health", *options], env=environment, prog_name="mcn-mock")
    assert len(done.output.splitlines()) == 1
    return done.exit_code, done.output


PROXIES = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")


@pytest.mark.parametrize("options", [[], ["--tls-self-signed", "--admin-token", TOKEN, "--host", "0.0.0.0"]])
def test_the_images_health_check_tells_ready_from_not(options: list[str]) -> None:
    check = json.loads(re.findall(r"HEALTHCHECK .*CMD (\[.*\])", read("Dockerfile"))[0])
    assert check == ["mcn-mock", "health"]
    with running_sandbox(*options) as sandbox:
        port = str(urlsplit(sandbox.url).port)
        scheme = urlsplit(sandbox.url).scheme
        ready = (0, f"mcn-mock is ready at {scheme}://127.0.0.1:{port}\n")
        assert health(MCN_MOCK_SERVE_PORT=port, **PROXIES) == ready
        sandbox.stop()
    status, line = health(MCN_MOCK_SERVE_PORT=port)
    assert status == 1
    assert line.startswith(f"mcn-mock: no sandbox answers at 127.0.0.1:{port}: ")


def test_the_health_check_reads_the_file_and_the_options_of_serve(tmp_path: Path) -> None:
    config = tmp_path / "mcn-mock.toml"
    with Receiver() as receiver:
        release = receiver.hold()
        account = with_webhook(receiver.url)
        with running_sandbox(config=f"[server]\nmax_pending = 1\n{account}") as sandbox:
            port = urlsplit(sandbox.url).port
            config.write_text(f'[server]\nport = {port}\nhost = "0.0.0.0"\n{account}')
            assert health(MCN_MOCK_SERVE_CONFIG=str(config))[0] == 0
            assert health("--config", str(config), "--port", "1", "--tls-self-signed", "--demo")[0] == 1
            assert health("--url", f"{sandbox.url}/v2/rest")[0] == 0
            sandbox.flash_call()
            full = (1, f"mcn-mock: the sandbox at 127.0.0.1:{port} is not ready: overloaded\n")
            assert health(MCN_MOCK_SERVE_CONFIG=str(config)) == full
            release()


@pytest.mark.parametrize("options", ["--config /no/such/file.toml", "--port 0", "--url nonsense", "--url ftp://x"])
def test_a_health_check_that_cannot_ask_says_why_in_a_line(options: str) -> None:
    assert health(*options.split())[0] == 1


def test_a_sandbox_below_a_path_is_asked_there_and_another_server_is_not_healthy() -> None:
    with StandIn() as stand_in:
        stand_in.answers["/mcn/__admin/health/ready"] = (200, {"ready": True, "reasons": []})
        assert health("--url", f"{stand_in.url}/mcn/v2/rest")[0] == 0
        status, line = health("--url", stand_in.url)
    assert status == 1
    assert re.fullmatch(r"mcn-mock: the server at \S+ is not a sandbox\n", line)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_sound(tmp_path: Path) -> None:
    unit = tmp_path / "mcn-mock.service"
    unit.write_text(read("mcn-mock.service").replace("/opt/mcn-mock/bin/mcn-mock", shutil.which("true") or ""))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def nginx_as_in_the_example(folder: Path, upstream: str) -> Iterator[int]:
    """nginx with the example, before the sandbox at ``upstream``; its port."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))

    def configure(port: int) -> str:
        return (
            read("nginx.conf")
            .replace("127.0.0.1:8643", upstream)
            .replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
            .replace(f"/etc/ssl/{NAME}.pem", str(folder / "server.pem"))
            .replace(f"/etc/ssl/private/{NAME}.key", str(folder / "server.pem"))
        )

    with running_nginx(folder, configure) as port:
        yield port


class Browser:
    """Asks nginx as a browser would to which its name resolves."""

    def __init__(self, port: int, authority: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._opened: list[HTTPSConnection] = []
        self.cookie = ""

    def close(self) -> None:
        for connection in self._opened:
            connection.close()

    def begin(
        self, method: str, path: str, headers: Mapping[str, str] = NONE, body: dict[str, str] | None = None
    ) -> HTTPResponse:
        connection = HTTPSConnection(NAME, self._port)
        self._opened.append(connection)
        to_nginx = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        connection.sock = self._context.wrap_socket(to_nginx, server_hostname=NAME)
        sent = {**headers, **({"Cookie": self.cookie} if self.cookie else {})}
        connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        response = connection.getresponse()
        self.cookie = response.headers.get("Set-Cookie", self.cookie).partition(";")[0]
        return response

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] = NONE, body: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        response = self.begin(method, path, headers, body)
        return response.status, json.loads(response.read())


@needs_nginx
def test_nginx_in_front(tmp_path: Path) -> None:
    with (
        running_sandbox(config=f'[server]\nallowed_hosts = ["{NAME}"]\nadmin_token = "{TOKEN}"\n') as sandbox,
        nginx_as_in_the_example(tmp_path, sandbox.url.removeprefix("http://")) as port,
        closing(Browser(port, tmp_path / "ca.pem")) as browser,
    ):
        own = {"Origin": f"https://{NAME}:{port}", "Sec-Fetch-Site": "same-origin"}
        foreign = {"Origin": "https://evil.test"}
        call = f"/v2/rest/account/12345678/flash_call?login_did={RUSSIAN}"
        assert browser.ask("GET", "/__admin/health")[1]["ready"] is True
        assert browser.ask("GET", "/__admin/calls")[0] == 401
        assert browser.ask("POST", "/__admin/session", foreign, {"token": TOKEN})[0] == 403
        assert browser.ask("POST", "/__admin/session", own, {"token": TOKEN})[0] == 200
        events = browser.begin("GET", "/__admin/events")
        assert (events.status, events.headers["Content-Type"]) == (200, "text/event-stream")
        assert events.readline().startswith(b":")  # it arrives before anything has happened
        status, placed = browser.ask("POST", call, {**own, "Authorization": "Bearer test-token"})
        assert status == 200
        uuid = placed["object"]["verification_call_uuid"].encode()
        assert any(uuid in line for line in iter(events.readline, b""))
        assert browser.ask("POST", "/__admin/reset", own, {})[0] == 200
        assert browser.ask("POST", "/__admin/reset", foreign, {})[0] == 403
        assert browser.ask("POST", call, {**foreign, "Authorization": "Bearer test-token"})[0] == 403
