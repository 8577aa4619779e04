"""A quiet child receives nothing, finishes what it runs, and hands back what waits; until it receives again."""

from __future__ import annotations

import threading

import pytest

from tests.unit.worker.child.stage import DEADLINE_SECONDS, QUEUE, Stage, until


class Blocker:
    """Jobs of its task run until they are let go."""

    def __init__(self, stage: Stage) -> None:
        self.started = threading.Event()
        self.go = threading.Event()

        def block() -> None:
            self.started.set()
            self.go.wait(DEADLINE_SECONDS)

        self.task = stage.task(block)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_what_runs_is_finished_and_what_waits_is_for_others(stage: Stage) -> None:
    blocker = Blocker(stage)
    short = stage.task(lambda: None)
    async with stage.child(jobs_are_short=True) as first:
        await first.ready.wait()
        held = stage.space.queue(QUEUE).sessions[first.session].held
        with stage.space.lock:  # the child finds all of it at once
            (long,) = stage.send(blocker.task, ())
            waiting = stage.send(short, *[()] * 5)
        await until(blocker.started.is_set, "the long one runs")
        first.consumer.quieten(on=True)
        await until(lambda: set(held) == {long}, "the others were handed back")
        async with stage.child():
            await stage.ended(*waiting)
        blocker.go.set()
        await stage.ended(long)
        assert stage.state(long) == "SUCCESS"
        (later,) = stage.send(short, ())
        async with stage.child() as other:
            await stage.ended(later)
            assert other.session != first.session
        assert first.refused == []


async def test_it_receives_nothing_until_it_is_told_to(stage: Stage) -> None:
    task = stage.task(lambda: None)
    async with stage.child() as child:
        await child.ready.wait()
        child.consumer.quieten(on=True)
        (job_id,) = stage.send(task, ())
        async with stage.child() as other:  # proof that jobs are handed out: it takes the first of two
            await stage.ended(job_id)
            await other.stop()
        (second,) = stage.send(task, ())
        assert (await stage.counts()).ready == 1
        assert stage.state(second) is None
        child.consumer.quieten(on=False)
        await stage.ended(second)


async def test_a_quiet_child_stops_when_it_is_told_to(stage: Stage) -> None:
    async with stage.child() as child:
        await child.ready.wait()
        child.consumer.quieten(on=True)
        await child.stop()
