"""What spares a tester a detour: copying, connecting, enabling, a filter that stays, and a tab that counts failures."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import unquote

import pytest
from helpers.page import ACCOUNT, OpenPage, go, send, the_calls
from helpers.sandbox import Sandbox, running_sandbox
from playwright.sync_api import Page, expect

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


def copied(page: Page, name: str) -> str:
    page.get_by_role("button", name=name, exact=True).press("Enter")
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_attached()
    text: str = page.evaluate("navigator.clipboard.readText()")
    page.evaluate("navigator.clipboard.writeText('')")
    return text


def test_the_uuid_the_code_and_the_base_urls_are_copied(sandbox: Sandbox, open_page: OpenPage) -> None:
    uuid = sandbox.flash_call(login_did="79157777777", code="0042")["verification_call_uuid"]
    page = open_page(f"{sandbox.url}/__admin/#/calls/{uuid}", **CLIPBOARD)
    assert copied(page, "Copy the uuid") == uuid
    assert copied(page, "Copy the code") == "0042"
    assert copied(page, f"Copy {sandbox.url}/v2/rest") == f"{sandbox.url}/v2/rest"
    assert copied(page, f"Copy {sandbox.url}") == sandbox.url


@pytest.mark.parametrize(
    "order",
    [
        {"method": "flash_call", "login_did": "79157777777", "code": "0042", "country_id": "703"},
        {"method": "call_for_2fa", "login_did": "79157777777", "caller_did": "79158888888"},
        {"method": "flash_call", "login_did": "77071234567", "code": "0001", "dialect": "paidmethods"},
    ],
)
def test_the_order_of_a_call_is_a_curl_command_without_the_token(
    sandbox: Sandbox, open_page: OpenPage, order: dict[str, str]
) -> None:
    placed = send(sandbox, "POST", f"{ACCOUNT}/calls", order)
    page = open_page(f"{sandbox.url}/__admin/#/calls/{placed['verification_call_uuid']}")
    page.get_by_role("button", name="Copy as curl").press("Enter")
    command = page.locator(".panel .command code").inner_text()
    assert "$MCN_TOKEN" in command
    assert "test-token" not in command
    shell = ["sh", "-c", command.replace("curl ", "curl -sS --max-time 30 ", 1)]
    subprocess.run(shell, env={"MCN_TOKEN": "test-token", "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
    (again, before) = the_calls(sandbox)
    same = ("method", "dialect", "login_did", "country_id", "price", "code")
    assert [again[name] for name in same] == [before[name] for name in same]


def test_every_view_says_how_to_connect(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/")
    foot = page.get_by_role("contentinfo")
    for view in ("calls", "accounts", "deliveries", "requests", ACCOUNT):
        go(page, f"#/{view}")
        expect(foot).to_contain_text(f"In place of https://api.mcn.ru/v2/rest{sandbox.url}/v2/rest")
        expect(foot).to_contain_text(f"In place of https://paidmethods.mcn.ru{sandbox.url}")
    foot.get_by_text("How to connect").press("Enter")
    expect(foot).to_contain_text(f"curl -X POST -H 'Authorization: Bearer test-token' '{sandbox.url}/v2/rest/account/")


def test_a_disabled_webhook_is_enabled_from_the_call_that_missed_it(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": "http://127.0.0.1:9/", "enabled": False})
    uuid = sandbox.flash_call()["verification_call_uuid"]
    page = open_page(f"{sandbox.url}/__admin/#/calls/{uuid}")
    button = page.get_by_role("button", name="Enable again: webhook 1")
    button.press("Enter")
    expect(button).to_have_count(0)
    assert sandbox.admin(f"{ACCOUNT}/webhooks/1")["enabled"] is True
    send(sandbox, "PATCH", f"{ACCOUNT}/webhooks/1", {"enabled": False})
    expect(button).to_be_visible()
    go(page, "#/accounts")
    page.get_by_role("button", name="Enable again: the webhooks of account 12345678").press("Enter")
    expect(page.get_by_role("main").get_by_text("1 disabled")).to_have_count(0)
    assert sandbox.admin(f"{ACCOUNT}/webhooks/1")["enabled"] is True


@pytest.mark.parametrize("close", ["Escape", "button", "back"])
def test_a_filter_survives_a_panel_and_a_reload(sandbox: Sandbox, open_page: OpenPage, close: str) -> None:
    for n in range(3):
        sandbox.flash_call(login_did=f"7915000000{n}")
    page = open_page(f"{sandbox.url}/__admin/#/calls?find=79150000001")
    rows = page.get_by_role("main").get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").first.press("Enter")
    expect(page.locator(".panel h2")).to_be_focused()
    page.reload()
    expect(page.locator(".panel h2")).to_be_visible()
    expect(rows).to_have_count(1)
    if close == "Escape":
        page.keyboard.press("Escape")
    elif close == "button":
        page.get_by_role("link", name="Close").press("Enter")
    else:
        page.go_back()
    expect(page.locator(".panel")).to_have_count(0)
    assert page.url.endswith("#/calls?find=79150000001")
    expect(page.get_by_label("Find")).to_have_value("79150000001")
    page.reload()
    expect(rows).to_have_count(1)


def test_the_tab_counts_failed_deliveries(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    icon = page.locator("link[rel=icon]")
    expect(page).to_have_title("Calls – mcn-mock")
    assert icon.get_attribute("href") == "static/icon.svg"
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": "http://127.0.0.1:9/", "retry": False})
    for count in (1, 2):
        sandbox.flash_call()
        expect(page).to_have_title(f"({count}) Calls – mcn-mock")
    assert ">2</text>" in unquote(icon.get_attribute("href") or "")
    send(sandbox, "POST", "reset", {})
    expect(page).to_have_title("Calls – mcn-mock")
    assert icon.get_attribute("href") == "static/icon.svg"


def test_a_wrong_token_is_said_beside_its_field_and_in_the_language_that_was_chosen(open_page: OpenPage) -> None:
    with running_sandbox("--admin-token", "right-token") as sandbox:
        page = open_page(f"{sandbox.url}/__admin/", ready="form")
        page.get_by_label("Language").select_option("Русский")
        expect(page.get_by_role("heading", name="Вход")).to_be_visible()
        expect(page.get_by_label("Язык")).to_be_focused()
        token = page.get_by_label("Токен администратора")
        token.fill("wrong")
        token.press("Enter")
        expect(token).to_have_accessible_description(re.compile("Неверный токен администратора"))
        expect(token).to_be_focused()
        token.fill("right-token")
        token.press("Enter")
        expect(page.get_by_role("heading", name="Обзор", exact=True)).to_be_visible()


def test_an_error_of_a_form_is_said_beside_its_field(sandbox: Sandbox, open_page: OpenPage) -> None:
    uuid = sandbox.flash_call(login_did="70000000006")["verification_call_uuid"]
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    wrong = {
        "Edit": [("call_2fa (paidmethods)", "-1"), ("flash_call from a Slovak number", "0.001"), ("Credit", "x")],
        "Top up": [("Amount", "0")],
        "Add a rule": [("Number pattern", "7-9"), ("Q.850 cause", "128"), ("Delay, seconds", "-1")],
    }
    for action, fields in wrong.items():
        page.get_by_role("button", name=action, exact=True).first.click()
        form = page.get_by_role("dialog")
        for label, value in fields:
            field = form.get_by_label(label)
            before = field.input_value()
            field.fill(value)
            field.press("Enter")
            expect(field).to_have_attribute("aria-invalid", "true")
            expect(field).to_be_focused()
            field.fill(before)
        page.keyboard.press("Escape")
        expect(form).to_have_count(0)
    go(page, f"#/calls/{uuid}")
    cause = page.get_by_label("Q.850 cause")
    cause.fill("200")
    page.get_by_role("button", name="Finish with the cause").click()
    expect(cause).to_have_accessible_description(re.compile("128|127|not a Q.850 cause"))


SMALL = """(selector) => {
  const shown = [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
  return shown.flatMap((node) => {
    const target = node.type === 'checkbox' ? node.labels[0] ?? node : node;
    const { width, height } = target.getBoundingClientRect();
    return Math.round(height) < 44 || Math.round(width) < 24 ? [`${node.outerHTML.slice(0, 80)} ${height}`] : [];
  });
}"""
TARGETS = "button, select, input, textarea, summary, nav a, .close, tbody th a"


def test_targets_are_large_enough_for_a_finger(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": "http://127.0.0.1:9/", "retry": False})
    uuid = sandbox.flash_call()["verification_call_uuid"]
    options = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    page = open_page(f"{sandbox.url}/__admin/#/overview", **options)
    for view in ("calls", "accounts", ACCOUNT, "deliveries", "requests", f"calls/{uuid}"):
        go(page, f"#/{view}")
        assert page.evaluate(SMALL, TARGETS) == [], view
    go(page, f"#/{ACCOUNT}")
    page.get_by_role("button", name="Add a webhook").tap()
    assert page.evaluate(SMALL, TARGETS) == []
