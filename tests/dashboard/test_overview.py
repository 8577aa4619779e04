"""The overview: figures of a window, and what needs somebody."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.dashboard.shop import Shop
from tests.dashboard.stage import HOST, Stage
from umbel import Umbel
from umbel.app.schedules import ScheduleView
from umbel.dashboard.figures import POINTS
from umbel.dashboard.options import Options
from umbel.dashboard.pages.overview import current, late
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.history import History
from umbel.history.views import Point, Series

CHARTS = ("throughput", "wait", "run", "depth")


async def read(client: httpx.AsyncClient, path: str) -> Any:
    """What the API says under *path*."""
    answer = await client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def line(chart: Any, label: str) -> list[float | None]:
    """One line of a chart."""
    (found,) = [each for each in chart["lines"] if each["label"] == label]
    values: list[float | None] = found["values"]
    return values


async def test_the_overview_tells_how_it_goes(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/")
    assert told["trouble"] == []
    tiles = told["tiles"]
    assert (tiles["ended"], tiles["failed"], tiles["failing"]) == (12, 4, pytest.approx(1 / 3))
    assert tiles["rate"] == pytest.approx(12 / 3_600)
    names = {each["name"]: each["failed"] for each in told["tasks"]}
    assert names == {"shop.pay": 0, "shop.refuse": 3, "shop.label": 1, "shop.pack": 0}
    (group,) = told["errors"]
    assert (group["type"], group["count"]) == ("ValueError", 4)


async def test_charts_have_a_value_for_every_step_and_not_too_many(visitor: httpx.AsyncClient) -> None:
    for query in ("range=15m", "range=1h", "range=24h", "range=7d", "from=400d"):
        told = await read(visitor, f"/?{query}")
        for name in CHARTS:
            chart = told[name]
            assert 2 < len(chart["times"]) <= POINTS + 1, query
            assert {len(each["values"]) for each in chart["lines"]} == {len(chart["times"])}
            steps = {b - a for a, b in zip(chart["times"], chart["times"][1:], strict=False)}
            assert steps == {chart["span"]}


async def test_a_chart_has_what_happened_where_it_happened(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/?range=1h")
    throughput = told["throughput"]
    for label, jobs in (("succeeded", 8), ("failed", 4)):
        found = [value for value in line(throughput, label) if value]
        assert sum(found) * throughput["span"] == pytest.approx(jobs)
    assert throughput["unfinished"]
    waits = [value for value in line(told["wait"], "wait p95") if value is not None]
    assert waits
    assert all(value < 60 for value in waits)


async def test_the_page_links_to_the_jobs_of_the_window(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/?range=6h")
    assert page.status_code == 200
    assert "/jobs?q=state%3Afailed%2Cdead+since%3A6h" in page.text
    assert "/task?range=6h&amp;name=shop.pay" in page.text


async def test_what_nobody_serves_is_told_with_its_depth(stage: Stage) -> None:
    @stage.app.task(name="mail.send")
    def send(number: int) -> int:
        return number

    for number in range(3):
        await send.aapply_async((number,), queue="mail")
    await stage.arecord()
    async with stage.browsing() as client:
        told = await read(client, "/?range=15m")
    assert [(each["name"], each["ready"]) for each in told["unserved"]] == [("mail", 3)]
    assert told["tiles"]["ready"] == 3
    assert [value for value in line(told["depth"], "ready") if value is not None] == [3.0]
    (age,) = [value for value in line(told["wait"], "oldest ready") if value is not None]
    assert 0 <= age < 60


async def test_without_a_history_the_page_says_what_to_run(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    assert page.status_code == 200
    assert "umbel recorder" in page.text


async def test_without_the_engine_the_history_is_shown(shop: Shop) -> None:
    away = Umbel("shop", "sqlite:////proc/none/umbel.db", set_as_current=False)
    made = site(Station(away, Options(), History(shop.stage.archive)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url=HOST) as client:
        told = await read(client, "/")
        assert told["trouble"]
        assert (told["tiles"]["ended"], told["tiles"]["running"], told["tiles"]["workers"]) == (12, None, None)
        for path in ("/", "/tasks", "/errors", "/flows", f"/flows/{shop.chord}"):
            assert (await client.get(path)).status_code == 200
    await away.aclose()


@pytest.mark.parametrize(
    "query", ["range=2h", "from=yesterday", "from=2h&to=3h", "to=2h&from=2h", "from=900d", "what=1"]
)
async def test_a_window_that_means_nothing_is_refused(visitor: httpx.AsyncClient, query: str) -> None:
    answer = await visitor.get(f"/api/v1/?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_window_of_ones_own_is_kept_in_links(visitor: httpx.AsyncClient, shop: Shop) -> None:
    del shop
    page = await visitor.get("/?from=2026-11-01T00:00&to=2026-11-02T00:00")
    assert page.status_code == 200
    assert "since%3A2026-11-01T00%3A00%3A00Z+until%3A2026-11-02T00%3A00%3A00Z" in page.text


def test_schedules_that_are_overdue_or_were_late_are_told() -> None:
    now = time.time()

    def schedule(name: str, due: float, **more: Any) -> ScheduleView:
        given: dict[str, Any] = {
            "name": name, "rule": "every 60 s", "task": "t", "queue": "q", "source": "code", "app": None,
            "timezone": "UTC", "enabled": True, "paused": False, "misfire": "run_latest", "overlap": "allow",
            "jitter": 0.0, "runs": 1, "next": datetime.fromtimestamp(due, UTC), "last": None, "last_job": "",
            "lateness": 0.0,
        }  # fmt: skip
        return ScheduleView(**(given | more))

    found = late(
        [
            schedule("soon", now + 60),
            schedule("overdue", now - 100),
            schedule("paused", now - 100, paused=True),
            schedule("was late", now + 60, lateness=30.0),
        ],
        now,
    )
    assert [(each.name, each.due is None) for each in found] == [("overdue", False), ("was late", True)]


def test_the_throughput_of_the_last_minute_is_told_beside_that_of_the_window() -> None:
    def point(at: float, succeeded: int, dead: int = 0) -> Point:
        nothing = (None, None, None)
        return Point(at, 10, succeeded, 0, 0, 0, dead, nothing, nothing)

    points = (point(930, 99), point(940, 30), point(990, 24, dead=6), point(1000, 77))
    series = Series(10, 0.0, 1004.0, points)
    assert current(series, 1004.0) == 1.0  # of the six steps that are over; the one that runs is not
    assert current(Series(60, 0.0, 1004.0, (point(900, 60),)), 1004.0) == 1.0
    assert current(Series(10, 0.0, 700.0, points), 1004.0) is None  # what was then is not now
