"""Real workers on a PostgreSQL that goes away: killed, stopped, its processes ended at random; and behind a pooler."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

from tests.servers import Disk, PgBouncer, Postgres, Server, Service
from tests.system.harness import eventually, kill
from tests.system.stage import Stage
from umbel.exceptions import BrokerFull

LEASE = 3.0
RESUME_SECONDS = 40.0
SEED = 20_261

Launch = Callable[[Service], Server]


@contextmanager
def staged(url: str, folder: Path) -> Generator[Stage]:
    stage = Stage(url, folder)
    try:
        yield stage
    finally:
        stage.end()


def wait_ended(stage: Stage, seconds: float = 100.0) -> None:
    def gone() -> bool:
        counts = stage.counts()
        return counts.ready + counts.delayed + counts.running + counts.parked == 0

    eventually(gone, "all jobs have ended", seconds)


def resumes(stage: Stage) -> str:
    """Send a job and wait for any new start; those sent before are ahead of it in the queue. Answers its id."""
    seen = len(stage.ledger.lines())
    probe = stage.send("work", 0.0)
    eventually(lambda: len(stage.ledger.lines()) > seen, "consumption resumes", RESUME_SECONDS)
    return probe.id


def killed(server: Server) -> None:
    server.kill()


def stop_at_once(server: Server) -> None:
    """What ``pg_ctl stop -m immediate`` does."""
    os.kill(server.pid, signal.SIGQUIT)
    eventually(lambda: not server.running, "the server has stopped")


@pytest.mark.parametrize("end", [killed, stop_at_once])
def test_a_postgresql_that_ends_five_times_under_load_loses_nothing(
    launch: Launch, tmp_path: Path, end: Callable[[Server], None]
) -> None:
    server = launch(Postgres())
    with staged(server.url, tmp_path) as stage:
        stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        accepted: list[str] = []
        for _ in range(5):
            for _ in range(20):
                accepted += [result.id for result in stage.work_many([0.001] * 50)]
            end(server)
            server.start()
            accepted.append(resumes(stage))
        wait_ended(stage)
        ended = stage.ledger.ends()
        assert [job for job in accepted if job not in ended] == []


def test_connections_that_are_ended_at_random_lose_nothing(launch: Launch, tmp_path: Path) -> None:
    server = launch(Postgres())
    chance = random.Random(SEED)
    with staged(server.url, tmp_path) as stage, psycopg.connect(server.url, autocommit=True) as admin:
        stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        results = []
        for _ in range(40):
            results += stage.work_many([0.001] * 50)
            pids = admin.execute("select pid from pg_stat_activity where application_name = 'umbel'").fetchall()
            for (pid,) in chance.sample(pids, min(2, len(pids))):
                admin.execute("select pg_terminate_backend(%s)", (pid,))
        wait_ended(stage)
        stage.wait_succeeded(results)
        ended = stage.ledger.ends()
        assert [result.id for result in results if result.id not in ended] == []


def test_effects_of_jobs_that_end_in_their_own_transactions_count_once_whoever_is_killed(
    launch: Launch, tmp_path: Path
) -> None:
    server = launch(Postgres())
    chance = random.Random(SEED)
    with staged(server.url, tmp_path) as stage, psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("create table effect(job text)")
        worker = stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        results = [stage.send("charge") for _ in range(80)]
        for share in range(1, 5):
            enough = 15 * share
            eventually(lambda: len(stage.ledger.ends()) > enough, "jobs end")  # noqa: B023 - it is asked at once
            kill(chance.choice(eventually(worker.children, "a child")))
        wait_ended(stage)
        effects = admin.execute("select job from effect").fetchall()
        assert sorted(job for (job,) in effects) == sorted(result.id for result in results)
        stage.wait_succeeded(results)


def test_a_full_disk_is_said_and_all_goes_on_when_there_is_room(
    mount: Callable[[int], Disk], launch: Launch, tmp_path: Path
) -> None:
    disk = mount(160)
    server = launch(Postgres(home=disk.path))
    with staged(server.url, tmp_path) as stage:
        stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        accepted = [result.id for result in stage.work_many([0.0] * 50)]
        wait_ended(stage)
        disk.fill()
        with pytest.raises(BrokerFull, match="No space left"):
            accepted.extend(result.id for _ in range(1_000) for result in stage.work_many([0.0] * 50))
        disk.free()
        accepted.append(stage.send("work", 0.0).id)
        wait_ended(stage)
        ended = stage.ledger.ends()
        assert [job for job in accepted if job not in ended] == []


@pytest.mark.parametrize("listening", [True, False])
def test_a_worker_behind_pgbouncer_runs_jobs_and_survives_its_restart(
    launch: Launch, tmp_path: Path, listening: bool
) -> None:
    server = launch(Postgres())
    pooler = launch(PgBouncer(server.port))
    url = f"{pooler.url}?{urlencode({'listen': server.url})}" if listening else pooler.url
    with staged(url, tmp_path) as stage:
        worker = stage.start(UMBEL_WORKER_LEASE=str(LEASE)).wait_ready()
        results = stage.work_many([0.0] * 500)
        assert all(result.get(timeout=100) > 0 for result in results)
        pooler.kill()
        pooler.start()
        again = stage.work_many([0.0] * 500)
        assert all(result.get(timeout=100) > 0 for result in again)
        assert stage.ledger.extra_starts() == 0
        assert worker.stop() == 0
