"""Many tabs of one browser, which opens six connections to a server."""

from __future__ import annotations

from pathlib import Path

from helpers.page import OpenPage, call_row, send
from helpers.sandbox import Sandbox, running_sandbox
from playwright.sync_api import Page, expect

TABS = 8
"""More than a browser opens connections to a server."""
HIDE = """is => {
  Object.defineProperty(document, 'hidden', { configurable: true, value: is });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def more_tabs(page: Page, count: int) -> list[Page]:
    """More tabs of the same browser with the same address, each ready and live."""
    tabs = []
    for _ in range(count):
        tab = page.context.new_page()
        tab.goto(page.url)
        expect(tab.locator(".status")).to_have_text("Live")
        tabs.append(tab)
    return tabs


def test_many_tabs_are_live_side_by_side(sandbox: Sandbox, open_page: OpenPage) -> None:
    first = open_page(f"{sandbox.url}/__admin/#/calls")
    tabs = [first, *more_tabs(first, TABS - 1)]
    sandbox.flash_call(login_did="79150000001")
    for tab in tabs:
        expect(call_row(tab, "79150000001")).to_contain_text("Answered")
    for tab in tabs[: TABS // 2]:
        tab.close()
    sandbox.flash_call(login_did="79150000002")
    for tab in tabs[TABS // 2 :]:
        expect(call_row(tab, "79150000002")).to_contain_text("Answered")


def test_tabs_are_live_where_the_address_is_not_this_machines(open_page: OpenPage, tmp_path: Path) -> None:
    """Over plain HTTP a browser trusts only this machine, and leaves some of its interfaces out elsewhere."""
    with running_sandbox(config='[server]\nallowed_hosts = ["mcn.example.test"]\n') as sandbox:
        first = open_page(f"{sandbox.url.replace('127.0.0.1', 'mcn.example.test')}/__admin/#/calls")
        assert first.evaluate("isSecureContext") is False
        tabs = [first, *more_tabs(first, TABS - 1)]
        send(sandbox, "POST", "accounts", {"id": 777})
        for tab in tabs:
            tab.evaluate("() => { location.hash = '#/accounts'; }")
            expect(tab.get_by_role("link", name="777")).to_be_visible()
        first.context.close()


def test_tabs_follow_a_server_that_comes_back(open_page: OpenPage) -> None:
    with running_sandbox() as sandbox:
        first = open_page(f"{sandbox.url}/__admin/#/calls")
        tabs = [first, *more_tabs(first, 2)]
        sandbox.stop()
    for tab in tabs:
        expect(tab.get_by_text("No connection, trying again")).to_be_visible()
    with running_sandbox("--port", sandbox.url.rpartition(":")[2]) as again:
        again.flash_call(login_did="79150000001")
        for tab in tabs:
            expect(tab.locator(".status")).to_have_text("Live")
            expect(call_row(tab, "79150000001")).to_be_visible()
        first.context.close()


def test_a_tab_that_is_hidden_catches_up_when_it_is_shown(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    (other,) = more_tabs(page, 1)
    page.evaluate(HIDE, True)
    sandbox.flash_call(login_did="79150000001")
    expect(call_row(other, "79150000001")).to_be_visible()
    assert call_row(page, "79150000001").count() == 0
    page.evaluate(HIDE, False)
    expect(call_row(page, "79150000001")).to_contain_text("Answered")
    sandbox.flash_call(login_did="79150000002")
    expect(call_row(page, "79150000002")).to_be_visible()


def test_many_tabs_work_in_a_browser_without_shared_workers(sandbox: Sandbox, open_page: OpenPage) -> None:
    """Each has a stream of its own then, which it lets go of while it is hidden."""
    first = open_page(f"{sandbox.url}/__admin/#/calls", init="delete window.SharedWorker")
    assert first.evaluate("'SharedWorker' in window") is False
    shown = first
    for _ in range(TABS - 1):
        expect(shown.locator(".status")).to_have_text("Live")
        shown.evaluate(HIDE, True)
        shown = first.context.new_page()
        shown.goto(first.url)
    sandbox.flash_call(login_did="79150000001")
    expect(call_row(shown, "79150000001")).to_be_visible()
    shown.evaluate(HIDE, True)
    first.evaluate(HIDE, False)
    expect(call_row(first, "79150000001")).to_be_visible()
