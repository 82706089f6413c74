"""The page of one replica, while others on the same database work."""

from __future__ import annotations

from helpers.page import ACCOUNT, OpenPage, call_row, send
from helpers.postgres import Cluster
from helpers.replicas import running_replicas
from playwright.sync_api import expect


def test_a_call_that_was_placed_at_another_replica_appears_and_ends(cluster: Cluster, open_page: OpenPage) -> None:
    with running_replicas(cluster.new_url(), 2) as (shown, other):
        send(other, "PATCH", ACCOUNT, {"calls_held": True})
        page = open_page(f"{shown.url}/__admin/#/calls")
        call = other.flash_call(login_did="79150000001")
        row = call_row(page, "79150000001")
        expect(row).to_contain_text("Ringing")
        send(other, "POST", f"calls/{call['verification_call_uuid']}/complete", {"outcome": "rejected"})
        expect(row).to_contain_text("Rejected")
        page.get_by_role("link", name="Overview").click()
        numbers = page.locator("a.number")
        expect(numbers.filter(has_text="in the last hour")).to_contain_text("Calls1")
        expect(numbers.filter(has_text="Answered")).to_contain_text("0 of 1 ended")
        send(other, "PATCH", ACCOUNT, {"calls_held": False})
        other.flash_call(login_did="70000000001")
        expect(numbers.filter(has_text="Answered")).to_contain_text("1 of 2 ended")
        expect(numbers.filter(has_text="Refused")).to_contain_text("of 2 requests")
