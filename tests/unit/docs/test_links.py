"""Mentions of other pages: each is a link."""

import re

import pytest

from tests.unit.docs.quoted_texts import CHECKOUT

PAGES = [
    *sorted((CHECKOUT / "docs").glob("*.md")),
    *sorted(CHECKOUT.glob("*.md")),
    CHECKOUT / "deploy" / "helm" / "vecguard" / "README.md",
]
#: Code names a file, a link leads to a page.
NO_MENTIONS = re.compile(
    r"<!--.*?-->|^ *```.*?^ *```|`[^`]+`|\[[^\]]*\]\([^)]*\)", re.MULTILINE | re.DOTALL
)
MENTION = re.compile(r"\b(?:docs/)?[A-Za-z-]+\.md\b")


def mentions(text: str) -> list[str]:
    return MENTION.findall(NO_MENTIONS.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_mentions_others_by_links(page):
    assert mentions(page.read_text()) == []


@pytest.mark.parametrize("text", ["see docs/audit.md.", "(limits.md)", "[x](y.md) and SECURITY.md"])
def test_a_mention_without_a_link_is_found(text):
    assert len(mentions(text)) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_outside_the_site_leads_to_one(page):
    outside = re.findall(r"\]\((\.\./[^)#]*)", page.read_text())
    assert [path for path in outside if not (page.parent / path).exists()] == []
