"""Pages become what their source says, on the site and on GitHub: no block is lost in text."""

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest
from markdown_it import MarkdownIt
from mkdocs.config import load_config

from tests.deploy.site import CHECKOUT

SITE = load_config(str(CHECKOUT / "mkdocs.yml"))
# docs/site_hooks.py makes SECURITY.md the page security.md.
ON_THE_SITE = {
    page.with_suffix(".html").name: page for page in (CHECKOUT / "docs").glob("*.md")
} | {"security.html": CHECKOUT / "SECURITY.md"}
ON_GITHUB = {
    *ON_THE_SITE.values(),
    *CHECKOUT.glob("*.md"),
    *CHECKOUT.glob("deploy/**/*.md"),
}


@dataclass
class Blocks:
    """The parts of a page other than paragraphs, in its source or in its HTML."""

    code: list[str] = field(default_factory=list)
    list_items: int = 0
    nested_items: int = 0
    numbered_lists: int = 0
    table_rows: int = 0
    headings: int = 0
    pictures: int = 0


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
        elif line.startswith("#"):
            found.headings += 1
        else:
            found.pictures += line.startswith("![")
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
        self.found.headings += re.fullmatch("h[1-6]", tag) is not None
        self.found.pictures += tag == "img"

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._code.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "li"
        if tag == "pre" and self._code is not None:
            self.found.code.append(textwrap.dedent("".join(self._code)).strip("\n"))
            self._code = None


def for_the_site(text: str) -> str:
    """HTML as MkDocs makes it."""
    return markdown.Markdown(
        extensions=SITE.markdown_extensions, extension_configs=SITE.mdx_configs
    ).convert(text)


def for_github(text: str) -> str:
    """HTML by the specification that GitHub follows."""
    return MarkdownIt("commonmark").enable("table").render(text)


@pytest.mark.parametrize("name", sorted(ON_THE_SITE))
def test_every_block_of_a_page_is_one_on_the_site(name: str, site: Path) -> None:
    page = (site / name).read_text()
    article = page.partition("<article")[2].partition("</article>")[0]
    assert Rendered(article).found == written(ON_THE_SITE[name].read_text())


@pytest.mark.parametrize("name", sorted(ON_THE_SITE))
def test_no_link_leads_out_of_the_site(name: str, site: Path) -> None:
    article = (site / name).read_text().partition("<article")[2].partition("</article>")[0]
    assert re.findall(r'href="\.\./[^"]*"', article) == []


@pytest.mark.parametrize("page", sorted(ON_GITHUB), ids=lambda page: page.name)
def test_every_block_of_a_page_is_one_on_github(page: Path) -> None:
    text = page.read_text()
    assert Rendered(for_github(text)).found == written(text)


@pytest.mark.parametrize(
    ("text", "render"),
    [
        ("1. Do this:\n\n   ```yaml\n   a: 1\n   ```\n\n2. Then that.\n", for_the_site),
        ("- one\n  - in it\n- two\n", for_the_site),
        ("1. One.\n\n   More of it.\n2. Two.\n", for_the_site),
        ("A list:\n- one\n- two\n", for_the_site),
        ("A table:\n| a | b |\n| --- | --- |\n| 1 | 2 |\n", for_the_site),
        ("1. One.\n\n```\ncode\n```\n\n2. Two.\n", for_the_site),
        ("1. One.\n\n        ```\n        code\n        ```\n", for_github),
        ("| a | b |\n| --- |\n| 1 | 2 |\n", for_github),
    ],
    ids=["fence", "nested", "paragraph", "list", "table", "interrupted", "indented", "columns"],
)
def test_flattened_blocks_are_noticed(text: str, render: Callable[[str], str]) -> None:
    assert Rendered(render(text)).found != written(text)
