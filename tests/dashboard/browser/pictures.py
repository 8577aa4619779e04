"""`python -m tests.dashboard.browser.pictures`: take the pictures of the dashboard that are in docs."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.async_api import Browser, expect

from tests.dashboard.browser.chrome import chrome, watched
from tests.dashboard.browser.market import Market, opened
from tests.dashboard.browser.served import served

FOLDER: Final = Path(__file__).parents[3] / "docs" / "pictures"
MAX_BYTES: Final = 150_000
COLOURS: Final = 96
VIEW: Final = {"width": 1280, "height": 800}


async def take(browser: Browser, address: str, path: str, theme: Literal["light", "dark"]) -> bytes:
    """The page at *path* in *theme*, as PNG in few colours."""
    async with watched(browser, address, viewport=VIEW, color_scheme=theme) as browsing:
        page = await browsing.page(path)
        await expect(page.locator("#signal")).to_have_attribute("data-signal", "live")
        for plot in await page.locator(".plot").all():
            await plot.locator("canvas").wait_for()
        shot = Image.open(io.BytesIO(await page.screenshot()))
    small = io.BytesIO()
    shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


async def main(market: Market, address: str) -> None:
    """Take all of them. Exits if one is too large for a repository."""
    wanted: tuple[tuple[str, str, Literal["light", "dark"]], ...] = (
        ("overview", "/", "light"),
        ("overview-dark", "/", "dark"),
        ("jobs", "/jobs?q=state:failed", "light"),
        ("job", f"/jobs/{market.failed}", "light"),
        ("flow", f"/flows/{market.flow}", "light"),
    )
    FOLDER.mkdir(exist_ok=True)
    await market.stage.arecord()
    async with chrome() as browser:
        for name, path, theme in wanted:
            found = await take(browser, address, path, theme)
            if len(found) > MAX_BYTES:
                raise SystemExit(f"{name} has {len(found)} bytes")
            (FOLDER / f"{name}.png").write_bytes(found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, opened(Path(place)) as there, served(there.stage) as where:
        asyncio.run(main(there, where))
