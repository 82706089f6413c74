"""The pictures of the documentation. They are written by ``make screenshots``; otherwise it is checked that what they
show is there.
"""

from __future__ import annotations

import base64
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.page import ACCOUNT, OpenPage, send
from helpers.sandbox import Sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Page, expect

IMAGES = Path(__file__).parents[3] / "docs/images"
MAX_SIZE = 200_000
FORM = {
    "body": ["number", "q931_status", "final_status", "verification_call_uuid"],
    "constants": {"env": "staging", "from": "${{did}}"},
    "headers": {"X-Key": "secret"},
}
OUTCOMES = ["busy", "no_answer", "rejected", "unavailable"]
FAILING = re.compile(r"^```python\n# test_failing\.py\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PANELS = """\
<style>
body { margin: 0; padding: 12px; background: #fff; width: 1080px; display: grid; gap: 12px; }
pre { margin: 0; padding: 12px 16px; border-radius: 8px; background: #16191d; color: #d5dae1;
      font: 12.5px/1.32 "DejaVu Sans Mono", monospace; white-space: pre-wrap; }
pre b { color: #ff8f86; font-weight: normal; }
img { border-radius: 8px; outline: 1px solid #c9d0d8; outline-offset: -1px; }
</style>
"""


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
        ("calls-ru", {"viewport": {"width": 1080, "height": 600}, "locale": "ru-RU"}),
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


@pytest.mark.parametrize("name,locale", [("page-overview", "en-GB"), ("page-overview-ru", "ru-RU")])
def test_an_overview(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver, name: str, locale: str) -> None:
    day(sandbox, receiver)
    send(sandbox, "PUT", f"{ACCOUNT}/faults", [])
    refused = {"variable": "q931_status", "operator": "in", "value": [31]}
    webhook = {"url": "http://127.0.0.1:9/webhooks/crm", "retry": False, "filter": [refused]}
    for minutes, calls in enumerate([9, 14, 6, 11, 3, 0, 5, 12, 8, 10, 4]):
        send(sandbox, "POST", "clock/advance", {"seconds": 60 * (minutes % 4 + 1)})
        for n in range(calls):
            sandbox.flash_call(login_did=f"7915{n * 3 % 10}{(n + minutes * 31) * 7919 % 1_000_000:06}")
        if minutes == 6:
            send(sandbox, "POST", f"{ACCOUNT}/webhooks", webhook)
    send(sandbox, "POST", "clock/advance", {"seconds": 4})
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    sandbox.flash_call(login_did="79161234567")
    page = open_page(f"{sandbox.url}/__admin/", viewport={"width": 1120, "height": 880}, locale=locale)
    expect(page.locator("a.number").first).to_contain_text("113")
    shoot(page, name)


@pytest.mark.parametrize(
    "name,locale,edit,body",
    [
        ("webhook-form", "en-GB", "Edit webhook 1", "Body"),
        ("webhook-form-ru", "ru-RU", "Изменить вебхук 1", "Тело"),
    ],
)
def test_the_form_of_a_webhook(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver, name: str, locale: str, edit: str, body: str
) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, **FORM})
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}", viewport={"width": 1120, "height": 780}, locale=locale)
    page.get_by_role("button", name=edit).click()
    expect(page.get_by_role("dialog").get_by_role("group", name=body)).to_contain_text('"env": "staging"')
    shoot(page, name)


def test_an_account(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    day(sandbox, receiver)
    options = {"viewport": {"width": 1120, "height": 820}, "color_scheme": "dark"}
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}", **options)
    expect(page.get_by_role("img", name=re.compile("Balance over 32 entries"))).to_be_visible()
    shoot(page, "account-dark")


def report_of_a_failing_test(folder: Path) -> str:
    """What pytest prints about the failing test of docs/how-to/failing-tests.md, from the assertion on."""
    page = (IMAGES.parent / "how-to/failing-tests.md").read_text(encoding="utf-8")
    (code,) = FAILING.findall(page)
    (folder / "test_failing.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:faker", "test_failing.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = re.search(r"^>.*?(?=\n=+ short test summary)", done.stdout, re.DOTALL | re.MULTILINE)
    assert found, done.stdout
    return found[0]


@pytest.mark.parametrize("name,locale", [("overview", "en-GB"), ("overview-ru", "ru-RU")])
def test_the_report_of_a_failing_test_and_the_page(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver, tmp_path: Path, name: str, locale: str
) -> None:
    report = report_of_a_failing_test(tmp_path)
    assert "code: expected '0043', got '0042'" in report
    assert "attempt 1: HTTP 500, not acknowledged" in report
    day(sandbox, receiver)
    call = sandbox.admin("calls?order=newest&limit=1")["items"][0]["verification_call_uuid"]
    page = open_page(f"{sandbox.url}/__admin/#/calls/{call}", viewport={"width": 1080, "height": 420}, locale=locale)
    expect(page.locator("ol.timeline > li").first).to_be_visible()
    picture = base64.b64encode(page.screenshot(animations="disabled")).decode()
    told = re.sub(r"^E .*$", r"<b>\g<0></b>", html.escape(report, quote=False), flags=re.MULTILINE)
    panels = page.context.new_page()
    panels.set_content(f"{PANELS}<pre>$ pytest\n{told}</pre><img src='data:image/png;base64,{picture}'>")
    panels.set_viewport_size({"width": 1104, "height": 600})
    shoot(panels, name, full_page=True)
