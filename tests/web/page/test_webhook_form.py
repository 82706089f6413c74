"""The form of a webhook and its preview, and what became of what it sends, as a person sees and sets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.page import ACCOUNT, OpenPage, send
from helpers.sandbox import Sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Locator, Page, expect

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
PHONE = {"viewport": {"width": 390, "height": 844}, "locale": "ru-RU", "color_scheme": "dark"}


def open_form(page: Page, key: str = "new") -> Locator:
    page.locator(f"[data-key=webhook-{key}]").click()
    form = page.get_by_role("dialog")
    expect(form.locator(".preview .mono").first).to_be_visible()
    return form


def tick(form: Locator, *names: str) -> None:
    for name in names:
        form.get_by_role("checkbox", name=re.compile(f"^{name} ")).click()


def previewed(form: Locator) -> Locator:
    return form.get_by_role("region", name="Preview").get_by_role("group", name="Body")


def saved(page: Page, form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def webhook(sandbox: Sandbox, n: int = 1) -> Any:
    return sandbox.admin(f"{ACCOUNT}/webhooks/{n}")


def test_variables_are_sent_in_the_order_in_which_they_are_ticked_as_previewed(
    sandbox: Sandbox, open_page: OpenPage, receiver: Receiver
) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    form = open_form(page)
    expect(form.get_by_role("region", name="Preview")).to_contain_text("a made-up call")
    tick(form, "verification_call_uuid", "q931_status", "final_status", "number", "call4raw", "q931_status")
    tick(form, "call4raw")
    form.get_by_label("Constants").fill("of=${{number}}")
    form.get_by_label("Headers").fill("X-Number: ${{number}}")
    form.get_by_label("How the call ends").select_option("busy")
    body = '{"number": "79157777777", "q931_status": 17, "of": "79157777777", "n": 7}'
    laid_out = json.dumps(json.loads(body), indent=2)
    form.get_by_label("Constants").fill("of=${{number}}\nn=7")
    expect(previewed(form)).to_have_text(laid_out, use_inner_text=True)
    expect(form.get_by_role("table", name="Headers")).to_contain_text("X-Number***")

    form.get_by_label("Values").select_option("text")
    form.get_by_label("URL").fill(receiver.url)
    expect(previewed(form)).to_have_text(laid_out.replace("17", '"17"').replace(": 7", ': "7"'), use_inner_text=True)
    sent_as_previewed = re.sub(r"\n *", " ", previewed(form).inner_text()).replace("{ ", "{").replace(" }", "}")
    saved(page, form)
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", [{"outcome": "busy"}])
    sandbox.flash_call(login_did="79157777777")
    send(sandbox, "POST", "clock/advance", {"seconds": 0})
    assert receiver.bodies == [sent_as_previewed.encode()]
    assert receiver.headers[0]["X-Number"] == "79157777777"
    assert webhook(sandbox)["body"] == ["number", "q931_status"]


def test_a_text_gets_a_variable_where_the_cursor_is(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    form = open_form(page)
    form.get_by_label("URL").fill("http://127.0.0.1:1/hook")
    form.get_by_label("Data type").select_option("text")
    text = form.get_by_label("Text", exact=True)
    expect(text).to_have_accessible_description(re.compile("template is missing"))
    expect(form.get_by_role("checkbox", name="All variables")).to_be_hidden()
    text.fill("call : ")
    text.press("Home")
    for _ in range(5):
        text.press("ArrowRight")
    form.get_by_role("button", name="number", exact=True).click()
    expect(text).to_be_focused()
    text.press("End")
    status = form.get_by_role("button", name="q931_status", exact=True)
    status.focus()
    status.press("Enter")
    expect(status).to_be_focused()
    expect(text).to_have_value("call ${{number}}: ${{q931_status}}")
    expect(previewed(form)).to_have_text("call 79157777777: 16")
    saved(page, form)
    assert (webhook(sandbox)["data_type"], webhook(sandbox)["template"]) == (
        "text",
        "call ${{number}}: ${{q931_status}}",
    )
    expect(page.get_by_role("table", name="Webhooks")).to_contain_text("call ${{number}}: ${{q931_status}}")

    form = open_form(page, "1")
    form.get_by_label("Data type").select_option("json")
    expect(text).to_have_accessible_description(re.compile("template is for data_type"))
    text.fill("")
    expect(previewed(form)).to_contain_text('"verification_call_uuid"')
    saved(page, form)
    assert (webhook(sandbox)["data_type"], webhook(sandbox)["template"]) == ("json", None)


def test_settings_that_contradict_one_another_are_said_at_their_field(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    form = open_form(page)
    method, constants = form.get_by_label("Method"), form.get_by_label("Constants")
    preview = form.get_by_role("region", name="Preview")
    constants.fill("a=1")
    form.get_by_role("checkbox", name="All variables").check()
    expect(constants).to_have_accessible_description(re.compile("constants are for the flat body"))
    expect(preview).to_contain_text("These settings cannot be sent: constants are for the flat body")
    constants.fill("")
    constants.blur()
    expect(previewed(form)).to_contain_text('"event_type": "FlashCall"')
    expect(constants).to_be_hidden()
    method.focus()
    method.select_option("GET")
    expect(method).to_have_accessible_description(re.compile("all_variables needs method"))
    expect(method).to_have_attribute("aria-invalid", "true")
    expect(method).to_be_focused()
    form.get_by_role("checkbox", name="All variables").uncheck()
    expect(preview).to_contain_text("GET http://localhost:8000/webhooks/mcn?verification_call_uuid=")
    expect(method).not_to_have_attribute("aria-invalid", "true")
    form.get_by_label("Query parameters").fill("uuid=${{uuid}}")
    expect(form.get_by_label("Query parameters")).to_have_accessible_description(
        re.compile("variable 'uuid' is unknown")
    )
    form.get_by_role("button", name="Cancel").click()
    assert sandbox.admin(f"{ACCOUNT}/webhooks")["items"] == []


def test_a_filter_is_set_and_previewed_and_kept_when_something_else_changes(
    sandbox: Sandbox, open_page: OpenPage
) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    form = open_form(page)
    form.get_by_label("URL").fill("http://127.0.0.1:1/hook")
    form.get_by_role("button", name="Add a condition").click()
    expect(form.get_by_label("Variable", exact=True)).to_be_focused()
    form.get_by_label("Operator", exact=True).select_option("in")
    expect(form.get_by_role("region", name="Preview")).to_contain_text("filter: value has 0 items")
    form.get_by_label("Value", exact=True).fill("17, 18")
    note = form.get_by_text("No CDR is sent for this call:")
    expect(note).to_contain_text("the filter says: q931_status is in ['17', '18']")
    form.get_by_label("not", exact=True).check()
    expect(note).to_have_count(0)
    form.get_by_role("button", name="Add a condition").click()
    form.get_by_label("Variable", exact=True).nth(1).select_option("did")
    form.get_by_role("button", name="Remove the condition").nth(1).click()
    expect(form.get_by_role("button", name="Add a condition")).to_be_focused()
    form.get_by_label("Ignore the answer").check()
    saved(page, form)
    condition = {"variable": "q931_status", "operator": "in", "value": ["17", "18"], "not": True}
    assert (webhook(sandbox)["filter"], webhook(sandbox)["ignore_response"]) == ([condition], True)
    expect(page.get_by_role("table", name="Webhooks")).to_contain_text("Filter: 1 condition")
    conditions = [{**condition, "value": ["a, b", "c"]}, {**condition, "operator": "equals", "value": 16, "not": False}]
    send(sandbox, "PATCH", f"{ACCOUNT}/webhooks/1", {"filter": conditions})
    form = open_form(page, "1")
    form.get_by_label("Retry on error").uncheck()
    saved(page, form)
    assert (webhook(sandbox)["filter"], webhook(sandbox)["retry"]) == (conditions, False)


@pytest.mark.parametrize("settings", [{}, {"all_variables": True}, {"data_type": "text", "template": "${{number}}"}])
def test_the_form_can_be_read_on_a_phone(sandbox: Sandbox, open_page: OpenPage, settings: dict[str, Any]) -> None:
    condition = {"variable": "verification_call_uuid", "operator": "in", "value": ["x" * 80]}
    asked = {"url": f"http://127.0.0.1:1/{'x' * 80}", "filter": [condition], "headers": {"X-Key": "s"}, **settings}
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", asked)
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}", **PHONE)
    form = open_form(page, "1")
    expect(form.get_by_label("Игнорирование отключения вебхуков")).to_be_visible()
    expect(form.get_by_text("Для этого звонка CDR не отправляется:")).to_be_visible()
    assert form.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert page.evaluate(AUDIT) == []
    form.get_by_label("Метод").select_option("GET")
    form.get_by_label("Query-параметры").fill("a=${{")
    expect(form.get_by_text("С такими настройками отправить CDR нельзя:")).to_be_visible()
    assert page.evaluate(AUDIT) == []


def test_a_call_shows_what_every_kind_of_webhook_got(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    receiver.statuses = [500]
    hooks: list[dict[str, Any]] = [
        {"all_variables": True},
        {"data_type": "text", "template": "call ${{number}}\nwas ${{final_status}}", "ignore_response": True},
        {"filter": [{"variable": "q931_status", "value": 17}]},
    ]
    for n, settings in enumerate(hooks, 1):
        send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": f"{receiver.url}/{n}", **settings})
    uuid = sandbox.flash_call(login_did="79157777777")["verification_call_uuid"]
    send(sandbox, "POST", "clock/advance", {"seconds": 70_000})
    page = open_page(f"{sandbox.url}/__admin/#/calls/{uuid}", viewport=PHONE["viewport"])
    panel = page.get_by_role("region", name="Call", exact=True)
    expect(panel).to_contain_text("the filter of webhook 3 does not let the call through")
    steps = panel.locator("ol.timeline > li")
    expect(steps.filter(has_text="CDR, attempt 16")).to_contain_text("+18 h 12 min")
    expect(steps.filter(has_text="13 more attempts")).to_have_count(1)
    expect(steps.filter(has_text="Counts as delivered: the answer is ignored")).to_contain_text(f"{receiver.url}/2")

    whole, text = panel.locator("details.delivery").all()
    expect(whole.locator("summary").first).to_contain_text("Failed")
    expect(text.locator("summary").first).to_contain_text("Delivered, answer ignored")
    for one in (whole, text):
        one.locator("summary").first.click()
    expect(whole.get_by_role("group", name="Body").first).to_contain_text('"call4raw": {')
    assert whole.get_by_role("group", name="Body").first.evaluate("node => node.scrollHeight > node.clientHeight")
    expect(whole).to_contain_text("Attempt 16")
    expect(whole.get_by_text("Attempt 1", exact=True)).to_be_hidden()
    whole.get_by_text("15 earlier attempts").click()
    expect(whole.get_by_text("Attempt 1", exact=True)).to_be_visible()
    expect(text.get_by_role("group", name="Body").first).to_have_text(
        "call 79157777777\nwas ANSWERED", use_inner_text=True
    )
    expect(text).to_contain_text("The CDR counts as delivered and is not sent again")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
