"""The page of jobs: filters, facets, cursors, what came since, and what is hidden from whom."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.dashboard.shop import Shop
from tests.dashboard.stage import Stage
from umbel.dashboard.options import Options

LINK = re.compile(r'href="([^"]+)"')


def links(page: httpx.Response) -> list[dict[str, list[str]]]:
    """The queries of the links of *page* to jobs."""
    found = [urlsplit(each.replace("&amp;", "&")) for each in LINK.findall(page.text)]
    return [parse_qs(each.query) for each in found if each.path == "/jobs"]


async def ids(browser: httpx.AsyncClient, **query: object) -> list[str]:
    """The jobs that are asked for."""
    page = await browser.get("/api/v1/jobs", params=query)  # type: ignore[arg-type]
    assert page.status_code == 200, page.text
    return [row["id"] for row in page.json()["rows"]]


async def test_a_filter_finds_jobs_by_state_and_argument(visitor: httpx.AsyncClient, shop: Shop) -> None:
    assert set(await ids(visitor, q="state:failed task:shop.refuse args.0:17")) == {shop.failed[0]}
    assert set(await ids(visitor, q="task:shop.pay", range="1h")) == set(shop.paid)
    page = await visitor.get("/jobs", params={"q": "state:failed args.0:17"})
    assert page.status_code == 200, page.text
    assert shop.failed[0] in page.text
    assert "ValueError" in page.text
    assert shop.failed[1] not in page.text


async def test_what_is_wrong_with_a_filter_is_told_with_the_place(visitor: httpx.AsyncClient) -> None:
    for range in ("", "24h"):
        told = await visitor.get("/api/v1/jobs", params={"q": "state:failed   colour:red", "range": range})
        assert told.status_code == 400
        assert told.json()["position"] == 15
        assert "colour" in told.json()["error"]
    page = await visitor.get("/jobs", params={"q": "state:failed colour:red"})
    assert page.status_code == 400
    assert "<mark>c</mark>olour" in page.text


async def test_facets_are_links_that_change_one_term_of_the_filter(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/jobs", params={"q": "shop OR task:shop.refuse", "range": "1h"})
    narrowed = {"q": ['("shop" OR task:shop.refuse) state:failed'], "range": ["1h"]}
    assert narrowed in links(page)
    page = await visitor.get("/jobs", params={"q": "state:failed queue:default"})
    assert {"q": ["queue:default"]} in links(page)
    assert {"q": ["state:failed"]} in links(page)


async def test_pages_lead_to_older_and_back_to_newer_jobs(visitor: httpx.AsyncClient) -> None:
    first = (await visitor.get("/api/v1/jobs", params={"limit": 3})).json()
    assert await ids(visitor, limit=3, before=first["older"]) == (await ids(visitor, limit=6))[3:]
    page = await visitor.get("/jobs", params={"limit": 3})
    (older,) = [each for each in links(page) if "before" in each]
    top = [str(first["top"])]
    assert older == {"limit": ["3"], "before": [str(first["older"])], "upto": top, "back": ["0"]}
    second = await visitor.get("/jobs", params=dict(older))
    (newer,) = [each for each in links(second) if "upto" in each and "before" not in each]
    assert newer == {"limit": ["3"], "upto": top}


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 201},
        {"limit": 0},
        {"before": -1},
        {"before": 10**30},
        {"upto": "x"},
        {"range": "1y"},
        {"sort": "oldest"},
    ],
)
async def test_absurd_cursors_and_limits_are_refused(visitor: httpx.AsyncClient, query: dict[str, str]) -> None:
    for path in ("/jobs", "/api/v1/jobs"):
        assert (await visitor.get(path, params=query)).status_code == 400


async def test_a_page_stays_as_it_is_and_counts_what_came_since(stage: Stage) -> None:
    @stage.app.task(name="shop.pay")
    def pay(order: int) -> int:
        return order

    old = [pay.delay(n).id for n in range(3)]
    await asyncio.to_thread(stage.run, *old)
    async with stage.browsing() as browser:
        top = (await browser.get("/api/v1/jobs")).json()["top"]
        new = [(await pay.adelay(n)).id for n in range(2)]
        await stage.arecord()
        assert set(await ids(browser)) == {*old, *new}
        kept = (await browser.get("/api/v1/jobs", params={"upto": top})).json()
        assert {row["id"] for row in kept["rows"]} == set(old)
        assert (kept["new"], kept["top"]) == (2, top)
        page = await browser.get("/jobs", params={"upto": top}, headers={"HX-Request-Type": "partial"})
        assert "2 new" in page.text
        assert "<html" not in page.text


async def test_arguments_are_hidden_and_cannot_be_looked_for(shop: Shop) -> None:
    async with shop.stage.browsing(Options(show_args=False)) as browser:
        rows = (await browser.get("/api/v1/jobs", params={"q": "task:shop.refuse"})).json()["rows"]
        assert {row["args"] + row["kwargs"] for row in rows} == {""}
        for q in ("args.0:17", "-args.0:17", "(task:x OR arg.order:17)", "header.x:1", "17"):
            told = await browser.get("/api/v1/jobs", params={"q": q})
            assert told.status_code == 400, q
            assert "hidden" in told.json()["error"]
        assert "[17]" not in (await browser.get(f"/jobs/{shop.failed[0]}")).text
