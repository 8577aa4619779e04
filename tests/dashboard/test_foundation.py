"""What every page is: HTML for people, JSON for programs."""

from __future__ import annotations

import httpx

from umbel.dashboard.routes import PAGES


async def test_a_page_is_html_and_json(visitor: httpx.AsyncClient) -> None:
    html = await visitor.get("/queues")
    assert html.status_code == 200, html.text
    assert "default" in html.text
    told = await visitor.get("/api/v1/queues")
    assert [queue["name"] for queue in told.json()["queues"]] == ["default"]


def test_every_page_has_its_place_in_the_navigation() -> None:
    sections = {page.section for page in PAGES if page.section}
    assert [page.path for page in PAGES if (page.section or page.within) not in sections] == []


async def test_a_page_within_a_section_shows_where_it_is(visitor: httpx.AsyncClient) -> None:
    assert '/queues" aria-current="page"' in (await visitor.get("/queues")).text
    assert '/queues" aria-current="true"' in (await visitor.get("/queue?name=default")).text
