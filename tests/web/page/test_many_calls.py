"""A full journal."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

from helpers.page import ACCOUNT, OpenPage, call_row, send
from helpers.sandbox import Sandbox
from playwright.sync_api import expect

CALLS = 10_000
MOST_ROWS = 300


def place_many(sandbox: Sandbox, count: int) -> None:
    """Place calls to numbers in a row, a hundred requests on a connection without waiting for the answers."""
    address = urlsplit(sandbox.url)
    request = (
        "POST /v2/rest/account/12345678/flash_call?login_did={number} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\nAuthorization: Bearer test-token\r\n\r\n"
    )
    for start in range(0, count, 100):
        sent = "".join(request.format(number=79150000000 + n) for n in range(start, start + 100))
        with socket.create_connection((address.hostname, address.port or 0), timeout=60) as connection:
            connection.sendall(sent.encode())
            answered = 0
            rest = b""
            while answered < 100:
                received = rest + connection.recv(262_144)
                answered += received.count(b"HTTP/1.1 200")
                rest = received[-11:]  # a status line may come in two pieces


def test_ten_thousand_calls_leave_it_small_and_at_work(sandbox: Sandbox, open_page: OpenPage) -> None:
    send(sandbox, "PATCH", ACCOUNT, {"balance": "10000.00"})
    place_many(sandbox, CALLS)
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    rows = page.locator("tbody tr")
    expect(call_row(page, "79150009999")).to_be_visible()
    assert rows.count() <= MOST_ROWS
    page.get_by_role("button", name="Older").click()
    expect(call_row(page, "79150009899")).to_be_visible()
    assert rows.count() <= MOST_ROWS

    page.get_by_label("Find").fill("79150000042")
    expect(rows).to_have_count(1)
    page.get_by_label("Find").fill("")
    expect(call_row(page, "79150009999")).to_be_visible()

    page.get_by_role("banner").get_by_role("button", name="Place a call").click()
    page.get_by_label("Number to ring").fill("79169999999")
    page.get_by_role("dialog").get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("heading", name="79169999999")).to_be_focused()
    place_many(sandbox, 500)
    expect(call_row(page, "79150000499")).to_be_visible()
    assert rows.count() <= MOST_ROWS

    page.goto(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    expect(page.get_by_role("img", name=re.compile("Balance over 1,000 entries"))).to_be_visible()
    expect(page.get_by_text("1–50 of 1,000+")).to_be_visible()
    assert rows.count() <= MOST_ROWS
