"""Where the server demands a token: the form, before a server that is played by the test."""

from __future__ import annotations

import json

from page_support import OpenPage
from playwright.sync_api import Page, Route, expect
from support import Sandbox

REFUSAL = {
    "status": "error",
    "code": 401,
    "errors": [{"code": "unauthorized", "message": "a token is required", "parameter": None}],
}


def demand_token(page: Page, token: str) -> None:
    """Answer as a server with an admin token does."""
    signed_in = False

    def guard(route: Route) -> None:
        nonlocal signed_in
        request = route.request
        if request.url.endswith("/session"):
            signed_in = request.method == "POST" and request.post_data_json == {"token": token}
            if signed_in or request.method == "DELETE":
                route.fulfill(status=204)
                return
        if signed_in or "/static/" in request.url or request.url.endswith("/__admin/"):
            route.continue_()
        else:
            route.fulfill(status=401, content_type="application/json", body=json.dumps(REFUSAL))

    page.route("**/__admin/**", guard)


def test_the_page_asks_for_the_token_and_signs_out(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/")
    demand_token(page, "right")
    page.reload()
    token = page.get_by_label("Admin token")
    expect(token).to_be_focused()
    token.fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("a token is required")
    token.fill("right")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_call_that_is_refused_as_unauthorized_signs_nobody_out(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/")
    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    page.get_by_label("Number to ring").fill("70000000401")
    page.get_by_role("dialog").get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("70000000401 is the magic number")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
