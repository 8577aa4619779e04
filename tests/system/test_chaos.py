"""What must survive: children, supervisors and servers killed without warning, frozen workers, hogs and poison.

Each test reads the ledger that the tasks write, so it knows what ran, where and how often, whatever the broker says.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import Redis, Server, Service
from tests.system.harness import Worker, alive, eventually, kill, resume
from tests.system.stage import Stage
from umbel.model.ids import new_id
from umbel.model.job import Job

LEASE = 3.0
LONG = 100.0
PROMPT = 20.0
"""Seconds within which a busy machine does what takes a second on an idle one."""
JOBS = 20_000
CHILD_KILLS = 20
SUPERVISOR_KILLS = 5
SEED = 20_261


TOMORROW = """
import os
from umbel import Umbel

app = Umbel("tomorrow", broker=os.environ["UMBEL_TEST_BROKER"], backend=os.environ["UMBEL_TEST_BACKEND"])

@app.task(name="ledger_tasks.of_tomorrow")
def of_tomorrow() -> str:
    return "done"
"""


class Hunt:
    """Kills children and supervisors at random and remembers whom, and when."""

    def __init__(self, stage: Stage, workers: int) -> None:
        self.stage = stage
        self.killed: dict[int, float] = {}
        self._random = random.Random(SEED)
        self._workers = [self._start() for _ in range(workers)]

    def kill_child(self) -> None:
        """Kill one child, chosen by chance."""
        children = eventually(self._living, "a child")
        victim = self._random.choice(children)
        self.killed[victim.pid] = time.time()
        kill(victim)

    def kill_supervisor(self) -> None:
        """Kill one supervisor, and with it all of its worker; start another worker."""
        place = self._random.randrange(len(self._workers))
        worker = self._workers[place]
        forkserver = worker.forkserver()
        forkserver.suspend()  # so that nobody is born who is not in the list
        tree = worker.tree()
        worker.kill()
        resume(forkserver)
        self.killed |= {process.pid: time.time() for process in tree}
        eventually(lambda: not alive(tree), "the orphans are gone")
        self._workers[place] = self._start()

    def _living(self) -> list[psutil.Process]:
        # Who was killed a moment ago may still be there.
        return [each for worker in self._workers for each in worker.children() if each.pid not in self.killed]

    def _start(self) -> Worker:
        return self.stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()


def wait_ended(stage: Stage, jobs: int, seconds: float) -> None:
    """Wait until nothing is left of *jobs* jobs but their records.

    On RabbitMQ it may come too soon: what is on its way between two queues, or to whoever claims it, is in no number.
    """

    def gone() -> bool:
        counts = stage.counts()
        return counts.ready + counts.delayed + counts.running + counts.parked == 0

    try:
        eventually(gone, f"{jobs} jobs have ended", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; {stage.counts()} are left; {len(stage.ledger.ends())} have run") from error


def unexplained(stage: Stage, killed: dict[int, float]) -> list[str]:
    """Jobs that started again although the process of the start before lives, or was told that their end is settled.

    A worker logs the success of a job when its settle was answered: from then on nothing may start it again. A process
    that is killed before that may have run a job to its end in vain.
    """
    settled = stage.workers.successes()
    previous: dict[str, int] = {}
    wrong: list[str] = []
    for line in stage.ledger.lines():
        if line.phase == "E":
            continue
        pid = previous.get(line.job)
        previous[line.job] = line.pid
        if pid is None:
            continue
        if pid not in killed:
            wrong.append(f"{line.job} started again at {line.at}; process {pid} was not killed")
        elif (pid, line.job) in settled:
            wrong.append(f"{line.job} started again at {line.at}; process {pid} had settled it")
    return wrong


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    at_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/jobs.db" if at_file else request.getfixturevalue(f"{request.param}_url")
    made = Stage(url, tmp_path)
    yield made
    made.end()


def test_twenty_killed_children_and_five_killed_supervisors_lose_nothing(stage: Stage) -> None:
    hunt = Hunt(stage, workers=2)
    chance = random.Random(SEED)
    jobs = JOBS if stage.url.startswith(("sqlite:", "redis:")) else JOBS // 2  # enough to outlast the faults
    results = stage.work_many([chance.random() * 0.004 for _ in range(jobs)])
    deeds = [hunt.kill_child] * CHILD_KILLS + [hunt.kill_supervisor] * SUPERVISOR_KILLS
    chance.shuffle(deeds)
    for deed in deeds:
        time.sleep(0.1)  # not to wait for something: the rhythm of the faults
        deed()
    wait_ended(stage, jobs, 150)
    stage.wait_succeeded(results)
    starts, ends = stage.ledger.starts(), stage.ledger.ends()
    assert set(starts) == {result.id for result in results}
    assert set(ends) == set(starts)
    assert unexplained(stage, hunt.killed) == []
    assert len(stage.workers.successes()) >= jobs - 40 * len(hunt.killed)  # else the line above looked at nothing
    # One thread a child: one job runs, and a few more have ended but are not settled when it is killed.
    assert stage.ledger.extra_starts() <= 40 * len(hunt.killed)


def recovery(stage: Stage) -> float:
    """Kill a supervisor whose children run jobs; answers after how many seconds another worker has started them all."""
    victim = stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
    results = [stage.send("work", 120.0) for _ in range(2)]
    stage.wait_started(*results)
    stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
    victim.kill()
    killed = time.time()
    stage.wait_started(*results, times=2)
    again = [line.at for line in stage.ledger.lines() if line.phase == "S"][2:]
    return max(again) - killed


def test_the_jobs_of_a_killed_supervisor_run_again_soon_after_its_lease(stage: Stage) -> None:
    assert recovery(stage) < LEASE + PROMPT


@pytest.mark.parametrize("hog", ["hold_gil", "block_loop"])
def test_a_hog_that_outlasts_three_leases_runs_once(stage: Stage, hog: str) -> None:
    stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
    stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
    result = stage.send(hog, 3 * LEASE)
    assert result.get(timeout=LONG) is None
    assert stage.ledger.starts()[result.id] == 1


def test_a_worker_that_was_frozen_for_two_leases_changes_nothing(stage: Stage) -> None:
    frozen = stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
    tree, old = frozen.tree(), {child.pid for child in frozen.children()}
    release = stage.folder / "release"
    results = [stage.send("hold", str(release)) for _ in range(2)]
    stage.wait_started(*results)
    for process in tree:  # each child is in a group of its own
        process.suspend()
    other = stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
    stage.wait_started(*results, times=2, seconds=LONG)  # RabbitMQ hands out again when it misses the frozen ones
    release.touch()
    values = [result.get(timeout=LONG) for result in results]
    for process in tree:
        resume(process)
    last = stage.send("work", 0.0)
    eventually(lambda: not old & {child.pid for child in frozen.children()}, "its children are replaced")
    assert last.get(timeout=LONG)
    assert [result.get(timeout=LONG) for result in results] == values
    assert set(values) <= {child.pid for child in other.children()}


def test_a_poison_job_among_two_thousand_harms_no_other(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    before = stage.work_many([0.0] * 1_000)
    poison = stage.send("poison")
    after = stage.work_many([0.0] * 1_000)
    eventually(lambda: stage.counts().dead == 1, "the poison job is dead", LONG)
    stage.wait_succeeded((*before, *after), LONG)
    wait_ended(stage, 2_001, LONG)
    poisoned = [line for line in stage.ledger.lines() if line.job == poison.id]
    assert len(poisoned) == 3
    worker.wait_for("died of SIGABRT", times=3)
    deaths = [line for line in worker.output.splitlines() if "died of SIGABRT" in line]
    assert len(deaths) == 3
    # Charged is what had started: the poison alone, each time.
    assert all(line.endswith(f"It was running: ledger_tasks.poison[{poison.id}]") for line in deaths)
    # A job that had ended a moment before, unsettled, may run again; no other may.
    assert unexplained(stage, {line.pid: line.at for line in poisoned}) == []
    assert poison.state == "FAILURE"
    assert "WorkerLostError" in repr(poison.result)
    assert worker.running()


@pytest.mark.parametrize("appendonly", ["always", "everysec"])
def test_a_redis_that_is_killed_five_times_under_load_loses_nothing(
    launch: Callable[[Service], Server], tmp_path: Path, appendonly: str
) -> None:
    server = launch(Redis(appendonly=appendonly))  # type: ignore[arg-type]
    stage = Stage(server.url, tmp_path)
    try:
        stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        accepted: list[str] = []
        for _ in range(5):
            for _ in range(20):
                accepted += [result.id for result in stage.work_many([0.001] * 50)]
            server.kill()
            server.restart()
            # Everything sent before a probe is ahead of it in the queue, so ask the ledger for any new start.
            seen = len(stage.ledger.lines())
            probe = stage.send("work", 0.0)
            eventually(lambda: len(stage.ledger.lines()) > seen, "consumption resumes", LEASE + PROMPT)  # noqa: B023
            accepted.append(probe.id)
        wait_ended(stage, len(accepted), LONG)
        ended = stage.ledger.ends()
        lost = [job for job in accepted if job not in ended]
        # Redis itself may forget the last second under everysec; what it kept must have run.
        assert len(lost) == 0 if appendonly == "always" else len(lost) < 5 * 1_000
    finally:
        stage.end()


def hostile() -> dict[str, bytes]:
    """Envelopes that no producer of ours makes, by what is wrong with them."""
    chance = random.Random(SEED)
    return {
        "empty": b"",
        "random bytes": chance.randbytes(300),
        "JSON of Celery": b'[[1, 2], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]',
        "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
        "deep nesting": b"\x82\xa1t\xb1ledger_tasks.work\xa1a" + b"\x91" * 100_000 + b"\xc0",
        "wrong types": b"\x82\xa1t\x01\xa1a\x01",
        "a newer version": b"\x82\xa1t\xb1ledger_tasks.work\xa1v\x63",
        "arguments of a wrong shape": b"\x82\xa1t\xb1ledger_tasks.work\xa1a\x81\x01\x02",
        "arguments that do not fit": b"\x82\xa1t\xb1ledger_tasks.work\xa1a\x93\x01\x02\x03",
        "an endless text": b"\x82\xa1t\xdb\xff\xff\xff\xff",
    }


def test_hostile_messages_are_buried_with_a_reason_and_the_others_run(stage: Stage) -> None:
    bad = {new_id(): envelope for envelope in hostile().values()}
    good = stage.work_many([0.0] * 50)
    stage.app.broker.send([Job(job_id, "default", envelope) for job_id, envelope in bad.items()])
    good += stage.work_many([0.0] * 50)
    worker = stage.start().wait_ready()
    assert all(result.get(timeout=LONG) > 0 for result in good)
    results = [stage.app.AsyncResult(job_id) for job_id in bad]
    eventually(lambda: {result.state for result in results} == {"FAILURE"}, "all have failed", LONG)
    assert all(str(result.result) for result in results)
    # Arguments that merely do not fit are an ordinary failure.
    eventually(lambda: stage.counts().dead == len(bad) - 1, "the others are buried", LONG)
    wait_ended(stage, len(bad), LONG)
    assert worker.running()
    assert stage.ledger.extra_starts() == 0


def test_an_unknown_task_waits_for_a_worker_that_knows_it(stage: Stage) -> None:
    unknown = stage.app.send_task("ledger_tasks.of_tomorrow")
    known = stage.send("work", 0.0)
    worker = stage.start().wait_ready()
    assert known.get(timeout=LONG) > 0
    eventually(lambda: stage.counts().parked == 1, "the unknown job is parked")
    assert worker.stop() == 0  # it may take the job again, now and then, and park it as often
    eventually(lambda: unknown.place == "parked", "it is parked still")
    tomorrow = stage.folder / "tomorrow"
    tomorrow.mkdir()
    (tomorrow / "tomorrow_tasks.py").write_text(TOMORROW)
    stage.start(app="tomorrow_tasks", folder=tomorrow).wait_ready()
    assert unknown.get(timeout=LONG) == "done"
