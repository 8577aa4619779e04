"""A server is asked whether its state and its settings endanger jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.patient import PATIENT
from tests.servers import Redis, Server, Service
from umbel.brokers.redis import RedisBroker
from umbel.contracts.examiner import Examiner
from umbel.model.finding import Finding


async def examined(url: str) -> Sequence[Finding]:
    broker = RedisBroker(url, PATIENT)
    assert isinstance(broker, Examiner)
    found = await broker.examine()
    await broker.aclose()
    return found


async def test_a_server_that_keeps_jobs_needs_no_advice(launch: Callable[[Service], Server]) -> None:
    found = {each.name: each for each in await examined(launch(Redis(appendonly="everysec")).url)}
    assert [each for each in found.values() if each.advice] == []
    assert found["durability"].value == "disk, each second"
    assert {"version", "maxmemory-policy", "memory", "clock"} <= set(found)


async def test_a_server_that_may_lose_jobs_is_found_out(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis(config=("maxmemory-policy allkeys-lru",)))
    appendonly, policy = [each.advice for each in await examined(server.url) if each.advice]
    assert policy.startswith("maxmemory-policy is allkeys-lru")
    assert appendonly.startswith("appendonly is off")
