"""What a reader does with his hands: keys, themes, picking rows, copying, actions."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from playwright.async_api import Browser, Page, TimeoutError, expect

from tests.dashboard.browser.chrome import watched
from tests.dashboard.browser.market import Market
from tests.dashboard.browser.served import served
from tests.dashboard.stage import DEADLINE_SECONDS, Stage
from umbel.dashboard.live import stream
from umbel.dashboard.options import Options

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def press(page: Page, *keys: str) -> None:
    """Press *keys*, one after the other."""
    for key in keys:
        await page.keyboard.press(key)


async def go(page: Page, key: str, address: str) -> None:
    """Go to another page by its keys; between the two no more than a moment may pass, which a busy machine takes."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            await press(page, "g", key)
            with contextlib.suppress(TimeoutError):
                return await page.wait_for_url(address, timeout=2_000)


async def theme_of(page: Page) -> str:
    """The theme that the server has written into *page*."""
    return await page.locator("html").get_attribute("data-theme") or ""


async def test_everything_is_reached_by_keys(chromium: Browser, market: Market, address: str) -> None:
    async with watched(chromium, address) as browsing:
        page = await browsing.page("/jobs")
        await press(page, "?")
        await expect(page.locator("#keys")).to_be_visible()
        await press(page, "j", "Escape")
        await expect(page.locator("tr:focus")).to_have_count(0)
        await press(page, "/")
        await page.keyboard.type("state:failed x")
        await press(page, "Backspace", "Backspace", "Enter")
        await page.wait_for_url("**/jobs?q=state%3Afailed*")
        await press(page, "j", "j", "k", "x")
        await expect(page.locator("tbody tr:focus input.pick")).to_be_checked()
        await expect(page.locator("[data-picked]")).to_be_visible()
        await expect(page.locator("[data-picked-count]")).to_have_text("1")
        await press(page, "Enter")
        await page.wait_for_url("**/jobs/*")
        await go(page, "q", "**/queues")
        await press(page, "p")
        await expect(page.locator("#signal")).to_have_attribute("data-signal", "paused")
        await press(page, "p")
        await expect(page.locator("#signal")).to_have_attribute("data-signal", "live")


FOCUS = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const [look, box] = [getComputedStyle(at), at.getBoundingClientRect()];
  const drawn = at.querySelector("rect");
  const seen = look.outlineStyle !== "none" || (drawn && getComputedStyle(drawn).strokeWidth === "3px");
  return { text: at.innerText ?? "", seen, shown: box.bottom > 0 && box.top < innerHeight && box.width > 0 };
}"""
MOST_STOPS = 200


@pytest.mark.parametrize("path", ["/dead", "/workers", "/flows/"])
async def test_tab_goes_through_a_page_and_out_of_it_and_is_always_seen(
    chromium: Browser, market: Market, address: str, path: str
) -> None:
    async with watched(chromium, address, viewport={"width": 1366, "height": 860}) as browsing:
        page = await browsing.page(path + (market.flow if path == "/flows/" else ""))
        await press(page, "Tab")
        assert (await page.evaluate(FOCUS))["text"] == "To the content"
        await press(page, "Enter")
        await expect(page.locator("#main")).to_be_focused()
        stops = 0
        await press(page, "Tab")
        while (stop := await page.evaluate(FOCUS)) is not None:
            stops += 1
            assert stop["seen"], stop
            assert stop["shown"], stop
            assert stops < MOST_STOPS, "it is a trap"
            await press(page, "Tab")
        assert stops > 3


async def test_an_action_is_asked_about_and_taken_back_by_keys_alone(chromium: Browser, stage: Stage) -> None:
    await stage.app.asend_task("shop.pay", (1,), queue="orders")
    await stage.arecord()
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/queues")
            purge = page.locator("tr", has_text="orders").get_by_role("button", name="Purge")
            dialog = page.get_by_role("dialog")
            for key in ("Enter", "Space"):
                await purge.focus()
                await press(page, key)
                await expect(dialog).to_be_visible()
                assert await page.evaluate("document.activeElement.closest('dialog') !== null")
                await press(page, "Escape")
                await expect(dialog).to_have_count(0)
                await expect(purge).to_be_focused()
            pause = page.locator("tr", has_text="orders").get_by_role("button", name="Pause")
            await pause.focus()
            await press(page, "Enter")
            await expect(page.locator("td .state")).to_have_text("paused")
            await press(page, "Tab")  # from where the reader was
            await expect(purge).to_be_focused()


async def test_keys_can_be_switched_off(chromium: Browser, market: Market, address: str) -> None:
    async with watched(chromium, address) as browsing:
        page = await browsing.page("/jobs")
        await press(page, "?")
        await page.locator("#keys-on").uncheck()
        await page.locator("#keys").get_by_role("button", name="Close").click()
        await page.reload()
        await press(page, "j", "g", "q")
        await expect(page.locator("tr:focus")).to_have_count(0)
        assert page.url == f"{address}/jobs"
        await press(page, "?")
        await page.locator("#keys-on").check()
        await press(page, "Escape", "j")
        await expect(page.locator("tr:focus")).to_have_count(1)


async def test_a_theme_stays_and_never_flashes(chromium: Browser, market: Market, address: str) -> None:
    async with watched(chromium, address, color_scheme="dark") as browsing:
        page = await browsing.page("/queues")
        dark = await page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
        assert await theme_of(page) == "auto"
        await page.locator("#theme").click()
        assert await theme_of(page) == "light"
        light = await page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
        assert light != dark
        answer = await page.reload()
        assert answer is not None
        assert 'data-theme="light"' in await answer.text()  # by the server: no script decides it
        await press(page, "t", "t")
        await page.reload()
        assert await theme_of(page) == "auto"


async def test_ticks_are_also_told_in_the_time_zone_of_whoever_reads(
    chromium: Browser, market: Market, address: str
) -> None:
    async with watched(chromium, address, timezone_id="Asia/Tokyo") as browsing:
        page = await browsing.page("/schedule?name=nightly-report")
        await expect(page.locator("time[data-here]").first).to_contain_text("12:00:00 GMT+9 here")


async def test_rows_between_two_are_picked_with_shift(chromium: Browser, market: Market, address: str) -> None:
    async with watched(chromium, address) as browsing:
        page = await browsing.page("/jobs?q=state:failed")
        picks = page.locator("input.pick")
        await picks.nth(1).click()
        await picks.nth(4).click(modifiers=["Shift"])
        await expect(page.locator("[data-picked-count]")).to_have_text("4")
        await page.locator("#picks").check()
        await expect(page.locator("[data-picked-count]")).to_have_text(str(await picks.count()))
        await page.locator("#picks").uncheck()
        await expect(page.locator("[data-picked]")).to_be_hidden()


async def test_an_id_is_copied_even_where_the_browser_has_no_clipboard_for_pages(
    chromium: Browser, market: Market, address: str
) -> None:
    async with watched(chromium, address) as browsing:
        await browsing.context.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page = await browsing.page(f"/jobs/{market.failed}")
        await page.locator(f'button[data-copy="{market.failed}"]').first.click()
        await page.goto(f"{address}/jobs")
        await page.locator("#filter").focus()
        await press(page, "Control+v")
        await expect(page.locator("#filter")).to_have_value(market.failed)


async def test_an_action_tells_what_it_did_and_one_that_destroys_wants_the_name(
    chromium: Browser, stage: Stage
) -> None:
    for number in range(3):
        await stage.app.asend_task("shop.pay", (number,), queue="orders")
    await stage.arecord()
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/queues")
            row = page.locator("tr", has_text="orders")
            await row.get_by_role("button", name="Pause").click()
            await expect(page.locator("#notices")).to_contain_text("Paused orders")
            await expect(row.locator(".state")).to_have_text("paused")
            await row.get_by_role("button", name="Purge").click()
            dialog = page.get_by_role("dialog")
            confirm = dialog.get_by_role("button", name="Purge")
            await expect(confirm).to_be_disabled()
            await dialog.get_by_role("textbox").press_sequentially("orders")
            await expect(confirm).to_be_enabled()
            async with page.expect_response(lambda answer: answer.request.headers.get("hx-request-type") == "partial"):
                pass  # the page is shown anew meanwhile
            await expect(dialog.get_by_role("textbox")).to_have_value("orders")
            await confirm.click()
            await expect(dialog).to_have_count(0)
            await expect(row.locator("td.number").first).to_have_text("0")


async def test_a_page_that_gets_no_stream_asks_again_and_again(
    chromium: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 0)
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            browsing.allowed.add("status of 503")
            page = await browsing.page("/queues")
            await expect(page.locator("#signal")).to_have_attribute("data-signal", "polling")
            async with page.expect_request(lambda request: request.headers.get("hx-request-type") == "partial"):
                pass


async def test_everything_stays_under_the_prefix_of_a_dashboard(chromium: Browser, stage: Stage) -> None:
    await stage.app.asend_task("shop.pay", (1,))
    await stage.arecord()
    with served(stage, Options(prefix="/umbel")) as address:
        async with watched(chromium, f"{address}/umbel") as browsing:
            page = await browsing.page("/jobs")
            await expect(page.locator("#signal")).to_have_attribute("data-signal", "live")
            link = page.locator("tbody tr a").first
            assert (await link.get_attribute("href") or "").startswith("/umbel/")
            await link.click()
            await page.wait_for_url(lambda url: url != f"{address}/umbel/jobs")
            await press(page, "t")
            await go(page, "q", "**/umbel/queues")
            assert await theme_of(page) == "light"
            await page.get_by_role("button", name="Pause", exact=True).click()
            await expect(page.locator("td .state")).to_have_text("paused")
            assert [each.get("path") for each in await browsing.context.cookies()] == ["/umbel"]
