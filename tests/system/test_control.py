"""Control of real workers: revoked jobs end, or never begin; workers tell what they do, and do what they are told."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Worker, eventually
from tests.system.stage import Stage
from umbel import AsyncResult
from umbel.app.survey import Survey, survey
from umbel.brokers import connect
from umbel.cli.main import main
from umbel.contracts.jobs import JobHolder, JobStore
from umbel.contracts.powers import Inspector
from umbel.exceptions import TaskRevokedError, TimeLimitExceeded

LEASE = {"UMBEL_WORKER_LEASE": "2"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(f"sqlite:///{tmp_path}/jobs.db", tmp_path)
    yield made
    made.end()


@pytest.fixture
def redis_stage(tmp_path: Path, redis_url: str) -> Iterator[Stage]:
    made = Stage(redis_url, tmp_path)
    yield made
    made.end()


def jobs_of(stage: Stage) -> JobStore:
    assert isinstance(stage.app.broker, JobHolder)
    return stage.app.broker.job_store


def wait_revoked(job: AsyncResult[Any]) -> None:
    eventually(lambda: job.state == "REVOKED", f"{job.id} is revoked")
    with pytest.raises(TaskRevokedError):
        job.get(timeout=60)


def test_revoked_jobs_end_wherever_they_are(stage: Stage) -> None:
    revokes_them_all(stage)


def test_revoked_jobs_end_wherever_they_are_on_redis(redis_stage: Stage) -> None:
    revokes_them_all(redis_stage)


def revokes_them_all(stage: Stage) -> None:
    """One worker: of its three threads one is taken by a job that listens, and one by a job that does not."""
    listening, deaf = stage.send("watch"), stage.send("work", 600.0)
    coroutine, innocent = stage.send("work_async", 600.0), stage.send("later")
    stage.start("--processes=3").wait_ready()
    stage.wait_started(listening, deaf, coroutine, innocent)
    queued = stage.app.send_task("ledger_tasks.work", (0.0,), queue="nobody")
    delayed = stage.app.send_task("ledger_tasks.work", (0.0,), countdown=3600)
    eventually(lambda: innocent.place == "delayed", "it is to be tried again")
    found = stage.app.control.revoke([queued, delayed, innocent])
    assert [job.state for job in (queued, delayed, innocent)] == ["REVOKED"] * 3, found
    listening.revoke()  # it goes on, and is told
    assert listening.get(timeout=60) == 1
    stage.app.control.terminate([coroutine, deaf])
    wait_revoked(coroutine)
    wait_revoked(deaf)
    assert stage.send("work", 0.0).get(timeout=60)  # the worker lives
    assert stage.ledger.starts()[deaf.id] == stage.ledger.starts()[innocent.id] == 1
    assert stage.ledger.starts()[queued.id] == 0


def test_a_running_coroutine_is_ended_at_once(stage: Stage) -> None:
    jobs = [stage.send("work_async", 600.0) for _ in range(20)]
    stage.start("--processes=1").wait_ready()
    stage.wait_started(*jobs)
    took: list[float] = []
    for job in jobs:
        before = time.monotonic()
        job.revoke(terminate=True)
        wait_revoked(job)
        took.append(time.monotonic() - before)
    assert sorted(took)[len(took) // 2] < 5.0, took  # 20 to 50 ms on an idle machine


def test_what_a_client_has_begun_to_revoke_never_runs_although_it_died(stage: Stage) -> None:
    job = stage.send("work", 0.0)
    (found,) = jobs_of(stage).revoke("a-client-that-dies", [(job.id, None)], 0.5)
    assert found.delivery is not None
    assert job.state == "PENDING"
    stage.start("--processes=1", **LEASE).wait_ready()
    wait_revoked(job)
    assert stage.ledger.starts()[job.id] == 0


def test_a_worker_killed_before_it_heard_of_a_doom_leaves_a_job_that_is_not_run_again(stage: Stage) -> None:
    job = stage.send("work", 600.0)
    worker = stage.start("--processes=1", **LEASE).wait_ready()
    stage.wait_started(job)
    jobs_of(stage).revoke("another-client", [(job.id, None)], 30.0)  # … and nobody told the worker
    worker.signal_group(signal.SIGKILL)
    worker.wait()
    stage.start("--processes=1", **LEASE).wait_ready()
    wait_revoked(job)
    assert stage.ledger.starts()[job.id] == 1


def told_elsewhere(state: Any) -> Any:
    """Stands for a command that runs in the workers only."""
    raise NotImplementedError(state)


def test_two_workers_tell_and_obey_each_by_its_name(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_BROKER_URL", stage.url)  # the command line leaves it behind
    first = stage.start("-n", "one@here", "--processes=1").wait_ready()
    second = stage.start("-n", "two@here", "--processes=1", "-Q", "default,other").wait_ready()
    control = stage.app.control
    assert control.inspect(timeout=60).ping() == {"one@here": {"ok": "pong"}, "two@here": {"ok": "pong"}}
    running = stage.send("work_async", 600.0)
    stage.wait_started(running)
    active = control.inspect(timeout=60).active()
    assert [job["id"] for jobs in active.values() for job in jobs] == [running.id]
    running.revoke(terminate=True)
    wait_revoked(running)
    assert {queue["name"] for queue in control.inspect("two@here", 60).active_queues()} == {"default", "other"}
    assert "ledger_tasks.work" in control.inspect("one@here", 60).registered()
    assert "queues default, other, " in control.inspect("two@here", 60).report()["ok"]
    control.pool_grow(1, ["one@here"], timeout=60)
    eventually(lambda: len(first.children()) == 2, "it has grown")
    control.pool_shrink(1, ["one@here"], timeout=60)
    eventually(lambda: len(first.children()) == 1, "it has shrunk")
    control.add_consumer("third", ["one@here"], timeout=60)
    assert stage.app.send_task("ledger_tasks.work", (0.0,), queue="third").get(timeout=60)
    control.time_limit("ledger_tasks.work_async", hard=0.2, timeout=60)
    with pytest.raises(TimeLimitExceeded):
        stage.send("work_async", 600.0).get(timeout=60)
    assert main(["control", "time_limit", "no.such", "1", "-t", "60", "-b", stage.url]) == 2
    assert main(["control", "cancel_consumer", "third", "-t", "60", "-b", stage.url]) == 1  # two does not serve it
    for name in ("writer", "add"):
        stage.app.control_command(name=name)(told_elsewhere)
    eventually(lambda: have_written(stage, first), "each child has written")
    eventually(lambda: have_added(stage, first), "each child has added")
    assert "ValueError" in str(control.broadcast("add", {"n": -1}, ["one@here"], reply=True, timeout=60))
    goes_quiet_and_on(stage, first)
    control.shutdown(["two@here"])
    assert second.wait() == 0
    assert first.running()
    assert set(control.inspect(timeout=60).ping()) == {"one@here"}


def goes_quiet_and_on(stage: Stage, first: Worker) -> None:
    """One of two workers receives nothing for a while, in children that live and in one that is born meanwhile."""
    control = stage.app.control
    control.add_consumer("fourth", ["one@here"], timeout=60)
    assert main(["control", "quiet", "-d", "one@here", "-t", "60", "-b", stage.url]) == 0
    control.pool_grow(1, ["one@here"], timeout=60)
    eventually(lambda: quiet_children(stage) == {"one@here": [True, True], "two@here": [False]}, "status shows it")
    eventually(lambda: have_written(stage, first), "each child has heard it before this")
    left = stage.app.send_task("ledger_tasks.work", (0.0,), queue="fourth")
    assert stage.send("work", 0.0).get(timeout=60)  # the other one goes on
    assert left.place == "ready"
    control.resume(["one@here"], timeout=60)
    assert left.get(timeout=60)


def quiet_children(stage: Stage) -> dict[str, list[bool]]:
    """By worker, whether each child is quiet, as `umbel status` tells."""
    found = asyncio.run(seen_by_status(stage))
    return {worker.worker: [child.quiet for child in worker.children] for worker in found.workers}


async def seen_by_status(stage: Stage) -> Survey:
    broker = connect(stage.url, stage.app.conf)
    try:
        assert isinstance(broker, Inspector)
        return await survey(broker, stage.url)
    finally:
        await broker.aclose()


def have_written(stage: Stage, worker: Worker) -> bool:
    """Whether each child of *worker* has answered; one that did not end at its limit is killed meanwhile."""
    found = stage.app.control.inspect("one@here", 60).command("writer")
    return bool(found == {str(child.pid): ["one@here", str(stage.ledger.path)] for child in worker.children()})


def have_added(stage: Stage, worker: Worker) -> bool:
    """The same of an order with an argument."""
    found = stage.app.control.broadcast("add", {"n": 2}, ["one@here"], reply=True, timeout=60)
    return found == [{"one@here": {str(child.pid): 3 for child in worker.children()}}]


def test_a_dead_letter_runs_again_under_its_id(stage: Stage) -> None:
    release = stage.folder / "release"
    stage.start("--processes=1").wait_ready()
    job = stage.send("fragile", str(release))
    (letter,) = eventually(stage.app.dead.list, "it has died")
    assert (letter.id, letter.task, letter.attempts) == (job.id, "ledger_tasks.fragile", 1)
    assert "Reject" in letter.reason
    assert letter.worker
    release.touch()
    assert stage.app.dead.retry([letter]) == [job.id]
    assert stage.app.AsyncResult(job.id).get(timeout=60) == 1
    assert stage.ledger.starts()[job.id] == 2
    assert stage.app.dead.list() == []


def test_a_paused_queue_is_left_alone_until_it_is_resumed(stage: Stage) -> None:
    stage.start("--processes=1").wait_ready()
    stage.send("work", 0.0).get(timeout=60)
    stage.app.queues.pause("default")
    job = stage.send("work", 0.0)
    (listed,) = stage.app.queues.jobs("default")
    assert listed.id == job.id
    stage.app.queues.resume("default")
    assert job.get(timeout=60)


def test_what_was_revoked_while_it_waited_never_runs_whoever_races_for_it(redis_stage: Stage) -> None:
    redis_stage.start().wait_ready()
    jobs = redis_stage.work_many([0.0] * 1_000)
    found = redis_stage.app.control.revoke(jobs[::-1])  # from the other end: they meet somewhere
    states = {job.id: eventually(lambda: job.ready() and job.state, f"{job.id} has ended") for job in jobs}  # noqa: B023
    starts = redis_stage.ledger.starts()
    assert {(one.place, states[one.id], starts[one.id]) for one in found} <= {
        ("ready", "REVOKED", 0),
        ("running", "SUCCESS", 1),
        ("running", "REVOKED", 0),  # it was on its way into a child
        ("ended", "SUCCESS", 1),
    }
