"""What real processes tell in events arrives, once, whoever is killed; what a dead child had to say is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import PROJECTS, environment, eventually, kill
from tests.system.stage import Stage
from umbel import retelling
from umbel.cli.main import main
from umbel.contracts.event_log import EventLogHolder
from umbel.model.event import Batch

JOBS = 40


@pytest.fixture
def stage(redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(redis_url, tmp_path)
    yield stage
    stage.end()


def batches(stage: Stage) -> list[Batch]:
    """All that was told."""
    broker = stage.app.broker
    assert isinstance(broker, EventLogHolder)
    log = broker.event_log

    async def read() -> list[Batch]:
        found: list[Batch] = []
        after = ""
        while kept := await log.read(after, 100, 0.0):
            found += [retelling.read(one.batch) for one in kept]
            after = kept[-1].cursor
        await broker.aclose()
        return found

    return asyncio.run(read())


def test_all_is_told_once_though_a_child_is_killed(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    results = stage.work_many([0.05] * JOBS)
    jobs = {result.id for result in results}
    eventually(lambda: len(stage.workers.successes()) >= JOBS // 4, "a quarter of the jobs has ended")
    victim = eventually(worker.children, "a child")[0]
    kill(victim)
    stage.wait_succeeded(results)
    assert worker.stop() == 0
    stage.app.close()
    found = batches(stage)
    told = Counter((batch.source, batch.number) for batch in found)
    assert max(told.values()) == 1
    for source in {batch.source for batch in found}:
        numbers = [batch.number for batch in found if batch.source == source]
        assert numbers == list(range(1, len(numbers) + 1))
    assert not any(batch.dropped for batch in found)
    events = [event for batch in found for event in batch.events]
    assert {event.id for event in events if event.kind == "task-sent"} == jobs
    ends = Counter(event.id for event in events if event.kind == "task-succeeded")
    assert set(ends) <= jobs
    assert max(ends.values()) == 1
    # What the killed child had settled, and not told yet, nobody else knows: as much as it does in a moment.
    by_victim = {result.id for result in results if result.get() == victim.pid}
    assert jobs - set(ends) <= by_victim
    assert sum(tally.sent for batch in found for tally in batch.tallies) == JOBS
    (online,) = [event for event in events if event.kind == "worker-online"]
    assert online.body["tasks"]["ledger_tasks.work"]
    (offline,) = [event for event in events if event.kind == "worker-offline"]
    assert len(ends) <= offline.body["processed"] <= JOBS  # with those of the child that was killed


def test_workers_begin_and_cease_to_tell_of_jobs_when_they_are_told_to(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UMBEL_BROKER_URL", stage.url)  # the command line leaves it behind
    worker = stage.start("-n", "one@here", "--processes=1", "--no-task-events").wait_ready()

    def told(*, enabled: bool) -> str:
        verb = stage.app.control.enable_events if enabled else stage.app.control.disable_events
        ((reply,),) = [each.values() for each in verb(timeout=60)]
        return str(reply["ok"])

    def is_told_of() -> bool:
        (result,) = stage.work_many([0.0])
        stage.wait_succeeded([result])
        events = [event for batch in batches(stage) for event in batch.events]
        return any(event.kind == "task-succeeded" and event.id == result.id for event in events)

    before = stage.work_many([0.0])
    stage.wait_succeeded(before)
    assert (told(enabled=True), told(enabled=True)) == ("task events enabled", "task events already enabled")
    eventually(is_told_of, "the child tells of its jobs")
    kill(eventually(worker.children, "a child")[0])
    eventually(is_told_of, "so does the child that follows it")
    assert main(["control", "disable_events", "-t", "60", "-b", stage.url]) == 0
    assert told(enabled=False) == "task events already disabled"
    after = stage.work_many([0.0])
    stage.wait_succeeded(after)
    assert worker.stop() == 0
    events = [event for batch in batches(stage) for event in batch.events]
    ended = {event.id for event in events if event.kind == "task-succeeded"}
    assert not ended & {result.id for result in (*before, *after)}
    assert [event.kind for event in events if event.id == "one@here"][:1] == ["worker-online"]
    assert [event.kind for event in events if event.id == "one@here"][-1:] == ["worker-offline"]


def test_events_are_shown_on_the_command_line(stage: Stage) -> None:
    stage.start("--no-beat").wait_ready()
    stage.wait_succeeded(stage.work_many([0.0]))
    command = [sys.executable, "-m", "umbel", "-b", stage.url, "events", "--all", "--kind", "task-succeeded", "-n", "1"]
    shown = subprocess.run(
        command, cwd=PROJECTS, env=environment(), capture_output=True, text=True, timeout=100, check=True
    )
    assert " task-succeeded  ledger_tasks.work[" in shown.stdout
