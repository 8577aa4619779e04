"""What the suites of limits stand on: jobs that are sent under one, ask whether they may start, and leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.limits import Admission, Entry, LimitHolder, LimitStore, Standing
from umbel.contracts.powers import Inspector
from umbel.model.job import Counts, Delivery, Job
from umbel.model.limit import Limit, Pace, Unique
from umbel.testing.conformance.job_stage import JobStage
from umbel.testing.conformance.stage import QUEUE, body, ids
from umbel.testing.conformance.waiting import WaitingStage

TASK = "task"
FORGETTING_SECONDS = 1.5
"""After so long a reclaim forgets the places of jobs that are over, though nobody told it."""


def at_once(count: int, key: str = "", turn: str | None = None) -> Limit:
    """A limit that lets *count* jobs run at once."""
    return Limit(TASK, key, turn, Pace(concurrency=count))


def one_every(seconds: float, burst: int = 1, key: str = "") -> Limit:
    """A limit that lets a job start every so many *seconds*."""
    return Limit(TASK, key, None, Pace(interval=seconds, burst=burst))


class LimitStage(WaitingStage, JobStage):
    """Moves on a broker that keeps limits; the hooks are those of `JobStage`."""

    power: ClassVar[Power | None] = Power.LIMITS

    @property
    def limiter(self) -> LimitStore:
        """The limits of the broker under test."""
        assert isinstance(self.broker, LimitHolder)
        return self.broker.limit_store

    async def admit(self, *job_ids: str, limit: Limit | None = None, **fields: Any) -> list[str]:
        """Send jobs under *limit* in one call; *fields* are those of `Job`, *unique* and *max_length*."""
        unique, length = fields.pop("unique", None), fields.pop("max_length", 0)
        queue = fields.pop("queue", QUEUE)
        jobs = [Job(each, queue, body(each), **fields) for each in job_ids]
        return await self.limiter.aadmit([Admission(job, limit, unique, length) for job in jobs])

    async def enter(
        self, session: str, *deliveries: Delivery, limit: Limit | None = None, unique: Unique | None = None
    ) -> list[str]:
        """Ask in one call whether *deliveries* may start."""
        return await self.limiter.enter(session, [Entry(each, limit, unique) for each in deliveries])

    async def leave(self, limit: Limit, *job_ids: str, queue: str = QUEUE) -> None:
        """Tell in one call that jobs are over."""
        await self.limiter.leave([(queue, limit, each) for each in job_ids])

    async def entered(self, job_id: str, limit: Limit) -> tuple[str, Delivery]:
        """A new session in which the job, which is the next one that is ready, runs under *limit*."""
        session = await self.open()
        delivery = await self.take_one(session, job_id)
        assert await self.enter(session, delivery, limit=limit) == ["run"]
        return session, delivery

    async def finish(self, session: str, delivery: Delivery, limit: Limit, kind: str = "end") -> None:
        """Settle a delivery as *kind* and leave; a retry comes after ten seconds."""
        counts = Counts(retries=delivery.counts.retries + 1) if kind == "retry" else None
        settlement = Settlement(delivery, kind, counts=counts, delay=10.0, task=TASK)  # type: ignore[arg-type]
        assert await self.settle(session, settlement) == [True]
        await self.leave(limit, delivery.id)

    async def all_start(self, session: str, limit: Limit) -> list[str]:
        """Receive and start jobs until no more may start now; answers which did, in order."""
        started: list[str] = []
        while deliveries := await self.take(session, 50):
            answers = await self.enter(session, *deliveries, limit=limit)
            assert set(answers) <= {"run", "held"}
            started += [each.id for each, answer in zip(deliveries, answers, strict=True) if answer == "run"]
        return started

    async def run_in_turn(self, limit: Limit | None = None, limits: dict[str, Limit] | None = None) -> list[str]:
        """Run all jobs that are there, one after the other; answers the order. *limits* are those of single jobs."""
        session, order = await self.open(), list[str]()
        while deliveries := await self.take(session, 1):
            (delivery,) = deliveries
            stood = limit or (limits or {})[delivery.id]
            if await self.enter(session, delivery, limit=stood) == ["run"]:
                order.append(delivery.id)
                await self.finish(session, delivery, stood)
        return order

    async def forget(self) -> None:
        """Reclaim, after so long that the places of jobs that are over are forgotten."""
        await self.advance(FORGETTING_SECONDS)
        await self.reclaim()

    async def numbers(self, key: str = "", queue: str = QUEUE) -> tuple[int, int, int]:
        """How many jobs of a limit are held, out and in; none if it is not listed."""
        found = {each.limit.key: each for each in await self.standings(queue)}.get(key)
        return (0, 0, 0) if found is None else (found.held, found.out, found.entered)

    async def standings(self, queue: str = QUEUE, limit: int = 100) -> list[Standing]:
        """All limits of a queue, asked for in pages in both ways."""
        found: list[Standing] = []
        after = ""
        while page := await self.limiter.alimits(queue, after, limit):
            assert page == self.limiter.limits(queue, after, limit)
            found += [each for _, each in page]
            after = page[-1][0]
            assert len(page) <= limit
        return found

    async def held(self, *job_ids: str) -> bool:
        """Whether exactly these jobs are held, as the list and the count say."""
        assert isinstance(self.broker, Inspector)
        (counts,) = await self.broker.counts([QUEUE])
        listed = [each.id for each in await self.listed("held")]
        assert counts.held == len(listed)
        return sorted(listed) == sorted(job_ids)

    async def is_ready(self, *job_ids: str) -> bool:
        """Whether exactly these jobs are ready, in any order."""
        return sorted(each.id for each in await self.listed("ready")) == sorted(job_ids)


def names(prefix: str, count: int) -> list[str]:
    """Ids of jobs: *prefix* and a number from 0 on."""
    return [f"{prefix}{number}" for number in range(count)]


def running(deliveries: Sequence[Delivery], answers: Sequence[str]) -> list[str]:
    """Which of *deliveries* may run."""
    return [job_id for job_id, answer in zip(ids(deliveries), answers, strict=True) if answer == "run"]
