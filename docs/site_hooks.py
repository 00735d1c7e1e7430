"""Adds to the site what is not a page of this folder, and lets long names break at their dots."""

import re
from collections.abc import Iterable
from pathlib import Path

from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink

_SECURITY = Path(__file__).parents[1] / "SECURITY.md"
#: Code in a text. That of a block comes after an empty span.
_INLINE_CODE = re.compile(r"(?<!<span></span>)<code>[^<]+</code>")
#: A link to a file outside this folder, which the site does not have.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
_SEPARATORS = re.compile(r"(?<=[A-Za-z0-9])([._/]+)(?=[A-Za-z]{3})")


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """The text of the page, without links that lead out of the site.

    The page on security is SECURITY.md, where platforms look for it.
    """
    if page.file.src_uri != "security.md":
        return _OUTSIDE.sub(r"\1", markdown)
    return _SECURITY.read_text().replace("](docs/", "](")


def on_page_content(html: str, *, page: Page, **_: object) -> str:
    """The page with places to break a line in `proxy.http2.maxHeaderListSize` and the like."""
    for section in page.toc:
        for link in section.children:
            for below in link.children:
                # `proxy.http2.streamWindow` below `proxy.http2`: the last name is enough.
                below.title = below.title.removeprefix(f"{link.title}.")
    _mark(page.toc)
    return _INLINE_CODE.sub(lambda found: _breakable(found[0]), html)


def _mark(links: Iterable[AnchorLink]) -> None:
    for link in links:
        link.title = _breakable(link.title)
        _mark(link.children)


def _breakable(name: str) -> str:
    return _SEPARATORS.sub(r"\1<wbr>", name)
