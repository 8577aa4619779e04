"""Pages change by themselves, and leave the reader what he holds."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard.browser.chrome import watched
from tests.dashboard.browser.served import served
from tests.dashboard.stage import Stage
from umbel.history.notes import TROUBLE, Notes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_new_job_reaches_the_screen_and_the_reader_keeps_what_he_holds(chromium: Browser, stage: Stage) -> None:
    app = stage.app

    @app.task(name="shop.pay")
    def pay(order: int) -> int:
        return order

    first = await pay.adelay(1)
    await stage.arecord()
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/jobs")
            await expect(page.locator("#signal")).to_have_attribute("data-signal", "live")
            picked = page.locator("input.pick")
            await picked.first.check()
            await page.keyboard.press("j")
            await expect(page.locator("tr:focus")).to_have_count(1)
            second = await pay.adelay(2)
            await stage.arecord()
            await expect(picked).to_have_count(2)
            await expect(page.locator(f'tr:focus a[title="{first.id}"]')).to_have_count(1)
            await expect(picked.nth(0)).not_to_be_checked()
            await expect(picked.nth(1)).to_be_checked()
            await expect(page.locator(f'a[title="{second.id}"]')).to_have_count(1)


async def test_a_page_opened_too_soon_gets_its_name_and_its_notices_as_they_become_known(
    chromium: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.dashboard.banners.FRESH_SECONDS", 0.1)

    @stage.app.task(name="shop.pack")
    def pack(order: int) -> int:
        return order

    job = (await pack.aapply_async((1,), countdown=3_600)).id
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page(f"/jobs/{job}")
            await expect(page.locator("#signal")).to_have_attribute("data-signal", "live")
            await expect(page.locator("h1")).to_have_text("Job")
            await expect(page.locator("#banners")).to_contain_text("There is no history at")
            await stage.arecord()
            await expect(page.locator("h1")).to_have_text("shop.pack")
            await expect(page).to_have_title("shop.pack · Umbel")
            await expect(page.locator("#banners .banner")).to_have_count(0)
            stage.archive.write(lambda step: Notes(step).put(TROUBLE, "the disk is full"))
            await expect(page.locator("#banners")).to_contain_text("the disk is full")
            await expect(page.locator("#told")).to_have_count(0)
