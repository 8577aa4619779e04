"""Fixtures of the dashboard's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.dashboard.shop import Shop, opened
from tests.dashboard.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage of one's own, on which nothing has happened."""
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def browser(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the dashboard of `stage`."""
    async with stage.browsing() as client:
        yield client


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A stage on which a little of everything has happened; tests only look at it."""
    made = opened(tmp_path_factory.mktemp("shop"))
    yield made
    made.stage.close()


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the dashboard of `shop`."""
    async with shop.stage.browsing() as client:
        yield client
