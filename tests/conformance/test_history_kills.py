"""A recorder killed in the midst of a write: another one writes each batch once, and nothing is missing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.conformance.history_victim import JOBS, record
from tests.servers import Server
from umbel.history import History
from umbel.history.archives import archive_at
from umbel.settings import Settings

ROOT = Path(__file__).parents[2]


class Found(NamedTuple):
    """What the history has: jobs, how many it counted as sent, and gaps."""

    jobs: int
    sent: int
    gaps: int


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty history."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/history.db"
        return
    server: Server = request.getfixturevalue("postgres_server")
    server.ensure_running()
    with psycopg.connect(server.url, autocommit=True) as line:
        line.execute("drop schema if exists umbel_history cascade")
    yield server.url


@pytest.mark.parametrize("statement", ["ingest.new_jobs", "commit"])
def test_a_recorder_killed_in_the_midst_of_a_write_has_written_nothing_and_the_next_one_writes_all_once(
    url: str, statement: str
) -> None:
    killed(url, statement)
    assert found(url) == (0, 0, 0)
    assert recorded(url) == JOBS
    assert found(url) == (JOBS, JOBS, 0)
    assert recorded(url) == 0


def test_without_a_transaction_a_killed_recorder_would_leave_half_of_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    killed(url, "ingest.new_jobs", "torn")
    recorded(url)
    jobs, sent, _ = found(url)
    assert jobs < sent == JOBS


def killed(url: str, statement: str, *how: str) -> None:
    """Have a recorder die at *statement*, and see that it did."""
    command = [sys.executable, "-m", "tests.conformance.history_victim", url, statement, *how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def recorded(url: str) -> int:
    """How many batches a recorder writes that begins now."""
    archive = archive_at(url, Settings())
    try:
        return record(archive)
    finally:
        archive.close()


def found(url: str) -> Found:
    """What the history has now."""
    history = History(archive_at(url, Settings()))
    try:
        sent = sum(each.sent for each in history.totals(0.0, time.time() + 60))
        return Found(len(history.jobs(limit=1_000).rows), sent, len(history.standing().gaps))
    finally:
        history.close()
