"""Below a path of a proxy's: every address of the page is relative."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest
from helpers.client import RUSSIAN
from helpers.command_runs import tool
from helpers.nginx import needs_nginx, running_nginx
from helpers.page import OpenPage, call_row
from helpers.sandbox import Sandbox, running_sandbox
from playwright.sync_api import expect

TOKEN = "a-long-admin-token"

pytestmark = needs_nginx


@contextmanager
def below(folder: Path, **sandboxes: Sandbox) -> Iterator[str]:
    """The URL of an nginx that has each sandbox below the path of its name, and is told nothing else of them."""
    locations = "".join(f"location /{name}/ {{ proxy_pass {sandbox.url}/; }}\n" for name, sandbox in sandboxes.items())
    with running_nginx(folder, lambda port: f"server {{ listen 127.0.0.1:{port};\n{locations} }}") as port:
        yield f"http://127.0.0.1:{port}"


def test_the_page_works_below_a_path(sandbox: Sandbox, open_page: OpenPage, tmp_path: Path) -> None:
    with below(tmp_path, mcn=sandbox) as url:
        page = open_page(f"{url}/mcn/__admin/#/calls")
        command = page.get_by_role("group", name="Command to paste").inner_text()
        assert f"'{url}/mcn/v2/rest/account/12345678/flash_call?login_did=" in command
        sandbox.flash_call(login_did="79150000001")
        expect(call_row(page, "79150000001")).to_contain_text("Answered")
        page.get_by_role("banner").get_by_role("button", name="Place a call").click()
        page.get_by_label("Number to ring").fill("79150000002")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="79150000002")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="79150000002")).to_be_visible()
        page.close()


@pytest.mark.parametrize("path", ["__admin", ""])
def test_a_shorter_address_leads_to_the_page(sandbox: Sandbox, open_page: OpenPage, tmp_path: Path, path: str) -> None:
    with below(tmp_path, mcn=sandbox) as url:
        page = open_page(f"{url}/mcn/{path}#/accounts")
        expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
        assert page.url == f"{url}/mcn/__admin/#/accounts"
        page.close()


def test_the_command_that_the_page_shows_places_a_call(sandbox: Sandbox, tmp_path: Path) -> None:
    with below(tmp_path, mcn=sandbox) as url:
        ask = Request(
            f"{url}/mcn/v2/rest/account/12345678/flash_call?login_did={RUSSIAN}",
            headers={"Authorization": "Bearer test-token"},
            method="POST",
        )
        with build_opener().open(ask, timeout=30) as answer:
            assert answer.status == 200


def test_signing_in_below_a_path_is_of_that_path(open_page: OpenPage, tmp_path: Path) -> None:
    with (
        running_sandbox("--admin-token", TOKEN) as one,
        running_sandbox("--admin-token", "of-the-other") as other,
        below(tmp_path, one=one, other=other) as url,
    ):
        page = open_page(f"{url}/one/__admin/", ready="form")
        page.get_by_label("Admin token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Calls")).to_be_visible()
        expect(page.locator(".status")).to_have_text("Live")
        one.flash_call(login_did="79150000001")
        expect(call_row(page, "79150000001")).to_be_visible()
        second = page.context.new_page()
        second.goto(f"{url}/other/__admin/#/calls")
        expect(second.get_by_role("heading", name="Sign in")).to_be_visible()
        second.get_by_label("Admin token").fill("of-the-other")
        second.keyboard.press("Enter")
        expect(second.get_by_role("heading", name="Calls")).to_be_visible()
        expect(second.get_by_role("button", name="Sign out")).to_be_visible()
        page.reload()
        expect(call_row(page, "79150000001")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        second.reload()
        expect(second.get_by_role("heading", name="Calls")).to_be_visible()
        page.context.close()


def test_a_session_below_a_path_lets_its_browser_in(tmp_path: Path) -> None:
    with running_sandbox("--admin-token", TOKEN) as sandbox, below(tmp_path, mcn=sandbox) as url:
        browser = build_opener(HTTPCookieProcessor(CookieJar()))
        body = f'{{"token": "{TOKEN}"}}'.encode()
        browser.open(Request(f"{url}/mcn/__admin/session", body, method="POST"), timeout=30).close()
        with browser.open(f"{url}/mcn/__admin/calls", timeout=30) as answer:
            assert answer.status == 200


def test_the_command_line_reaches_a_sandbox_below_a_path(sandbox: Sandbox, tmp_path: Path) -> None:
    with below(tmp_path, mcn=sandbox) as url:
        told = tool("accounts", "list", "--url", f"{url}/mcn")
        assert told.status == 0, told.err
