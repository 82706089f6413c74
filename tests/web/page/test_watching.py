"""What the page shows, as it happens."""

from __future__ import annotations

import re

import requests
from helpers.client import flash_call
from helpers.page import ACCOUNT, OpenPage, call_row, send
from helpers.sandbox import Sandbox, running_sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import expect

from pytest_mcn_mock import Account, MCNServer


def test_an_empty_journal_says_how_to_place_the_first_call(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    expect(page.get_by_text("No calls yet")).to_be_visible()
    command = page.get_by_role("group", name="Command to paste").inner_text()
    assert command == (
        "curl -X POST -H 'Authorization: Bearer test-token' "
        f"'{sandbox.url}/v2/rest/account/12345678/flash_call?login_did=79157777777'"
    )
    page.goto(f"{sandbox.url}/__admin/#/deliveries")
    expect(page.get_by_text("No deliveries yet")).to_be_visible()


def test_a_call_appears_with_its_outcome_and_price_and_changes_as_it_ends(
    sandbox: Sandbox, open_page: OpenPage
) -> None:
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    call = sandbox.flash_call(login_did="79150000001")
    row = call_row(page, "79150000001")
    expect(row).to_contain_text("Ringing")
    expect(row).to_contain_text("0.15 ₽")
    send(sandbox, "POST", f"calls/{call['verification_call_uuid']}/complete", {"outcome": "rejected"})
    expect(row).to_contain_text("Rejected")


def test_a_call_tells_why_and_what_happened_in_order(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    receiver.statuses = [500, 204]
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, "headers": {"X-Key": "secret"}})
    uuid = sandbox.flash_call(code="0042", country_id="703")["verification_call_uuid"]
    page = open_page(f"{sandbox.url}/__admin/#/calls/{uuid}")
    panel = page.get_by_role("region", name="Call", exact=True)
    expect(panel.get_by_text("flash_call from a Slovak number costs 0.45").first).to_be_visible()
    send(sandbox, "POST", "clock/advance", {"seconds": 30})
    steps = panel.locator("ol.timeline > li")
    expect(steps).to_have_count(6)
    for step, words in zip(
        steps.all(),
        ["Request", "Charged 0.45 ₽", "Rings", "Hang-up: Answered", "CDR, attempt 1 500", "CDR, attempt 2 204"],
        strict=True,
    ):
        expect(step).to_contain_text(words)
    panel.locator("summary").click()
    expect(panel.get_by_text('"q931_status": 16')).to_be_visible()
    expect(panel.get_by_role("row", name="X-Key ***")).to_be_visible()
    expect(panel.get_by_text("HTTP 500, not acknowledged").last).to_be_visible()
    assert "secret" not in page.content()


def test_a_refused_request_is_shown_with_the_reason(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/requests")
    url = f"{sandbox.url}/v2/rest/account/12345678/flash_call?login_did=79157777777"
    requests.post(f"{url}&code=42", headers={"Authorization": "Bearer test-token"}, timeout=30)
    row = page.get_by_role("row").filter(has_text="code=42")
    expect(row).to_contain_text("400")
    expect(row).to_contain_text("invalid_parameter code must be four digits")
    sandbox.flash_call()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Show").select_option("Refused")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("#/requests?show=refused")


def test_the_balance_is_drawn_and_follows(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call()
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    expect(page.get_by_role("heading", name="Balance 99.85 ₽")).to_be_visible()
    line = page.get_by_role("img", name=re.compile("Balance over 2 entries, from 100.00 ₽ to 99.85 ₽"))
    expect(line).to_be_visible()
    sandbox.flash_call(country_id="703")
    expect(page.get_by_role("heading", name="Balance 99.40 ₽")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("over 3 entries, .* lowest 99.40 ₽"))).to_be_visible()
    expect(page.get_by_role("table", name="Ledger").get_by_role("row").nth(1)).to_contain_text("-0.45 ₽")
    page.get_by_role("link", name="Accounts").click()
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="12345678")
    expect(row).to_contain_text("99.40 ₽")
    expect(row.get_by_role("img", name="From 100.00 ₽ to 99.40 ₽ in 3 entries")).to_be_visible()


def test_the_axis_of_the_balance_begins_at_zero_or_says_that_it_does_not(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call()
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    chart = page.locator("figure.plot")
    expect(chart).to_contain_text("The axis begins at 99.85 ₽, not at 0.")
    expect(chart.locator(".scale span").first).to_have_text("99.85 ₽")
    expect(chart.locator(".axis span").first).to_have_text(re.compile(r"^\d{1,2} \w+, \d\d:\d\d:\d\d$"))
    send(sandbox, "PATCH", ACCOUNT, {"balance": "5.00"})
    expect(chart.locator(".scale span").first).to_have_text("0.00 ₽")
    expect(chart).not_to_contain_text("The axis begins")
    send(sandbox, "PATCH", ACCOUNT, {"credit": "50.00", "balance": "-20.00"})
    expect(chart.locator(".scale span").first).to_have_text("-50.00 ₽")
    expect(chart).not_to_contain_text("The axis begins")


def test_filters_find_a_call_and_are_in_the_address(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", [{"login_did": "7915*", "outcome": "busy"}])
    for number in ("79150000001", "79150000002", "79160000001"):
        sandbox.flash_call(login_did=number)
    page = open_page(f"{sandbox.url}/__admin/#/calls?show=busy")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Find").fill("0002")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(call_row(page, "79150000002")).to_be_visible()
    sandbox.flash_call(login_did="79160000002")
    sandbox.flash_call(login_did="79159990002")
    expect(call_row(page, "79159990002")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert page.url.endswith("#/calls?show=busy&find=0002")


def test_a_pause_keeps_new_calls_out_and_counts_them_above_the_rows(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call(login_did="79150000001")
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("button", name="Pause").click()
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    sandbox.flash_call(login_did="79150000002")
    sandbox.flash_call(login_did="79150000003")
    news = page.get_by_role("button", name="2 new: show")
    expect(news).to_be_visible()
    assert news.bounding_box()["y"] < page.get_by_role("table").bounding_box()["y"]  # type: ignore[index]
    expect(page.locator("tbody tr")).to_have_count(1)
    news.click()
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(news).to_be_hidden()
    sandbox.flash_call(login_did="79150000004")
    expect(page.get_by_role("button", name="1 new: show")).to_be_visible()
    resume.click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(call_row(page, "79150000004")).to_be_visible()


def test_what_is_gone_says_so(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/accounts/99")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text("there is no account '99'")
    page.goto(f"{sandbox.url}/__admin/#/deliveries/99999")
    expect(page.get_by_role("alert")).to_have_text("there is no delivery 99999")
    page.locator("main").get_by_role("link", name="Deliveries").click()
    expect(page.get_by_role("heading", name="Deliveries")).to_be_visible()


def test_what_is_gone_is_said_in_russian_without_quotes(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls/7020_1", locale="ru-RU")
    expect(page.get_by_role("alert")).to_have_text("Звонок 7020_1 не найден")
    page.goto(f"{sandbox.url}/__admin/#/accounts/99")
    expect(page.get_by_role("alert")).to_have_text("Лицевой счёт 99 не найден")


def test_an_account_without_requests_does_not_blame_a_filter(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/requests?account_id=12345678")
    expect(page.locator(".empty .title")).to_have_text("No requests: they are kept only until the sandbox restarts")
    page.goto(f"{sandbox.url}/__admin/#/requests?account_id=12345678&show=refused")
    expect(page.locator(".empty .title")).to_have_text("Nothing matches the filter")


def test_a_lost_connection_is_shown_and_what_was_missed_is_there_afterwards(open_page: OpenPage) -> None:
    with running_sandbox() as sandbox:
        page = open_page(f"{sandbox.url}/__admin/#/calls")
        sandbox.stop()
    expect(page.get_by_text("No connection, trying again")).to_be_visible()
    with running_sandbox("--port", sandbox.url.rpartition(":")[2]) as again:
        again.flash_call(login_did="79150000001")
        expect(page.locator(".status")).to_have_text("Live")
        expect(call_row(page, "79150000001")).to_be_visible()


def test_the_page_is_the_same_on_the_fixtures_server(mcn: Account, mcn_server: MCNServer, open_page: OpenPage) -> None:
    page = open_page(f"{mcn_server.url}/__admin/#/calls?account_id={mcn.account_id}")
    assert flash_call(mcn, "79150000001").status_code == 200
    expect(call_row(page, "79150000001")).to_contain_text("Answered")
    page.goto(f"{mcn_server.url}/__admin/#/accounts/{mcn.account_id}")
    expect(page.get_by_role("heading", name="Balance 99.85 ₽")).to_be_visible()
