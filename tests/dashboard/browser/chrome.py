"""Chrome: Debian's Chromium, driven by Playwright; a page of it that tells everything that is wrong with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.servers import chromium

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
REPORTS: Final = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
AXE: Final = Path(__file__).parent / "axe" / "axe.min.js"
STANDARDS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
DEADLINE_MS: Final = 60_000
expect.set_options(timeout=DEADLINE_MS)


@asynccontextmanager
async def chrome() -> AsyncGenerator[Browser]:
    """One browser; the package is installed where it is missing."""
    path = chromium.install()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS), timeout=2 * DEADLINE_MS)
        yield browser
        await browser.close()


class Watched:
    """A context of *browser* for *address*; what goes wrong in its pages is in *wrong*."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        self.wrong: list[str] = []
        self.allowed: set[str] = set()
        """Beginnings of what may be said on the console, such as that a status was 404."""

    async def page(self, path: str = "/") -> Page:
        """A new page that shows *path*."""
        page = await self.context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on("console", self._said)
        page.on("pageerror", self._raised)
        page.on("request", self._asked)
        page.on("dialog", self._opened)
        await page.goto(self.address + path)
        return page

    def check(self) -> None:
        """Raise `AssertionError` if anything was wrong."""
        assert not self.wrong, "\n".join(self.wrong)

    def _said(self, message: ConsoleMessage) -> None:
        told = f"{message.text} ({message.location.get('url', '')})"
        if message.type in {"error", "warning"} and not any(each in told for each in self.allowed):
            self.wrong.append(f"console: {told}")

    def _raised(self, error: Error) -> None:
        self.wrong.append(f"error: {error}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:image/svg")):
            self.wrong.append(f"foreign: {request.url}")

    async def _opened(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


@asynccontextmanager
async def watched(browser: Browser, address: str, **options: Any) -> AsyncGenerator[Watched]:
    """A context of its own, which must have nothing wrong at its end."""
    context = await browser.new_context(reduced_motion="reduce", **options)
    await context.add_init_script(REPORTS)
    found = Watched(context, address)
    try:
        yield found
        found.check()
    finally:
        await context.close()


async def barriers(page: Page, rules: Sequence[str] = (), within: str = "#main") -> list[str]:
    """What axe-core finds serious in a part of *page*, by all its *rules* or some.

    It comes in past the policy of the page, as the tools of a browser do.
    """
    if not await page.evaluate("Boolean(window.axe?.run)"):
        await page.evaluate(_axe())
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(STANDARDS)}
    place = {"include": [within], "exclude": [".chart details table"]}  # long, and all alike
    options = {"resultTypes": ["violations"], "runOnly": only, "preload": False}  # that is for films and sounds
    found = await page.evaluate("([place, options]) => axe.run(place, options)", [place, options])
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"][:3]
    ]


@cache
def _axe() -> str:
    return AXE.read_text()
