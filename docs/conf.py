"""The documentation site: ``make docs`` builds it with Sphinx from the pages that GitHub shows.

The sources are the pages in the root of the repository and in docs, so every link works on GitHub and on the site. Some
things do not fit into plain Markdown. They are added when a page is read: the menu, from docs/README.md; docstrings, in
place of the comments ``<!-- classes: … -->`` and ``<!-- fixtures: … -->``; and the OpenAPI description, in place of
``<!-- openapi -->``.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator
from gettext import translation
from html import escape
from importlib.metadata import version as version_of
from pathlib import Path
from posixpath import join, normpath
from textwrap import indent
from typing import Any

import sphinx.locale
from sphinx.application import Sphinx
from sphinx.search import SearchLanguage, languages
from sphinx.search.en import SearchEnglish
from sphinx.search.ru import SearchRussian

from pytest_mcn_mock import plugin

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import openapi_page  # noqa: E402 - it is one of the project's own tools

project = "pytest-mcn-mock"
author = "The pytest-mcn-mock developers"
version = release = version_of(project)
html_title = project
language = "en"
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [".*", "build", "dist", "pytest_mcn_mock", "tests", "benchmarks", "**/node_modules"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
templates_path = ["_site/templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "languages.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_search_language = "en-ru"
html_favicon = "../pytest_mcn_mock/web/page/icon.svg"
pygments_dark_style = "github-dark"

myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.xref_missing"]  # MyST does not know HTML anchors; tools/check_links.py checks them

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

SPHINX_TEXTS = Path(sphinx.locale.__file__).parent
RUSSIAN = translation("sphinx", SPHINX_TEXTS, ["ru"])
THEME_IN_RUSSIAN = {
    "Next": "Далее",
    "Previous": "Назад",
    "Home": "Начало",
    "Search": "Поиск",
    "On this page": "На этой странице",
    "Back to top": "Наверх",
    "Skip to content": "К содержанию",
    "Made with ": "Сделано с помощью ",
}
OPENAPI = "<!-- openapi -->"
SEARCHES = {"en": "search", "ru": "docs/ru/search"}
html_additional_pages = {SEARCHES["ru"]: "search.html"}
MENUS = {"en": "docs/README", "ru": "docs/ru/README"}


class SearchBoth(SearchLanguage):
    """Search in English and Russian: each word is reduced to its stem by the rules of its own alphabet."""

    lang = "en-ru"
    language_name = "English and Russian"
    stopwords = SearchEnglish.stopwords | SearchRussian.stopwords
    js_stemmer_code = """
{english}
{russian}
var Stemmer = function () {{
  const english = new EnglishStemmer();
  const russian = new RussianStemmer();
  this.stemWord = (word) => (/[а-яё]/i.test(word) ? russian : english).stemWord(word);
}};
"""

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__(options)
        self._english, self._russian = SearchEnglish(options), SearchRussian(options)
        scripts = Path(inspect.getfile(SearchLanguage)).parent / "minified-js"
        base, english, russian = (
            (scripts / f"{name}-stemmer.js").read_text(encoding="utf-8") for name in ("base", "english", "russian")
        )
        self.js_stemmer_code = self.js_stemmer_code.format(english=f"{base}\n{english}", russian=russian)

    def stem(self, word: str) -> str:
        """Return the stem of a word."""
        return (self._russian if re.search("[а-яё]", word, re.IGNORECASE) else self._english).stem(word)


languages[SearchBoth.lang] = SearchBoth


def language_of(page: str) -> str:
    """Return ``ru`` or ``en``."""
    return "ru" if page.startswith("docs/ru/") or page.endswith(".ru") else "en"


def sister_of(page: str) -> str:
    """Return the same page in the other language, as if there were one."""
    if language_of(page) == "ru":
        return page.removesuffix(".ru").replace("docs/ru/", "docs/")
    return page.replace("docs/", "docs/ru/", 1) if page.startswith("docs/") else f"{page}.ru"


def menu(page: str) -> Iterator[str]:
    """Yield a hidden table of contents for each section of a page of lists, with the titles of its links."""
    folder, text = page.rpartition("/")[0], (ROOT / f"{page}.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        caption, _, lists = section.partition("\n")
        links = re.findall(r"^- \[([^]]*)\]\(([^)#]+)\.md\)( \(en\))?", lists, re.MULTILINE)
        pages = "".join(f"{title}{note} </{normpath(join(folder, link))}>\n" for title, link, note in links)
        yield f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}```\n"


def classes(names: str) -> str:
    """Return the directives that show classes with everything public in them."""
    return "".join(
        f".. autoclass:: {name}\n   :members:\n   :undoc-members:\n   :exclude-members: __init__, __new__\n\n"
        for name in names.split()
    )


def fixtures(names: str) -> str:
    """Return the fixtures of the plugin with their docstrings."""
    return "".join(map(fixture, names.split()))


def fixture(name: str) -> str:
    """Return the directive that shows a fixture with its type and its docstring."""
    function = inspect.unwrap(getattr(plugin, name))
    if not inspect.isfunction(function):
        function = function._get_wrapped_function()  # noqa: SLF001 - pytest 8.4 has no public way to it
    returned = re.sub(r"^Iterator\[(.*)\]$", r"\1", function.__annotations__["return"])
    return f".. py:data:: {name}\n   :type: {returned}\n\n{indent(inspect.getdoc(function) or '', '   ')}\n\n"


def add_what_is_made(_app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the comments of a page, and add the menus to the first page."""
    text = source[0]
    for word, make in (("classes", classes), ("fixtures", fixtures)):
        for comment, names in re.findall(rf"(<!-- {word}: (.*) -->)", text):
            text = text.replace(comment, f"```{{eval-rst}}\n{make(names)}```\n")
    if OPENAPI in text:
        description = json.loads((ROOT / "schemas/openapi.json").read_text(encoding="utf-8"))
        text = text.replace(OPENAPI, openapi_page.write(description))
    if page == root_doc:
        menus = [page for page in MENUS.values() if (ROOT / f"{page}.md").exists()]
        text += "\n\n" + "".join(part for page in menus for part in menu(page))
        text += "```{toctree}\n:hidden:\n\n" + "".join(f"/{page}\n" for page in (*menus, "README.ru")) + "```\n"
    source[0] = text


def use_its_language(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    """Give a page the menu and the words of its language, and a link to its sister in the other language."""
    own = language_of(page)
    sister = sister_of(page)
    start = {"en": "README.ru", "ru": "README"}[own]
    context["site_language"] = own
    context["site_sister"] = context["pathto"](sister if sister in app.env.all_docs else start)
    captions = captions_of(MENUS[own])
    sections = re.split(r'(?=<p class="caption")', context["furo_navigation_tree"])
    tree = "".join(section for section in sections if any(f">{escape(caption)}<" in section for caption in captions))
    if "current-page" not in tree:  # a page may be in both menus, and the theme marked it in the last one only
        tree = tree.replace('toctree-l1 current"', 'toctree-l1 current current-page"')
    context["furo_navigation_tree"] = tree
    context["site_search"] = SEARCHES[own]
    if own == "ru":
        context.update(language="ru", _=in_russian, gettext=in_russian)
        if page == SEARCHES["ru"]:
            app.add_js_file("sphinx_in_russian.js")


def in_russian(text: str) -> str:
    """Translate a word of the theme or of Sphinx."""
    return THEME_IN_RUSSIAN.get(text) or RUSSIAN.gettext(text)


def captions_of(page: str) -> set[str]:
    """Return the captions of a menu."""
    path = ROOT / f"{page}.md"
    return set(re.findall(r"^## (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)) if path.exists() else set()


def add_start(app: Sphinx, error: Exception | None) -> None:
    """Let the site begin at index.html, and its Russian search speak Russian."""
    if error is None and app.builder.name == "html":
        shutil.copy(SPHINX_TEXTS / "ru/LC_MESSAGES/sphinx.js", app.outdir / "_static/sphinx_in_russian.js")
        shutil.copy(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", add_what_is_made)
    app.connect("html-page-context", use_its_language, priority=600)
    app.connect("build-finished", add_start)
