"""Schedules of real workers: each tick once, whoever dies; the command line; a scheduler apart."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import Worker, Workers, environment, eventually
from umbel.cli.main import main

TICKING_APP = """
import os
from umbel import Umbel

app = Umbel("ticking", broker=os.environ["UMBEL_TEST_BROKER"])
every = float(os.environ["UMBEL_TEST_EVERY"])
app.conf.beat_schedule = {
    name: {"task": "ticking.tick", "schedule": every, "misfire": "all"} for name in ("a", "b", "c")
}

@app.task(bind=True)
def tick(self) -> None:
    headers = self.request.headers
    with open("ticks", "a") as ticks:
        ticks.write(f"{headers['umbel_schedule']} {headers['umbel_tick']:.3f} {self.request.id}\\n")
"""


EVERY = 0.5
WRONG: tuple[list[str], ...] = (
    ["--cron", "0 0 31 2 *"],
    ["--every", "0"],
    ["--at", "soon"],
    [],
    ["--every", "1", "--cron", "* * * * *"],
    ["--solar", "sunset"],
    ["--every", "5", "-a", "{}"],
    ["--every", "5", "-a", "[1]"],
)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    (tmp_path / "ticking.py").write_text(TICKING_APP)
    made = Workers(tmp_path)
    yield made
    made.end()


def ticks(folder: Path) -> set[tuple[str, float, str]]:
    """Schedule, tick and job of all that have run; a job that ran twice, because its worker died, is one."""
    path = folder / "ticks"
    lines = path.read_text().splitlines() if path.exists() else []
    return {(name, float(tick), job) for name, tick, job in (line.split() for line in lines if line.count(" ") == 2)}


def test_each_tick_is_one_job_when_a_worker_is_killed(workers: Workers, tmp_path: Path, redis_url: str) -> None:
    variables = {"UMBEL_TEST_BROKER": redis_url, "UMBEL_TEST_EVERY": str(EVERY), "UMBEL_WORKER_LEASE": "2"}
    started = [workers.start("--processes=1", app="ticking", folder=tmp_path, **variables) for _ in range(2)]
    for worker in started:
        worker.wait_ready()
    eventually(lambda: len(ticks(tmp_path)) >= 6, "both ticks of the schedules")
    started[0].end()
    seen = len(ticks(tmp_path))
    eventually(lambda: len(ticks(tmp_path)) >= seen + 9 and complete(tmp_path), "the other worker goes on")
    started[1].stop()
    found = ticks(tmp_path)
    assert len(found) == len({(name, tick) for name, tick, _ in found}), "a tick has two jobs"


def complete(folder: Path) -> bool:
    """Whether no tick between the first and the last is missing."""
    found = ticks(folder)
    for name in ("a", "b", "c"):
        moments = sorted({tick for schedule, tick, _ in found if schedule == name})
        if [round((tick - moments[0]) / EVERY, 3) for tick in moments] != list(range(len(moments))):
            return False
    return True


def test_a_scheduler_apart_sends_and_runs_nothing(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UMBEL_BROKER_URL", url)  # as -b leaves it
    command = [sys.executable, "-m", "umbel", "-A", "ticking", "beat", "--max-interval=0.2"]
    beat = Worker(command, tmp_path, environment(UMBEL_TEST_BROKER=url, UMBEL_TEST_EVERY="0.25"), tmp_path / "beat.log")

    def umbel(*words: str) -> str:
        assert main(["-b", url, "schedules", *words]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    try:
        eventually(lambda: run_of(umbel("list", "--json"), "a") >= 1, "a tick")
        umbel("pause", "a")
        runs = run_of(umbel("list", "--json"), "a")
        seen = run_of(umbel("list", "--json"), "b")
        eventually(lambda: run_of(umbel("list", "--json"), "b") > seen + 1, "another schedule goes on")
        assert run_of(umbel("list", "--json"), "a") == runs
        assert "paused" in umbel("list")
        assert len(umbel("run", "a").strip()) == 36
        umbel("resume", "a")
        eventually(lambda: run_of(umbel("list", "--json"), "a") > runs, "it goes on")
        assert "every 0.25" in umbel("show", "a")
        assert main(["-b", url, "schedules", "remove", "a"]) == 2
        beat.signal(signal.SIGTERM)
        assert beat.wait() == 0
    finally:
        beat.end()
    assert ticks(tmp_path) == set()


def run_of(listed: str, name: str) -> int:
    """How many ticks of *name* have run, by the list of schedules as JSON."""
    return next((int(each["runs"]) for each in json.loads(listed) if each["name"] == name), 0)


def test_schedules_are_added_and_removed_by_hand(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UMBEL_TEST_BROKER", url)
    monkeypatch.setenv("UMBEL_TEST_EVERY", "1")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ticking", raising=False)
    app = ["-A", "ticking", "schedules"]
    assert main([*app, "add", "nightly", "ticking.tick", "--cron", "30 2 * * *", "--timezone", "Europe/Paris"]) == 0
    assert main([*app, "add", "nightly", "ticking.tick", "--every", "60"]) == 1
    assert main([*app, "add", "nightly", "ticking.tick", "--every", "60", "--overlap", "skip", "--replace"]) == 0
    assert main([*app, "show", "nightly", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rule"], shown["overlap"], shown["source"], shown["runs"]) == ("every 60", "skip", "stored", 0)
    for wrong in WRONG:
        assert main([*app, "add", "wrong", "ticking.tick", *wrong]) == 2, wrong
        assert capsys.readouterr().err.startswith("Error: ")
    assert main([*app, "remove", "nightly"]) == 0
    assert main([*app, "remove", "nightly"]) == 2
    assert "there is no schedule 'nightly'" in capsys.readouterr().err
    assert main([*app, "list"]) == 0
    assert capsys.readouterr().err.strip() == "no schedules"
    for words in ([*app, "add", "odd", "ticking.tik", "--every", "60"], [*app[:-1], "call", "ticking.tik"]):
        assert main(words) == 0
        assert "knows the task 'ticking.tik'; its jobs wait: did you mean 'ticking.tick'?" in capsys.readouterr().err
    sys.modules.pop("ticking", None)
