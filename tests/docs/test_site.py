"""The parts of the documentation site that are this project's own. ``make docs`` builds the site itself."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

import pytest_mcn_mock

ROOT = Path(__file__).parents[2]
MENU = ROOT / "docs/README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
OPENAPI = json.loads((ROOT / "schemas/openapi.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page() -> str:
    """The page that is made from the description."""
    write = runpy.run_path(str(ROOT / "tools/openapi_page.py"))["write"]
    return str(write(OPENAPI))


def test_every_operation_is_on_the_page_with_its_summary(page: str) -> None:
    for path, item in OPENAPI["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                _, found, section = page.partition(f"\n### `{method.upper()} {path}`\n")
                assert found, (method, path)
                assert section.lstrip().startswith(operation["summary"].split("(")[0].removesuffix("."))


def test_every_field_of_every_message_is_on_the_page(page: str) -> None:
    for name, schema in OPENAPI["components"]["schemas"].items():
        if name != "common":
            section = page.partition(f"\n### `{name}`\n")[2].partition("\n### ")[0]
            assert section, name
            assert [field for field in schema.get("properties", {}) if f"\n| `{field}` | " not in section] == []


def test_every_link_of_the_page_has_its_anchor(page: str) -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert links
    assert links <= set(re.findall(r"^\((.+)\)=$", page, re.MULTILINE))


def test_the_texts_of_the_description_are_shown_as_they_are() -> None:
    plain = runpy.run_path(str(ROOT / "tools/openapi_page.py"))["plain"]
    assert plain("*/* or <ТОКЕН>\n  a|b [c]") == r"\*/\* or \<ТОКЕН\> a\|b \[c\]"


@pytest.mark.parametrize(
    "link,problem",
    [
        ("other.html#there", None),
        ("other.html", None),
        ("#here", None),
        ("https://example.org/nowhere", None),
        ("other.html#gone", "page.html: other.html#gone: that page has no such anchor"),
        ("#gone", "page.html: #gone: that page has no such anchor"),
        ("gone.html", "page.html: gone.html: the site has no such file"),
        ("gone/", "page.html: gone/: the site has no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f'<p id="here"><a href="{link}">…</a></p>', encoding="utf-8")
    (tmp_path / "other.html").write_text('<a name="there"></a><img src="other.html">', encoding="utf-8")
    problems = runpy.run_path(str(ROOT / "tools/check_links.py"))["problems"]
    assert list(problems(tmp_path)) == ([problem] if problem else [])


def test_every_page_is_in_the_menu() -> None:
    linked = {(MENU.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)\)", MENU.read_text("utf-8"))}
    english = {path for path in (ROOT / "docs").rglob("*.md") if "ru" not in path.parts}
    assert english - linked == {MENU}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_links_to_the_glossary_and_to_all_pages(page: Path) -> None:
    links = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)\)", page.read_text("utf-8"))}
    menu = ROOT / "docs/ru/README.md" if "ru" in page.parts else MENU
    assert {menu, ROOT / "docs/glossary.md"} - {page} <= links


def test_every_public_name_is_on_the_page_of_the_python_api() -> None:
    text = (ROOT / "docs/reference/python-api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"pytest_mcn_mock\.(\w+)(?=[ >])", text))
    assert set(pytest_mcn_mock.__all__) - shown == set()
