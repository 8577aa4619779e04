"""Real workers on a broker whose disk is full: nothing is lost, and all goes on by itself when there is room again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import Disk, Redis, Server, Service
from tests.system.harness import eventually
from tests.system.stage import Stage
from umbel.exceptions import BrokerFull, TimeoutError

LONG = 60.0
SMALL = 16
"""Megabytes."""


class Place(NamedTuple):
    """A stage on a broker whose data are on *disk*."""

    stage: Stage
    disk: Disk


@pytest.fixture(params=["sqlite", "redis"])
def place(
    request: pytest.FixtureRequest, mount: Callable[[int], Disk], launch: Callable[[Service], Server], tmp_path: Path
) -> Iterator[Place]:
    """The embedded file, or a Redis with an append-only file."""
    disk = mount(SMALL)
    if request.param == "sqlite":
        url = f"sqlite:///{disk.path}/umbel.db"
    else:
        url = launch(Redis(appendonly="everysec", config=(f"dir {disk.path}",))).url
    stage = Stage(url, tmp_path)
    yield Place(stage, disk)
    stage.end()


def test_what_ends_while_the_disk_is_full_is_kept_and_settled_when_there_is_room(place: Place) -> None:
    stage, disk = place
    worker = stage.start("-c", "2").wait_ready()
    before = stage.work_many([0.0] * 50)
    assert len({result.get(timeout=LONG) for result in before}) > 0
    release = stage.folder / "release"
    held = [stage.send("hold", str(release)) for _ in range(2)]
    stage.wait_started(*held)
    waiting = stage.work_many([0.0] * 50)
    disk.fill()
    sent = until_refused(stage)
    worker.wait_for("is away")
    release.touch()
    eventually(lambda: all(stage.ledger.ends()[result.id] for result in held), "the held jobs have ended")
    with pytest.raises(TimeoutError):
        held[0].get(timeout=0.5)
    disk.free()
    for result in (*held, *waiting):
        assert result.get(timeout=LONG)
    assert stage.send("work", 0.0).get(timeout=LONG)
    eventually(lambda: stage.counts().ready + stage.counts().running == 0, "all jobs have ended")
    ends = stage.ledger.ends()
    accepted = [*sent, *(result.id for result in (*before, *held, *waiting))]
    assert {ends[job] for job in accepted} == {1}
    worker.wait_for("is back after")


def until_refused(stage: Stage) -> list[str]:
    """Send until a send is refused because nothing has room any more; answers what was accepted before."""
    sent: list[str] = []

    def refused() -> bool:
        try:
            sent.append(stage.send("work", 0.0).id)
        except BrokerFull:
            return True
        return False

    eventually(refused, "a send is refused")
    return sent
