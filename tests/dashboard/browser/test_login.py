"""Logging in and out in a browser: with and without scripts, on a small screen, and when the session ends meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard.browser.chrome import barriers, watched
from tests.dashboard.browser.served import served
from tests.dashboard.people import PASSWORD, guarded
from tests.dashboard.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a dashboard answers that asks who comes."""
    stage = Stage(tmp_path_factory.mktemp("closed"))
    stage.app.task(name="shop.pay")(lambda: None).delay()
    stage.record()
    with served(stage, guarded()) as address:
        yield address
    stage.close()


@pytest.mark.parametrize("scripts", [True, False])
async def test_who_logs_in_comes_to_what_he_asked_for_and_can_leave(
    chromium: Browser, closed: str, scripts: bool
) -> None:
    async with watched(
        chromium, closed, java_script_enabled=scripts, viewport={"width": 360, "height": 740}
    ) as browsing:
        browsing.allowed.add("status of 401")
        page = await browsing.page("/queues")
        if scripts:
            assert await barriers(page) == []
        await page.fill("input[name=name]", "viewer")
        await page.fill("input[name=password]", "wrong")
        await page.click("main button[type=submit]")
        await expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong.")
        await page.fill("input[name=name]", "viewer")
        await page.fill("input[name=password]", PASSWORD)
        await page.click("main button[type=submit]")
        await expect(page.locator("h1")).to_have_text("Queues")
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_have_count(0)  # a viewer only looks
        await page.get_by_role("button", name="Log out").click()
        await expect(page.locator("h1")).to_have_text("Log in")
        await page.goto(f"{closed}/queues")
        await expect(page.locator("h1")).to_have_text("Log in")


async def test_a_page_whose_session_ends_asks_to_log_in(chromium: Browser, closed: str) -> None:
    async with watched(chromium, closed) as browsing:
        browsing.allowed.add("status of 401")
        page = await browsing.page("/queues")
        await page.fill("input[name=name]", "operator")
        await page.fill("input[name=password]", PASSWORD)
        await page.click("main button[type=submit]")
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_have_count(1)
        await browsing.context.clear_cookies()
        await expect(page.locator("h1")).to_have_text("Log in")


async def test_a_link_of_another_site_finds_him_logged_in(chromium: Browser, closed: str) -> None:
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{closed}/queues")
        await page.fill("input[name=name]", "viewer")
        await page.fill("input[name=password]", PASSWORD)
        await page.click("main button[type=submit]")
        await expect(page.locator("h1")).to_have_text("Queues")
        await page.goto(closed.replace("127.0.0.1", "localhost"))  # another site to the browser
        await expect(page.locator("h1")).to_have_text("Log in")
        await page.evaluate("(address) => { location.href = address; }", f"{closed}/queues")
        await expect(page.locator("h1")).to_have_text("Queues")
    finally:
        await context.close()
