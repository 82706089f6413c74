"""The pictures of the documentation. They are written by ``make screenshots``; otherwise it is checked that what they
show is there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from helpers.page import ACCOUNT, OpenPage, send
from helpers.sandbox import Sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Page, expect

IMAGES = Path(__file__).parents[3] / "docs/images"
MAX_SIZE = 150_000
FORM = {
    "body": ["number", "q931_status", "final_status", "verification_call_uuid"],
    "constants": {"env": "staging", "from": "${{did}}"},
    "headers": {"X-Key": "secret"},
}
OUTCOMES = ["busy", "no_answer", "rejected", "unavailable"]


def day(sandbox: Sandbox, receiver: Receiver) -> None:
    """What a tester's morning leaves behind."""
    receiver.statuses = [500, 204]
    webhook = {"url": receiver.url, "constants": {"env": "staging"}, "headers": {"X-Key": "secret"}}
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", webhook)
    rules = [{"login_did": f"7915{n}*", "outcome": outcome} for n, outcome in enumerate(OUTCOMES)]
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", rules)
    for n in range(30):
        login_did = f"7915{n * 7 % 10}{(n + 5) * 611_953 % 1_000_000:06}"
        sandbox.flash_call(
            login_did=login_did, code=f"{(n + 3) * 1237 % 10_000:04}", country_id="703" if n % 6 == 4 else ""
        )
        if n == 17:
            send(sandbox, "POST", f"{ACCOUNT}/top_up", {"amount": "2.50"})
    send(sandbox, "PUT", f"{ACCOUNT}/faults", [{"kind": "status", "times": 2, "probability": 0.5}])


def shoot(page: Page, name: str, *, full_page: bool = False) -> None:
    if os.environ.get("MCN_MOCK_SCREENSHOTS"):
        IMAGES.mkdir(exist_ok=True)
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=IMAGES / f"{name}.png", full_page=full_page, animations="disabled")
    assert (IMAGES / f"{name}.png").stat().st_size <= MAX_SIZE


@pytest.mark.parametrize(
    "name,options",
    [
        ("calls", {"viewport": {"width": 1080, "height": 600}}),
        ("phone-ru", {"viewport": {"width": 390, "height": 700}, "locale": "ru-RU"}),
    ],
)
def test_a_call(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver, name: str, options: dict[str, object]
) -> None:
    day(sandbox, receiver)
    send(sandbox, "POST", "clock/advance", {"seconds": 2})
    # CDRs of different calls may overtake one another: it is not always the first call's that was refused once.
    (delivery,) = (d for d in sandbox.admin("deliveries")["items"] if len(d["attempts"]) == 2)
    uuid = delivery["verification_call_uuid"]
    page = open_page(f"{sandbox.url}/__admin/#/calls/{uuid}", **options)
    expect(page.locator("ol.timeline > li")).to_have_count(6)
    expect(page.locator(".panel h2")).to_have_text(sandbox.admin(f"calls/{uuid}")["login_did"])
    shoot(page, name)


def test_the_form_of_a_webhook(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, **FORM})
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}", viewport={"width": 1120, "height": 780})
    page.get_by_role("button", name="Edit webhook 1").click()
    expect(page.get_by_role("dialog").get_by_role("region", name="Body")).to_contain_text('"env": "staging"')
    shoot(page, "webhook-form")


def test_an_account(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    day(sandbox, receiver)
    options = {"viewport": {"width": 1120, "height": 820}, "color_scheme": "dark"}
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}", **options)
    expect(page.get_by_role("img", name=re.compile("Balance over 32 entries"))).to_be_visible()
    shoot(page, "account-dark")
