"""What an engine guarantees that can tell of its jobs: exact numbers, and a place for every id."""

from __future__ import annotations

from typing import cast

import pytest

from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.powers import Inspector, Location, QueueCounts
from umbel.model.job import Counts
from umbel.states import Place
from umbel.testing.conformance.stage import LEASE, OTHER, QUEUE, BrokerStage, body


class InspectorStage(BrokerStage):
    """The power `Inspector` of a broker."""

    @property
    def inspector(self) -> Inspector:
        """The broker under test, as an inspector."""
        return cast(Inspector, self.broker)

    async def place(self, job_id: str = "job") -> Place:
        """Where a job is, asked in each of the four ways."""
        answers: set[Place] = {
            self.inspector.locate(job_id, QUEUE).place,
            self.inspector.locate(job_id, None).place,
            (await self.inspector.alocate(job_id, QUEUE)).place,
            (await self.inspector.alocate(job_id, None)).place,
        }
        assert len(answers) == 1
        return answers.pop()


class SightConformance(InspectorStage):
    """What every inspector tells: sessions, numbers of a queue, and where a job is that was received once."""

    async def test_it_is_found_by_isinstance(self) -> None:
        assert isinstance(self.broker, Inspector)

    async def test_a_queue_that_was_emptied_is_still_known(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery)
        assert await self.inspector.queues() == [QUEUE]

    async def test_an_empty_queue_counts_nothing(self) -> None:
        assert await self.inspector.counts([QUEUE]) == [QueueCounts(QUEUE)]

    async def test_each_queue_is_counted_by_itself_in_the_order_asked_for(self) -> None:
        await self.send("1", "2")
        await self.send("3", queue=OTHER)
        counts = await self.inspector.counts([OTHER, QUEUE])
        assert [(each.queue, each.ready) for each in counts] == [(OTHER, 1), (QUEUE, 2)]

    async def test_a_queue_with_delayed_jobs_only_has_no_oldest_ready_one(self) -> None:
        await self.send("later", delay=60.0)
        (counts,) = await self.inspector.counts([QUEUE])
        assert counts.oldest is None

    # --- sessions

    async def test_an_open_session_is_listed_once_with_its_jobs_and_its_info(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.send("here")
        await self.send("there", queue=OTHER)
        for queue in (QUEUE, OTHER):
            await self.take(session, queues=[queue])
        await self.broker.heartbeat([Beat(session, b"\x00info\xff")], [QUEUE, OTHER], LEASE)
        (info,) = await self.inspector.sessions([QUEUE, OTHER])
        assert (info.session, info.info, sorted(info.held)) == (session, b"\x00info\xff", ["here", "there"])

    async def test_the_info_of_the_opening_is_shown_before_the_first_heartbeat(self) -> None:
        session = "ab" * 16
        await self.broker.heartbeat([Beat(session, b"opening")], [QUEUE], LEASE, opening=True)
        (info,) = await self.inspector.sessions([QUEUE])
        assert (info.session, info.info, info.held) == (session, b"opening", ())

    async def test_the_rest_of_a_lease_is_shown_in_seconds(self) -> None:
        await self.open()
        await self.advance(LEASE / 4)
        (info,) = await self.inspector.sessions([QUEUE])
        assert info.lease_left == pytest.approx(LEASE * 3 / 4, abs=0.1)

    async def test_a_dead_session_is_not_listed(self) -> None:
        session, _ = await self.started()
        alive = await self.open()
        await self.reclaim(Ended(session))
        assert [each.session for each in await self.inspector.sessions([QUEUE])] == [alive]

    async def test_only_sessions_of_the_queues_asked_for_are_listed(self) -> None:
        session = await self.open(OTHER)
        assert await self.inspector.sessions([QUEUE]) == []
        assert [each.session for each in await self.inspector.sessions([OTHER])] == [session]

    # --- where a job is

    async def test_a_dead_letter_is_called_dead(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "dead", record=b"record"))
        assert await self.place() == "dead"

    async def test_a_job_of_a_dead_session_is_called_ready(self) -> None:
        session, _ = await self.started()
        await self.reclaim(Ended(session))
        assert await self.place() == "ready"

    async def test_a_location_names_queue_and_retries(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", delay=5.0, counts=Counts(retries=2)))
        assert self.inspector.locate("job", None) == Location("delayed", QUEUE, 2)
        assert await self.inspector.alocate("job", QUEUE) == Location("delayed", QUEUE, 2)


class CountConformance(InspectorStage):
    """Exact numbers."""

    power = Power.EXACT_COUNTS

    async def test_every_job_is_counted_in_one_place(self) -> None:
        await self.send(*(f"delayed-{number}" for number in range(4)), delay=60.0)
        await self.send(*(str(number) for number in range(6)))
        session = await self.open()
        park, dead, end, *_ = await self.take(session, 5)
        settlements = [Settlement(park, "park", task="task"), Settlement(dead, "dead"), Settlement(end, "end")]
        await self.settle(session, *settlements)
        (counts,) = await self.inspector.counts([QUEUE])
        assert (counts.ready, counts.delayed, counts.running, counts.parked, counts.dead) == (1, 4, 2, 1, 1)

    async def test_a_job_whose_delay_is_over_is_ready_also_if_nobody_asks_for_jobs(self) -> None:
        await self.send("due", delay=5.0)
        await self.send("later", delay=60.0)
        await self.advance(6)
        (counts,) = await self.inspector.counts([QUEUE])
        assert (counts.ready, counts.delayed, counts.oldest) == (1, 1, body("due"))

    async def test_the_oldest_ready_job_is_shown(self) -> None:
        await self.send("first")
        await self.advance(1)
        await self.send("second")
        (counts,) = await self.inspector.counts([QUEUE])
        assert counts.oldest == body("first")


class LookupConformance(InspectorStage):
    """Every job is found, and every queue that holds one."""

    power = Power.LOOKUP

    async def test_queues_are_known_once_something_was_sent_to_them(self) -> None:
        assert await self.inspector.queues() == []
        await self.send("1", queue=OTHER)
        await self.send("2")
        assert await self.inspector.queues() == [QUEUE, OTHER]

    async def test_a_job_is_followed_through_its_life(self) -> None:
        assert await self.place() == "unknown"
        await self.send("job", delay=5.0)
        assert await self.place() == "delayed"
        await self.advance(5)
        await self.reclaim()
        assert await self.place() == "ready"
        session = await self.open()
        delivery = await self.take_one(session, "job")
        assert await self.place() == "running"
        await self.settle(session, Settlement(delivery, "park", task="task"))
        assert await self.place() == "parked"
        await self.broker.unpark([QUEUE], ["task"])
        assert await self.place() == "ready"
        await self.end(session, await self.take_one(session, "job"))
        assert await self.place() == "ended"

    async def test_a_job_is_not_found_in_another_queue(self) -> None:
        await self.send("job")
        assert self.inspector.locate("job", OTHER).place == "unknown"

    async def test_an_unknown_job_has_no_queue(self) -> None:
        assert self.inspector.locate("job", None) == Location("unknown")


class InspectorConformance(SightConformance, CountConformance, LookupConformance):
    """All of the power `Inspector`."""
