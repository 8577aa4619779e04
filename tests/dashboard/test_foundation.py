"""What every page is: HTML for people, JSON for programs."""

from __future__ import annotations

import httpx


async def test_a_page_is_html_and_json(visitor: httpx.AsyncClient) -> None:
    html = await visitor.get("/queues")
    assert html.status_code == 200, html.text
    assert "default" in html.text
    told = await visitor.get("/api/v1/queues")
    assert [queue["name"] for queue in told.json()["queues"]] == ["default"]
