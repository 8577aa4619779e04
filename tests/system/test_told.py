"""What real workers tell: the state of each job in whatever runner, and their own moments, from where user code is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import Worker, Workers, eventually
from umbel import Umbel
from umbel.exceptions import WorkerLostError

PATIENCE_SECONDS = 100.0


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    workers.end()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Umbel]:
    app = Umbel("told_tasks", broker=f"sqlite:///{tmp_path}/jobs.db", set_as_current=False)
    yield app
    app.close()


def start(workers: Workers, app: Umbel, heard: Path, *words: str) -> Worker:
    url = app.conf.broker_url
    started = workers.start(*words, app="told_tasks", UMBEL_TEST_BROKER=url, UMBEL_TEST_HEARD=str(heard))
    return started.wait_ready()


def test_what_a_job_says_is_seen_and_logged_in_each_runner(workers: Workers, app: Umbel, tmp_path: Path) -> None:
    door = tmp_path / "door"
    worker = start(workers, app, tmp_path / "heard", "--processes=1", "--threads=2")
    kinds = ("thread", "async", "process")
    results = [app.send_task(f"told_tasks.{kind}", (str(door),)) for kind in kinds]
    for result in results:
        eventually(lambda result=result: result.state == "HALF", "HALF is shown")  # type: ignore[misc]
    pids = {kind: result.info["pid"] for kind, result in zip(kinds, results, strict=True)}
    assert pids["thread"] == pids["async"] != pids["process"]
    door.touch()
    assert [result.get(PATIENCE_SECONDS) for result in results] == [result.id for result in results]
    for kind, result in zip(kinds, results, strict=True):
        worker.wait_for(f"told_tasks.{kind}[{result.id}]: half of it is done")


def test_a_workers_moments_come_in_order_from_where_its_user_code_is(
    workers: Workers, app: Umbel, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    worker = start(workers, app, heard, "--processes=2", "--threads=1")
    forkserver = worker.forkserver().pid
    eventually(lambda: heard.read_text().count("worker_process_init") == 2, "both children have begun")
    children = {child.pid for child in worker.children()}
    lost = app.send_task("told_tasks.die")
    with pytest.raises(WorkerLostError):
        lost.get(PATIENCE_SECONDS)
    assert worker.stop() == 0
    lines = [line.split() for line in heard.read_text().splitlines()]
    found = [(name, int(pid)) for name, pid in lines]
    order = [name for name, _ in found if name != "worker_before_create_process"]
    assert order[:2] == ["celeryd_init", "worker_init"]
    assert order[-1] == "worker_shutdown"
    assert order.index("worker_process_init") < order.index("worker_ready")
    assert order.index("worker_ready") < order.index("worker_shutting_down")
    (teller,) = [pid for name, pid in found if name == "worker_shutting_down"]
    assert found.index(("worker_shutting_down", teller)) < found.index(("worker_process_shutdown", teller))
    in_forkserver = ("celeryd_init", "worker_init", "worker_before_create_process", "worker_shutdown")
    assert {pid for name, pid in found if name in in_forkserver} == {forkserver}
    for name, times in (("worker_process_init", 2), ("worker_process_shutdown", 2), ("worker_ready", 1)):
        assert len([pid for each, pid in found if each == name and pid in children]) == times
    assert order.count("task_failure") == 1
    assert worker.pid not in {pid for _, pid in found}
