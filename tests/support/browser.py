"""A real browser: Debian's Chromium, headless, driven by Playwright."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

from tests.support.debian_packages import libraries_beside, program_of

# Without these Chromium looks up hosts of its maker at each start.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@asynccontextmanager
async def headless_browser() -> AsyncIterator[Browser]:
    """Yields Chromium; skips the test on a machine that cannot have it."""
    program = program_of("chromium", "usr/lib/chromium/chromium", needs=())
    if program is None:
        pytest.skip("Chromium is missing, and apt cannot download it")
    async with async_playwright() as playwright:
        # The sandbox needs privileges that tests do not have; pages are our own.
        browser = await playwright.chromium.launch(
            executable_path=program,
            chromium_sandbox=False,
            args=_QUIET,
            env=libraries_beside(program),
        )
        try:
            yield browser
        finally:
            await browser.close()
