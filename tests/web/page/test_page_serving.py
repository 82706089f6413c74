"""The page's files: what is sent, and what is said of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from helpers.sandbox import Sandbox, running_sandbox

from pytest_mcn_mock import FaultKind, MCNServer, Outcome
from pytest_mcn_mock.model.cdr import VARIABLES
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.outcomes import MAGIC_NUMBERS

FOLDER = Path(__file__).parents[3] / "pytest_mcn_mock/web/page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@pytest.fixture(scope="module", params=["sandbox", "fixture"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sandbox":
        with running_sandbox() as sandbox:
            yield sandbox.url
        return
    server: MCNServer = request.getfixturevalue("mcn_server")
    yield server.url


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}


@pytest.mark.parametrize("path", ["/__admin/", "/__admin"])
def test_the_document_is_at_the_root_of_the_admin_api(url: str, path: str) -> None:
    response = requests.get(url + path, timeout=30)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.text.startswith("<!doctype html>")


def test_every_file_is_served_with_its_type_and_the_security_headers(url: str) -> None:
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
    for path in FOLDER.iterdir():
        response = requests.get(f"{url}/__admin/static/{path.name}", timeout=30)
        assert response.content == path.read_bytes()
        assert response.headers["Content-Type"].startswith(types[path.suffix[1:]])
        assert response.headers["Content-Security-Policy"] == POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-cache"


def test_a_file_that_the_browser_has_is_not_sent_again(url: str) -> None:
    path = f"{url}/__admin/static/main.js"
    tag = requests.get(path, timeout=30).headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        response = requests.get(path, headers={"If-None-Match": known}, timeout=30)
        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", tag)
    assert requests.get(path, headers={"If-None-Match": '"other"'}, timeout=30).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "%2e%2e%2fhttp.py", "page.py", "main.js%00"])
def test_there_is_no_other_file(url: str, name: str) -> None:
    assert requests.get(f"{url}/__admin/static/{name}", timeout=30).status_code == 404


def test_the_page_makes_no_markup_of_text_and_has_no_inline_code(scripts: dict[str, str]) -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc"
        r"|\beval\b|new Function|javascript:"
    )
    assert {name: found for name, text in scripts.items() if (found := forbidden.findall(text))} == {}
    document = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]* src=)", document)


def test_both_languages_have_the_same_texts_and_all_that_are_asked_for(scripts: dict[str, str]) -> None:
    english, russian = (re.findall(r"^  '([^']+)': (.*),$", scripts[f"{tag}.js"], re.MULTILINE) for tag in ("en", "ru"))
    assert [key for key, _ in english] == [key for key, _ in russian]
    assert len(dict(english)) == len(english)
    for (key, text), (_, other) in zip(english, russian, strict=True):
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", other)), key
    asked = {key for text in scripts.values() for key in re.findall(r"\bt\('([^']+)'", text)}
    assert asked <= set(dict(english))


def test_the_list_of_files_is_what_the_modules_import(scripts: dict[str, str]) -> None:
    imported = {name for text in scripts.values() for name in re.findall(r"from '\./([\w.]+)'", text)}
    assert imported | {"main.js"} == {*scripts, "words.js"}


def test_the_words_that_the_page_offers_are_the_packages_and_have_their_texts(
    url: str, scripts: dict[str, str]
) -> None:
    text = requests.get(f"{url}/__admin/static/words.js", timeout=30).text
    words = {name: json.loads(value) for name, value in re.findall(r"^export const (\w+) = (.*);$", text, re.MULTILINE)}
    assert (words["FAULTS"], words["OUTCOMES"]) == (list(FaultKind), list(Outcome))
    assert (words["VARIABLES"], words["DELIVERY_STATES"]) == (list(VARIABLES), list(DeliveryState))
    assert dict(words["MAGIC_NUMBERS"]).keys() < MAGIC_NUMBERS.keys()
    for kind, name in (("fault.kind", "FAULTS"), ("outcome", "OUTCOMES"), ("delivery", "DELIVERY_STATES")):
        assert [word for word in words[name] if f"'{kind}.{word}':" not in scripts["en.js"]] == []


def test_a_call_placed_by_a_tester_is_checked_as_the_vendors_api_does(sandbox: Sandbox) -> None:
    path = f"{sandbox.url}/__admin/accounts/12345678/calls"

    def place(**asked: str) -> tuple[int, str | None, str | None]:
        response = requests.post(path, json=asked, timeout=30)
        error = response.json().get("errors", [{}])[0]
        return response.status_code, error.get("code"), error.get("parameter")

    assert place(method="flash_call", login_did="79157777777", code="0042", country_id="703") == (201, None, None)
    assert place(method="call_for_2fa", login_did="79157777777", caller_did="79158888888") == (201, None, None)
    assert place(login_did="79157777777") == (400, "missing_parameter", "method")
    assert place(method="flashcall", login_did="79157777777") == (400, "invalid_parameter", "method")
    assert place(method="flash_call") == (400, "missing_parameter", "login_did")
    assert place(method="flash_call", login_did="") == (400, "missing_parameter", "login_did")
    assert place(method="flash_call", login_did="nobody") == (400, "invalid_parameter", "login_did")
    assert place(method="flash_call", login_did="79157777777", code="42") == (400, "invalid_parameter", "code")
    assert place(method="flash_call", login_did="79157777777", country_id="7" * 257)[1:] == (
        "invalid_parameter",
        "country_id",
    )
    assert place(method="call_for_2fa", login_did="79157777777", caller_did="79150000000") == (
        403,
        "foreign_number",
        "caller_did",
    )
    assert place(method="flash_call", login_did="79157777777", tokn="x") == (400, "invalid_parameter", "tokn")
    requests.patch(f"{sandbox.url}/__admin/accounts/12345678", json={"balance": "0.14"}, timeout=30)
    assert place(method="flash_call", login_did="79157777777")[:2] == (402, "insufficient_funds")
    unknown = requests.post(path.replace("12345678", "99"), json={"method": "flash_call"}, timeout=30)
    assert unknown.status_code == 404
