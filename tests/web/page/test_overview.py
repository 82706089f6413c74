"""What has happened, at a glance."""

from __future__ import annotations

import re

import requests
from helpers.page import ACCOUNT, OpenPage, call_row, send
from helpers.sandbox import Sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Locator, Page, expect


def number(page: Page, title: str) -> Locator:
    """The card of a number."""
    return page.locator("a.number").filter(has_text=re.compile(f"^{title}"))


def test_the_first_sight_is_what_happened_and_it_follows(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver
) -> None:
    receiver.statuses = [500]
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, "retry": False})
    rules = [{"login_did": "79150000002", "outcome": "busy", "delay_s": 0}, {"outcome": "answered", "delay_s": 0}]
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", rules)
    sandbox.flash_call(login_did="79150000001")
    send(sandbox, "POST", "clock/advance", {"seconds": 1})
    page = open_page(f"{sandbox.url}/__admin/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(number(page, "Failed deliveries")).to_contain_text("Failed deliveries1of 1 finished")
    receiver.statuses = [204]
    sandbox.flash_call(login_did="79150000002")
    sandbox.flash_call(login_did="79150000003")
    requests.post(f"{sandbox.url}/v2/rest/account/12345678/flash_call", timeout=30)
    expect(number(page, "Calls")).to_contain_text("Calls33 in the last hour")
    expect(number(page, "Answered")).to_contain_text("67%2 of 3 ended")
    expect(number(page, "Refused requests")).to_contain_text("1of 4 requests")
    expect(number(page, "Spent")).to_contain_text("0.45 ₽")
    expect(page.get_by_role("img", name=re.compile("Last hour: 3 calls, at most . a minute"))).to_be_visible()
    expect(call_row(page, "79150000003")).to_contain_text("Delivered")
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    sandbox.flash_call(login_did="79150000004")
    expect(number(page, "Pending deliveries")).to_contain_text("1 call is ringing")
    number(page, "Failed deliveries").click()
    expect(page.get_by_role("heading", name="Deliveries")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Busy").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("#/calls?show=busy")


def test_one_call_of_one_is_counted_in_russian(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call()
    page = open_page(f"{sandbox.url}/__admin/", locale="ru-RU")
    expect(number(page, "Отвечено")).to_contain_text("100\u00a0%1 из 1 звонка")
    expect(number(page, "CDR в очереди")).to_contain_text("Сейчас вызовов нет")


def test_what_is_not_counted_is_said(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call()
    page = open_page(f"{sandbox.url}/__admin/")
    expect(page.get_by_text("count the newest")).to_be_hidden()
    shown = sandbox.admin("overview") | {"accepted": 1_000_000, "listed": 1_000_000}
    page.route("**/__admin/overview", lambda route: route.fulfill(json=shown))
    page.reload()
    expect(number(page, "Calls")).to_contain_text("1,000,000")
    expect(page.get_by_text("count the newest 1 calls only")).to_be_visible()
