"""What the broker suites stand on: the hook, and the few moves their tests are written in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import pytest

from umbel.contracts.broker import Beat, Broker, Ended, Reclaimed, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.ids import new_session
from umbel.model.job import Delivery, Job
from umbel.testing.clock import Clock

QUEUE = "conformance"
OTHER = "conformance-other"
LEASE = 10.0


class BrokerStage:
    """A broker over an engine that is empty when the test starts, a clock to move, and moves on them.

    The hook is `make`. An engine without an injected clock overrides `advance` too, and really waits.
    """

    power: ClassVar[Power | None] = None
    """What an engine must declare to be asked this; None: every engine is. Each suite says it for itself."""

    clock: Clock
    broker: Broker
    _made: list[Broker]

    def make(self, clock: Callable[[], float]) -> Broker:
        """Make a client of the engine under test, whose time is *clock*.

        The engine is empty when a test starts; a second call in the same test makes another client of the same data.
        """
        raise NotImplementedError(f"{type(self).__name__} must define make(clock)")

    def through(self, broker: Broker) -> Broker:
        """The broker as the tests meet it: by default itself, else with something round it, such as faults."""
        return broker

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass for the engine."""
        self.clock.advance(seconds)

    @pytest.fixture(autouse=True)
    async def _stage(self) -> AsyncIterator[None]:
        self._made = []
        self.clock = Clock()
        self.broker = self.through(self.client())
        yield
        for broker in self._made:
            await broker.aclose()
            broker.close()

    def client(self, clock: Callable[[], float] | None = None) -> Broker:
        """One more client of the same engine; closed at the end of the test."""
        broker = self.make(clock or self.clock)
        self._made.append(broker)
        return broker

    async def open(self, *queues: str, broker: Broker | None = None) -> str:
        """Open a new session in *queues* (by default in the usual one) and answer its id."""
        session = new_session()
        beats = [Beat(session)]
        assert await (broker or self.broker).heartbeat(beats, queues or (QUEUE,), LEASE, opening=True) == [True]
        return session

    async def send(self, *job_ids: str, **fields: Any) -> list[Job]:
        """Send jobs with these ids in one call; *fields* are those of `Job`."""
        jobs = [Job(each, fields.get("queue", QUEUE), body(each), **_without_queue(fields)) for each in job_ids]
        await self.broker.asend(jobs)
        return jobs

    async def take(self, session: str, limit: int = 10, queues: Sequence[str] = (QUEUE,)) -> list[Delivery]:
        """Receive what is ready, without waiting."""
        return await self.broker.receive(session, queues, limit, wait=0)

    async def take_one(self, session: str, job_id: str) -> Delivery:
        """Receive exactly one job, which is *job_id*."""
        deliveries = await self.take(session, 1)
        assert ids(deliveries) == [job_id]
        return deliveries[0]

    async def started(self, job_id: str = "job") -> tuple[str, Delivery]:
        """A new session that holds the new job *job_id*."""
        await self.send(job_id)
        session = await self.open()
        return session, await self.take_one(session, job_id)

    async def settle(self, session: str, *settlements: Settlement) -> list[bool]:
        """Settle in one call."""
        return await self.broker.settle(session, settlements)

    async def end(self, session: str, *deliveries: Delivery, record: bytes = b"") -> list[bool]:
        """Settle *deliveries* as ended."""
        return await self.settle(session, *(Settlement(each, "end", record=record) for each in deliveries))

    async def reclaim(self, *ended: Ended, queues: Sequence[str] = (QUEUE,)) -> Reclaimed:
        """Reclaim until nothing moves any more; answers the sums and the last times."""
        promoted = returned = 0
        while True:
            step = await self.broker.reclaim(queues, LEASE, ended)
            promoted, returned = promoted + step.promoted, returned + step.returned
            if not step.promoted + step.returned:
                return Reclaimed(promoted, returned, step.next_due, step.next_deadline)

    async def lapse(self, queues: Sequence[str] = (QUEUE,)) -> Reclaimed:
        """Let the lease of every open session run out, and reclaim.

        Another session goes on beating, so that no engine takes the silence for an outage of its own.
        """
        keeper = await self.open(*queues)
        for _ in range(8):
            await self.advance(LEASE / 4)
            assert await self.broker.heartbeat([Beat(keeper)], queues, LEASE) == [True]
        return await self.reclaim(queues=queues)


def body(job_id: str) -> bytes:
    """The envelope that `BrokerStage.send` gives to a job."""
    return b"envelope of " + job_id.encode()


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """The job ids of *deliveries*, in their order."""
    return [delivery.id for delivery in deliveries]


def _without_queue(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "queue"}
