"""Jobs under limits in a child: which may start, which the broker holds, and whose places are given to others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.worker.child.stage import QUEUE, Stage, until
from umbel import Task, chain
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.memory.limits import MemoryLimits
from umbel.contracts.limits import Entry
from umbel.exceptions import BrokerUnavailable, DuplicateJob
from umbel.model import chance
from umbel.model.limit import Limit, Pace
from umbel.wire import record


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "random", lambda: 0.005)


class Room:
    """The body of a task: it waits inside until it is let out, and notes how many were there at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.through = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    def enter(self, *_: Any) -> None:
        """Wait there."""
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(60)
        with self._lock:
            self.inside -= 1
            self.through += 1


def _nothing() -> None:
    """Do nothing."""


def bare(stage: Stage, task: Task[..., Any], *calls: Sequence[Any]) -> list[str]:
    """Send jobs of *task* as somebody does who does not know its code; answers the ids."""
    jobs = [stage.app.job_named(task.name, args, {}, {}) for args in calls]
    stage.broker.send(jobs)
    return [job.id for job in jobs]


async def test_what_may_not_start_is_held_and_takes_no_slot(stage: Stage) -> None:
    room = Room()
    limited, free = stage.task(room.enter, concurrency_limit=1), stage.task(_nothing)
    ids = bare(stage, limited, *[(number,) for number in range(5)])
    async with stage.child(threads=2):
        await until(lambda: room.inside == 1, "one is inside")
        await stage.ended(*bare(stage, free, (), (), ()))
        counts = await stage.counts()
        assert (counts.held, counts.running) == (4, 1)
        room.open.set()
        await stage.ended(*ids)
    assert (room.most, room.through) == (1, 5)


async def test_a_child_that_does_not_ask_lets_all_of_them_in(stage: Stage) -> None:
    room = Room()
    bare(stage, stage.task(room.enter, concurrency_limit=1), (1,), (2,))
    stage.regulated = False
    async with stage.child(threads=2):
        await until(lambda: room.inside == 2, "both are inside")
        room.open.set()


async def test_a_rate_that_is_set_counts_for_a_task_without_limits_as_long_as_it_is_set(stage: Stage) -> None:
    free = stage.task(_nothing)
    async with stage.child() as child:
        await stage.ended(*bare(stage, free, (), ()))
        stage.broker.limit_store.adjust(QUEUE, free.name, Pace(interval=3600.0))
        child.consumer.doorkeeper.adjust(await stage.broker.limit_store.adjusted([QUEUE]))
        first, *others = bare(stage, free, (), (), ())
        await stage.ended(first)
        await until(lambda: stage.space.queue(QUEUE).limits.held.keys() == {*others}, "the others are held")
        stage.broker.limit_store.adjust(QUEUE, free.name, None)
        child.consumer.doorkeeper.adjust([])
        await stage.ended(*others, *bare(stage, free, (), ()))


async def test_a_child_that_was_not_told_of_a_rate_asks_for_nobody(stage: Stage) -> None:
    free = stage.task(_nothing)
    stage.broker.limit_store.adjust(QUEUE, free.name, Pace(interval=3600.0))
    async with stage.child():
        await stage.ended(*bare(stage, free, (), (), ()))


async def test_the_last_word_is_the_workers_also_for_a_job_that_was_admitted(stage: Stage) -> None:
    room = Room()
    limited = stage.task(room.enter, concurrency_limit=2)
    room.open.set()
    ids = stage.send(limited, *[(number,) for number in range(20)])
    async with stage.child(threads=4), stage.child(threads=4):
        await stage.ended(*ids)
    assert room.most <= 2


async def test_a_place_is_given_on_at_once_when_its_job_is_retried_or_fails(stage: Stage) -> None:
    calls: list[str] = []

    def fail(name: str) -> None:
        calls.append(name)
        raise ValueError(name)

    task = stage.task(fail, concurrency_limit=1, autoretry_for=(ValueError,), max_retries=1, default_retry_delay=600)
    stage.send(task, ("a",), ("b",), ("c",))
    async with stage.child():
        await until(lambda: calls == ["a", "b", "c"], "all have run once")


async def test_jobs_that_are_handed_back_keep_their_places(stage: Stage) -> None:
    room = Room()
    limited = stage.task(room.enter, concurrency_limit=3)
    ids = stage.send(limited, *[(number,) for number in range(6)])
    async with stage.child(jobs_are_short=True) as child:
        await until(lambda: room.inside == 1, "one is inside, two wait for the thread")
        async with stage.child(threads=2):
            await until(lambda: room.inside == 3, "the others are inside elsewhere")
            assert (await stage.counts()).held == 3
            room.open.set()
            await stage.ended(*ids)
        await child.stop()
    assert room.most <= 3


async def test_of_two_jobs_with_one_key_the_second_ends_and_says_why(stage: Stage) -> None:
    room = Room()
    task = stage.task(room.enter, unique=True)
    first, second, other = bare(stage, task, (1,), (1,), (2,))
    async with stage.child(threads=3):
        await stage.ended(second)
        assert stage.state(second) == "REVOKED"
        with pytest.raises(DuplicateJob, match=f"job {first} has its unique key"):
            stage.app.AsyncResult(second).get(timeout=20)
        room.open.set()
        await stage.ended(first, other)
    assert [stage.state(each) for each in (first, other)] == ["SUCCESS"] * 2


async def test_a_unique_key_is_free_when_its_job_has_ended(stage: Stage) -> None:
    room = Room()
    room.open.set()
    task = stage.task(room.enter, unique=True)
    async with stage.child():
        for _ in range(3):
            (job_id,) = stage.send(task, (1,))
            await stage.ended(job_id)
    assert room.through == 3


async def test_a_job_whose_key_nobody_can_compute_is_a_dead_letter_that_says_so(stage: Stage) -> None:
    task = stage.task(lambda *_: None, rate_limit=1, rate_limit_key=lambda given: given["nobody"])
    (job_id,) = bare(stage, task, ("a",))
    async with stage.child():
        await stage.ended(job_id)
    found = stage.store.fetch(job_id, None)
    assert found is not None
    failure = record.decode(found).failure
    assert failure is not None
    assert "rate_limit_key cannot be computed: KeyError" in str(failure)
    assert (await stage.counts()).dead == 1


async def test_jobs_wait_while_the_broker_cannot_be_asked(stage: Stage) -> None:
    asked: list[int] = []

    class Away(MemoryLimits):
        async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
            asked.append(len(entries))
            if len(asked) < 3:
                raise BrokerUnavailable("away")
            return await super().enter(session, entries)

        async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
            raise BrokerUnavailable("away")

    class Trouble(MemoryBroker):
        @property
        def limit_store(self) -> MemoryLimits:
            own = super().limit_store
            found = Away.__new__(Away)
            vars(found).update(vars(own))
            return found

    broker = Trouble(stage.space)
    vars(stage.app)["broker"] = broker
    room = Room()
    room.open.set()
    ids = stage.send(stage.task(room.enter, concurrency_limit=2), (1,), (2,))
    async with stage.child(broker):
        await stage.ended(*ids)
    assert len(asked) >= 3


async def test_jobs_of_flows_are_limited_when_they_have_their_arguments(stage: Stage) -> None:
    seen: list[str] = []

    def named(tenant: str) -> str:
        return tenant

    def count(tenant: str) -> None:
        seen.append(tenant)

    first = stage.app.task(name="named")(named)
    last = stage.app.task(name="count", rate_limit="1/h", rate_limit_key="tenant")(count)
    flows = [chain(first.s(name), last.s()) for name in ("acme", "other", "acme")]
    for each in flows:
        each.delay()
    async with stage.child():
        await until(lambda: sorted(seen) == ["acme", "other"], "one of each has run")
        await until(lambda: stage.app.queues.list()[0].held == 1, "the third is held")


async def test_a_revoked_job_that_is_held_ends_without_its_limit(stage: Stage) -> None:
    room = Room()
    ids = stage.send(stage.task(room.enter, concurrency_limit=1), (1,), (2,), (3,))
    async with stage.child():
        await until(lambda: room.inside == 1, "one is inside")
        await asyncio.to_thread(stage.app.control.revoke, ids[1])
        assert stage.state(ids[1]) == "REVOKED"
        room.open.set()
        await stage.ended(*ids)
    assert room.through == 2
