"""Every page there is: nothing is wrong with it, it fits small screens, and everybody can use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
from playwright.async_api import Browser, Page, TimeoutError, expect

from tests.dashboard.browser.chrome import barriers, watched
from tests.dashboard.browser.market import Market
from umbel.dashboard.routes import PAGES

pytestmark = pytest.mark.asyncio(loop_scope="session")

PICTURES: Final = Path(__file__).parents[3] / "build" / "screenshots"
COLOURS: Final = ("color-contrast", "link-in-text-block")
WIDE, NARROW = 1366, 360


def pages(market: Market) -> Iterator[tuple[str, str]]:
    """A name and an address for every page of the table."""
    parts = {
        "/jobs": "/jobs?limit=15",
        "/jobs/{id:path}": f"/jobs/{market.failed}",
        "/bulk/new": "/bulk/new?what=retry&q=state:failed",
        "/bulk/{id}": f"/bulk/{market.bulk}",
        "/dead/all": "/dead/all?what=retry",
        "/task": "/task?name=shop.charge",
        "/errors/{n}": "/errors/1",
        "/flows/{id}": f"/flows/{market.flow}",
        "/queue": "/queue?name=mail",
        "/schedule": "/schedule?name=nightly-report",
    }
    for page in PAGES:
        needed = [each.name for each in msgspec.structs.fields(page.asks) if each.required]
        assert page.path in parts or not needed, f"say here how {page.path} is reached"
        address = parts.get(page.path, page.path)
        yield page.template.removesuffix(".html"), address


async def fits(page: Page) -> bool:
    """Whether nothing must be scrolled sideways to be read, but for tables, which say so.

    Charts come down to the size of the window a moment after it.
    """
    try:
        await page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=20_000)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("half", [0, 1])
async def test_nothing_is_wrong_with_any_page(chromium: Browser, market: Market, address: str, half: int) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    await market.stage.arecord()
    wrong: list[str] = []
    async with watched(chromium, address, viewport={"width": WIDE, "height": 860}) as browsing:
        page = await browsing.page()
        for name, path in list(pages(market))[half::2]:
            await page.goto(address + path)
            await expect(page.locator("h1")).to_be_visible()
            frame = path in {"/", "/queues"}  # the same around every page
            wrong += [f"{path}: {each}" for each in await barriers(page, within="html" if frame else "#main")]
            for theme in ("dark", "light"):
                await page.emulate_media(color_scheme=theme)
                await page.screenshot(path=PICTURES / f"{name}-{theme}.png")
                if theme == "dark":
                    wrong += [f"{path}, dark: {each}" for each in await barriers(page, COLOURS)]
            await page.set_viewport_size({"width": NARROW, "height": 780})
            if not await fits(page):
                wrong.append(f"{path} is wider than {NARROW} pixels")
            await page.screenshot(path=PICTURES / f"{name}-small.png")
            await page.set_viewport_size({"width": WIDE, "height": 860})
    assert wrong == []


async def test_every_page_can_be_read_without_scripts(chromium: Browser, market: Market, address: str) -> None:
    async with watched(chromium, address, java_script_enabled=False) as browsing:
        page = await browsing.page()
        for _, path in pages(market):
            await page.goto(address + path)
            await expect(page.locator("h1")).to_be_visible()
            assert await page.locator(".scripted:visible, form[data-action]:visible").count() == 0, path
            assert len((await page.inner_text("#live")).strip()) > 20, path
