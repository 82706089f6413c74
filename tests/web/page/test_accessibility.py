"""What axe-core, the checker of accessibility, says of every view: in both languages and in both themes.

It comes from npm, as ``tools/node`` says, and into the browser from the disk: the page loads nothing from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from helpers.node import module
from helpers.page import ACCOUNT, OpenPage, send
from helpers.sandbox import Sandbox, running_sandbox
from playwright.sync_api import Page, expect

RUN = """async (rules) => {
  const options = { resultTypes: ['violations'], ...(rules ? { runOnly: { type: 'rule', values: rules } } : {}) };
  const { violations } = await axe.run(document, options);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, any, all, none }) =>
    `${id}: ${html.slice(0, 200)}: ${[...any, ...all, ...none].map((check) => check.message).join('; ')}`));
}"""
GO = """(hash) => {
  for (const node of document.querySelectorAll('main > *')) node.dataset.old = 'yes';
  location.hash = hash;
}"""
SETTLED = """() => document.getAnimations().every(
  (one) => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity)"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    return (module("axe-core") / "axe.min.js").read_text(encoding="utf-8")


def a_day(sandbox: Sandbox) -> str:
    """Calls, failed deliveries, a disabled webhook, refusals; the uuid of a call that has them."""
    closed = {"url": "http://127.0.0.1:9/hook", "retry": False, "headers": {"X-Key": "secret"}}
    text = {"url": "http://127.0.0.1:9/text", "enabled": False, "data_type": "text", "template": "call ${{number}}"}
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", closed)
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", text)
    rules = [{"login_did": f"7915{n}*", "outcome": o} for n, o in enumerate(("busy", "rejected", "unavailable"))]
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", rules)
    send(sandbox, "PUT", f"{ACCOUNT}/faults", [{"kind": "cdr_late", "delay_s": 5, "times": 3, "probability": 0.5}])
    for n in range(6):
        sandbox.flash_call(login_did=f"7915{n}000000", code=f"{n:04}")
    sandbox.flash_call(login_did="421905123456")
    sandbox.order(login_did="7")
    send(sandbox, "POST", "clock/advance", {"seconds": 60})
    sandbox.flash_call(login_did="70000000006")
    uuid: str = sandbox.admin("calls")["items"][3]["verification_call_uuid"]
    return uuid


class Checker:
    """Runs axe-core on what a page shows: everything, and in the other theme the contrasts again."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: dict[str, list[str]] = {}

    def check(self, name: str) -> None:
        for theme, rules in (("light", None), ("dark", ["color-contrast"])):
            self.page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
            self.page.wait_for_function(SETTLED)
            wrong = self.page.evaluate(RUN, rules)
            if wrong:
                self.found[f"{name}, {theme}"] = wrong


Opener = Callable[[Page], None]


def press(key: str) -> Opener:
    return lambda page: page.locator(f"[data-key={key}]").first.click()


def refused(page: Page) -> None:
    """A form that the server refuses."""
    page.locator("[data-key=webhook-new]").click()
    page.locator("dialog input[name=url]").fill("ftp://x")
    page.locator("dialog [type=submit]").click()
    expect(page.locator("dialog [aria-invalid=true]")).to_be_visible()


def with_text(page: Page) -> None:
    """The form of a webhook that sends text, with a condition and its preview."""
    page.locator("[data-key=webhook-2]").click()
    page.locator("dialog .filter button").last.click()
    expect(page.locator("dialog pre.body")).to_be_visible()


def unfolded(page: Page) -> None:
    page.locator("details").evaluate_all("all => { for (const one of all) one.open = true; }")


@contextmanager
def opened(page: Page, opener: Opener | None) -> Iterator[None]:
    if opener is None:
        yield
        return
    opener(page)
    yield
    if page.locator("dialog").count():
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)


def views(uuid: str) -> list[tuple[str, Opener | None]]:
    """The address of every view, and what is opened on it."""
    account = f"#/{ACCOUNT}"
    return [
        ("#/overview", unfolded), ("#/calls", None), ("#/calls?find=nothing", None), (f"#/calls/{uuid}", unfolded),
        ("#/accounts", None), ("#/accounts", lambda page: page.locator("main .head button").first.click()),
        (account, unfolded), (account, refused), (account, with_text), (account, press("rule-new")),
        (account, press("fault-new")), (account, press("edit")), (account, press("topup")), (account, press("close")),
        ("#/deliveries", None), ("#/deliveries/1", unfolded), ("#/requests", None), ("#/calls/none", None),
        ("#/overview", press("tool-place")), ("#/overview", press("tool-clock")), ("#/overview", press("tool-reset")),
    ]  # fmt: skip


@pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
def test_axe_core_finds_nothing_in_any_view(sandbox: Sandbox, open_page: OpenPage, axe: str, locale: str) -> None:
    uuid = a_day(sandbox)
    page = open_page(f"{sandbox.url}/__admin/", locale=locale, init=axe, viewport={"width": 1280, "height": 900})
    checker = Checker(page)
    shown = "#/overview"
    for address, opener in views(uuid):
        if address != shown:
            page.evaluate(GO, address)
            page.wait_for_selector("main > :not([data-old]) h1, main > :not([data-old]) h2", state="attached")
            shown = address
        with opened(page, opener):
            checker.check(f"{address} {opener.__name__ if opener else ''}")
    assert json.dumps(checker.found, indent=1, ensure_ascii=False) == "{}"


@pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
def test_axe_core_finds_nothing_where_one_signs_in_or_on_a_phone(
    sandbox: Sandbox, open_page: OpenPage, axe: str, locale: str
) -> None:
    found: dict[str, Any] = {}
    with running_sandbox("--admin-token", "right-token") as closed:
        page = open_page(f"{closed.url}/__admin/", ready="form", locale=locale, init=axe)
        page.locator("[type=submit]").click()
        expect(page.locator("[aria-invalid=true]")).to_be_focused()
        checker = Checker(page)
        checker.check("sign-in")
        found |= checker.found
    uuid = a_day(sandbox)
    for address in ("overview", f"calls/{uuid}", ACCOUNT):
        options = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
        page = open_page(f"{sandbox.url}/__admin/#/{address}", locale=locale, init=axe, **options)
        checker = Checker(page)
        checker.check(f"{address} on a phone")
        found |= checker.found
    assert json.dumps(found, indent=1, ensure_ascii=False) == "{}"
