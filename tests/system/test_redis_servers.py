"""Real workers on a Redis that is more, or less, than one plain server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import Redis, Server, Service
from tests.servers.cluster import Cluster
from tests.servers.sentinel import Watched
from tests.system.harness import eventually
from tests.system.stage import Stage

Enter = Callable[[str], Stage]


@pytest.fixture
def enter(tmp_path: Path) -> Iterator[Enter]:
    """A stage on the broker at a URL."""
    made: list[Stage] = []

    def make(url: str) -> Stage:
        stage = Stage(url, tmp_path)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.end()


def test_a_worker_warns_once_of_a_server_that_may_lose_jobs(launch: Callable[[Service], Server], enter: Enter) -> None:
    server = launch(Redis(config=("maxmemory-policy allkeys-lru",)))
    stage = enter(server.url)
    worker = stage.start().wait_ready()
    worker.wait_for("appendonly is off")
    assert stage.send("work", 0.0).get(timeout=120)
    for text in ("maxmemory-policy is allkeys-lru", "appendonly is off"):
        assert worker.output.count(text) == 1


def test_a_worker_has_nothing_to_say_of_a_server_that_keeps_jobs(
    launch: Callable[[Service], Server], enter: Enter
) -> None:
    stage = enter(launch(Redis(appendonly="everysec")).url)
    worker = stage.start().wait_ready()
    assert stage.send("work", 0.0).get(timeout=120)
    eventually(lambda: stage.counts().running == 0, "all is quiet")
    assert "WARNING" not in worker.output


def test_a_worker_goes_on_when_the_primary_of_its_sentinels_is_killed(tmp_path: Path, enter: Enter) -> None:
    with Watched(tmp_path) as watched:
        stage = enter(watched.url)
        worker = stage.start().wait_ready()
        results = stage.work_many([0.02] * 200)
        stage.wait_started(*results[:20])
        watched.primary.kill()
        results += stage.work_many([0.0] * 50)
        for result in results:
            assert result.get(timeout=120) > 0
        eventually(lambda: stage.counts().running == 0, "nothing is held")
        assert worker.running()
        assert worker.stop() == 0


def test_a_worker_goes_on_when_the_node_of_its_queue_is_killed(tmp_path: Path, enter: Enter) -> None:
    with Cluster(tmp_path) as cluster:
        stage = enter(cluster.url)
        worker = stage.start().wait_ready()
        results = stage.work_many([0.02] * 200)
        stage.wait_started(*results[:20])
        cluster.owner("{default}").kill()
        results += stage.work_many([0.0] * 50)
        for result in results:
            assert result.get(timeout=120) > 0
        eventually(lambda: stage.counts().running == 0, "nothing is held")
        assert worker.running()
        assert worker.stop() == 0
