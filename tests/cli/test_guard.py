"""Who may ask the sandbox: no foreign web page, and nobody without the token where one is demanded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner
from helpers.client import RUSSIAN, raw_request
from helpers.sandbox import MCN_MOCK, Sandbox, running_sandbox

from pytest_mcn_mock import ConfigError, MCNServer
from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.cli.config import check_admin_token

TOKEN = "a-long-admin-token"
CALL = f"/v2/rest/account/12345678/flash_call?login_did={RUSSIAN}"


@pytest.fixture(scope="module")
def local() -> Iterator[Sandbox]:
    with running_sandbox(config='[server]\nallowed_hosts = ["mcn.example.test"]\n') as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def remote() -> Iterator[Sandbox]:
    """One that everybody can reach, as in a container."""
    with running_sandbox("--host", "0.0.0.0", environment={"MCN_MOCK_ADMIN_TOKEN": TOKEN}) as sandbox:
        yield sandbox


def ask(sandbox: Sandbox, method: str, path: str, **headers: str) -> tuple[int, str]:
    """The status and the code of a refusal; ``Sec_Fetch_Site`` stands for a header's name."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if path.startswith("/v2"):
        named = {"Authorization": "Bearer test-token", **named}
    status, _, body = raw_request(sandbox.url, method, path, named)
    errors = json.loads(body).get("errors") if status >= 400 else None
    return status, errors[0]["code"] if errors else ""


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:80", "a.localhost"])
def test_this_machine_may_ask(local: Sandbox, host: str) -> None:
    assert ask(local, "GET", "/__admin/calls", Host=host) == (200, "")
    assert ask(local, "POST", CALL, Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == (200, "")


def test_a_listed_host_may_ask(local: Sandbox) -> None:
    assert ask(local, "GET", "/__admin/calls", Host="mcn.example.test") == (200, "")
    assert ask(local, "POST", "/__admin/reset", Host="mcn.example.test.evil.test") == (403, "forbidden")
    assert ask(local, "POST", "/__admin/reset", Host="localhost", Origin="https://mcn.example.test:8443") == (200, "")


@pytest.mark.parametrize(
    "host",
    ["evil.test", "localhost.evil.test", "notlocalhost", "127.0.0.1.evil.test", "192.168.0.1", ""],
)
def test_a_name_that_was_made_to_resolve_to_this_machine_reaches_nothing_of_the_tester(
    local: Sandbox, host: str
) -> None:
    for method, path in (
        ("GET", "/__admin/calls"),
        ("POST", "/__admin/reset"),
        ("GET", "/__admin/"),
        ("GET", "/__admin"),
    ):
        assert ask(local, method, path, Host=host) == (403, "forbidden")


@pytest.mark.parametrize("path", [CALL, "/__admin/reset"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "https://evil.test:8643"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.test"},
        {"Origin": "http://localhost@evil.test"},
        {"Origin": "http://evil.test/localhost"},
        {"Origin": "file://localhost"},
        {"Origin": "http://localhost, http://evil.test"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
    ids=str,
)
def test_a_foreign_page_changes_nothing(local: Sandbox, path: str, headers: dict[str, str]) -> None:
    assert ask(local, "POST", path, **headers) == (403, "forbidden")


def test_the_vendors_api_is_reached_under_any_name(local: Sandbox) -> None:
    assert ask(local, "POST", CALL, Host="mcn:8643") == (200, "")
    assert ask(local, "POST", CALL, Host="evil.test", Origin="http://evil.test") == (403, "forbidden")


def test_a_link_on_another_site_leads_to_the_page_and_no_further(local: Sandbox) -> None:
    visit = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert ask(local, "GET", "/__admin/", **visit)[1] != "forbidden"
    assert ask(local, "GET", "/__admin", **visit)[1] != "forbidden"
    assert ask(local, "GET", "/__admin/calls", **visit) == (403, "forbidden")
    assert ask(local, "POST", "/__admin/", **visit) == (403, "forbidden")
    assert ask(local, "GET", "/__admin/", **{**visit, "Sec_Fetch_Dest": "iframe"}) == (403, "forbidden")
    assert ask(local, "GET", "/__admin/", **{**visit, "Sec_Fetch_Mode": "no-cors"}) == (403, "forbidden")
    assert ask(local, "GET", "/__admin/", **visit, Host="evil.test") == (403, "forbidden")


def test_a_foreign_request_is_not_in_the_journal_and_costs_nothing(local: Sandbox) -> None:
    before = local.admin("accounts/12345678")["balance"], len(local.admin("requests")["items"])
    assert ask(local, "POST", CALL, Origin="http://evil.test") == (403, "forbidden")
    assert (local.admin("accounts/12345678")["balance"], len(local.admin("requests")["items"])) == before


@pytest.mark.parametrize("path", ["health", "health/live", "health/ready"])
def test_health_needs_no_token(remote: Sandbox, path: str) -> None:
    assert ask(remote, "GET", f"/__admin/{path}", Host="whatever:1") == (200, "")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer é"],
)
@pytest.mark.parametrize("method,path", [("GET", "calls"), ("POST", "reset"), ("GET", "metrics"), ("POST", "health")])
def test_everything_else_demands_the_token(remote: Sandbox, method: str, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    assert ask(remote, method, f"/__admin/{path}", **headers) == (401, "unauthorized")


@pytest.mark.parametrize(
    "headers,said",
    [
        ({"Authorization": f"Bearer {TOKEN}x"}, "is not the admin token"),
        ({"Authorization": "bearer test-token"}, "is not the admin token"),
        ({}, "an admin token is required"),
        ({"Authorization": f"Basic {TOKEN}"}, "an admin token is required"),
    ],
)
def test_a_wrong_token_is_told_from_none(remote: Sandbox, headers: dict[str, str], said: str) -> None:
    answer = requests.get(f"{remote.url}/__admin/calls", headers=headers, timeout=30)
    message = answer.json()["errors"][0]["message"]
    assert (answer.status_code, said in message, TOKEN in message) == (401, True, False)


def test_the_command_line_says_that_its_token_is_not_the_admin_token(remote: Sandbox) -> None:
    done = CliRunner().invoke(mcn_mock, ["calls", "--url", remote.url, "--admin-token", "a-wrong-t0ken"])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "is not the admin token" in done.stderr
    assert "a-wrong-t0ken" not in done.stderr


def test_the_token_is_let_in_under_any_host(remote: Sandbox) -> None:
    for host in ("evil.test", "10.0.0.1:8643", "mcn"):
        assert ask(remote, "GET", "/__admin/calls", Host=host, Authorization=f"Bearer {TOKEN}") == (200, "")
    assert ask(remote, "POST", CALL, Host="mcn:8643") == (200, "")


def test_a_page_of_the_server_itself_may_ask_under_an_address(remote: Sandbox) -> None:
    by_address = {"Host": "192.0.2.7:8643", "Origin": "http://192.0.2.7:8643", "Sec_Fetch_Site": "same-origin"}
    by_name = {"Host": "staging:8643", "Origin": "http://staging:8643", "Sec_Fetch_Site": "same-origin"}
    assert ask(remote, "POST", CALL, **by_address) == (200, "")
    assert ask(remote, "POST", CALL, **{**by_address, "Origin": "http://192.0.2.7:80"}) == (403, "forbidden")
    assert ask(remote, "POST", "/__admin/reset", **by_name, Authorization=f"Bearer {TOKEN}") == (200, "")
    # A name can be anybody's: only the token shows that the page is the server's own.
    assert ask(remote, "POST", CALL, **by_name) == (403, "forbidden")
    foreign = {**by_name, "Origin": "http://evil.test"}
    assert ask(remote, "POST", "/__admin/reset", **foreign, Authorization=f"Bearer {TOKEN}") == (403, "forbidden")


def test_a_browser_has_a_session_that_is_not_the_token(remote: Sandbox) -> None:
    session = f"{remote.url}/__admin/session"
    wrong = requests.post(session, json={"token": "not-the-token"}, timeout=30)
    assert (wrong.status_code, "Set-Cookie" in wrong.headers) == (401, False)
    assert requests.post(session, json={}, timeout=30).status_code == 400
    opened = requests.post(session, json={"token": TOKEN}, timeout=30)
    assert opened.status_code == 200
    header = opened.headers["Set-Cookie"]
    assert TOKEN not in header + opened.text
    assert header.endswith("; HttpOnly; SameSite=Strict")
    assert "Path" not in header  # it holds below the address by which the browser asked
    ((name, cookie),) = SimpleCookie(header).items()
    sent = f"{name}={cookie.value}"
    assert ask(remote, "GET", "/__admin/calls", Cookie=f"other=1; {sent}") == (200, "")
    assert ask(remote, "GET", "/__admin/calls", Cookie=f"{name}={TOKEN}") == (401, "unauthorized")
    assert ask(remote, "GET", "/__admin/calls", Cookie=f"{name}=x; ;=;{sent};") == (200, "")
    assert ask(remote, "GET", "/__admin/calls", Cookie=f"{name}x={cookie.value}") == (401, "unauthorized")
    assert ask(remote, "GET", "/__admin/calls", Cookie=f"{name}=") == (401, "unauthorized")
    assert ask(remote, "POST", "/__admin/reset", Cookie=sent, Origin="http://evil.test") == (403, "forbidden")
    closed = requests.delete(session, timeout=30)
    assert (closed.status_code, closed.headers["Set-Cookie"].startswith(f"{name}=;")) == (200, True)
    assert closed.headers["Set-Cookie"].endswith("Max-Age=0")


def test_without_a_given_token_one_is_drawn_and_said_once() -> None:
    with running_sandbox("--host", "0.0.0.0") as sandbox:
        token = sandbox.greeting[3].split()[-1]
        assert len(token) == 32
        assert ask(sandbox, "GET", "/__admin/calls") == (401, "unauthorized")
        assert ask(sandbox, "GET", "/__admin/calls", Authorization=f"Bearer {token}") == (200, "")
        _, out, err = sandbox.stop()
    assert token not in "".join(sandbox.greeting[:3] + sandbox.greeting[4:]) + out + err


def test_a_token_can_be_demanded_on_this_machine_too() -> None:
    with running_sandbox(config=f'[server]\nadmin_token = "{TOKEN}"\n') as sandbox:
        assert ask(sandbox, "GET", "/__admin/calls") == (401, "unauthorized")
        assert ask(sandbox, "GET", "/__admin/calls", Authorization=f"Bearer {TOKEN}") == (200, "")
        assert TOKEN not in "".join(sandbox.greeting)


def test_a_token_that_cannot_be_sent_or_is_guessed_ends_the_start() -> None:
    command = [MCN_MOCK, "serve", "--admin-token", "naïve-token"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "8 to 512 visible ASCII characters" in done.stderr
    assert "naïve-token" not in done.stderr
    for token in ("short", "with a space in it", "naïve-token"):
        with pytest.raises(ConfigError, match="8 to 512 visible ASCII"):
            check_admin_token(token)


def test_the_fixtures_server_refuses_foreign_pages_too() -> None:
    with MCNServer() as server:
        account = server.open_account()
        url = f"{account.base_url}/account/{account.account_id}/flash_call"
        for more, status in (({}, 200), ({"Origin": "http://evil.test"}, 403)):
            headers = {**account.headers, **more}
            response = requests.post(url, params={"login_did": RUSSIAN}, headers=headers, timeout=30)
            assert response.status_code == status
        assert requests.get(f"{server.url}/__admin/calls", timeout=30).status_code == 200
        rebound = requests.get(f"{server.url}/__admin/calls", headers={"Host": "evil.test"}, timeout=30)
        assert rebound.status_code == 403
        assert requests.post(f"{server.url}/__admin/session", json={"token": "x"}, timeout=30).status_code == 401
        assert requests.get(f"{server.url}/__admin/metrics", timeout=30).status_code == 404
        assert urlsplit(server.url).hostname in ("127.0.0.1", "localhost")
