"""Adds to the site what is not a page of this folder."""

from pathlib import Path

from mkdocs.structure.pages import Page

_SECURITY = Path(__file__).parents[1] / "SECURITY.md"


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """The text of the page; that on security is SECURITY.md, where platforms look for it."""
    if page.file.src_uri != "security.md":
        return markdown
    return _SECURITY.read_text().replace("](docs/", "](")
