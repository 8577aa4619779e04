"""A worker's processes: started, stopped and killed, on a real file and a real Redis."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import Redis, Server, Service, reserve
from tests.system.harness import Worker, Workers, alive, eventually, kill
from tests.system.stage import Stage
from umbel import Umbel

DYING_APP = """
import os
from umbel import Umbel

app = Umbel("dying", broker=os.environ["UMBEL_TEST_BROKER"])
os.register_at_fork(after_in_child=lambda: os._exit(9))
"""
SLAIN_APP = """
import os, signal
from umbel import Umbel

app = Umbel("slain", broker=os.environ["UMBEL_TEST_BROKER"])

def born() -> None:
    births = os.open("births", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.write(births, b"x")
    if os.lseek(births, 0, os.SEEK_CUR) <= 12:  # where its own letter ends: which of the children it is
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(births)

os.register_at_fork(after_in_child=born)
"""
LONG_LEASE = {"UMBEL_WORKER_LEASE": "600"}
"""Nothing comes back by itself while a test waits."""
CHANGING_APP = """
import os
from umbel import Umbel

app = Umbel("changing", broker=os.environ["UMBEL_TEST_BROKER"], backend=os.environ["UMBEL_TEST_BROKER"])

@app.task
def version() -> int:
    return VERSION
"""


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    at_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/jobs.db" if at_file else request.getfixturevalue(f"{request.param}_url")
    made = Stage(url, tmp_path)
    yield made
    made.end()


whatever_the_engine = pytest.mark.parametrize("stage", ["sqlite"], indirect=True)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.end()


def whole(worker: Worker) -> list[psutil.Process]:
    """All processes of *worker*, once they are four: supervisor, forkserver, two children."""
    return eventually(lambda: tree if len(tree := worker.tree()) == 4 else None, "four processes") or []


def wait_gone(processes: list[psutil.Process]) -> None:
    """Wait until nothing is left of *processes*: one that was killed is there until it had a processor to end on."""
    eventually(lambda: not alive(processes), "all processes are gone")


def test_a_worker_gets_ready_runs_jobs_and_stops_without_a_trace(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    tree = whole(worker)
    results = [stage.send("work", 0.0) for _ in range(20)]
    for result in results:
        assert result.get(timeout=60) in {child.pid for child in worker.children()}
    assert worker.stop() == 0
    wait_gone(tree)


def test_a_job_that_runs_may_finish_when_the_worker_is_stopped(stage: Stage) -> None:
    worker = stage.start("--grace=60").wait_ready()
    result = stage.send("work", 1.0)
    stage.wait_started(result)
    assert worker.stop() == 0
    assert result.get(timeout=60) > 0
    assert stage.ledger.starts()[result.id] == 1


def test_what_had_not_started_goes_back_at_once_when_the_worker_is_stopped(stage: Stage) -> None:
    worker = stage.start("--processes=1", "--grace=600").wait_ready()
    running = stage.send("work", 600.0)
    stage.wait_started(running)
    others = [stage.send("work", 0.0) for _ in range(3)]
    worker.signal(signal.SIGTERM)
    stage.start().wait_ready()
    assert all(other.get(timeout=60) for other in others)
    assert worker.running()
    assert running.state != "SUCCESS"


def test_a_job_that_outlasts_the_grace_goes_back_uncharged(stage: Stage) -> None:
    worker = stage.start("--grace=0.5").wait_ready()
    release = stage.folder / "release"
    result = stage.send("hold", str(release))
    stage.wait_started(result)
    assert worker.stop() == 0
    assert stage.counts().ready == 1
    release.touch()
    stage.start().wait_ready()
    assert result.get(timeout=60) > 0
    assert (stage.ledger.starts()[result.id], stage.ledger.ends()[result.id]) == (2, 1)


@pytest.mark.parametrize(
    ("stage", "second"),
    [
        ("sqlite", signal.SIGTERM),
        ("sqlite", signal.SIGINT),
        ("sqlite", signal.SIGQUIT),
        ("redis", signal.SIGTERM),
        ("postgres", signal.SIGTERM),
    ],
    indirect=["stage"],
)
def test_a_second_signal_stops_at_once(stage: Stage, second: signal.Signals) -> None:
    worker = stage.start("--grace=600").wait_ready()
    result = stage.send("work", 600.0)
    stage.wait_started(result)
    tree = worker.tree()
    worker.signal(signal.SIGTERM)
    worker.wait_for("Stopping: 1 running")
    time.sleep(0.15)  # nearer, it would be taken for an echo of the first
    worker.signal(second)
    assert worker.wait() == 2
    wait_gone(tree)
    assert stage.counts().ready == 1


@whatever_the_engine
def test_ctrl_c_reaches_the_whole_group_and_stops_warm(stage: Stage) -> None:
    worker = stage.start("--grace=60").wait_ready()
    result = stage.send("work", 1.0)
    stage.wait_started(result)
    worker.signal_group(signal.SIGINT)
    assert worker.wait() == 0
    assert result.get(timeout=60) > 0
    assert "Traceback" not in worker.output


def test_a_killed_child_is_replaced_and_its_job_runs_again_long_before_the_lease_ends(stage: Stage) -> None:
    worker = stage.start(**LONG_LEASE).wait_ready()
    release = stage.folder / "release"
    result = stage.send("hold", str(release))
    stage.wait_started(result)
    before = {child.pid for child in whole(worker)}
    killed = stage.runner(worker, result)
    kill(killed)
    stage.wait_started(result, times=2)
    release.touch()
    assert result.get(timeout=60) > 0
    worker.wait_for(f"Child {killed.pid} died of SIGKILL")
    worker.wait_for(f"It was running: ledger_tasks.hold[{result.id}]")
    eventually(lambda: len(worker.children()) == 2, "two children again")
    assert len({child.pid for child in worker.children()} - before) == 1


def test_nothing_of_a_killed_supervisor_is_left_long_before_the_lease_ends(stage: Stage) -> None:
    worker = stage.start(**LONG_LEASE).wait_ready()
    result = stage.send("work", 600.0)
    stage.wait_started(result)
    tree = whole(worker)
    worker.kill()
    wait_gone(tree)


def test_a_killed_forkserver_is_replaced_and_its_jobs_run_again_uncharged(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    release = stage.folder / "release"
    results = [stage.send("hold", str(release)) for _ in range(2)]
    stage.wait_started(*results)
    before = {child.pid for child in worker.children()}
    kill(worker.forkserver())
    stage.wait_started(*results, times=2)
    release.touch()
    assert all(result.get(timeout=60) > 0 for result in results)
    assert before.isdisjoint(child.pid for child in worker.children())
    assert "died of" not in worker.output  # nobody is charged
    assert worker.stop() == 0


def renew_forkserver(worker: Worker, death: int) -> None:
    """Kill the forkserver, for the *death*-th time, and wait until another one has children."""
    old = worker.forkserver()
    kill(old)
    worker.wait_for("The forkserver died", times=death)
    eventually(lambda: worker.forkserver().pid != old.pid and len(worker.children()) == 2, "another one with children")


@whatever_the_engine
def test_a_forkserver_that_dies_three_times_ends_the_worker(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    for death in range(1, 3):
        renew_forkserver(worker, death)
    kill(worker.forkserver())
    assert worker.wait() == 1
    assert "the forkserver died three times within a minute" in worker.output


@whatever_the_engine  # among two thousand, on each: test_chaos.py
def test_a_poison_job_is_buried_after_three_crashes_and_the_worker_lives(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    poison = stage.send("poison")
    others = [stage.send("work", 0.01) for _ in range(50)]
    assert all(other.get(timeout=60) for other in others)
    eventually(lambda: stage.counts().dead == 1, "the poison job is dead")
    assert stage.ledger.starts()[poison.id] == 3
    assert worker.running()


def test_an_app_that_cannot_be_imported_is_an_error_that_says_why(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    worker = workers.start(app="broken", folder=tmp_path)
    assert worker.wait() == 2
    for part in ("Traceback", "import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'", "broken"):
        assert part in worker.output


def test_an_app_that_does_not_exist_is_an_error_that_says_what_was_tried(workers: Workers, tmp_path: Path) -> None:
    worker = workers.start(app="nowhere", folder=tmp_path)
    assert worker.wait() == 2
    assert "nowhere" in worker.output


def test_an_app_whose_children_die_at_birth_ends_the_worker(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING_APP)
    worker = workers.start(app="dying", folder=tmp_path, UMBEL_TEST_BROKER=f"sqlite:///{tmp_path}/jobs.db")
    assert worker.wait() == 3
    assert "died of exit status 9" in worker.output


def test_children_that_are_killed_from_outside_before_they_are_ready_are_replaced(
    workers: Workers, tmp_path: Path
) -> None:
    (tmp_path / "slain.py").write_text(SLAIN_APP)
    worker = workers.start(app="slain", folder=tmp_path, UMBEL_TEST_BROKER=f"sqlite:///{tmp_path}/jobs.db")
    worker.wait_ready().wait_for("died of SIGKILL", times=12)
    assert worker.output.count("died of SIGKILL") == 12


@whatever_the_engine
def test_a_hang_up_puts_new_code_into_the_children(stage: Stage) -> None:
    source = stage.folder / "changing.py"
    source.write_text(f"VERSION = 1\n{CHANGING_APP}")
    stage.app.close()
    app = stage.app = Umbel("changing", broker=stage.url, backend=stage.url)
    worker = stage.start(app="changing", folder=stage.folder).wait_ready()
    assert app.send_task("changing.version", args=(), kwargs={}).get(timeout=60) == 1
    source.write_text(f"VERSION = 22\n{CHANGING_APP}")
    worker.signal(signal.SIGHUP)
    worker.wait_for("Reloaded")
    assert {app.send_task("changing.version", args=(), kwargs={}).get(timeout=60) for _ in range(10)} == {22}
    source.write_text("1 / 0\n")
    worker.signal(signal.SIGHUP)
    worker.wait_for("Not reloaded, the old code goes on: ")
    assert app.send_task("changing.version", args=(), kwargs={}).get(timeout=60) == 22
    assert worker.stop() == 0


def test_a_broker_that_is_down_at_the_start_is_waited_for(launch: Callable[[Service], Server], tmp_path: Path) -> None:
    server = launch(Redis())
    server.stop()
    stage = Stage(server.url, tmp_path)
    try:
        worker = stage.start()
        worker.wait_for("is away")
        server.start()
        worker.wait_ready()
        assert stage.send("work", 0.0).get(timeout=60) > 0
        assert worker.output.count("is away") == 1
        assert worker.output.count("is back after") == 1
    finally:
        stage.end()


def test_a_worker_stops_within_its_grace_while_the_broker_is_down(
    launch: Callable[[Service], Server], tmp_path: Path
) -> None:
    server = launch(Redis())
    stage = Stage(server.url, tmp_path)
    try:
        worker = stage.start("--grace=1").wait_ready()
        result = stage.send("work", 600.0)
        stage.wait_started(result)
        server.pause()
        assert worker.stop() == 0
    finally:
        server.resume()  # or the app would wait for it, until its deadline, to tell of what it has sent
        stage.end()


def test_a_wrong_password_is_an_error_that_does_not_show_it(
    launch: Callable[[Service], Server], tmp_path: Path
) -> None:
    server = launch(Redis(config=("user other on >opensesame ~* &* +@all",)))
    stage = Stage(f"redis://other:hunter2@127.0.0.1:{server.port}/0", tmp_path)
    try:
        worker = stage.start()
        assert worker.wait() == 2
        assert f"redis://other:***@127.0.0.1:{server.port}/0" in worker.output
        assert "hunter2" not in worker.output
    finally:
        stage.end()


def test_a_worker_on_a_port_where_nothing_listens_ends_when_told(tmp_path: Path) -> None:
    with_port = reserve()
    stage = Stage(f"redis://127.0.0.1:{with_port.port}/0", tmp_path)
    try:
        worker = stage.start()
        worker.wait_for("is away")
        assert worker.stop() == 0
    finally:
        stage.end()
        with_port.release()


def test_a_worker_and_two_children_take_no_more_than_90_mb(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    assert stage.send("work", 0.0).get(timeout=60) > 0
    taken = sum(process.memory_full_info().pss for process in whole(worker))
    assert taken < 90 * 2**20
