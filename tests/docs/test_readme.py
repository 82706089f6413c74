"""The two READMEs: the same examples as in docs/examples, and in step with one another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.ru.md"]


def blocks(readme: str) -> list[str]:
    return re.findall(r"^```\w+\n(.*?)^```$", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize("name", ["app.py", "test_app.py"])
def test_the_example_is_the_one_that_is_tested(readme: str, name: str) -> None:
    source = (ROOT / "docs/examples/flask_login" / name).read_text(encoding="utf-8")
    assert f"# {name}\n{source}" in blocks(readme)


def test_the_two_are_in_step() -> None:
    english, russian = ((ROOT / readme).read_text(encoding="utf-8") for readme in READMES)
    assert blocks("README.md") == blocks("README.ru.md")
    for mark in ("\n#", "\n- ", "](docs/"):
        assert english.count(mark) == russian.count(mark)


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_every_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in link:
            assert (ROOT / page).parent.joinpath(link).exists(), link
