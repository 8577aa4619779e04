"""A server is asked whether its settings endanger jobs."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers import Redis, Server, Service
from umbel.brokers.redis import RedisBroker
from umbel.contracts.powers import Advisor
from umbel.settings import Settings


async def advice(url: str) -> list[str]:
    broker = RedisBroker(url, Settings())
    assert isinstance(broker, Advisor)
    found = await broker.advice()
    await broker.aclose()
    return found


async def test_a_server_that_keeps_jobs_needs_no_advice(launch: Callable[[Service], Server]) -> None:
    assert await advice(launch(Redis(appendonly="everysec")).url) == []


async def test_a_server_that_may_lose_jobs_is_found_out(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis(config=("maxmemory-policy allkeys-lru",)))
    policy, appendonly = await advice(server.url)
    assert policy.startswith("maxmemory-policy is allkeys-lru")
    assert appendonly.startswith("appendonly is off")
