"""What the suites of single jobs stand on: who revokes, jobs in every place, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from umbel.contracts.broker import Settlement
from umbel.contracts.jobs import JobHolder, JobStore, Listed, Revoked
from umbel.contracts.powers import Inspector, Location, ResultStore
from umbel.model.ids import new_session
from umbel.model.job import Delivery, Doom
from umbel.states import Place
from umbel.testing.conformance.stage import LEASE, QUEUE, BrokerStage

TTL = 60.0


class JobStage(BrokerStage):
    """Moves on a broker that shows and stops single jobs. A second hook, `make_store`, reads their records."""

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        """Make a result store over the data of the brokers that `make` makes."""
        raise NotImplementedError(f"{type(self).__name__} must define make_store(clock)")

    @property
    def jobs(self) -> JobStore:
        """The single jobs of the broker under test."""
        assert isinstance(self.broker, JobHolder)
        return self.broker.job_store

    async def revoke(self, *job_ids: str, queue: str | None = QUEUE, session: str = "") -> list[Revoked]:
        """Revoke jobs in one call, by default with a session that nobody ends."""
        return await self.jobs.arevoke(session or new_session(), [(each, queue) for each in job_ids], LEASE)

    async def revoked(self, *job_ids: str) -> tuple[str, list[Delivery]]:
        """Revoke jobs that wait; answers the session that holds them now, and its deliveries."""
        session = new_session()
        deliveries = [each.delivery for each in await self.revoke(*job_ids, session=session)]
        assert None not in deliveries
        return session, [each for each in deliveries if each is not None]

    async def park(self, job_id: str, task: str = "task") -> None:
        """Have a new job parked."""
        session, delivery = await self.started(job_id)
        assert await self.settle(session, Settlement(delivery, "park", task=task)) == [True]

    async def bury(self, *job_ids: str, record: bytes = b"record") -> None:
        """Make new jobs dead letters, one after the other."""
        for job_id in job_ids:
            session, delivery = await self.started(job_id)
            assert await self.settle(session, Settlement(delivery, "dead", record=record, ttl=TTL)) == [True]

    async def located(self, job_id: str = "job", queue: str | None = QUEUE) -> Location:
        """What is told of a job, asked in both ways."""
        assert isinstance(self.broker, Inspector)
        found = await self.broker.alocate(job_id, queue)
        assert self.broker.locate(job_id, queue) == found
        return found

    async def standing(self, job_id: str = "job") -> tuple[Place, Doom]:
        """Where a job is, and its doom."""
        found = await self.located(job_id)
        return found.place, found.doom

    async def listed(self, place: Place, limit: int = 100, queue: str = QUEUE) -> list[Listed]:
        """All jobs of one place, in pages of *limit*; each page but the last is full."""
        found: list[Listed] = []
        after = ""
        while page := await self.jobs.ajobs(queue, place, after, limit):
            assert len(page) <= limit
            found += page
            after = page[-1].cursor
            assert len(found) <= 1000, "a list that does not end"
        return found

    async def record(self, job_id: str) -> bytes | None:
        """The record of a job."""
        store = self.make_store(self.clock)
        try:
            return await store.afetch(job_id, QUEUE)
        finally:
            await store.aclose()
            store.close()


def ends(deliveries: Sequence[Delivery], record: bytes = b"revoked") -> list[Settlement]:
    """The settlements with which whoever revokes ends *deliveries*."""
    return [Settlement(each, "end", record=record, ttl=TTL) for each in deliveries]
