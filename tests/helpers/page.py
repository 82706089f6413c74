"""What the tests of the page share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import requests
from playwright.sync_api import Locator, Page

from helpers.sandbox import Sandbox

OpenPage = Callable[..., Page]
ACCOUNT = "accounts/12345678"


def call_row(page: Page, login_did: str) -> Locator:
    """The row of the call to a number, in the list of calls."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=login_did, exact=True))


def send(sandbox: Sandbox, method: str, path: str, body: Any) -> Any:
    response = requests.request(method, f"{sandbox.url}/__admin/{path}", json=body, timeout=30)
    assert response.ok, response.text
    return response.json()


def go(page: Page, hash_: str) -> None:
    """Go to another view of the page, which has another title, and wait until it is shown."""
    title = re.sub(r"^\(\d+\) ", "", page.title())  # the number of failed deliveries may change at any time
    page.evaluate("hash => { location.hash = hash; }", hash_)
    page.wait_for_function("title => document.title.replace(/^\\(\\d+\\) /, '') !== title", arg=title)


def the_calls(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The calls of the sandbox, the newest first."""
    items: list[dict[str, Any]] = sandbox.admin("calls?order=newest")["items"]
    return items
