"""A child between broker and tasks: what it takes, what it gives back, what it runs alone, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import count

import pytest

from tests.unit.worker.child.stage import LEASE, QUEUE, Stage, Watchman, until
from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Ended, SessionDead
from umbel.exceptions import BrokerError, BrokerUnavailable
from umbel.execution.runners import ThreadRunner
from umbel.model import chance
from umbel.model.job import Counts, Delivery, Job
from umbel.testing import FailBefore, LoseReplies
from umbel.worker.board import Board, boot_seconds
from umbel.worker.child import consumer as module
from umbel.worker.child.settler import Settler


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "random", lambda: 0.005)


class Blocker:
    """A task that waits in its thread until it is let go."""

    def __init__(self, stage: Stage) -> None:
        self.started = threading.Event()
        self.let_go = threading.Event()
        self.task = stage.task(self.block)

    def block(self) -> None:
        """Wait."""
        self.started.set()
        self.let_go.wait(60)


class Notes:
    """A task that notes its argument, the moment, and the thread."""

    def __init__(self, stage: Stage) -> None:
        self.lines: list[tuple[int, float, int]] = []
        self.task = stage.task(self.note)

    def note(self, number: int) -> None:
        """Note it."""
        self.lines.append((number, time.monotonic(), threading.get_ident()))


class Counting(MemoryBroker):
    """Counts what is asked of it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.space)
        self.limits: list[int] = []
        self.most = 0
        """How many jobs were handed out at once."""
        self.marks: list[str] = []

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        self.limits.append(limit)
        received = await super().receive(session, queues, limit, wait=wait)
        self.most = max(self.most, len(received))
        return received

    async def mark(self, session: str, delivery: Delivery) -> bool:
        self.marks.append(delivery.id)
        return await super().mark(session, delivery)


# --- taking and giving back


async def test_a_job_is_run_and_its_record_stored(stage: Stage) -> None:
    task = stage.task(lambda x, y: x + y)
    async with stage.child():
        (job_id,) = stage.send(task, (4, 6))
        await stage.ended(job_id)
    assert stage.state(job_id) == "SUCCESS"


async def test_jobs_behind_a_long_one_are_handed_back_within_a_moment_and_run_elsewhere_in_their_order(
    stage: Stage,
) -> None:
    blocker, notes, broker = Blocker(stage), Notes(stage), Counting(stage)
    async with stage.child(broker, jobs_are_short=True) as first:
        await first.ready.wait()
        held = stage.space.queue(QUEUE).sessions[first.session].held
        with stage.space.lock:  # the child finds all of it at once
            long = stage.send(blocker.task, ())
            short = stage.send(notes.task, *[(number,) for number in range(20)])
        await until(blocker.started.is_set, "the long one runs")
        since = time.monotonic()
        await until(lambda: list(held) == long, "the others were handed back")
        taken = time.monotonic() - since
        assert broker.most > 1, "nothing was asked ahead: this test shows nothing"
        async with stage.child():
            await stage.ended(*short)
        assert [number for number, *_ in notes.lines] == list(range(20))
        assert all(stage.broker.locate(each, QUEUE).place == "ended" for each in short)
        assert not blocker.let_go.is_set()
        blocker.let_go.set()
        await stage.ended(*long)
    assert taken < 10.0  # 20 to 40 ms on an idle machine


async def test_a_child_whose_threads_have_begun_nothing_yet_hands_back_and_asks_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, late = ThreadRunner._start, list[ThreadRunner]()
    monkeypatch.setattr(ThreadRunner, "_start", lambda runner, _: late.append(runner))
    notes = Notes(stage)
    ids = stage.send(notes.task, *((number,) for number in range(200)))  # so many that it asks for no more
    async with stage.child(jobs_are_short=True):
        await until(lambda: len(stage.space.queue(QUEUE).ready[9]) == 199, "all were handed back, one was taken again")
        start(late[0], asyncio.get_running_loop())
        await stage.ended(*ids)


async def test_after_handing_back_a_child_asks_for_no_more_than_it_can_start(stage: Stage) -> None:
    blocker, notes, broker = Blocker(stage), Notes(stage), Counting(stage)
    async with stage.child(broker, jobs_are_short=True) as child:
        await child.ready.wait()
        with stage.space.lock:
            long = stage.send(blocker.task, ())
            short = stage.send(notes.task, *[(number,) for number in range(20)])
        await until(blocker.started.is_set, "the long one runs")
        await until(lambda: len(stage.space.queue(QUEUE).ready[9]) == 20, "the others were handed back")
        broker.limits.clear()
        blocker.let_go.set()
        await stage.ended(*long, *short)
    assert broker.limits[0] == 1


async def test_more_async_jobs_than_slots_are_given_back_while_those_that_run_go_on(stage: Stage) -> None:
    let_go = asyncio.Event()
    stage.task(lambda: None)  # a mixed app asks for more than its async slots

    async def wait() -> None:
        await let_go.wait()

    waiting = stage.task(wait)
    board = Board.create(1 + 3)
    board.trust = boot_seconds() + 3600
    async with stage.child(gate=board, async_slots=3, jobs_are_short=True) as child:
        await child.ready.wait()
        with stage.space.lock:
            long = stage.send(waiting, *[()] * 30)
        await until(lambda: len(board.started()) == 3, "as many run as there are slots")
        await until(lambda: len(stage.space.queue(QUEUE).ready[9]) == 27, "the others were handed back")
        assert list(stage.space.queue(QUEUE).ready[9]) == long[3:]
        let_go.set()
        await stage.ended(*long)
    assert {stage.state(each) for each in long} == {"SUCCESS"}
    board.close()


async def test_long_async_jobs_keep_no_thread_from_its_work(stage: Stage) -> None:
    notes, let_go = Notes(stage), asyncio.Event()

    async def wait() -> None:
        await let_go.wait()

    waiting = stage.task(wait)
    async with stage.child(async_slots=2):
        long = stage.send(waiting, (), ())
        await until(lambda: not stage.space.queue(QUEUE).ready[9], "both were taken")
        await stage.ended(*stage.send(notes.task, *[(number,) for number in range(100)]))
        assert not any(stage.state(each) for each in long)
        let_go.set()
        await stage.ended(*long)


# --- quarantine


@pytest.mark.parametrize("charges", [{"crashes": 1}, {"losses": 2}], ids=["a crash", "two losses"])
async def test_a_job_that_may_have_killed_its_process_is_marked_and_runs_alone(
    stage: Stage, charges: dict[str, int]
) -> None:
    notes, gate, broker, let_go = Notes(stage), Watchman(), Counting(stage), asyncio.Event()

    async def wait() -> None:
        await let_go.wait()

    beside = stage.task(wait)
    (suspect,) = stage.send(notes.task, (7,))
    await stage.charge(suspect, **charges)
    first = stage.send(beside, ())
    async with stage.child(broker, gate=gate, threads=2):
        await until(lambda: gate.running, "the job beside it runs")
        later = stage.send(notes.task, (8,))
        assert suspect not in gate.beside
        let_go.set()
        await stage.ended(suspect, *first, *later)
    assert broker.marks == [suspect]
    assert gate.beside[suspect] == 0
    assert next(number for number, *_ in notes.lines) == 7


async def test_while_a_suspect_runs_nothing_else_is_taken(stage: Stage) -> None:
    blocker, notes, gate = Blocker(stage), Notes(stage), Watchman()
    (suspect,) = stage.send(blocker.task, ())
    await stage.charge(suspect, crashes=1)
    broker = Counting(stage)
    async with stage.child(broker, gate=gate, threads=4):
        await until(blocker.started.is_set, "the suspect runs")
        counts = stage.space.queue(QUEUE).jobs[suspect].counts
        assert counts == Counts(crashes=1, marked=True)
        others = stage.send(notes.task, *[(number,) for number in range(4)])
        received = len(broker.limits)
        blocker.let_go.set()
        await stage.ended(suspect, *others)
    assert received == 1
    assert gate.most == 1 or gate.beside[suspect] == 0


async def test_one_loss_is_no_reason_to_be_alone(stage: Stage) -> None:
    notes, broker = Notes(stage), Counting(stage)
    (job_id,) = stage.send(notes.task, (1,))
    await stage.charge(job_id, losses=1)
    async with stage.child(broker):
        await stage.ended(job_id)
    assert broker.marks == []


async def test_a_job_that_crashed_three_times_is_buried_and_not_run(stage: Stage) -> None:
    notes = Notes(stage)
    (job_id,) = stage.send(notes.task, (1,))
    await stage.charge(job_id, crashes=3)
    async with stage.child():
        await stage.ended(job_id)
    assert (stage.state(job_id), notes.lines) == ("FAILURE", [])
    assert (await stage.counts()).dead == 1


async def test_a_suspect_whose_lease_is_gone_when_it_is_marked_is_not_run(stage: Stage) -> None:
    notes = Notes(stage)

    class Thief(MemoryBroker):
        """Ends the session in the moment of the mark."""

        async def mark(self, session: str, delivery: Delivery) -> bool:
            await self.reclaim([QUEUE], LEASE, [Ended(session)])
            return await super().mark(session, delivery)

    (job_id,) = stage.send(notes.task, (1,))
    await stage.charge(job_id, crashes=1)
    async with stage.child(Thief(stage.space)) as child:
        assert child.consuming is not None
        with pytest.raises(SessionDead):
            await child.consuming
    assert notes.lines == []
    assert (await stage.counts()).ready == 1


async def test_a_mark_that_fails_is_repeated_before_the_suspect_runs(stage: Stage) -> None:
    notes, calls = Notes(stage), count()
    (job_id,) = stage.send(notes.task, (1,))
    await stage.charge(job_id, crashes=1)
    broker = FailBefore(MemoryBroker(stage.space), lambda verb: verb == "mark" and next(calls) < 3)
    async with stage.child(broker):
        await stage.ended(job_id)
    assert [number for number, *_ in notes.lines] == [1]
    assert next(calls) == 4


# --- the end


async def test_a_stop_hands_back_what_waits_and_finishes_what_runs(stage: Stage) -> None:
    blocker, notes = Blocker(stage), Notes(stage)
    async with stage.child(jobs_are_short=True) as child:
        await child.ready.wait()
        with stage.space.lock:
            long = stage.send(blocker.task, ())
            short = stage.send(notes.task, *[(number,) for number in range(9)])
        await until(blocker.started.is_set, "the long one runs")
        stopping = asyncio.create_task(child.stop())
        await until(lambda: len(stage.space.queue(QUEUE).ready[9]) == 9, "the others are back")
        assert list(stage.space.queue(QUEUE).ready[9]) == short
        assert not stopping.done()
        blocker.let_go.set()
        await stopping
    assert stage.state(long[0]) == "SUCCESS"
    assert notes.lines == []
    assert (await stage.counts()).running == 0


async def test_a_stop_ends_an_idle_wait_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 600.0)
    stage.task(lambda: None)
    async with stage.child() as child:
        await child.ready.wait()
        await until(lambda: stage.space.work.waiting, "it waits for work")
        await child.stop()


async def test_a_stop_during_a_reconcile_starts_no_other_receive(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 600.0)
    stage.task(lambda: None)
    inside, goes_on, calls = asyncio.Event(), asyncio.Event(), count()

    class Slow(Counting):
        async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
            inside.set()
            await goes_on.wait()
            return await super().reconcile(session, queues, held)

    inner = Slow(stage)
    async with stage.child(LoseReplies(inner, lambda verb: verb == "receive" and next(calls) == 0)) as child:
        await inside.wait()
        stopping = asyncio.create_task(child.stop())
        await asyncio.sleep(0)
        goes_on.set()
        await stopping
    assert len(inner.limits) == 1


async def test_a_stop_does_not_wait_for_a_broker_that_is_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.01)
    stage.task(lambda: None)
    inside, calls = asyncio.Event(), count()

    class Away(Counting):
        async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
            inside.set()
            await asyncio.Event().wait()
            raise AssertionError(session, queues, held)

    async with stage.child(LoseReplies(Away(stage), lambda verb: verb == "receive" and next(calls) == 0)) as child:
        await inside.wait()
        await asyncio.wait_for(child.stop(), 20)


async def test_a_stop_releases_a_suspect_that_waits_for_its_turn(stage: Stage) -> None:
    notes, gate, let_go = Notes(stage), Watchman(), asyncio.Event()

    async def wait() -> None:
        await let_go.wait()

    beside = stage.task(wait)
    (suspect,) = stage.send(notes.task, (1,))
    await stage.charge(suspect, crashes=1)
    stage.send(beside, ())
    async with stage.child(gate=gate, threads=2) as child:
        await until(lambda: gate.running, "the job beside it runs")
        stopping = asyncio.create_task(child.stop())
        await until(lambda: suspect in stage.space.queue(QUEUE).ready[9], "the suspect is back")
        let_go.set()
        await stopping
    assert notes.lines == []
    assert stage.space.queue(QUEUE).jobs[suspect].counts == Counts(crashes=1)


async def test_a_stop_while_the_mark_fails_leaves_no_suspect_behind(stage: Stage) -> None:
    notes, tried = Notes(stage), asyncio.Event()

    def fails(verb: str) -> bool:
        if verb == "mark":
            tried.set()
        return verb == "mark"

    (suspect,) = stage.send(notes.task, (1,))
    await stage.charge(suspect, crashes=1)
    async with stage.child(FailBefore(MemoryBroker(stage.space), fails)) as child:
        await tried.wait()
        await child.stop()
    assert (await stage.counts()).ready == 1


async def test_a_session_that_was_declared_dead_ends_the_child(stage: Stage) -> None:
    notes = Notes(stage)
    async with stage.child() as child:
        await child.ready.wait()
        await stage.broker.reclaim([QUEUE], LEASE, [Ended(child.session)])
        stage.send(notes.task, (1,))
        assert child.consuming is not None
        with pytest.raises(SessionDead):
            await child.consuming
    assert notes.lines == []


async def test_what_a_dead_child_still_held_is_not_run_there(stage: Stage) -> None:
    blocker, notes = Blocker(stage), Notes(stage)
    async with stage.child(jobs_are_short=True) as child:
        await child.ready.wait()
        with stage.space.lock:
            stage.send(blocker.task, ())
            stage.send(notes.task, *[(number,) for number in range(5)])
        await until(blocker.started.is_set, "the long one runs")
        await stage.broker.reclaim([QUEUE], LEASE, [Ended(child.session)])
        assert child.consuming is not None
        with pytest.raises(SessionDead):
            await child.consuming
        blocker.let_go.set()
        await until(lambda: not child.gate.running, "the thread is free")  # type: ignore[attr-defined]
    assert notes.lines == []
    assert (await stage.counts()).ready == 6


# --- faults of the broker


async def test_jobs_whose_delivery_was_lost_on_the_way_are_run(stage: Stage) -> None:
    notes, calls = Notes(stage), count()
    jobs = stage.send(notes.task, *[(number,) for number in range(3)])
    broker = LoseReplies(MemoryBroker(stage.space), lambda verb: verb == "receive" and next(calls) in (0, 1, 3))
    async with stage.child(broker, threads=2):
        await stage.ended(*jobs)
    assert sorted(number for number, *_ in notes.lines) == [0, 1, 2]


async def test_a_job_that_is_lost_when_a_receive_is_broken_off_does_not_wait_for_a_free_slot(stage: Stage) -> None:
    blocker, notes, waits, calls = Blocker(stage), Notes(stage), asyncio.Event(), count()

    class Late(MemoryBroker):
        """Hands a job out in the moment in which its third receive is cancelled."""

        async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
            if next(calls) != 2:
                return await super().receive(session, queues, limit, wait=wait)
            waits.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stage.send(notes.task, (7,))
                assert await super().receive(session, queues, 1, wait=0)
                raise
            return []

    async with stage.child(Late(stage.space), jobs_are_short=True) as child:
        await child.ready.wait()
        with stage.space.lock:
            stage.send(blocker.task, ())
            short = stage.send(notes.task, (1,))
        await waits.wait()
        async with stage.child():
            await stage.ended(*short)
            # Which of both comes first depends on whether the other child waits already when they are given back.
            await until(lambda: sorted(number for number, *_ in notes.lines) == [1, 7], "the lost one ran")
        assert not blocker.let_go.is_set()
        blocker.let_go.set()


async def test_without_reconcile_such_jobs_would_be_stranded(stage: Stage) -> None:
    notes, calls = Notes(stage), count()
    (job_id,) = stage.send(notes.task, (1,))

    class Forgetful(MemoryBroker):
        async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
            return 0

    broker = LoseReplies(Forgetful(stage.space), lambda verb: verb == "receive" and next(calls) == 0)
    async with stage.child(broker) as child:
        await child.ready.wait()
        await stage.ended(*stage.send(notes.task, (2,)))
        assert stage.broker.locate(job_id, QUEUE).place == "running"
        assert [number for number, *_ in notes.lines] == [2]


async def test_every_second_answer_may_be_lost_and_each_job_still_ends_once(stage: Stage) -> None:
    notes = Notes(stage)
    counters = {verb: count() for verb in ("receive", "settle", "mark")}
    broker = LoseReplies(MemoryBroker(stage.space), lambda verb: verb in counters and next(counters[verb]) % 2 == 0)
    jobs = stage.send(notes.task, *[(number,) for number in range(50)])
    async with stage.child(broker, threads=2):
        await stage.ended(*jobs)
    assert sorted(number for number, *_ in notes.lines) == list(range(50))


@pytest.mark.parametrize(
    ("error", "level"), [(BrokerUnavailable("away"), "INFO"), (BrokerError("key jobs is a string"), "ERROR")]
)
async def test_a_broker_that_gives_no_jobs_is_told_once_an_outage(
    stage: Stage, error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    notes, calls = Notes(stage), count()

    class Refusing(MemoryBroker):
        async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
            if next(calls) < 5:
                raise error
            return await super().receive(session, queues, limit, wait=wait)

    with caplog.at_level("INFO", "umbel.worker"):
        async with stage.child(Refusing(stage.space)):
            await stage.ended(*stage.send(notes.task, (1,)))
    said = [line for line in caplog.records if "no jobs from the broker" in line.getMessage()]
    assert [(line.levelname, str(error) in line.getMessage()) for line in said] == [(level, True)]


async def test_with_too_many_outcomes_unsettled_nothing_more_is_taken(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_UNSETTLED", 5)
    notes, away = Notes(stage), threading.Event()
    away.set()
    seen: list[int] = []
    settlers: list[Settler] = []

    class Watched(MemoryBroker):
        async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
            seen.extend(len(each) for each in settlers)
            return await super().receive(session, queues, limit, wait=wait)

    jobs = stage.send(notes.task, *[(number,) for number in range(300)])
    broker = FailBefore(Watched(stage.space), lambda verb: verb == "settle" and away.is_set())
    gate = Watchman()
    async with stage.child(broker, gate=gate) as child:
        settlers.append(child.settler)
        await until(lambda: len(child.settler) > 5, "too many are unsettled")
        asked, before = gate.asked, len(seen)
        await until(lambda: gate.asked > asked + 3, "it has looked again, and again")
        assert max(seen) <= 5
        ahead = len(seen) - before
        away.clear()
        await stage.ended(*jobs)
    assert ahead == 0
    assert len(notes.lines) == 300


async def test_an_untrusted_lease_takes_nothing_until_it_is_trusted_again(stage: Stage) -> None:
    notes, gate, broker = Notes(stage), Watchman(), Counting(stage)
    gate.open = False
    jobs = stage.send(notes.task, (1,))
    async with stage.child(broker, gate=gate):
        await until(lambda: gate.asked >= 3, "it looked at its lease")
        assert broker.limits == []
        gate.open = True
        await stage.ended(*jobs)


async def test_a_lease_that_ends_between_receive_and_start_starts_nothing(stage: Stage) -> None:
    notes, gate = Notes(stage), Watchman()

    class Closing(MemoryBroker):
        async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
            received = await super().receive(session, queues, limit, wait=wait)
            gate.open = not received
            return received

    async with stage.child(Closing(stage.space), gate=gate) as child:
        (job_id,) = stage.send(notes.task, (1,))
        await until(lambda: not gate.open, "the lease has ended")
        await until(lambda: job_id in stage.space.queue(QUEUE).ready[9], "the job is back")
        assert notes.lines == []
        assert stage.space.queue(QUEUE).jobs[job_id].counts == Counts()
        await child.stop()


async def test_a_task_that_nobody_knows_here_is_parked(stage: Stage) -> None:
    stage.task(lambda: None)
    stage.app.send_task("no.such.task")
    async with stage.child():
        await until(lambda: stage.space.queue(QUEUE).parked, "it is parked")
    assert list(stage.space.queue(QUEUE).parked) == ["no.such.task"]


async def test_bytes_that_are_no_job_are_buried_and_the_others_run(stage: Stage) -> None:
    notes = Notes(stage)
    stage.broker.send([Job("bad", QUEUE, b"\xc1")])
    jobs = stage.send(notes.task, (1,))
    async with stage.child():
        await stage.ended("bad", *jobs)
    assert stage.state("bad") == "FAILURE"
    assert (await stage.counts()).dead == 1


async def test_a_verdict_of_a_job_that_another_took_over_is_told_as_refused(stage: Stage) -> None:
    blocker = Blocker(stage)
    (job_id,) = stage.send(blocker.task, ())
    async with stage.child() as child:
        await until(blocker.started.is_set, "it runs")
        await stage.broker.reclaim([QUEUE], LEASE, [Ended(child.session)])
        blocker.let_go.set()
        await until(lambda: child.refused, "it was refused")
        assert child.refused == [job_id]
    assert stage.state(job_id) is None


async def test_a_session_is_not_revived_by_its_child(stage: Stage) -> None:
    stage.task(lambda: None)
    async with stage.child() as child:
        await child.ready.wait()
        await stage.broker.reclaim([QUEUE], LEASE, [Ended(child.session)])
        assert await stage.broker.heartbeat([Beat(child.session)], [QUEUE], LEASE) == [False]
