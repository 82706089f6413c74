"""A QA engineer's day with the sandbox, from an empty folder: python qa_day.py FOLDER

It does automatically what the reader of docs/tutorial/qa-day.md does manually, with Chromium instead of a person.
"""

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import expect, sync_playwright

MCN_MOCK = shutil.which("mcn-mock", path=Path(sys.executable).parent) or "mcn-mock"
CONFIG = """\
[[account]]
id = 12345678
token = "test-token"
balance = "100.00"
numbers = ["79158888888"]
[[account.webhook]]
url = "{webhook}"
"""
CDRS = []


class StagingSystem(BaseHTTPRequestHandler):
    """The system under test, which only stores the CDRs that it gets."""

    def do_POST(self):
        CDRS.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


@contextmanager
def staging():
    with ThreadingHTTPServer(("127.0.0.1", 0), StagingSystem) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/webhooks/mcn"
        server.shutdown()


@contextmanager
def sandbox(folder):
    command = [MCN_MOCK, "serve", "--port", "0", "--config", "mcn-mock.toml", "--state", "sqlite:///mcn-mock.db"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://[^/]+", process.stdout.readline())[0]
        yield url
    finally:
        process.terminate()
        print(process.communicate(timeout=60)[0].splitlines()[-1])


@contextmanager
def monitoring(playwright, url):
    chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = chromium.new_page(locale="en-GB")
    page.goto(f"{url}/__admin/")
    yield page
    chromium.close()


def curl(url, login_did):
    method = f"{url}/v2/rest/account/12345678/flash_call?login_did={login_did}"
    command = ["curl", "-sX", "POST", "-H", "Authorization: Bearer test-token", method]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer["object"]["verification_call_uuid"]


def main(folder):
    with sync_playwright() as playwright, staging() as webhook:
        (folder / "mcn-mock.toml").write_text(CONFIG.format(webhook=webhook))

        with sandbox(folder) as url, monitoring(playwright, url) as page:
            answered = curl(url, "79157777777")
            held = curl(url, "70000000006")  # a magic number: it rings until somebody finishes the call
            print(f"placed {answered} and {held}")
            for login_did in ("79157777777", "70000000006"):
                expect(page.get_by_role("link", name=login_did, exact=True)).to_be_visible()

            page.get_by_role("link", name="70000000006", exact=True).click()
            page.get_by_role("group", name="Finish the call").get_by_role("button", name="Busy").click()
            expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("204")
            assert CDRS[-1] == {
                "verification_call_uuid": held,
                "q931_status": 17,
                "final_status": "NO ANSWER",
            }
            print("finished one as busy")

            page.get_by_role("link", name="Deliveries").click()
            page.get_by_role("link", name=re.compile(r"Delivery \d+")).first.click()
            page.get_by_role("button", name=re.compile(r"Send again: delivery \d+")).click()
            expect(page.get_by_role("heading", name="Attempt 2")).to_be_visible()
            assert CDRS[-1] == CDRS[-2]
            print("sent its CDR again")

        with sandbox(folder) as url, monitoring(playwright, url) as page:
            for login_did in ("79157777777", "70000000006"):
                expect(page.get_by_role("link", name=login_did, exact=True)).to_be_visible()
            page.get_by_role("link", name="Accounts").click()
            expect(page.get_by_role("main")).to_contain_text("99.70 ₽")
            print("started again: both calls and the balance are still there")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
