"""Every Russian page says what its English sister says: the same sections, with the same code, tables and lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
RUSSIAN = ROOT / "docs/ru"
SISTERS = {ROOT / "README.ru.md": ROOT / "README.md"} | {
    page: ROOT / "docs" / page.relative_to(RUSSIAN) for page in sorted(RUSSIAN.rglob("*.md"))
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#+) .+$", re.MULTILINE)
_COMMENT = re.compile(r"[ \t]+# .*$", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")


class Section(NamedTuple):
    """What a section has that no language changes."""

    level: int
    blocks: list[tuple[str, str]]  # (language, code); a comment behind a line of code may be translated
    rows: list[list[str]]  # the names in the first cell of each row of a table
    items: int  # of lists
    pictures: int


def sections(page: Path) -> list[Section]:
    """The sections of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    prose = _BLOCK.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)  # as long as the page
    headings = list(_HEADING.finditer(prose))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    found = []
    for heading, end in zip(headings, ends, strict=True):
        lines = prose[heading.end() : end].splitlines()
        blocks = _BLOCK.findall(text[heading.end() : end])
        found.append(
            Section(
                level=len(heading[1]),
                blocks=[(language, _COMMENT.sub("", code)) for language, code in blocks],
                rows=[_CODE.findall(line.split(" | ")[0]) for line in lines if line.startswith("| ")],
                items=sum(bool(re.match(r" *- ", line)) for line in lines),
                pictures=sum(line.startswith("![") for line in lines),
            )
        )
    return found


@pytest.mark.parametrize("russian", SISTERS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_russian_page_has_all_that_its_english_sister_has(russian: Path) -> None:
    english = SISTERS[russian]
    assert english.exists(), f"{english} is missing: a Russian page has the path of an English one"
    ours, theirs = sections(russian), sections(english)
    for n, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        assert our == their, f"section {n} of {russian.name}"
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("russian", SISTERS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_sisters_link_to_one_another_below_their_titles(russian: Path) -> None:
    for page, sister, words in ((russian, SISTERS[russian], "In English"), (SISTERS[russian], russian, "По-русски")):
        lines = page.read_text(encoding="utf-8").splitlines()
        (link,) = re.findall(rf"^\[{words}\]\((.+)\)$", lines[2])
        assert (page.parent / link).resolve() == sister


def test_a_section_is_compared_by_what_no_language_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    block = "```bash\n# not a heading\nls  # list\n```\n"
    page.write_text(f"# T\n\n- a\n\n{block}\n## S\n\n| key | is |\n|---|---|\n| `a`, `b` | `c` |\n", encoding="utf-8")
    assert sections(page) == [
        Section(1, [("bash", "# not a heading\nls\n")], [], 1, 0),
        Section(2, [], [[], ["`a`", "`b`"]], 0, 0),
    ]
