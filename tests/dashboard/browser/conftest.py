"""Fixtures of the tests that look at the dashboard through a browser; all of a process share one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.dashboard.browser.chrome import chrome
from tests.dashboard.browser.market import Market, opened
from tests.dashboard.browser.served import served


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser; make a context of it with `chrome.watched`."""
    async with chrome() as browser:
        yield browser


@pytest.fixture(scope="package")  # its worker is a thread of this process, which tests elsewhere would meet
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """An app with a day of history, and a worker that runs a job; tests only look at it."""
    with opened(tmp_path_factory.mktemp("market")) as found:
        yield found


@pytest.fixture(scope="package")
def address(market: Market) -> Iterator[str]:
    """Where the dashboard of `market` answers."""
    with served(market.stage) as found:
        yield found
