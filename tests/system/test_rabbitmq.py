"""Real workers on RabbitMQ, claims and results in Redis: what must survive on every broker, and a kill of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import RabbitMQ, Server, Service
from tests.system.harness import eventually, kill
from tests.system.stage import Stage
from tests.system.test_chaos import (
    LEASE,
    PROMPT,
    recovery,
    test_a_hog_that_outlasts_three_leases_runs_once,
    test_a_poison_job_among_two_thousand_harms_no_other,
    test_a_worker_that_was_frozen_for_two_leases_changes_nothing,
    test_an_unknown_task_waits_for_a_worker_that_knows_it,
    test_hostile_messages_are_buried_with_a_reason_and_the_others_run,
    test_twenty_killed_children_and_five_killed_supervisors_lose_nothing,
    wait_ended,
)
from umbel.exceptions import TaskRevokedError, TimeLimitExceeded
from umbel.testing.proxy import Proxy

__all__ = [
    "test_a_hog_that_outlasts_three_leases_runs_once",
    "test_a_poison_job_among_two_thousand_harms_no_other",
    "test_a_worker_that_was_frozen_for_two_leases_changes_nothing",
    "test_an_unknown_task_waits_for_a_worker_that_knows_it",
    "test_hostile_messages_are_buried_with_a_reason_and_the_others_run",
    "test_twenty_killed_children_and_five_killed_supervisors_lose_nothing",
]


@pytest.fixture
def stage(rabbitmq_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(rabbitmq_url, tmp_path, redis_url)
    yield made
    made.end()


def test_a_job_runs_and_its_result_comes_back(stage: Stage) -> None:
    stage.start().wait_ready()
    assert stage.send("work", 0.0).get(timeout=100) > 0
    assert stage.send("work_async", 0.0).get(timeout=100) > 0


def test_a_job_that_is_revoked_before_a_worker_comes_ends_as_revoked_and_never_runs(stage: Stage) -> None:
    revoked, other = stage.send("work", 0.0), stage.send("work", 0.0)
    revoked.revoke()
    stage.start().wait_ready()
    assert other.get(timeout=100) > 0
    with pytest.raises(TaskRevokedError):
        revoked.get(timeout=100)
    assert set(stage.ledger.starts()) == {other.id}


def test_workers_are_asked_and_running_jobs_tell_and_are_ended_by_the_claim_store(stage: Stage) -> None:
    control = stage.app.control
    saying, listening = stage.send("say"), stage.send("watch")
    stage.start("-n", "one@here", "--processes=2").wait_ready()
    stage.wait_started(saying, listening)
    eventually(lambda: saying.state == "PROGRESS", "its progress is shown")
    assert (saying.info["current"], saying.info["total"]) == (1, 2)
    assert control.inspect(timeout=60).ping() == {"one@here": {"ok": "pong"}}
    assert "ledger_tasks.work" in control.inspect(timeout=60).registered()["one@here"]
    waiting = stage.app.send_task("ledger_tasks.work", args=(0.0,), queue="nobody")  # held by no worker
    active = {job["id"]: job for job in control.inspect(timeout=60).active()["one@here"]}
    assert {job_id: job["name"] for job_id, job in active.items()} == {
        saying.id: "ledger_tasks.say", listening.id: "ledger_tasks.watch",
    }  # fmt: skip
    assert active[saying.id]["worker_pid"] in [line.pid for line in stage.ledger.lines() if line.job == saying.id]
    assert waiting.id not in active
    assert control.inspect(timeout=60).reserved() == {"one@here": []}
    listening.revoke()  # it is told, and ends by itself
    assert listening.get(timeout=100) == 1
    saying.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        saying.get(timeout=100)
    assert stage.send("work", 0.0).get(timeout=100) > 0
    assert stage.ledger.starts()[saying.id] == 1


def test_a_job_that_is_killed_at_its_hard_limit_is_not_run_again(stage: Stage) -> None:
    stage.start().wait_ready()
    hog = stage.app.send_task("ledger_tasks.work", args=(300.0,), time_limit=0.5)
    with pytest.raises(TimeLimitExceeded):
        hog.get(timeout=100)
    assert stage.ledger.starts()[hog.id] <= 1  # on a busy machine its limit may pass before it begins


@pytest.mark.parametrize("scheme", ["db+postgresql", "postgresql"])
def test_claims_in_a_database_keep_a_job_whose_child_is_killed_and_carry_orders(
    rabbitmq_url: str, postgres_url: str, postgres_results_url: str, tmp_path: Path, scheme: str
) -> None:
    backend = postgres_results_url if scheme == "db+postgresql" else postgres_url
    stage = Stage(rabbitmq_url, tmp_path, backend)
    try:
        worker = stage.start().wait_ready()
        release = tmp_path / "release"
        held = stage.send("hold", str(release))
        stage.wait_started(held)
        kill(stage.runner(worker, held))
        others = stage.work_many([0.0] * 50)
        stage.wait_started(held, times=2)
        release.touch()
        assert held.get(timeout=100) > 0
        assert all(each.get(timeout=100) > 0 for each in others)
        assert stage.ledger.starts()[held.id] == 2
        assert {stage.ledger.starts()[each.id] for each in others} == {1}
        hog = stage.send("work", 300.0)
        stage.wait_started(hog)
        assert list(stage.app.control.inspect(timeout=60).ping().values()) == [{"ok": "pong"}]
        ((running,),) = stage.app.control.inspect(timeout=60).active().values()
        assert (running["id"], running["args"]) == (hog.id, [300.0])
        hog.revoke(terminate=True)
        with pytest.raises(TaskRevokedError):
            hog.get(timeout=100)
    finally:
        stage.end()


def test_the_jobs_of_a_killed_supervisor_run_again_soon_after_its_lease(stage: Stage) -> None:
    # A message that meets a living claim comes back to look after whole seconds, rounded up.
    assert recovery(stage) < LEASE + PROMPT


def test_a_worker_whose_lines_are_cut_three_times_under_load_runs_each_job_once(
    stage: Stage, rabbitmq_server: Server
) -> None:
    with Proxy(rabbitmq_server.port) as proxy:
        stage.url = stage.url.replace(f":{rabbitmq_server.port}", f":{proxy.port}")
        stage.start().wait_ready()
        results = []
        for _ in range(3):
            results += stage.work_many([0.001] * 300)
            eventually(lambda: len(stage.ledger.ends()) > len(results) - 300, "the next jobs run")  # noqa: B023
            proxy.cut()
            proxy.mend()
        # A message that found its job claimed by somebody looks again within 5 seconds; the rest is for a busy machine.
        wait_ended(stage, len(results), 150)
        stage.wait_succeeded(results)
        assert dict(stage.ledger.starts()) == {result.id: 1 for result in results}


def test_a_rabbitmq_that_is_killed_three_times_under_load_loses_nothing(
    launch: Callable[[Service], Server], redis_url: str, tmp_path: Path
) -> None:
    server = launch(RabbitMQ())
    stage = Stage(server.url, tmp_path, redis_url)
    try:
        stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        results = []
        for _ in range(3):
            for _ in range(20):
                results += stage.work_many([0.001] * 50)
            server.kill()
            server.start()
            seen = len(stage.ledger.lines())
            results.append(stage.send("work", 0.0))
            eventually(lambda: len(stage.ledger.lines()) > seen, "consumption resumes", LEASE + PROMPT)  # noqa: B023
        wait_ended(stage, len(results), 150)
        stage.wait_succeeded(results)
        assert set(stage.ledger.ends()) == {result.id for result in results}
    finally:
        stage.end()
