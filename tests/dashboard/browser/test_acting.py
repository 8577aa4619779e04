"""What is done in a browser happens in the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.dashboard.browser.chrome import watched
from tests.dashboard.browser.served import served
from tests.dashboard.stage import Stage
from tests.dashboard.test_job_actions import Till
from tests.system.harness import Workers

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path)
    yield made
    made.stage.close()


async def test_failures_are_found_by_argument_and_retried_one_and_all(chromium: Browser, till: Till) -> None:
    failed = [till.pay.delay(order).id for order in (17, 18, 19)]
    await asyncio.to_thread(till.stage.run, *failed)
    till.closed = False
    history = till.stage.history
    with served(till.stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/jobs")
            await page.keyboard.press("/")
            await page.keyboard.type("args.0:17")
            await page.keyboard.press("Enter")
            await expect(page.locator("tr[data-row]")).to_have_count(1)
            await page.keyboard.press("j")
            await page.keyboard.press("Enter")
            await expect(page.locator("#error")).to_contain_text("the till is closed")

            await page.get_by_role("button", name="Retry").dblclick()
            await expect(page.locator(".notice").first).to_contain_text("Sent again as")
            await till.stage.arecord()
            (again,) = [row.id for row in history.jobs("state:queued").rows]
            await asyncio.to_thread(till.stage.run, again)
            assert till.paid == [17]
            await expect(page.locator("#relatives")).to_contain_text("succeeded")

            await page.goto(f"{address}/jobs?q=state:failed")
            await page.get_by_role("link", name="Retry all").click()
            await expect(page.locator("#count")).to_have_text("3")
            await page.get_by_role("button", name="Retry all").click()
            await page.get_by_role("dialog").get_by_role("button", name="Retry all").click()
            await page.get_by_role("link", name="See it").click()
            await expect(page.locator("#state")).to_contain_text("done")
            await till.stage.arecord()
            await asyncio.to_thread(till.stage.run, *(row.id for row in history.jobs("state:queued").rows))
            assert sorted(till.paid) == [17, 17, 18, 19]


async def test_picked_jobs_are_cancelled(chromium: Browser, till: Till) -> None:
    waiting = [till.pay.delay(order) for order in range(3)]
    await till.stage.arecord()
    with served(till.stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/jobs")
            for job in waiting[:2]:
                await page.locator(f'input.pick[value="{job.id}"]').check()
            await page.get_by_role("button", name="Cancel").click()
            await expect(page.locator(".notice").first).to_contain_text("Cancelled 2 jobs")
            assert [each.state for each in waiting] == ["REVOKED", "REVOKED", "PENDING"]
            await till.stage.arecord()
            await expect(page.locator("#live .state", has_text="cancelled")).to_have_count(2)

            await page.locator(f'input.pick[value="{waiting[0].id}"]').check()
            await page.get_by_role("button", name="Delete records").click()
            question = page.locator("#delete-picked")
            await expect(question.get_by_role("button", name="Delete the records")).to_be_disabled()
            await question.locator("input[name=typed]").fill("delete")
            await question.get_by_role("button", name="Delete the records").click()
            await expect(page.locator(".notice").first).to_contain_text("Deleted the record of 1 job")
            await expect(page.locator(".picked")).to_be_hidden()
            assert till.stage.history.job(waiting[0].id) is None
            assert till.stage.history.job(waiting[1].id) is not None


async def have_titles(those: Locator, *titles: str) -> None:
    """Wait until there are so many of *those*, with these titles."""
    for place, title in enumerate(titles):
        await expect(those.nth(place)).to_have_attribute("title", title)
    await expect(those).to_have_count(len(titles))


async def test_a_full_list_stays_and_counts_what_comes(chromium: Browser, till: Till) -> None:
    old = [(await till.pay.adelay(order)).id for order in range(3)]
    await till.stage.arecord()
    with served(till.stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/jobs?limit=2")
            shown = page.locator("tr[data-row] td:nth-child(3) a")
            await have_titles(shown, old[2], old[1])
            await till.stage.app.control.arevoke(old[2])
            new = (await till.pay.adelay(3)).id
            await till.stage.arecord()
            await expect(page.locator("#new")).to_have_text("1 new")
            await expect(page.locator("tr[data-row]").first).to_contain_text("cancelled")
            await have_titles(shown, old[2], old[1])
            await page.locator("#new").click()
            await expect(shown.first).to_have_attribute("title", new)
            await page.get_by_role("link", name="Older").click()
            await have_titles(shown, old[1], old[0])
            await page.get_by_role("link", name="Newer").click()
            await expect(shown.first).to_have_attribute("title", new)


async def test_a_running_job_is_terminated(chromium: Browser, stage: Stage, tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    try:
        started = workers.start(
            "--processes=1",
            app="told_tasks",
            UMBEL_TEST_BROKER=stage.app.conf.broker_url,
            UMBEL_TEST_HEARD=str(tmp_path / "heard"),
        )
        await asyncio.to_thread(started.wait_ready)
        job = stage.app.send_task("told_tasks.async", (str(tmp_path / "door"),))
        await asyncio.to_thread(stage.until, lambda: job.state == "HALF")
        await stage.arecord()
        with served(stage) as address:
            async with watched(chromium, address) as browsing:
                page = await browsing.page(f"/jobs/{job.id}")
                await expect(page.locator("#state")).to_contain_text("running")
                await be_quiet_and_resume(page, address)
                await page.goto(f"{address}/jobs/{job.id}")
                await page.get_by_role("button", name="Terminate").click()
                await page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
                await expect(page.locator(".notice").first).to_contain_text("Cancelled 1 job")
                await asyncio.to_thread(stage.until, lambda: job.state == "REVOKED")
                await asyncio.to_thread(stage.until, lambda: asyncio.run(over(stage, job.id)))
                await expect(page.locator("#state")).to_contain_text("cancelled")
    finally:
        await asyncio.to_thread(workers.end)


async def be_quiet_and_resume(page: Page, address: str) -> None:
    """The one worker receives nothing for a while; what it runs goes on."""
    await page.goto(f"{address}/workers")
    await page.get_by_role("button", name="Quiet").click()
    await expect(page.locator(".notice").first).to_contain_text("receives nothing more")
    card = page.locator("#live section.card")
    await expect(card.locator(".state").first).to_contain_text("quiet")
    await expect(card).to_contain_text("told_tasks.async")
    await page.get_by_role("button", name="Resume").click()
    await expect(card.locator(".state").first).to_contain_text("online")


async def over(stage: Stage, job_id: str) -> bool:
    """Whether it is recorded that the job has ended."""
    await stage.arecord()
    found = stage.history.job(job_id)
    return found is not None and found.job.finished is not None
