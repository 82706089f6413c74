"""What a person does from the page, by the roles and labels that it gives, as the admin API sees it afterwards."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.page import ACCOUNT, OpenPage, call_row, send, the_calls
from helpers.sandbox import Sandbox, running_sandbox
from helpers.webhook_endpoints import Receiver
from playwright.sync_api import Page, expect


def in_dialog(page: Page, name: str, fields: dict[str, str], submit: str) -> None:
    """Fill a dialog and send it."""
    dialog = page.get_by_role("dialog", name=name)
    for label, value in fields.items():
        field = dialog.get_by_label(label, exact=True)
        if field.evaluate("node => node.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    dialog.get_by_role("button", name=submit, exact=True).click()


def test_place_a_call(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    in_dialog(
        page, "Place a call", {"Number to ring": "79150000001", "Code": "0042", "Country of the caller": "703"}, "Call"
    )
    expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("0.45 ₽")
    expect(page.get_by_role("status")).to_have_text("Call to 79150000001 placed for 0.45 ₽")
    (call,) = the_calls(sandbox)
    assert (call["login_did"], call["code"], call["country_id"]) == ("79150000001", "0042", 703)
    assert page.url.endswith(f"#/calls/{call['verification_call_uuid']}")


def test_place_a_call_with_an_outcome(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    for number, chosen in [("79150000001", "Busy"), ("79150000002", ""), ("79150000003", "27")]:
        page.get_by_role("button", name="Place a call").first.click()
        page.get_by_label("Number to ring").fill(number)
        if chosen.isdigit():
            page.get_by_label("Q.850 cause").fill(chosen)
        elif chosen:
            page.get_by_role("dialog").get_by_label("Outcome").select_option(chosen)
        page.get_by_role("dialog").get_by_role("button", name="Call", exact=True).click()
        expect(page.get_by_role("heading", name=number)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    expect(call_row(page, "79150000001")).to_contain_text("Busy")
    expect(call_row(page, "79150000001")).to_contain_text("Chosen for the call")
    expect(call_row(page, "79150000002")).to_contain_text("No rule matches")
    expect(call_row(page, "79150000003")).to_contain_text("Unavailable")
    assert [call["q931_status"] for call in sandbox.admin("calls")["items"]] == [17, 16, 27]


def test_place_a_call_in_the_other_dialect(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    in_dialog(page, "Place a call", {"Number to ring": "77012345678", "Dialect": "paidmethods"}, "Call")
    detail = page.get_by_role("region", name="Call", exact=True)
    expect(detail).to_contain_text("0.65 ₽")
    expect(detail).to_contain_text("paidmethods")
    (call,) = the_calls(sandbox)
    assert (call["dialect"], call["method"], call["country_id"]) == ("paidmethods", "flash_call", 398)


def test_place_a_call_from_a_connected_number(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    page.get_by_role("button", name="Place a call").click()
    fields = {"Number to ring": "79150000001", "Method": "call_for_2fa", "Calling number": "79158888888"}
    in_dialog(page, "Place a call", fields, "Call")
    expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("0.01 ₽")
    assert the_calls(sandbox)[0]["caller_did"] == "79158888888"


def test_a_refusal_is_shown_at_its_field_and_the_dialog_stays(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    in_dialog(page, "Place a call", {"Number to ring": "79150000001", "Code": "42"}, "Call")
    dialog = page.get_by_role("dialog")
    code = dialog.get_by_label("Code", exact=True)
    expect(code).to_be_focused()
    expect(code).to_have_attribute("aria-invalid", "true")
    expect(code).to_have_accessible_description(re.compile("code must be four digits, such as 0042"))
    send(sandbox, "PATCH", ACCOUNT, {"balance": "0.14"})
    in_dialog(page, "Place a call", {"Code": "0042"}, "Call")
    expect(dialog.get_by_role("alert")).to_have_text(
        "the call costs 0.15 roubles; the balance is 0.14 and the credit 0.00"
    )
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert the_calls(sandbox) == []


def test_finish_a_held_call_as_busy(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url})
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    page.get_by_role("button", name="Hold calls", exact=True).click()
    expect(page.get_by_role("button", name="Stop holding calls")).to_be_visible()
    uuid = sandbox.flash_call(login_did="79150000001")["verification_call_uuid"]
    page.goto(f"{sandbox.url}/__admin/#/calls")
    call_row(page, "79150000001").get_by_role("link", name="79150000001").click()
    page.get_by_role("group", name="Finish the call").get_by_role("button", name="Busy").click()
    expect(page.get_by_role("group", name="Finish the call")).to_have_count(0)
    expect(call_row(page, "79150000001")).to_contain_text("Busy")
    expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("CDR, attempt 1 204")
    call = sandbox.admin(f"calls/{uuid}")
    assert (call["outcome"], call["explanation"]["outcome"]) == (
        "busy",
        "completed manually: busy (q931_status 17, NO ANSWER)",
    )
    assert [cdr["q931_status"] for cdr in receiver.received] == [17]


def test_finish_a_held_call_by_a_cause_or_as_planned(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PATCH", ACCOUNT, {"calls_held": True})
    first, second = (sandbox.flash_call(login_did=f"7915000000{n}")["verification_call_uuid"] for n in (1, 2))
    page = open_page(f"{sandbox.url}/__admin/#/calls/{first}")
    group = page.get_by_role("group", name="Finish the call")
    group.get_by_label("Q.850 cause").fill("200")
    group.get_by_role("button", name="Finish with the cause").click()
    expect(group.get_by_role("alert")).to_contain_text("q931_status 200 is not a Q.850 cause")
    group.get_by_label("Q.850 cause").fill("27")
    group.get_by_role("button", name="Finish with the cause").click()
    expect(group).to_have_count(0)
    assert sandbox.admin(f"calls/{first}")["q931_status"] == 27
    page.goto(f"{sandbox.url}/__admin/#/calls/{second}")
    group.get_by_role("button", name="As planned").click()
    expect(group).to_have_count(0)
    assert sandbox.admin(f"calls/{second}")["outcome"] == "answered"


def test_send_a_cdr_again(sandbox: Sandbox, open_page: OpenPage, receiver: Receiver) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url})
    sandbox.flash_call()
    page = open_page(f"{sandbox.url}/__admin/#/deliveries")
    expect(page.locator("tbody tr")).to_contain_text("Delivered")
    page.get_by_role("link", name=re.compile(r"Delivery \d+")).click()
    page.get_by_role("button", name=re.compile(r"Send again: delivery \d+")).click()
    expect(page.get_by_role("heading", name="Attempt 2")).to_be_visible()
    (delivery,) = sandbox.admin("deliveries")["items"]
    assert [attempt["status"] for attempt in delivery["attempts"]] == [204, 204]
    assert len(receiver.received) == 2


def test_top_up_and_set_the_balance(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    page.get_by_role("button", name="Top up").click()
    in_dialog(page, "Top up account 12345678", {"Amount, roubles": "-5"}, "Top up")
    expect(page.get_by_role("dialog").get_by_text("a top-up is positive")).to_be_visible()
    in_dialog(page, "Top up account 12345678", {"Amount, roubles": "2,50"}, "Top up")
    expect(page.get_by_role("heading", name="Balance 102.50 ₽")).to_be_visible()
    page.get_by_role("button", name="Set the balance").click()
    in_dialog(page, "Set the balance of account 12345678", {"Balance, roubles": "0.14"}, "Set")
    expect(page.get_by_role("heading", name="Balance 0.14 ₽")).to_be_visible()
    assert sandbox.admin(ACCOUNT)["balance"] == "0.14"
    assert [entry["amount"] for entry in sandbox.admin(f"{ACCOUNT}/ledger")["items"]] == ["100.00", "2.50", "-102.36"]


def test_set_a_credit_and_an_unlimited_balance(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    settings = page.get_by_role("region", name="Settings")
    settings.get_by_role("button", name="Edit").click()
    in_dialog(page, "Settings of account 12345678", {"Credit, roubles": "-1"}, "Save")
    expect(page.get_by_role("dialog").get_by_text("a credit is not negative")).to_be_visible()
    in_dialog(page, "Settings of account 12345678", {"Credit, roubles": "5,50"}, "Save")
    expect(settings).to_contain_text("5.50 ₽")
    for is_unlimited, shown in ((True, "yes"), (False, "no")):
        page.get_by_role("button", name="Set the balance").click()
        page.get_by_role("dialog").get_by_label("Unlimited balance").set_checked(is_unlimited)
        in_dialog(page, "Set the balance of account 12345678", {}, "Set")
        expect(settings).to_contain_text(re.compile(f"Unlimited balance\\s*{shown}"))
        assert sandbox.admin(ACCOUNT)["unlimited"] is is_unlimited
    assert (sandbox.admin(ACCOUNT)["balance"], sandbox.admin(ACCOUNT)["credit"]) == ("100.00", "5.50")


def test_change_numbers_and_prices(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    page.get_by_role("region", name="Settings").get_by_role("button", name="Edit").click()
    fields = {
        "Connected numbers": "79158888888\n79150000009",
        "flash_call from a Slovak number": "0.65",
        "flashcall (paidmethods) from a Kazakh number": "0,70",
    }
    in_dialog(page, "Settings of account 12345678", fields, "Save")
    expect(page.get_by_role("region", name="Settings")).to_contain_text("79158888888, 79150000009")
    account = sandbox.admin(ACCOUNT)
    assert account["numbers"] == ["79158888888", "79150000009"]
    assert account["tariff"] == {
        "call_for_2fa": "0.01",
        "flash_call": {"643": "0.15", "703": "0.65"},
        "paidmethods": {"call_for_2fa": "0.01", "flash_call": {"643": "0.15", "398": "0.70"}},
    }


def test_add_change_and_remove_a_webhook(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    page.get_by_role("button", name="Add a webhook").click()
    fields = {
        "URL": "ftp://x",
        "Headers": "X-Key: secret",
        "Query parameters": "a=b=c",
        "Constants": "env=qa\nn=7\nok=true",
    }
    in_dialog(page, "Add a webhook", fields, "Save")
    expect(page.get_by_role("dialog").get_by_text("is not an http or https URL")).to_be_visible()
    page.get_by_role("dialog").get_by_role("checkbox", name=re.compile("^account_id ")).check()
    in_dialog(page, "Add a webhook", {"URL": "http://127.0.0.1:1/hook"}, "Save")
    expect(page.get_by_role("table", name="Webhooks")).to_contain_text("POST http://127.0.0.1:1/hook")
    (webhook,) = sandbox.admin(f"{ACCOUNT}/webhooks")["items"]
    assert (webhook["query"], webhook["constants"]) == ({"a": "b=c"}, {"env": "qa", "n": 7, "ok": True})
    assert webhook["body"] == ["verification_call_uuid", "q931_status", "final_status", "account_id"]
    assert webhook["headers"] == {"X-Key": "***"}

    page.get_by_role("button", name="Edit webhook 1").click()
    page.get_by_role("dialog").get_by_label("Enabled").uncheck()
    in_dialog(page, "Edit webhook 1", {"Method": "GET"}, "Save")
    expect(page.get_by_role("table", name="Webhooks")).to_contain_text("GET http://127.0.0.1:1/hook")
    (changed,) = sandbox.admin(f"{ACCOUNT}/webhooks")["items"]
    assert changed == {**webhook, "method": "GET", "enabled": False}

    page.get_by_role("button", name="Remove webhook 1").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    in_dialog(page, "Remove webhook 1", {}, "Remove")
    expect(page.get_by_text("No webhooks: CDRs are not sent anywhere.")).to_be_visible()
    assert sandbox.admin(f"{ACCOUNT}/webhooks")["items"] == []


def test_a_change_that_somebody_else_made_meanwhile_is_not_overwritten(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": "http://127.0.0.1:1/hook"})
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    page.get_by_role("button", name="Edit webhook 1").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    send(sandbox, "PATCH", f"{ACCOUNT}/webhooks/1", {"method": "GET"})
    in_dialog(page, "Edit webhook 1", {"URL": "http://127.0.0.1:1/other"}, "Save")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("It was changed in the meantime")
    assert sandbox.admin(f"{ACCOUNT}/webhooks/1")["url"] == "http://127.0.0.1:1/hook"


def test_choose_outcomes_by_rules(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    rules = page.get_by_role("region", name="Outcome rules")
    page.get_by_role("button", name="Add a rule").click()
    in_dialog(page, "Add a rule", {"Number pattern": "7915*", "Outcome": "busy"}, "Save")
    expect(rules.get_by_role("row").nth(1)).to_contain_text("Busy (17)")
    page.get_by_role("button", name="Add a rule").click()
    in_dialog(page, "Add a rule", {"Number pattern": "*", "Q.850 cause": "27", "Delay, seconds": "1.5"}, "Save")
    expect(rules.get_by_role("row").nth(1)).to_contain_text("Unavailable (27)")
    page.get_by_role("button", name="Move rule 2 up").click()
    expect(rules.get_by_role("row").nth(1)).to_contain_text("Busy (17)")
    page.get_by_role("button", name="Edit rule 1").click()
    in_dialog(page, "Edit rule 1", {"Outcome": "rejected"}, "Save")
    expect(rules.get_by_role("row").nth(1)).to_contain_text("Rejected (31)")
    assert sandbox.admin(f"{ACCOUNT}/outcomes")["items"] == [
        {"login_did": "7915*", "outcome": "rejected", "q931_status": 31, "delay_s": None},
        {"login_did": "*", "outcome": "unavailable", "q931_status": 27, "delay_s": 1.5},
    ]
    page.get_by_role("button", name="Remove rule 1").click()
    expect(rules.get_by_role("row")).to_have_count(2)
    assert len(sandbox.admin(f"{ACCOUNT}/outcomes")["items"]) == 1


def test_switch_faults_on_and_off(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    faults = page.get_by_role("region", name="Faults")
    page.get_by_role("button", name="Switch a fault on").click()
    in_dialog(page, "Switch a fault on", {"Times": "", "Chance, %": "30", "HTTP status": "502"}, "Switch on")
    expect(faults).to_contain_text("30% of the time · HTTP 502")
    page.get_by_role("button", name="Switch a fault on").click()
    in_dialog(page, "Switch a fault on", {"What goes wrong": "cdr_late", "Delay, seconds": ""}, "Switch on")
    expect(page.get_by_role("dialog").get_by_text("cdr_late needs delay_s")).to_be_visible()
    in_dialog(page, "Switch a fault on", {"Delay, seconds": "3"}, "Switch on")
    expect(faults.get_by_role("row")).to_have_count(3)
    first, second = sandbox.admin(f"{ACCOUNT}/faults")["items"]
    assert (first["kind"], first["times"], first["probability"], first["status"]) == ("status", None, 0.3, 502)
    assert (second["kind"], second["times"], second["delay_s"]) == ("cdr_late", 1, 3)
    page.get_by_role("button", name="Remove fault 1").click()
    expect(faults.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Switch all off").click()
    expect(page.get_by_text("No faults: the server works normally.")).to_be_visible()
    assert sandbox.admin(f"{ACCOUNT}/faults")["items"] == []


def test_advance_the_clock(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PUT", f"{ACCOUNT}/outcomes", [{"outcome": "busy", "delay_s": 600}])
    sandbox.flash_call(login_did="79150000001")
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    expect(call_row(page, "79150000001")).to_contain_text("Ringing")
    page.get_by_role("button", name="Advance the clock").click()
    in_dialog(page, "Advance the clock", {"Seconds": "900"}, "Advance")
    expect(call_row(page, "79150000001")).to_contain_text("Busy")
    expect(page.get_by_role("status")).to_contain_text("900 s later")


def test_reset_asks_first(sandbox: Sandbox, open_page: OpenPage) -> None:
    sandbox.flash_call(login_did="79150000001")
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.get_by_role("button", name="Reset").click()
    in_dialog(page, "Reset the server?", {}, "Cancel")
    assert len(the_calls(sandbox)) == 1
    page.get_by_role("button", name="Reset").click()
    in_dialog(page, "Reset the server?", {}, "Reset")
    expect(page.get_by_text("No calls yet")).to_be_visible()
    assert the_calls(sandbox) == []


def test_open_and_close_an_account(sandbox: Sandbox, open_page: OpenPage) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/accounts")
    page.get_by_role("button", name="Open an account").click()
    in_dialog(
        page,
        "Open an account",
        {"Account number": "777", "Opening balance, roubles": "1.00", "Credit, roubles": "2"},
        "Open an account",
    )
    token = page.get_by_role("dialog", name="Token of account 777").get_by_label("Token")
    expect(token).not_to_have_value("")
    assert sandbox.flash_call("777", token.input_value())["account_id"] == "777"
    assert sandbox.admin("accounts/777")["credit"] == "2.00"
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="Account 777")).to_be_visible()
    page.get_by_role("button", name="Close the account").click()
    in_dialog(page, "Close account 777?", {}, "Close the account")
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert [account["id"] for account in sandbox.admin("accounts")["items"]] == [12345678]


def test_a_webhook_that_was_disabled_says_why_and_is_enabled_again(
    open_page: OpenPage, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.statuses = [500, 500, 204]
    with running_sandbox(config="[assumed]\ndisable_after = 2\n") as sandbox:
        send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": receiver.url, "retry": False})
        page = open_page(f"{sandbox.url}/__admin/#/{ACCOUNT}")
        webhooks = page.get_by_role("table", name="Webhooks")
        expect(webhooks).to_contain_text("On")
        for _ in range(2):
            sandbox.flash_call()
        expect(webhooks).to_contain_text("2 CDRs failed in a row")
        uuid = sandbox.flash_call()["verification_call_uuid"]
        page.goto(f"{sandbox.url}/__admin/#/calls/{uuid}")
        panel = page.get_by_role("region", name="Call", exact=True)
        expect(panel.get_by_text("webhook 1 is disabled since").last).to_be_visible()
        panel.get_by_role("link", name="Set up the webhooks of the account").click()
        webhooks.get_by_role("button", name="Enable again: webhook 1").click()
        expect(page.get_by_text("Webhook 1 is enabled: it gets the CDRs of new calls")).to_be_visible()
        expect(webhooks).not_to_contain_text("failed in a row")
        expect(webhooks.get_by_role("button", name="Enable again: webhook 1")).to_have_count(0)
        uuid = sandbox.flash_call()["verification_call_uuid"]
        page.goto(f"{sandbox.url}/__admin/#/calls/{uuid}")
        expect(page.get_by_role("region", name="Call", exact=True).locator("ol.timeline")).to_contain_text("204")
        page.context.close()
