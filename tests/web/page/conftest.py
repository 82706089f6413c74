"""A real Chromium before a real sandbox.

Playwright's synchronous API keeps an event loop running in its thread, where tests on event loops of their own could
not run any more. So it has a thread for itself, and these tests run there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from helpers.page import OpenPage, send
from helpers.sandbox import Sandbox, running_sandbox
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-lcd-text",
    # The first two are Playwright's own. The others are pages that each window loads for its address bar, which takes a
    # quarter of the processor's time.
    "--disable-features=HttpsUpgrades,Translate,WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    "--host-resolver-rules=MAP mcn.example.test 127.0.0.1",
]
WATCH = "document.addEventListener('securitypolicyviolation', (e) => report(`${e.violatedDirective} ${e.blockedURI}`))"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    thread = pyfuncitem.funcargs.get("browser_thread")
    if isinstance(thread, ThreadPoolExecutor):
        test = pyfuncitem.obj
        pyfuncitem.obj = lambda **arguments: thread.submit(test, **arguments).result()


@pytest.fixture(scope="session")
def browser_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture(scope="session")
def browser(browser_thread: ThreadPoolExecutor) -> Iterator[Browser]:
    """One Chromium for all tests of the process, with a profile of its own."""
    if CHROMIUM is None:
        pytest.skip("the page is tested in Chromium, which is not here: apt-get install chromium")

    def start() -> tuple[Playwright, Browser]:
        playwright = sync_playwright().start()
        return playwright, playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)

    def stop() -> None:
        browser.close()
        playwright.stop()

    playwright, browser = browser_thread.submit(start).result()
    expect.set_options(timeout=20_000)
    yield browser
    browser_thread.submit(stop).result()


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """A sandbox in its configured state."""
    send(running, "POST", "reset", {})
    return running


@pytest.fixture
def wrong() -> list[str]:
    """What went wrong in the pages of the test."""
    return []


@pytest.fixture
def open_page(browser: Browser, browser_thread: ThreadPoolExecutor, wrong: list[str]) -> Iterator[OpenPage]:
    """Opens the page at a URL, ready and connected. Nothing may go wrong in it: no error, no blocked script.

    Give ``wait_for_function`` a function: an expression is evaluated again at each look, and from the second look on
    the page's policy blocks that.
    """
    contexts: list[BrowserContext] = []

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(f"a script asks: {dialog.message}")
        dialog.dismiss()

    def on_console(message: ConsoleMessage) -> None:
        # What the browser itself says of a status that is not 2xx is not an error of the page's.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            wrong.append(message.text)

    def close() -> None:
        for context in contexts:
            context.close()

    def open_page(url: str, *, ready: str = ".status.live", init: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB", "timezone_id": "Europe/Moscow", **options})
        contexts.append(context)
        context.expose_binding("report", lambda _, what: wrong.append(what))
        context.add_init_script(WATCH)
        context.add_init_script(init)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", on_dialog)
        page.on("console", on_console)
        page.goto(url)
        page.wait_for_selector(ready, state="attached")
        page.wait_for_selector("main h1, main h2", state="attached")
        return page

    yield open_page
    browser_thread.submit(close).result()
    assert wrong == []
