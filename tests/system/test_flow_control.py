"""Limits, fair turns and unique keys over real engines and real workers, some of which are killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.system.harness import PROJECTS, Worker, Workers, alive, eventually
from tests.system.ledger import Ledger, Line
from umbel import AsyncResult, Umbel
from umbel.cli.main import main
from umbel.exceptions import WorkerLostError
from umbel.testing import worker

PATIENCE_SECONDS = 100.0


class Stage:
    """A broker, the app of the tasks under limits as a client, their ledger, and workers."""

    def __init__(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = url
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        self.workers = Workers(folder)
        monkeypatch.setenv("UMBEL_TEST_BROKER", url)
        monkeypatch.setenv("UMBEL_TEST_LEDGER", str(self.ledger.path))
        monkeypatch.syspath_prepend(str(PROJECTS))
        self.tasks = _fresh("regulated_tasks", monkeypatch)
        self.app: Umbel = self.tasks.app

    def start(self, *words: str, **variables: Any) -> Worker:
        """A worker."""
        variables |= {"UMBEL_TEST_BROKER": self.url, "UMBEL_TEST_LEDGER": str(self.ledger.path)}
        return self.workers.start(*words, app="regulated_tasks", **variables)

    def started(self, *results: AsyncResult[Any]) -> list[Line]:
        """The starts of those jobs, in their order."""
        wanted = {each.id for each in results}
        return [line for line in self.ledger.lines() if line.phase == "S" and line.job in wanted]

    def end(self) -> None:
        """End all workers."""
        self.workers.end()
        self.app.close()


def _fresh(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module *name*, made anew, and forgotten with the test."""
    monkeypatch.delitem(sys.modules, name, raising=False)
    found = import_module(name)
    monkeypatch.delitem(sys.modules, name)
    return found


@pytest.fixture
def file_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(f"sqlite:///{tmp_path}/jobs.db", tmp_path, monkeypatch)
    yield made
    made.end()


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    at_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/jobs.db" if at_file else request.getfixturevalue(f"{request.param}_url")
    made = Stage(url, tmp_path, monkeypatch)
    yield made
    made.end()


def most_at_once(lines: list[Line], killed: dict[int, float]) -> int:
    """How many ran at the same time; a process that was *killed* at some time runs nothing after it."""
    changes: list[tuple[float, int]] = []
    for line in lines:
        if line.phase == "S":
            ends = [one.at for one in lines if one.phase == "E" and (one.job, one.pid) == (line.job, line.pid)]
            changes += [(line.at, 1), (ends[0] if ends else killed[line.pid], -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def test_a_rate_counts_for_all_workers_together(stage: Stage) -> None:
    results = [stage.tasks.paced.delay() for _ in range(25)]
    with worker(stage.app, threads=2), worker(stage.app, threads=2), worker(stage.app), worker(stage.app):
        for each in results:
            each.get(timeout=PATIENCE_SECONDS)
    starts = stage.started(*results)
    assert len(starts) == 25
    # 24 intervals of 0.1 s; the machine may have been late for the first start, and two may be made up for.
    assert starts[-1].at - starts[0].at > 1.2


def test_a_rate_that_is_set_while_workers_run_counts_for_a_task_without_limits(file_stage: Stage) -> None:
    stage, task = file_stage, file_stage.tasks.free
    stage.app.control.rate_limit(task.name, "1/h")
    results = task.delay_many([()] * 3)
    stage.start("--processes=1").wait_ready()
    results[0].get(timeout=PATIENCE_SECONDS)
    eventually(partial(_are_held, stage, 2), "a worker that starts later keeps the rate")
    stage.app.control.rate_limit(task.name)
    for each in (*results, *task.delay_many([()] * 3)):
        each.get(timeout=PATIENCE_SECONDS)
    stage.app.control.rate_limit(task.name, "1/h")

    def one_more_is_held() -> bool:
        task.delay()
        return _are_held(stage, 1)

    eventually(one_more_is_held, "a worker that runs keeps it soon")


def _are_held(stage: Stage, number: int) -> bool:
    return sum(limit.held for limit in stage.app.queues.limits("default")) >= number


def test_a_flood_delays_nobody_else_by_more_than_a_round(stage: Stage) -> None:
    flood = stage.tasks.fair.delay_many([("flood",)] * 100)
    others = [stage.tasks.fair.delay(name) for name in ("one", "two", "three")]
    with worker(stage.app):
        for each in (*others, flood[-1]):
            each.get(timeout=PATIENCE_SECONDS)
    order = [line.job for line in stage.started(*flood, *others)]
    assert max(order.index(each.id) for each in others) <= 2 * 4  # a round is one job of each of four turns


@pytest.mark.parametrize("task", ["crowded", "apart"])
def test_no_more_run_at_once_than_allowed_though_children_are_killed(file_stage: Stage, task: str) -> None:
    stage = file_stage
    stage.start("--processes=2", "--threads=2").wait_ready()
    results = [getattr(stage.tasks, task).delay(0.3) for _ in range(8)]
    killed: dict[int, float] = {}
    for number in (1, 3):
        eventually(partial(_have_started, stage, results, number + 1), "some have started")
        line = stage.started(*results)[number]
        with contextlib.suppress(psutil.NoSuchProcess):  # it had ended
            victim, now = psutil.Process(line.pid), time.time()
            victim.kill()
            killed[line.pid] = now
            eventually(partial(_has_ended, victim), "it is gone")
    for each in results:
        each.get(timeout=PATIENCE_SECONDS)
    assert most_at_once(stage.ledger.lines(), killed) <= 2


def _have_started(stage: Stage, results: list[AsyncResult[Any]], number: int) -> bool:
    return len(stage.started(*results)) >= number


def _has_ended(process: psutil.Process) -> bool:
    return not alive([process])


def test_a_unique_key_is_free_again_when_its_job_is_dead(file_stage: Stage) -> None:
    stage = file_stage
    stage.start("--processes=1", "--threads=1", UMBEL_WORKER_MAX_CRASHES="1").wait_ready()
    let_go = stage.folder / "let-go"
    first = stage.tasks.alone.delay(str(let_go))
    (line,) = eventually(lambda: stage.started(first), "it has started")
    assert stage.tasks.alone.delay(str(let_go)).id == first.id
    os.kill(line.pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        first.get(timeout=PATIENCE_SECONDS)
    second = stage.tasks.alone.delay(str(let_go))
    assert second.id != first.id
    let_go.touch()
    assert second.get(timeout=PATIENCE_SECONDS) == str(let_go)


def test_a_worker_with_limited_tasks_does_not_start_where_nobody_keeps_limits(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    url = "amqp://nowhere.invalid/"
    found = workers.start(app="regulated_tasks", UMBEL_TEST_BROKER=url, UMBEL_TEST_LEDGER=str(tmp_path / "ledger"))
    try:
        assert found.wait() == 2
        assert "limiting regulated_tasks." in found.output
        assert "needs a broker that keeps limits" in found.output
    finally:
        workers.end()


def test_rates_are_set_and_limits_are_shown_from_the_command_line(
    file_stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = file_stage
    monkeypatch.chdir(PROJECTS)
    stage.tasks.paced.delay_many([()] * 5)

    def umbel(*words: str) -> tuple[int, str]:
        code = main(["-A", "regulated_tasks", *words])
        printed = capsys.readouterr()
        return code, printed.out or printed.err

    assert umbel("control", "rate_limit", "regulated_tasks.paced", "5/h")[0] == 0
    code, out = umbel("queues", "limits", "default", "--json")
    (found,) = json.loads(out)
    assert (code, found["rate"], found["adjusted"], found["held"], found["released"]) == (0, "5/h", True, 4, 1)
    assert "5/h (set)" in umbel("queues", "limits", "default")[1]
    assert umbel("control", "rate_limit", "regulated_tasks.paced")[0] == 0
    assert json.loads(umbel("queues", "limits", "default", "-j")[1])[0]["rate"] == "10/s"
    assert len(json.loads(umbel("list", "--state", "held", "--json")[1])) == 4
    assert json.loads(umbel("queues", "list", "--json")[1])[0]["held"] == 4
    for words, text in [
        (("regulated_tasks.paced", "10/parsec"), 'such as "10/s"'),
        (("regulated_tasks.paced", "-1"), "give how many jobs may start"),
        (("regulated_tasks.pacd", "1/s"), "no task 'regulated_tasks.pacd' is registered here"),
        ((), "takes TASK [RATE]"),
    ]:
        code, out = umbel("control", "rate_limit", "--", *words)
        assert (code, text in out) == (2, True), out
    assert json.loads(umbel("queues", "limits", "default", "-j")[1])[0]["rate"] == "10/s"
