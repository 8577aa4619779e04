"""Real workers on RabbitMQ with Redis or a SQL database: a chain, a chord whose children are killed, and a schedule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import Workers, eventually, kill
from tests.system.stage import Stage
from tests.system.test_chaos import unexplained
from tests.system.test_schedules import EVERY, TICKING_APP, complete, ticks
from umbel import chain, chord

MEMBERS = 60
WAIT = 100.0


@pytest.fixture(params=["redis_url"])
def backend(request: pytest.FixtureRequest) -> str:
    """Where claims, flows and results are."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def stage(rabbitmq_url: str, backend: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(rabbitmq_url, tmp_path, backend)
    yield made
    made.end()


def test_a_chain_runs(stage: Stage) -> None:
    stage.start().wait_ready()
    member = stage.app.signature("ledger_tasks.member")
    assert chain(member.clone(args=(7,)), member.clone(), member.clone()).apply_async().get(timeout=WAIT) == 7


@pytest.mark.parametrize("backend", ["redis_url", "postgres_results_url"], indirect=True)
def test_a_chord_gets_every_value_and_runs_its_body_once_although_a_child_is_killed(stage: Stage) -> None:
    worker = stage.start(UMBEL_WORKER_LEASE="5").wait_ready()
    members = [stage.app.signature("ledger_tasks.member", args=(number,)) for number in range(MEMBERS)]
    body = chord(members, stage.app.signature("ledger_tasks.total")).apply_async()
    eventually(lambda: len(stage.ledger.ends()) >= MEMBERS // 3, "a third of the members have ended", WAIT)
    victim = eventually(worker.children, "a child")[-1]
    killed = {victim.pid: time.time()}
    kill(victim)
    eventually(body.ready, "the body has ended", WAIT)
    assert body.get(timeout=WAIT) == sum(range(MEMBERS))
    assert unexplained(stage, killed) == []  # so the body ran once, too


@pytest.mark.parametrize("backend", ["redis_url", "postgres_results_url"], indirect=True)
def test_each_tick_is_one_job(rabbitmq_url: str, backend: str, tmp_path: Path) -> None:
    (tmp_path / "ticking.py").write_text(TICKING_APP)
    workers = Workers(tmp_path)
    try:
        places = {"UMBEL_TEST_BROKER": rabbitmq_url, "UMBEL_RESULT_BACKEND": backend}
        worker = workers.start(
            "--processes=1", app="ticking", folder=tmp_path, UMBEL_TEST_EVERY=str(EVERY), **places
        ).wait_ready()
        eventually(lambda: len(ticks(tmp_path)) >= 9 and complete(tmp_path), "three ticks of each schedule", WAIT)
        worker.stop()
        found = ticks(tmp_path)
        assert len(found) == len({(name, tick) for name, tick, _ in found})
    finally:
        workers.end()
