"""Charts, groups of errors and the graph of a flow, as they are seen, and as they change by themselves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.dashboard.browser.chrome import watched
from tests.dashboard.browser.served import served
from tests.dashboard.stage import Stage
from umbel import chain, chord, group

pytestmark = pytest.mark.asyncio(loop_scope="session")


def tasks_of(stage: Stage) -> tuple[Any, Any]:
    """A task that works, and one that does not until its ``closed`` is False."""

    @stage.app.task(name="shop.pay")
    def pay(order: Any) -> Any:
        return order

    @stage.app.task(name="shop.refuse")
    def refuse(order: int) -> int:
        if getattr(refuse, "closed", True):
            raise ValueError(f"order {order} is refused")
        return order

    return pay, refuse


async def live(page: Page) -> None:
    """Wait until *page* hears of changes."""
    await expect(page.locator("#signal")).to_have_attribute("data-signal", "live")


async def test_charts_go_on_while_the_reader_looks_at_them(chromium: Browser, stage: Stage) -> None:
    pay, _ = tasks_of(stage)
    await stage.arun((await pay.adelay(1)).id)
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/?range=15m")
            await live(page)
            plot = page.locator("#chart-throughput .plot")
            await expect(plot.locator("canvas")).to_have_count(1)
            await plot.locator("canvas").evaluate("(canvas) => { canvas.seen = true; }")
            before = await plot.get_attribute("data-chart")
            note = page.locator("a.figure", has_text="Failed").locator(".note")
            await expect(note).to_have_text("0 % of 1")
            await stage.arun((await pay.adelay(2)).id, (await pay.adelay(3)).id)
            await expect(note).to_have_text("0 % of 3")
            await expect(plot).not_to_have_attribute("data-chart", before or "")
            assert await plot.locator("canvas").evaluate("(canvas) => canvas.seen"), "the chart was drawn anew"
            await plot.locator(".u-over").click(position={"x": 200, "y": 60})
            await page.wait_for_url("**/jobs?q=*since*until*")


async def test_an_error_is_resolved_and_comes_back_as_regressed(chromium: Browser, stage: Stage) -> None:
    _, refuse = tasks_of(stage)
    await stage.arun((await refuse.adelay(1)).id)
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/errors")
            await page.get_by_role("link", name="ValueError").click()
            state = page.locator("dl .state").first
            await expect(state).to_have_text("open")
            await live(page)
            await page.get_by_role("button", name="Resolve").click()
            await expect(state).to_have_text("resolved")
            await expect(page.locator("#notices")).to_contain_text("Resolved")
            await stage.arun((await refuse.adelay(2)).id)
            await expect(state).to_have_text("regressed")
            await expect(page.locator("pre.code")).to_contain_text("order 2 is refused")
            await page.get_by_role("button", name="Mute").click()
            await expect(state).to_have_text("muted")


async def test_a_flow_is_drawn_moved_and_cancelled(chromium: Browser, stage: Stage) -> None:
    pay, _ = tasks_of(stage)
    handle = await chord(group(pay.s(n).set(countdown=3_600) for n in range(300)), pay.s()).adelay()
    await stage.arecord()
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/flows")
            await page.get_by_role("link", name="shop.pay").first.click()
            await live(page)
            svg = page.locator("#graph")
            nodes = svg.locator("a.node")
            await expect(nodes).to_have_count(2)
            assert await nodes.locator("text").first.text_content() == "300 x shop.pay"
            places = [await node.locator("rect").bounding_box() for node in await nodes.all()]
            assert all(one and two and one["x"] + one["width"] < two["x"] for one, two in pairwise(places))
            assert await svg.locator(".arrows path").evaluate("(path) => getComputedStyle(path).fill") == "none"
            wide = (await svg.bounding_box() or {"width": 0})["width"]
            assert wide > 0
            await page.get_by_role("button", name="Larger").click()
            # As the reader chose it, also when the page was shown anew: a moment later, as here.
            larger = "(wide) => document.getElementById('graph').getBoundingClientRect().width > 1.2 * wide"
            await page.wait_for_function(larger, arg=wide)
            await page.get_by_role("button", name="Cancel the rest").click()
            await page.get_by_role("dialog").get_by_role("button", name="Cancel the rest").click()
            await expect(page.locator("dl .state").first).to_have_text("revoked")
            await page.wait_for_function(larger, arg=wide)
            await nodes.first.press("Enter")
            await page.wait_for_url("**/jobs?q=flow*")
    found = await stage.app.flows.aget(handle.id)
    assert found is not None
    assert found.state == "revoked"


async def test_a_flow_is_retried_after_a_look_at_what_would_run(chromium: Browser, stage: Stage) -> None:
    pay, refuse = tasks_of(stage)
    handle = await chain(pay.s(7), refuse.s(), pay.s()).adelay()
    await stage.arun(handle.id)
    refuse.closed = False
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page(f"/flows/{handle.id}")
            await page.get_by_role("link", name="Retry from where it failed").click()
            await expect(page.locator("#live")).to_contain_text("2 jobs would run again")
            await page.get_by_role("button", name="Run these again").click()
            await page.locator("dl", has_text="Retried as").locator("a[href*='/flows/']").click()
            state = page.locator("dl .state").first
            await expect(state).to_have_text("running")
            await live(page)
            again = await stage.app.flows.aretry(handle.id)
            await stage.arun(again.result.id)
            await expect(state).to_have_text("succeeded")
            await expect(page.locator("#graph a.node.ok")).to_have_count(2)
