"""What an engine guarantees when many ask at the same time: no more places than there are, and nobody is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

from umbel.contracts.broker import Broker, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.limits import Admission, Entry, LimitHolder, LimitStore
from umbel.model.job import Delivery, Job
from umbel.model.limit import Limit
from umbel.testing.conformance.eventually import soon
from umbel.testing.conformance.limit_stage import LimitStage, at_once, names
from umbel.testing.conformance.stage import QUEUE, ids

CLIENTS = 4
THREE = at_once(3)


class CrowdingConformance(LimitStage):
    """Several clients at once."""

    power: ClassVar = Power.LIMITS

    async def crowd(self, count: int) -> list[tuple[Broker, str, list[Delivery]]]:
        """Several clients, each with a session that has received *count* new jobs."""
        found: list[tuple[Broker, str, list[Delivery]]] = []
        for number in range(CLIENTS):
            await self.send(*names(f"{number}-", count))
            client = self.client()
            session = await self.open(broker=client)
            found.append((client, session, await client.receive(session, [QUEUE], count, wait=0)))
        return found

    async def test_workers_that_ask_at_the_same_time_get_no_more_places_than_there_are(self) -> None:
        crowd = await self.crowd(5)
        calls = [_limits(client).enter(session, _entries(given, THREE)) for client, session, given in crowd]
        answers = [each for found in await soon(asyncio.gather(*calls)) for each in found]
        assert (answers.count("run"), answers.count("held")) == (3, 17)
        assert await self.numbers() == (17, 0, 3)

    async def test_workers_that_leave_at_the_same_time_free_each_place_once(self) -> None:
        limit = at_once(2 * CLIENTS)
        crowd = await self.crowd(2)
        await self.admit(*names("next", 20), limit=limit)
        for client, session, given in crowd:
            assert await _limits(client).enter(session, _entries(given, limit)) == ["held"] * 2
        session = await self.open()
        deliveries = await self.take(session, 50)
        assert len(deliveries) == 2 * CLIENTS
        await self.enter(session, *deliveries, limit=limit)
        await self.settle(session, *(Settlement(each, "end") for each in deliveries))
        left = [(QUEUE, limit, each) for each in ids(deliveries)]
        await soon(asyncio.gather(*(_limits(client).leave(left) for client, _, _ in crowd)))
        assert await self.numbers() == (12, 8, 0)

    async def test_workers_and_producers_that_touch_limits_in_any_order_wait_for_each_other(self) -> None:
        limits = [at_once(2, str(number), turn="turn") for number in range(4)]
        crowd = await self.crowd(4)
        calls: list[Coroutine[Any, Any, object]] = []
        for number, (client, session, given) in enumerate(crowd):
            mixed = limits[number:] + limits[:number]
            jobs = [Job(f"new-{number}-{each.key}", QUEUE, b"") for each in mixed]
            entries = [Entry(delivery, limit) for delivery, limit in zip(given, mixed, strict=True)]
            calls.append(_limits(client).enter(session, entries))
            calls.append(_limits(client).aadmit([Admission(*each) for each in zip(jobs, mixed, strict=True)]))
            calls.append(client.reclaim([QUEUE], 10.0))
        await soon(asyncio.gather(*calls))
        standings = await self.standings()
        assert [each.held + each.out + each.entered for each in standings] == [8] * 4
        assert all(each.entered <= 2 for each in standings)


def _limits(client: Broker) -> LimitStore:
    assert isinstance(client, LimitHolder)
    return client.limit_store


def _entries(deliveries: list[Delivery], limit: Limit) -> list[Entry]:
    return [Entry(each, limit) for each in deliveries]
