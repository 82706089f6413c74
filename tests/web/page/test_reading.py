"""Who reads the page: in two languages and themes, by keyboard, by ear, on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.page import ACCOUNT, OpenPage, call_row, go, send, the_calls
from helpers.sandbox import Sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Page, expect

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")


def fill(sandbox: Sandbox, receiver: Receiver) -> str:
    """Something of everything; the uuid of a call that rings."""
    receiver.statuses = [500, 204]
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, "headers": {"X-Key": "secret"}})
    outcomes = ["answered", "busy", "no_answer", "rejected", "unavailable"]
    rules = [{"login_did": f"7915000000{n}", "outcome": outcome} for n, outcome in enumerate(outcomes)]
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", rules)
    for n in range(5):
        sandbox.flash_call(login_did=f"7915000000{n}")
    send(sandbox, "PUT", f"{ACCOUNT}/faults", [{"kind": "status", "times": 2}])
    send(sandbox, "POST", "accounts", {"id": 777})
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    placed = send(sandbox, "POST", f"{ACCOUNT}/calls", {"method": "flash_call", "login_did": "79150000009"})
    return str(placed["verification_call_uuid"])


@pytest.mark.parametrize("locale,theme", [("en-GB", "light"), ("ru-RU", "dark")])
def test_everything_has_a_name_and_can_be_read(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver, locale: str, theme: str
) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls", locale=locale, color_scheme=theme)
    assert page.evaluate(AUDIT) == []
    uuid = fill(sandbox, receiver)
    first = the_calls(sandbox)[-1]["verification_call_uuid"]
    for route, heading in [
        ("overview", "h1"),
        (f"calls/{uuid}", "h2"),
        (f"calls/{first}", "h2"),
        (f"deliveries/{sandbox.admin('deliveries')['items'][0]['id']}", "h2"),
        ("requests", "h1"),
        ("accounts", "h1"),
        (ACCOUNT, "h1"),
        ("calls/none", "h1"),
    ]:
        go(page, f"#/{route}")
        expect(page.locator(f"main {heading}").first).to_be_focused()
        if heading == "h2":
            page.locator("summary").first.click() if page.locator("summary").count() else None
        assert page.evaluate(AUDIT) == [], route
    go(page, f"#/{ACCOUNT}")
    for key in ("webhook-new", "rule-new", "fault-new", "topup", "close", "tool-place", "tool-clock", "tool-reset"):
        page.locator(f"[data-key={key}]").click()
        expect(page.locator("dialog")).to_be_visible()
        assert page.evaluate(AUDIT) == [], key
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
        expect(page.locator(f"[data-key={key}]")).to_be_focused()


def test_the_language_is_the_browsers_and_can_be_switched(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls", locale="ru-RU")
    expect(page.get_by_role("heading", name="Звонки")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "ru"
    sandbox.flash_call(login_did="79150000001")
    expect(call_row(page, "79150000001")).to_contain_text("0,15 ₽")
    page.get_by_label("Язык").select_option("English")
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    expect(page.get_by_label("Language")).to_be_focused()
    expect(call_row(page, "79150000001")).to_contain_text("0.15 ₽")
    page.reload()
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"


def ground(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_the_theme_is_the_systems_and_can_be_switched(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls", color_scheme="dark")
    dark = ground(page)
    page.get_by_label("Theme").select_option("Light")
    light = ground(page)
    assert light != dark
    page.reload()
    expect(page.get_by_label("Theme")).to_have_value("light")
    assert ground(page) == light
    page.get_by_label("Theme").select_option("Dark")
    assert ground(page) == dark
    page.get_by_label("Theme").select_option("Auto")
    page.emulate_media(color_scheme="light")
    assert ground(page) == light


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the name has the focus, and shows it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
        )
        if focused == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
            return
    raise AssertionError(f"Tab never comes to {name}")


def test_the_main_path_needs_no_mouse(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.reload()
    tab_to(page, "Place a call")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Number to ring")).to_be_focused()
    page.keyboard.type("79150000001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="79150000001")).to_be_focused()
    tab_to(page, "Busy")
    page.keyboard.press("Space")
    expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("Hang-up: Busy")
    assert the_calls(sandbox)[0]["outcome"] == "busy"
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="79150000001")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="79150000001")).to_be_focused()


@pytest.mark.parametrize("by", ["key", "pointer"])
def test_what_happens_live_does_not_come_between_a_press_and_its_click(
    sandbox: Sandbox, open_page: OpenPage, by: str
) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    button = page.get_by_role("button", name="Hold calls", exact=True)
    button.hover()
    button.focus()
    page.evaluate("""() => {
        const events = new EventSource('/__admin/events');
        window.told = new Promise((resolve) => events.addEventListener('account', resolve, { once: true }));
        return new Promise((resolve) => events.addEventListener('open', resolve, { once: true }));
    }""")
    if by == "key":
        page.keyboard.down("Space")
    else:
        page.mouse.down()
    send(sandbox, "POST", f"{ACCOUNT}/top_up", {"amount": "1.00"})
    page.evaluate("told.then(() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go))))")
    if by == "key":
        page.keyboard.up("Space")
    else:
        page.mouse.up()
    expect(page.get_by_role("button", name="Stop holding calls")).to_be_visible()
    expect(page.get_by_role("heading", name="Balance 101.00 ₽")).to_be_visible()


def test_what_happens_live_does_not_take_the_focus_and_is_not_read_out(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call(login_did="79150000001")
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("link", name="79150000001").focus()
    for n in range(2, 5):
        sandbox.flash_call(login_did=f"7915000000{n}")
    expect(call_row(page, "79150000004")).to_be_visible()
    expect(page.get_by_role("link", name="79150000001")).to_be_focused()
    expect(page.get_by_role("status")).to_be_empty()
    assert page.locator("[aria-live]").count() == 1


def test_nothing_moves_for_who_asks_for_that(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    sandbox.flash_call(login_did="79150000001")
    page = open_page(f"{sandbox.url}/__admin/#/calls", reduced_motion="reduce")
    expect(call_row(page, "79150000001")).to_be_visible()
    page.wait_for_function("() => document.getAnimations().every((one) => one.playState !== 'running')")


def test_it_fits_a_phone(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    sandbox.admin("clock/advance", "POST", {"seconds": 86_400})  # a time of another day has its date
    uuid = fill(sandbox, receiver)
    page = open_page(f"{sandbox.url}/__admin/#/calls", viewport={"width": 390, "height": 800}, locale="ru-RU")
    expect(page.locator("tbody tr")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for route in ("overview", f"calls/{uuid}", "deliveries", "requests", "accounts", ACCOUNT):
        go(page, f"#/{route}")
        expect(page.locator("h1, h2").and_(page.locator(":focus"))).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, route
