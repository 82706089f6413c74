"""The lists: how many there are, in which order, and as a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import requests
from helpers.page import ACCOUNT, OpenPage, call_row, send
from helpers.sandbox import Sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Page, expect

FORMULA = "=1+cmd"


def saved(page: Page, button: str) -> str:
    """The text of the file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_a_call_shows_its_method_its_code_and_what_became_of_its_cdr(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver
) -> None:
    receiver.statuses = [500, 204, 204]
    sandbox.flash_call(login_did="79150000001", code="0042")
    for _ in range(2):
        send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, "retry": False})
    sandbox.flash_call(login_did="79150000002", code="0043")
    send(sandbox, "POST", "clock/advance", {"seconds": 1})
    wide = open_page(f"{sandbox.url}/__admin/#/calls", viewport={"width": 1100, "height": 700})
    narrow = open_page(f"{sandbox.url}/__admin/#/calls", viewport={"width": 390, "height": 700})
    for page in (wide, narrow):
        row = call_row(page, "79150000002")
        for text in ("flash_call", "0043", "Failed 1 of 2"):
            expect(row.get_by_text(text).locator("visible=true")).to_have_count(1)
    assert (
        narrow.evaluate("document.querySelector('.table').scrollWidth - document.querySelector('.table').clientWidth")
        == 0
    )
    expect(call_row(wide, "79150000001").get_by_text("Failed")).to_have_count(0)
    failed = next(d for d in sandbox.admin("deliveries")["items"] if d["state"] == "failed")
    send(sandbox, "POST", f"deliveries/{failed['id']}/resend", {})
    for page in (wide, narrow):
        expect(call_row(page, "79150000002").get_by_text("Delivered 2 of 2").locator("visible=true")).to_have_count(1)


def test_a_list_says_how_many_there_are(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", [{"login_did": "791500001*", "outcome": "busy"}])
    for n in range(120):
        sandbox.flash_call(login_did=f"79150000{n:03}")
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    note = page.locator(".feed .note")
    expect(note).to_have_text("1–100 of 120")
    page.get_by_role("button", name="Older").click()
    expect(note).to_have_text("101–120 of 120")
    page.get_by_role("button", name="Newest").click()
    sandbox.flash_call(login_did="79150000900")
    expect(note).to_have_text("1–100 of 121")
    page.get_by_label("Show").select_option("Busy")
    expect(note).to_have_text("1–20 of 20")
    page.goto(f"{sandbox.url}/__admin/#/requests")
    expect(note).to_have_text("1–100 of 121")


def test_a_list_is_sorted_by_a_column_and_stays_so(sandbox: Sandbox, open_page: OpenPage) -> None:
    for number in ("79150000002", "79150000001", "79150000003"):
        sandbox.flash_call(login_did=number, country_id="703" if number.endswith("1") else "643")
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    header = page.get_by_role("columnheader", name="Number called")
    expect(header).not_to_have_attribute("aria-sort", "ascending")
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("tbody tr").first).to_contain_text("79150000001")
    expect(page.locator("tbody th a")).to_have_text(["79150000001", "79150000002", "79150000003"])
    sandbox.flash_call(login_did="79140000009")
    expect(page.locator("tbody tr").first).to_contain_text("79140000009")
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(page.locator("tbody tr").first).to_contain_text("79150000003")
    page.get_by_role("columnheader", name="Price").get_by_role("button").click()
    expect(page.locator("tbody tr").first).to_contain_text("0.45 ₽")
    page.get_by_role("button", name="Price").click()
    page.get_by_role("button", name="Price").click()
    expect(page.locator("[aria-sort]")).to_have_count(0)
    expect(page.locator("tbody th a")).to_have_text(["79140000009", "79150000003", "79150000001", "79150000002"])


def test_a_list_is_saved_as_it_is_filtered_and_no_cell_is_a_formula(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call(login_did="79150000001")
    requests.post(f"{sandbox.url}/v2/rest/account/{FORMULA}/flash_call", timeout=30)
    page = open_page(f"{sandbox.url}/__admin/#/requests?show=refused")
    text = saved(page, "Export as CSV")
    assert text.startswith("\ufeffseq,at,method,path,")
    (row,) = csv.DictReader(text.removeprefix("\ufeff").splitlines())
    assert row["account_id"] == "'" + FORMULA
    assert row["refusal.code"] == "unauthorized"
    assert [one["account_id"] for one in json.loads(saved(page, "Export as JSON"))] == [FORMULA]
    expect(page.get_by_role("status")).to_have_text("Saved 1 row")

    page.goto(f"{sandbox.url}/__admin/#/calls")
    (call,) = csv.DictReader(saved(page, "Export as CSV").removeprefix("\ufeff").splitlines())
    assert (call["login_did"], call["price"], call["outcome"]) == ("79150000001", "0.15", "answered")
    page.route(
        "**/__admin/calls?*",
        lambda route: route.fulfill(json={"items": sandbox.admin("calls")["items"], "next": 5}),
    )
    saved(page, "Export as JSON")
    expect(page.get_by_role("status")).to_contain_text("older rows are left out")


def test_accounts_are_shown_by_their_names_sorted_counted_and_saved(sandbox: Sandbox, open_page: OpenPage) -> None:
    for n, name in enumerate([FORMULA, "<b>Alpha</b>"]):
        send(sandbox, "POST", "accounts", {"id": 901 + n, "name": name, "balance": f"{n + 1}.00"})
    send(sandbox, "POST", "accounts/902/calls", {"method": "flash_call", "login_did": "79150000001"})
    page = open_page(f"{sandbox.url}/__admin/#/accounts", viewport={"width": 1300, "height": 700})
    names = page.locator("tbody th a")
    expect(names).to_have_text(["12345678", "=1+cmd · 901", "<b>Alpha</b> · 902"])
    expect(page.locator(".pager .note")).to_have_text("1–3 of 3")
    page.get_by_role("button", name="Balance").click()
    expect(names).to_have_text(["12345678", "<b>Alpha</b> · 902", "=1+cmd · 901"])
    expect(page.get_by_role("button", name="Balance")).to_be_focused()
    rows = list(csv.DictReader(saved(page, "Export as CSV").removeprefix("\ufeff").splitlines()))
    assert [row["name"] for row in rows] == ["", "'" + FORMULA, "<b>Alpha</b>"]
    page.get_by_role("link", name="Alpha").click()
    expect(page.get_by_role("heading", name="Account <b>Alpha</b> · 902")).to_be_focused()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Name").fill("Beta")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Account Beta · 902")).to_be_visible()
    page.get_by_role("link", name="Calls", exact=True).first.click()
    expect(call_row(page, "79150000001").get_by_role("link", name="Beta · 902")).to_be_visible()
    page.get_by_label("Account").select_option("Beta · 902")
    expect(page.locator(".feed .note")).to_have_text("1–1 of 1")
    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    expect(page.get_by_role("dialog").get_by_label("Account").locator("option:checked")).to_have_text("Beta · 902")
