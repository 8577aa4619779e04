"""Jobs that would never end, each in its own way, in real workers: limits end them, and nobody else is charged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.servers import Server
from tests.system.harness import Worker, Workers, alive, eventually
from umbel import AsyncResult, Umbel
from umbel.exceptions import (
    MemoryLimitExceeded,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)
from umbel.testing.proxy import Proxy

PATIENCE_SECONDS = 100.0
LIMIT = 0.4


class Stage:
    """A broker, the app of the hogs as a client, and workers."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.workers = Workers(folder)
        self.app = Umbel("limit_tasks", broker=url, backend=url, set_as_current=False)

    def start(self, *words: str) -> Worker:
        """A worker."""
        return self.workers.start(*words, app="limit_tasks", UMBEL_TEST_BROKER=self.url).wait_ready()

    def send(self, task: str, *args: object, **options: Any) -> AsyncResult[Any]:
        """Send one job."""
        return self.app.send_task(f"limit_tasks.{task}", args=args, **options)

    def end(self) -> None:
        """End all workers."""
        self.workers.end()
        self.app.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(f"sqlite:///{tmp_path}/jobs.db", tmp_path)
    yield made
    made.end()


def fails(result: AsyncResult[Any], error: type[Exception]) -> str:
    """What *result* says; it must be a failure of that kind."""
    with pytest.raises(error) as raised:
        result.get(timeout=PATIENCE_SECONDS)
    assert type(raised.value) is error
    return str(raised.value)


def written(path: Path, text: str) -> None:
    """Wait until *path* says *text*."""
    eventually(lambda: path.exists() and path.read_text() == text, f"{path.name} says {text}")


def told(stage: Stage, name: str, limit: float) -> None:
    """See that a job of the task *name* is told of its hard limit, and writes so."""
    path = stage.folder / "told"

    def has_written() -> bool:
        if path.exists() and path.read_text() == "TimeLimitExceeded":
            return True
        fails(stage.send(name, str(path), time_limit=limit), TimeLimitExceeded)
        return False  # on a busy machine its limit may pass before it begins

    eventually(has_written, f"{name} is told")


def cleaned_up(stage: Stage, name: str, job: AsyncResult[Any]) -> None:
    """See that *job*, of the task *name*, is told of its soft limit, and cleans up."""
    while True:
        try:
            assert job.get(timeout=PATIENCE_SECONDS) == "cleaned up"
        except SoftTimeLimitExceeded:  # on a busy machine its limit may pass before it begins
            job = stage.send(name, soft_time_limit=LIMIT)
        else:
            return


def gone(pid_file: Path) -> None:
    """Wait until the process whose id is in *pid_file* has ended."""
    text = pid_file.read_text() if pid_file.exists() else ""
    if not text:  # on a busy machine its limit may pass before it begins
        return
    try:
        process = psutil.Process(int(text))
    except psutil.NoSuchProcess:
        return
    eventually(lambda: not alive([process]), f"process {process.pid} has ended")


def test_whatever_a_job_does_it_ends_at_its_hard_limit_and_its_neighbours_run_again_uncharged(stage: Stage) -> None:
    stage.start("--processes=2", "--threads=5")
    beside = [stage.send("counts", 1.0) for _ in range(2)]
    hogs = [stage.send(name, time_limit=LIMIT) for name in ("loop", "sleep", "backtrack", "deny", "block", "cling")]
    starting = [stage.send(name, str(stage.folder / name), time_limit=LIMIT * 3) for name in ("run", "fork", "told")]
    for hog in hogs:
        assert fails(hog, TimeLimitExceeded) == f"the time limit of {LIMIT} s has passed"
    for hog in starting:
        fails(hog, TimeLimitExceeded)
    assert [each.get(timeout=PATIENCE_SECONDS) for each in beside] == [[0, 0], [0, 0]]
    told(stage, "told", LIMIT * 3)
    for name in ("run", "fork"):
        gone(stage.folder / name)


def test_a_job_that_does_not_listen_ends_at_its_hard_limit_on_redis(redis_url: str, tmp_path: Path) -> None:
    stage = Stage(redis_url, tmp_path)
    try:
        stage.start("--processes=1", "--threads=2")
        beside, hog = stage.send("counts", 0.8), stage.send("deny", time_limit=LIMIT)
        fails(hog, TimeLimitExceeded)
        assert beside.get(timeout=PATIENCE_SECONDS) == [0, 0]
    finally:
        stage.end()


def test_a_job_that_is_ended_while_its_worker_has_lost_the_broker_ends_and_never_begins_again(
    redis_url: str, redis_server: Server, tmp_path: Path
) -> None:
    with Proxy(redis_server.port) as proxy:
        stage = Stage(redis_url, tmp_path)
        try:
            through = redis_url.replace(f":{redis_server.port}", f":{proxy.port}")
            words = ("--processes=1", "--threads=2")
            stage.workers.start(*words, app="limit_tasks", UMBEL_TEST_BROKER=through).wait_ready()
            begun = tmp_path / "begun"
            hog = stage.send("heed", str(begun), "deaf")
            written(begun, "begun")
            proxy.cut()
            begun.unlink()
            hog.revoke(terminate=True)
            proxy.mend()
            assert fails(hog, TaskRevokedError) in {"terminated", "revoked"}
            assert stage.send("sleep", 0.0).get(timeout=PATIENCE_SECONDS)
            assert not begun.exists()
        finally:
            stage.end()


def test_jobs_are_told_of_their_soft_limits_and_end_in_processes_of_their_own(stage: Stage) -> None:
    stage.start("--processes=1", "--threads=4")
    before = stage.send("sleep", 0.0).get(timeout=PATIENCE_SECONDS)
    soft = {name: stage.send(name, soft_time_limit=LIMIT) for name in ("clean_up", "aclean_up")}
    fails(stage.send("loop", soft_time_limit=LIMIT), SoftTimeLimitExceeded)
    for name, job in soft.items():
        cleaned_up(stage, name, job)

    assert stage.send("fork_and_return").get(timeout=PATIENCE_SECONDS) == before
    eventually(lambda: not alive(psutil.Process(before).children()), "the copy of the child has ended")

    own = stage.send("isolated").get(timeout=PATIENCE_SECONDS)
    assert own == stage.send("aisolated", 0.0).get(timeout=PATIENCE_SECONDS)
    path, copies = stage.folder / "run", [stage.folder / name for name in ("forked", "left")]
    copying = stage.send("isolated", "fork", str(copies[0]), soft_time_limit=LIMIT * 3)
    leaving = stage.send("leave_a_copy", str(copies[1]))
    hogs = [stage.send("isolated", "deny", time_limit=LIMIT), stage.send("aisolated", 300.0, time_limit=LIMIT)]
    hogs += [stage.send("isolated", "run", str(path), time_limit=LIMIT * 3)]
    asked = stage.send("aisolated", 300.0, soft_time_limit=LIMIT)
    hogs.append(stage.send("isolated_told", str(stage.folder / "told"), time_limit=LIMIT))
    for hog in hogs:
        fails(hog, TimeLimitExceeded)
    fails(asked, SoftTimeLimitExceeded)
    fails(copying, SoftTimeLimitExceeded)
    leaving.get(timeout=PATIENCE_SECONDS)
    for copy in copies:  # the one ends with a limit, the other one with the process of its job
        gone(copy)
    told(stage, "isolated_told", LIMIT)
    polite, deaf = (stage.send("heed", str(stage.folder / name), name) for name in ("polite", "deaf"))
    for name, job in (("polite", polite), ("deaf", deaf)):
        written(stage.folder / name, "begun")
        job.revoke(terminate=job is deaf)
    assert polite.get(timeout=PATIENCE_SECONDS) == "left"
    assert fails(deaf, TaskRevokedError) == "terminated"
    assert "memory_limit of 209715200 bytes" in fails(stage.send("hoard"), MemoryLimitExceeded)
    assert "3 times" in fails(stage.send("isolated", "die"), WorkerLostError)
    gone(path)
    # Whatever happened to those processes: the child that held the jobs is the one that it was.
    assert stage.send("sleep", 0.0).get(timeout=PATIENCE_SECONDS) == before != own


def test_a_child_is_replaced_after_its_number_of_jobs_and_when_it_has_grown(stage: Stage) -> None:
    worker = stage.start("--processes=1", "--threads=2", "--max-tasks-per-child=3")
    jobs = [stage.send("sleep", 0.01) for _ in range(8)]
    pids = [job.get(timeout=PATIENCE_SECONDS) for job in jobs]
    assert len(pids) == 8
    assert max(map(pids.count, pids)) <= 3
    assert worker.stop() == 0
    assert "died" not in worker.output

    worker = stage.start("--processes=1", "--max-memory-per-child=1")
    first = stage.send("sleep", 0.0).get(timeout=PATIENCE_SECONDS)
    worker.wait_for("more than worker_max_memory_per_child")
    eventually(lambda: stage.send("sleep", 0.0).get(timeout=PATIENCE_SECONDS) != first, "another child")
    assert "died" not in worker.output


@pytest.mark.timeout(120)
def test_what_jobs_have_started_is_killed_with_the_worker(stage: Stage) -> None:
    worker = stage.start("--processes=1", "--threads=2")
    files = [stage.folder / "of a thread", stage.folder / "of a process"]
    stage.send("run", str(files[0]))
    stage.send("isolated", "run", str(files[1]))
    eventually(lambda: all(file.exists() and file.read_text() for file in files), "both have started something")
    worker.kill()
    for file in files:
        gone(file)
