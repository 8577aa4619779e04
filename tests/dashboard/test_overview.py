"""The overview: figures of a window, and what needs somebody."""

from __future__ import annotations

import httpx

from tests.dashboard.shop import Shop


async def test_the_overview_tells_how_it_goes(visitor: httpx.AsyncClient, shop: Shop) -> None:
    told = (await visitor.get("/api/v1/")).json()
    assert told["trouble"] == []
    tiles = told["tiles"]
    assert tiles["ended"] == 12
