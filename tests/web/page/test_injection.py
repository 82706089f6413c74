"""Whatever a request, a setting or an endpoint says is text on the page: nothing of it runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
import requests
from helpers.page import ACCOUNT, OpenPage, go, send, the_calls
from helpers.sandbox import Sandbox
from playwright.sync_api import expect

IMAGE = "<img src=x onerror=report('image')>"
SCRIPT = "\"'></td><script>report('script')</script>"
LINK = "javascript:report('link')"
NO_SPACE = "<svg/onload=report('svg')>"
PAYLOADS = [IMAGE, SCRIPT, LINK, NO_SPACE]


@pytest.fixture
def hostile() -> Iterator[str]:
    """The URL of a webhook endpoint that answers with payloads."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps({IMAGE: SCRIPT}).encode() + NO_SPACE.encode()
            self.send_response(500, IMAGE)
            self.send_header("X-Hostile", IMAGE)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def attack(sandbox: Sandbox, hostile: str) -> None:
    webhook = {
        "url": f"{hostile}/{NO_SPACE}?q={NO_SPACE}",
        "headers": {"X-Key": IMAGE},
        "query": {IMAGE: SCRIPT},
        "constants": {SCRIPT: IMAGE, LINK: LINK},
        "retry": False,
    }
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", webhook)
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", {"url": f"{hostile}/2#{LINK}"})
    auth = {"Authorization": "Bearer test-token"}
    base = f"{sandbox.url}/v2/rest/account"
    sandbox.flash_call(country_id=IMAGE)
    for payload in PAYLOADS:
        for parameters in (
            {"login_did": payload},
            {"login_did": "79157777777", "code": payload},
            {"login_did": "79157777777", payload: payload, "country_id": payload},
        ):
            requests.post(f"{base}/12345678/flash_call", params=parameters, headers=auth, timeout=30)
        for path in (f"{base}/{quote(payload, safe='')}/flash_call", f"{base}/12345678/{quote(payload, safe='')}"):
            requests.post(
                path, params={"login_did": payload}, headers={"Authorization": f"Bearer {NO_SPACE}"}, timeout=30
            )
        requests.post(
            f"{base}/12345678/call_for_2fa",
            json={"login_did": payload, "caller_did": payload},
            headers=auth,
            timeout=30,
        )
        for refused in (("outcomes", [{"login_did": payload, "outcome": payload}]), ("faults", [{"kind": payload}])):
            assert (
                requests.put(f"{sandbox.url}/__admin/{ACCOUNT}/{refused[0]}", json=refused[1], timeout=30).status_code
                == 400
            )


def test_nothing_that_was_sent_in_runs(sandbox: Sandbox, open_page: OpenPage, hostile: str) -> None:
    attack(sandbox, hostile)
    calls = the_calls(sandbox)
    deliveries = sandbox.admin("deliveries")["items"]
    page = open_page(f"{sandbox.url}/__admin/#/requests")
    for payload in PAYLOADS:
        expect(page.locator("tbody tr").filter(has_text=payload).first).to_be_visible()
    page.get_by_label("Find").fill(IMAGE)
    expect(page.locator("tbody tr").first).to_contain_text(IMAGE)

    page.goto(f"{sandbox.url}/__admin/#/calls")
    expect(page.locator("tbody tr")).to_have_count(len(calls))
    page.goto(f"{sandbox.url}/__admin/#/calls/{calls[-1]['verification_call_uuid']}")
    page.locator("summary").first.click()
    expect(page.locator("pre.body").filter(has_text=IMAGE).first).to_be_visible()
    page.goto(f"{sandbox.url}/__admin/#/deliveries/{deliveries[0]['id']}")
    expect(page.get_by_role("row", name=f"X-Hostile {IMAGE}")).to_be_visible()
    expect(page.locator("pre.body").last).to_contain_text(NO_SPACE)
    expect(page.locator("pre.body").first).to_contain_text(LINK)

    page.goto(f"{sandbox.url}/__admin/#/{ACCOUNT}")
    expect(page.get_by_role("table", name="Webhooks")).to_contain_text(SCRIPT)
    page.get_by_role("button", name="Edit webhook 1").click()
    expect(page.get_by_label("Constants")).to_have_value(f"{SCRIPT}={IMAGE}\n{LINK}={LINK}")
    page.get_by_role("button", name="Cancel").click()

    page.get_by_role("button", name="Place a call").click()
    page.get_by_label("Number to ring").fill(IMAGE)
    page.get_by_role("dialog").get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("login_did must be 7 to 15 digits")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()

    for section in ("calls", "accounts", "deliveries"):
        for payload in PAYLOADS:
            go(page, "#/requests")
            go(page, f"#/{section}/{quote(payload)}")
            expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"{sandbox.url}/__admin/#/calls?account_id={quote(IMAGE)}&show={quote(SCRIPT)}&find={quote(IMAGE)}")
    expect(page.get_by_role("alert")).to_be_visible()

    made = page.evaluate(
        "document.querySelectorAll('img, body script, [onload], [onerror], iframe, object, embed').length"
    )
    assert made == 0
    links = page.evaluate("[...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))")
    assert [link for link in links if not link.startswith("#")] == []


def test_a_script_that_got_in_would_not_run_and_would_be_heard_of(
    sandbox: Sandbox, open_page: OpenPage, wrong: list[str]
) -> None:
    page = open_page(f"{sandbox.url}/__admin/#/calls")
    page.evaluate("""() => {
        document.body.append(Object.assign(document.createElement('script'), { textContent: 'report("it ran")' }));
        document.body.append(Object.assign(document.createElement('p'), { id: 'styled' }));
        document.getElementById('styled').setAttribute('style', 'color: red');
    }""")
    page.wait_for_function("() => getComputedStyle(document.getElementById('styled')).color !== 'rgb(255, 0, 0)'")
    assert "it ran" not in wrong
    assert any(what.startswith("script-src-elem") for what in wrong)
    assert any(what.startswith("style-src-attr") for what in wrong)
    wrong.clear()
