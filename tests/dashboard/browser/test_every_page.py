"""Every page there is: nothing is wrong with it, it fits small screens, and everybody can use it."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.dashboard.browser.chrome import watched
from tests.dashboard.browser.market import Market

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_page_opens(chromium: Browser, address: str, market: Market) -> None:
    async with watched(chromium, address) as browsing:
        page = await browsing.page("/queues")
        assert await page.title() == "Queues · Umbel"
