"""The pages of the site in a browser, on a desktop and on a phone.

With SCREENSHOTS=1 a picture of each goes to build/screenshots/site/. They are for people, and take
half of the time.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route

from tests.deploy.site import CHECKOUT
from tests.support.browser import headless_browser

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

ORIGIN = "http://site.test"
SCREENSHOTS = CHECKOUT / "build" / "screenshots" / "site"
WIDTHS = {"desktop": 1280, "phone": 390}
PAGES = sorted(
    {page.with_suffix(".html").name for page in (CHECKOUT / "docs").glob("*.md")} | {"404.html"}
)

#: The theme's script gives each table a container to scroll in.
READY = """() => document.querySelectorAll("article table").length
  === document.querySelectorAll("article .md-typeset__table table").length"""
#: What a reader would stumble over, as a list of texts.
FAULTS = """() => {
  const faults = [], width = document.documentElement.clientWidth;
  const shown = element => element.outerHTML.slice(0, 80);
  const scrolls = element => {
    for (; element !== document.body; element = element.parentElement)
      if (/auto|scroll/.test(getComputedStyle(element).overflowX)) return true;
    return false;
  };
  if (document.documentElement.scrollWidth > width)
    faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const element of document.querySelectorAll("article *")) {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (box.width && box.right > width + 1 && !scrolls(element))
      faults.push(`beyond the right edge: ${shown(element)}`);
    if (width > 1000 && element.matches(".md-typeset__scrollwrap") &&
        element.scrollWidth > element.clientWidth)
      faults.push(`a table that scrolls: ${shown(element)}`);
    if (element.matches("thead") && !element.textContent.trim())
      faults.push("a table with an empty head");
    if (style.overflowX === "hidden" && element.scrollWidth > element.clientWidth + 1)
      faults.push(`cut: ${shown(element)}`);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode());) {
    if (!node.parentElement.closest("article, .md-nav--secondary")) continue;
    if (node.parentElement.closest("pre, script, style")) continue;
    for (const word of node.data.matchAll(/[A-Za-z0-9]+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1)
        faults.push(`broken in mid-word: ${word[0]}, in ${shown(node.parentElement)}`);
    }
  }
  return faults;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with headless_browser() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, site: Path) -> AsyncIterator[Page]:
    """A page of a browser that finds the site, and nothing else, at ORIGIN."""

    async def answer(route: Route, request: Request) -> None:
        url = urlsplit(request.url)
        if f"{url.scheme}://{url.netloc}" == ORIGIN:
            await route.fulfill(path=site / url.path.lstrip("/"))
        else:
            await route.abort()

    page = await browser.new_page()
    await page.route("**/*", answer)
    yield page
    await page.close()


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_readable(name: str, page: Page) -> None:
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.set_viewport_size({"width": WIDTHS["desktop"], "height": 900})
    await page.goto(f"{ORIGIN}/{name}")
    await page.wait_for_function(READY)

    faults: dict[str, list[str]] = {}
    for kind, width in WIDTHS.items():
        await page.set_viewport_size({"width": width, "height": 900})
        faults[kind] = await page.evaluate(FAULTS)
        if os.environ.get("SCREENSHOTS") == "1":
            # JPEG: encoding a page of 40,000 lines as PNG takes twice as long.
            picture = SCREENSHOTS / f"{Path(name).stem}-{kind}.jpeg"
            await page.screenshot(path=picture, full_page=True, quality=80)

    assert faults == {kind: [] for kind in WIDTHS}
    assert [url for url in requests if not url.startswith(f"{ORIGIN}/")] == []
    assert complaints == []


async def test_search_finds_a_setting(page: Page) -> None:
    await page.set_viewport_size({"width": WIDTHS["desktop"], "height": 900})
    await page.goto(f"{ORIGIN}/index.html")
    await page.locator(".md-search__input").press_sequentially("streamWindow")
    found = page.locator(".md-search-result__link").first
    assert "configuration.html" in (await found.get_attribute("href") or "")
