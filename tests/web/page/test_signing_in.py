"""Where the server demands a token: the form that takes it."""

from __future__ import annotations

from helpers.page import OpenPage, call_row
from helpers.sandbox import Sandbox, running_sandbox
from playwright.sync_api import expect


def test_the_page_asks_for_the_token_and_signs_out(open_page: OpenPage) -> None:
    with running_sandbox("--admin-token", "right-token") as sandbox:
        page = open_page(f"{sandbox.url}/__admin/", ready="form")
        token = page.get_by_label("Admin token")
        expect(token).to_be_focused()
        token.fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("that is not the admin token")
        token.fill("right-token")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Calls")).to_be_visible()
        sandbox.flash_call(login_did="79150000001")
        expect(call_row(page, "79150000001")).to_be_visible()
        page.get_by_role("banner").get_by_role("button", name="Place a call").click()
        page.get_by_label("Number to ring").fill("79150000002")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="79150000002")).to_be_visible()
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert page.evaluate("JSON.stringify(localStorage)").count("right-token") == 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_call_that_is_refused_as_unauthorized_signs_nobody_out(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    page.get_by_label("Number to ring").fill("70000000401")
    page.get_by_role("dialog").get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("70000000401 is the magic number")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
