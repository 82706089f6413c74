"""Every reason and every refusal has a code, and every language of the page has a text for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
import requests
from helpers.page import ACCOUNT, OpenPage, send
from helpers.sandbox import Sandbox
from playwright.sync_api import expect

import pytest_mcn_mock
from pytest_mcn_mock.reasons import TEXTS, Reason

PACKAGE = Path(pytest_mcn_mock.__file__).parent
PAGE = PACKAGE / "web/page"
LANGUAGES = re.findall(
    r"(\w+): '", re.findall(r"LANGUAGES = {(.*?)}", (PAGE / "i18n.js").read_text(encoding="utf-8"))[0]
)
RAISED = {"Refusal": 1, "UsageError": 0, "Conflict": 0, "NotFound": 0, "invalid": 1}
"""The errors that the admin API answers with, and the place of the message among their arguments."""
BEHIND_THE_PAGE = [
    *(PACKAGE / "model").glob("*.py"),
    *(PACKAGE / "service").glob("*.py"),
    *(PACKAGE / "web").glob("*.py"),
    *(PACKAGE / "web/dialects").glob("*.py"),
    PACKAGE / "storage/memory.py",
    PACKAGE / "certificates.py",
]
OF_THE_CONFIGURATION = {
    "assumptions.py": None,
    "money.py": {"_check_prices", "__post_init__"},
    "webhooks.py": {"make_targets"},
    "checks.py": {"check_url"},
    "application.py": {"refuse_unread", "answer_to"},
    "admin.py": {"reload"},
}
"""What no form of the page can ask for: functions of a file whose errors may be only a text; None is the whole file."""


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_language_has_a_text_for_every_code() -> None:
    assert {"en", "ru"} <= set(LANGUAGES)
    for language in set(LANGUAGES) - {"en"}:  # the server itself speaks English
        script = (PAGE / f"reasons.{language}.js").read_text(encoding="utf-8")
        texts = dict(re.findall(r"^  '(\w+)': '(.*)',$", script, re.MULTILINE))
        assert set(texts) == set(TEXTS), f"reasons.{language}.js lacks a text, or has one too many"
        for code, text in texts.items():
            named = set(re.findall(r"(?<!{){(\w+)}", text))
            assert named <= placeholders(TEXTS[code]), code


def literals(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_code_is_used_and_every_code_that_is_used_has_a_text() -> None:
    scripts = [path for path in PACKAGE.rglob("*.py") if path.name != "reasons.py"]
    used = set.union(*map(literals, scripts)) | {f"condition_{n}{o}" for n in ("", "not_") for o in ("equals", "in")}
    assert set(TEXTS) <= used
    named = {code for path in scripts for code in re.findall(r'\bReason\(\s*"(\w+)"', path.read_text(encoding="utf-8"))}
    assert named <= set(TEXTS)


def uncoded(node: ast.AST, function: str = "") -> Iterator[tuple[str, int]]:
    """The function and the line of every error below a node whose message is only a text."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED:
        message = node.args[RAISED[node.func.id]]
        if isinstance(message, ast.JoinedStr | ast.Constant):
            yield function, node.lineno
    for child in ast.iter_child_nodes(node):
        yield from uncoded(child, function)


@pytest.mark.parametrize("path", BEHIND_THE_PAGE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_error_that_the_page_can_meet_has_a_code(path: Path) -> None:
    allowed = OF_THE_CONFIGURATION.get(path.name, set())
    found = list(uncoded(ast.parse(path.read_text(encoding="utf-8"))))
    assert [one for one in found if allowed is not None and one[0] not in allowed] == []


def test_a_reason_within_a_reason_is_shown_as_one() -> None:
    reason = Reason("filtered", {"why": Reason("unmet_absent", {"variable": "did", "condition": "x"})})
    assert str(reason) == "the filter does not let the call through: did is absent, and the filter says: x"
    assert reason.shown() == {
        "code": "filtered",
        "values": {"why": {"code": "unmet_absent", "values": {"variable": "did", "condition": "x"}}},
    }


def test_the_admin_api_has_codes_beside_its_texts_and_the_vendors_api_has_none(sandbox: Sandbox) -> None:
    admin = f"{sandbox.url}/__admin/{ACCOUNT}"
    (error,) = requests.post(f"{admin}/top_up", json={"amount": "-1"}, timeout=30).json()["errors"]
    assert error["reason"] == {"code": "top_up_positive", "values": {"amount": "-1.00"}}
    refused = sandbox.order(login_did="7")
    assert set(refused.json()["errors"][0]) == {"code", "message", "parameter"}
    (request,) = sandbox.admin("requests")["items"]
    assert request["refusal"]["reason"]["code"] == "number_form"
    sandbox.flash_call(login_did="79157777777", code="0042")
    (call,) = sandbox.admin("calls")["items"]
    assert [reason["code"] for reason in call["explanation"]["reasons"]] == [
        "country_russian", "number_code", "price_country", "outcome_default",
    ]  # fmt: skip
    assert call["explanation"]["reasons"][2]["values"] == {
        "method": "flash_call", "country": "Russian", "price": "0.15",
    }  # fmt: skip


def test_reasons_refusals_and_errors_of_forms_are_in_russian(sandbox: Sandbox, open_page: OpenPage) -> None:
    webhook = {
        "url": "http://127.0.0.1:9/", "filter": [{"variable": "q931_status", "operator": "in", "value": [17, 18]}],
    }  # fmt: skip
    send(sandbox, "POST", f"{ACCOUNT}/webhooks", webhook)
    uuid = sandbox.flash_call(login_did="421905123456")["verification_call_uuid"]
    send(sandbox, "POST", "clock/advance", {"seconds": 60})
    sandbox.order(login_did="7")
    page = open_page(f"{sandbox.url}/__admin/#/calls/{uuid}", locale="ru-RU")
    panel = page.locator(".panel")
    expect(panel).to_contain_text("Номер абонента не российский (Словакия), country_id не указан")
    expect(panel).to_contain_text("flash_call со словацкого номера стоит 0,45\u00a0₽")
    expect(panel).to_contain_text("исход по умолчанию: Отвечен (q931_status 16, ANSWERED)")
    expect(panel).to_contain_text("Звонок не прошёл фильтр вебхука 1: q931_status = 16, а условие фильтра: ")
    expect(panel.locator("[lang=en]")).to_have_count(0)
    page.get_by_role("link", name="Запросы").click()
    expect(page.get_by_role("table")).to_contain_text("login_did: нужно от 7 до 15 цифр")
    page.get_by_role("button", name="Позвонить").click()
    form = page.get_by_role("dialog")
    form.get_by_label("На какой номер звонить").fill("12")
    form.get_by_role("button", name="Позвонить").click()
    field = form.get_by_label("На какой номер звонить")
    expect(field).to_have_accessible_description(re.compile("нужно от 7 до 15 цифр в международном формате"))
    expect(field).to_be_focused()
