"""Makes docs/fidelity.md and its picture from the table docs/fidelity.toml; ``--check`` only compares.

The head of the table says what a row is made of. tests/docs/test_fidelity.py checks it against the code.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[1] / "docs"
TABLE: Final = DOCS / "fidelity.toml"

PARTS: Final = {
    "documented": ("documented", "#1a7f37", "#ffffff"),
    "observed": ("observed", "#0969da", "#ffffff"),
    "assumed_setting": ("assumed with a setting", "#d4a72c", "#1f2328"),
    "assumed": ("assumed without a setting", "#cf222e", "#ffffff"),
}
"""The parts of a bar: what each says, its colour, and that of the number in it."""
WIDTH, LEFT, BAR = 760, 76, 30

HEAD: Final = """\
<!-- Made by tools/make_fidelity.py from fidelity.toml: change that, then `make schemas`. -->
# How faithful the fake is

![{alt}](images/fidelity.svg)

Read this page to find out how far you can rely on each behaviour of the fake.

The fake follows the vendor's help article
{article}.
Since then the vendor has published a handbook, which the fake follows if the article says nothing. Each behaviour has
one of three levels:

- **documented**: the article says so. The row quotes the sentence, and the fake follows it exactly.
- **observed**: the vendor's handbook of 2026, another public page, or a public client of the service shows it. “Sample”
  means that only an example shows it, and “inferred” that we concluded it from a text.
- **assumed**: we could not confirm it. The row names the setting that changes it, or says why there is none. Keys
  without a table belong to `[assumed]` ([in the sandbox](reference/config.md)) and are fields of `Assumptions`
  ([in a test](how-to/assumptions.md)). We last searched the sources for it on {searched}.

In the picture, “before” is the table before the vendor's handbook of 2026 was read. Then a row could have two levels,
and was counted with the better one.

Each row has a test in `tests/docs/`. In the [schemas](how-to/contract.md), `x-mcn-fidelity` names a row of this page.
If you have an account at the vendor, you can [compare the fake with the real service](how-to/verify.md).
"""


def load() -> dict[str, Any]:
    """Return the table."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def make() -> dict[str, str]:
    """Return the page and the picture, by their paths in docs/."""
    table = load()
    counts = {"before": table["before"], "now": count(table["row"])}
    return {"fidelity.md": _page(table, counts), "images/fidelity.svg": _picture(counts)}


def count(rows: list[dict[str, Any]]) -> Mapping[str, int]:
    """Return how many rows there are of each part of a bar."""
    return Counter(
        "assumed_setting" if row["level"] == "assumed" and "setting" in row else row["level"] for row in rows
    )


def _page(table: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]]) -> str:
    sources = table["source"]
    words = "; ".join(
        f"{name} " + ", ".join(f"{of[part]} {text}" for part, (text, _, _) in PARTS.items())
        for name, of in counts.items()
    )
    head = HEAD.format(
        alt=f"Rows of each level. {words}",
        article=f"“{sources['article']['title']}” of {_day(sources['article']['date'])}",
        searched=_day(str(table["searched"])),
    )
    sections: dict[str, list[str]] = {}
    for row in table["row"]:
        cells = (
            f'<a id="{row["id"]}"></a>{row["says"]}',
            row["level"],
            _source(row, table),
            _setting(row),
            f"`test_{row['level']}.py::test_{row['id']}`",
        )
        sections.setdefault(row["section"], []).append(_line(*cells))
    parts = [head]
    for name, lines in sections.items():
        parts.append(f"\n## {name}\n\n" + _line("behaviour", "level", "source", "setting", "test") + "|---" * 5 + "|\n")
        parts += lines
    parts.append("\n## Not emulated\n\n" + _line("the real service", "source") + "|---" * 2 + "|\n")
    parts += [_line(fact["says"], _source(fact, table)) for fact in table["absent"]]
    parts.append("\n---\n\n[Glossary](glossary.md) · [All pages](README.md)\n\n")
    parts += [f"[{key}]: {source['url']}\n" for key, source in sources.items() if "url" in source]
    return "".join(parts)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _source(row: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    if "source" not in row:
        return f"none found, {_day(str(table['searched']))}"
    source = table["source"][row["source"]]
    title = f"[{source['title']}][{row['source']}]" if "url" in source else source.get("short", source["title"])
    said = f"{title}, {_day(source['date'])}"
    if "quote" in row:
        said += f': "{row["quote"]}"'
    if row.get("shown", "text") != "text":
        said += f"; {row['shown']}"
    return f"{said}. {row['note'][0].upper()}{row['note'][1:]}" if "note" in row else said


def _setting(row: Mapping[str, Any]) -> str:
    if "no_setting" in row:
        word = "none; not public" if row.get("nobody_knows") else "none"
        return f"{word}: {row['no_setting']}"
    named = []
    for key in row.get("setting", ()):
        table, _, name = key.rpartition(".")
        named.append(f"`{name}`" if table == "assumed" else f"`[{table}]` `{name}`")
    return ", ".join(named)


def _day(written: str) -> str:
    """Return a date in words; a year stays a year."""
    if len(written) == len("2023"):
        return written
    day = date.fromisoformat(written)
    return f"{day.day} {day:%B %Y}"


def _picture(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Return two bars: the rows of each level before the handbook was read, and now."""
    height = 60 + (BAR + 14) * len(counts)
    scale = (WIDTH - LEFT - 60) / max(sum(of[part] for part in PARTS) for of in counts.values())
    drawn, x = [], LEFT
    for text, colour, _ in PARTS.values():
        drawn.append(f"<rect x='{x}' y='14' width='12' height='12' fill='{colour}'/>")
        drawn.append(_text(x + 18, 25, text, "start"))
        x += 48 + 7 * len(text)
    for number, (name, of) in enumerate(counts.items()):
        y, begin = 46 + number * (BAR + 14), float(LEFT)
        drawn.append(_text(LEFT - 10, y + 20, name, "end"))
        for part, (text, colour, ink) in PARTS.items():
            long = of[part] * scale
            said = f"<title>{name}: {of[part]} {text}</title>"
            drawn.append(
                f"<rect x='{begin:.1f}' y='{y}' width='{long:.1f}' height='{BAR}' fill='{colour}'>{said}</rect>"
            )
            if of[part]:
                drawn.append(_text(begin + long / 2, y + 20, str(of[part]), "middle", ink))
            begin += long
        drawn.append(_text(begin + 8, y + 20, str(sum(of[part] for part in PARTS)), "start"))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        "role='img' aria-label='Rows of each level, before and now' "
        "font-family='system-ui, sans-serif' font-size='13'>\n"
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>\n" + "\n".join(drawn) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str, ink: str = "#1f2328") -> str:
    return f"<text x='{x:.1f}' y='{y}' text-anchor='{anchor}' fill='{ink}'>{text}</text>"


def main() -> None:
    """Write the page and the picture, or say which is out of date."""
    old = []
    for name, text in make().items():
        path = DOCS / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            old.append(name)
    if old:
        raise SystemExit(f"out of date are {', '.join(old)}: make schemas")


if __name__ == "__main__":
    main()
