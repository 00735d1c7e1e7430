"""The pages of docs/ become what their source says: no block is lost in running text."""

import re
import textwrap
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
SITE = yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text())
# docs/site_hooks.py makes SECURITY.md the page security.md.
PAGES = [*sorted((CHECKOUT / "docs").glob("*.md")), CHECKOUT / "SECURITY.md"]
# MkDocs has these without being told.
EXTENSIONS = ["toc", "tables", "fenced_code", *SITE["markdown_extensions"]]


@dataclass
class Blocks:
    """The parts of a page other than paragraphs, in its source or in its HTML."""

    code: list[str] = field(default_factory=list)
    list_items: int = 0
    nested_items: int = 0
    numbered_lists: int = 0
    table_rows: int = 0
    admonitions: int = 0


def written(text: str) -> Blocks:
    """Read from the source, line by line."""
    found = Blocks()
    fence: list[str] | None = None
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            if fence is not None:
                found.code.append(textwrap.dedent("\n".join(fence)).strip("\n"))
            fence = [] if fence is None else None
        elif fence is not None:
            fence.append(line)
        elif re.match(r"\s*([-*+]|\d+\.)\s", line):
            found.list_items += 1
            found.nested_items += line.startswith("  ")
            found.numbered_lists += bool(re.match(r"\s*1\.\s", line))
        elif line.lstrip().startswith("|"):
            found.table_rows += re.fullmatch(r"[\s|:-]*-[\s|:-]*", line) is None
        elif line.lstrip().startswith(("!!!", "???")):
            found.admonitions += 1
    assert fence is None, "a fence is not closed"
    return found


class Rendered(HTMLParser):
    """Reads the same from HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found = Blocks()
        self._code: list[str] | None = None
        self._depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "pre":
            self._code = []
        self._depth += tag == "li"
        self.found.list_items += tag == "li"
        self.found.nested_items += tag == "li" and self._depth > 1
        self.found.numbered_lists += tag == "ol"
        self.found.table_rows += tag == "tr"
        classes = (dict(attrs).get("class") or "").split()
        self.found.admonitions += tag in ("div", "details") and "admonition" in classes

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._code.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "li"
        if tag == "pre" and self._code is not None:
            self.found.code.append("".join(self._code).strip("\n"))
            self._code = None


def rendered(text: str) -> Blocks:
    names = [each if isinstance(each, str) else next(iter(each)) for each in EXTENSIONS]
    options = {
        name: value for each in EXTENSIONS if isinstance(each, dict) for name, value in each.items()
    }
    converter = markdown.Markdown(extensions=list(dict.fromkeys(names)), extension_configs=options)
    return Rendered(converter.convert(text)).found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_is_one_on_the_site(page: Path) -> None:
    text = page.read_text()
    assert rendered(text) == written(text)


@pytest.mark.parametrize(
    "text",
    [
        "1. Do this:\n\n   ```yaml\n   a: 1\n   ```\n\n2. Then that.\n",
        "- one\n  - in it\n- two\n",
        "1. One.\n\n   More of it.\n2. Two.\n",
        "A list:\n- one\n- two\n",
        "A table:\n| a | b |\n| --- | --- |\n| 1 | 2 |\n",
        "!!! note\n  Text.\n\n1. One.\n\n```\ncode\n```\n\n2. Two.\n",
    ],
    ids=["fence", "nested", "paragraph", "list", "table", "interrupted"],
)
def test_flattened_blocks_are_noticed(text: str) -> None:
    assert rendered(text) != written(text)
