"""Real workers on RabbitMQ without a claim store: results in files, or none at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import eventually
from tests.system.stage import Stage
from umbel.exceptions import UnknownResult


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "results").mkdir()
    return f"file://{tmp_path}/results"


@pytest.fixture
def stage(rabbitmq_url: str, folder: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(rabbitmq_url, tmp_path, folder)
    yield made
    made.end()


def test_a_poison_job_is_buried_after_four_deaths_and_harms_no_other(stage: Stage) -> None:
    worker = stage.start().wait_ready()
    before = stage.work_many([0.0] * 100)
    poison = stage.send("poison")
    after = stage.work_many([0.0] * 100)
    eventually(lambda: stage.counts().dead == 1, "the poison job is dead")
    eventually(lambda: all(result.ready() for result in (*before, *after)), "the others have ended")
    stage.wait_succeeded((*before, *after))
    assert len([line for line in stage.ledger.lines() if line.job == poison.id]) == 4
    eventually(lambda: poison.state == "FAILURE", "its end is known")
    assert "WorkerLostError" in repr(poison.result)
    assert worker.running()
    assert "a job may run twice" in worker.output


def test_jobs_run_without_any_result_store(rabbitmq_url: str, tmp_path: Path) -> None:
    stage = Stage(rabbitmq_url, tmp_path, "disabled://")
    try:
        stage.start().wait_ready()
        sent = stage.work_many([0.0] * 10)
        stage.wait_started(*sent)
        with pytest.raises(UnknownResult, match="result_backend is disabled"):
            sent[0].get(timeout=60)
        eventually(lambda: stage.counts().ready == 0, "all have been taken")
    finally:
        stage.end()
