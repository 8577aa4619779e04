"""The pages of schedules: rules in words, next ticks, and what is done to them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from tests.dashboard.stage import Stage
from umbel.dashboard.pages.schedules import words_of
from umbel.schedules import crontab


@pytest.fixture
def nightly(stage: Stage) -> Stage:
    """A stage with a stored schedule at three o'clock in Berlin, and one each 30 seconds."""

    @stage.app.task(name="shop.report")
    def report(day: str = "") -> str:
        return day

    stage.app.schedules.add("night/report", crontab(hour=3, minute=0), "shop.report", timezone="Europe/Berlin")
    stage.app.schedules.add("often", timedelta(seconds=30), "shop.report")
    return stage


async def test_a_schedule_is_shown_with_its_next_runs(nightly: Stage, browser: httpx.AsyncClient) -> None:
    found = {each["name"]: each for each in (await browser.get("/api/v1/schedules")).json()["schedules"]}
    night, often = found["night/report"], found["often"]
    assert (night["state"], night["zone"], night["source"]) == ("on", "Europe/Berlin", "stored")
    assert night["watermark"] == nightly.app.schedules.get("night/report").watermark.timestamp()  # type: ignore[union-attr]
    assert 0 <= datetime.now(UTC).timestamp() - night["watermark"] < 600  # it was stored, and has met no tick since
    assert night["words"] == "At 03:00 every day"
    moments = [datetime.fromtimestamp(tick, UTC) for tick in night["next"]]
    assert len(moments) == 5
    assert {later - earlier for earlier, later in pairwise(moments)} <= {
        timedelta(hours=hours) for hours in (23, 24, 25)
    }
    assert [round(b - a) for a, b in pairwise(often["next"])] == [30] * 4
    page = (await browser.get("/schedules")).text
    assert 'href="/schedule?name=night%2Freport"' in page
    one = (await browser.get("/schedule", params={"name": "night/report"})).text
    assert "03:00:00 CE" in one
    assert "Settled up to" in one
    assert one.count('data-here="Europe/Berlin"') == 5  # the reader's own time is put in there


async def test_a_schedule_is_run_paused_and_resumed(nightly: Stage, browser: httpx.AsyncClient) -> None:
    sent = (await browser.post("/api/v1/schedules/run", data={"name": "often"})).json()
    await asyncio.to_thread(nightly.run, *sent["ids"])
    assert nightly.app.AsyncResult(sent["ids"][0]).get() == ""
    await browser.post("/api/v1/schedules/pause", data={"name": "often"})
    assert nightly.app.schedules.get("often").paused
    (_, often) = (await browser.get("/api/v1/schedules")).json()["schedules"]
    assert (often["state"], often["next"]) == ("paused", [])
    await browser.post("/api/v1/schedules/resume", data={"name": "often"})
    assert not nightly.app.schedules.get("often").paused


async def test_what_is_not_there_is_refused(nightly: Stage, browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/schedule", params={"name": "daily"})).status_code == 404
    assert (await browser.post("/api/v1/schedules/run", data={"name": "daily"})).status_code == 409


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("crontab */5 * * * *", "Every fifth minute of every hour"),
        ("every 30", "Every 30 s"),
        ("every 5400 relative", "Every 1 h 30 min"),
        ("every so often", ""),
        ("crontab nonsense", ""),
        ("solar sunset 1 2", ""),
    ],
)
def test_cron_text_is_told_in_words(rule: str, words: str) -> None:
    assert words_of(rule) == words
