"""What an engine guarantees that keeps what running jobs say of their progress."""

from __future__ import annotations

from typing import ClassVar

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.jobs import NoteStore, notes_of
from umbel.contracts.powers import Inspector
from umbel.testing.conformance.job_stage import JobStage
from umbel.testing.conformance.stage import OTHER, QUEUE


class NoteConformance(JobStage):
    """`NoteStore.note`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.NOTES

    @property
    def notes(self) -> NoteStore:
        """Where the broker under test keeps notes."""
        store = notes_of(self.broker)
        assert store is not None
        return store

    async def noted(self, job_id: str = "job") -> bytes:
        """What is shown of a job's note, asked in every way."""
        assert isinstance(self.broker, Inspector)
        found = {(await self.located(job_id, queue)).note for queue in (QUEUE, None)}
        assert len(found) == 1
        return found.pop()

    async def test_the_last_note_of_a_running_job_is_shown(self) -> None:
        session, delivery = await self.started()
        assert await self.noted() == b""
        for note in (b"\x00one\xff", b"two"):
            assert await self.notes.note(session, [(delivery, note)]) == [True]
            assert await self.noted() == note

    async def test_many_jobs_are_noted_of_at_once(self) -> None:
        await self.send("a", "b")
        await self.send("c", queue=OTHER)
        session = await self.open(QUEUE, OTHER)
        held = [*await self.take(session), *await self.take(session, queues=[OTHER])]
        notes = [(each, each.id.encode()) for each in held]
        assert await self.notes.note(session, notes) == [True, True, True]
        assert [await self.noted(each) for each in ("a", "b")] == [b"a", b"b"]
        assert (await self.located("c", OTHER)).note == b"c"

    async def test_only_the_holder_of_a_delivery_notes(self) -> None:
        session, stale = await self.started()
        await self.notes.note(session, [(stale, b"first")])
        await self.settle(session, Settlement(stale, "release"))
        delivery = await self.take_one(session, "job")
        other = await self.open()
        assert await self.notes.note(session, [(stale, b"stale")]) == [False]
        assert await self.notes.note(other, [(delivery, b"other")]) == [False]
        await self.reclaim(Ended(session))
        assert await self.notes.note(session, [(delivery, b"dead")]) == [False]
        assert await self.noted() == b"first"

    async def test_a_note_stays_while_its_job_waits_to_be_tried_again(self) -> None:
        session, delivery = await self.started()
        await self.notes.note(session, [(delivery, b"half")])
        await self.settle(session, Settlement(delivery, "retry", delay=60.0))
        assert await self.noted() == b"half"

    async def test_a_note_is_gone_with_its_job(self) -> None:
        session, delivery = await self.started()
        await self.notes.note(session, [(delivery, b"half")])
        await self.settle(session, Settlement(delivery, "end", ttl=1.0))
        assert await self.noted() == b""
        await self.advance(2.0)
        await self.send("job")
        assert await self.noted() == b""
