"""Many chords at once under killed children and supervisors: each has one body, one record of it, and an end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import eventually
from tests.system.stage import Stage
from tests.system.test_chaos import SEED, Hunt, unexplained, wait_ended
from umbel import chord
from umbel.app.flows import FlowInfo

CHORDS = 25
MOST_MEMBERS = 12
CHILD_KILLS = 4
SECONDS = 100.0


@pytest.fixture(params=["redis", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(request.getfixturevalue(f"{request.param}_url"), tmp_path)
    yield made
    made.end()


def over(stage: Stage, job: str) -> FlowInfo | None:
    """The flow of *job*, if it has ended."""
    found = stage.app.flows.get(job)
    return found if found is not None and found.ended is not None else None


def test_every_chord_has_one_body_although_its_workers_are_killed(stage: Stage) -> None:
    hunt = Hunt(stage, workers=2)
    chance = random.Random(SEED)
    sizes = [chance.randint(1, MOST_MEMBERS) for _ in range(CHORDS)]
    member, total = (stage.app.signature(f"ledger_tasks.{name}") for name in ("member", "total"))
    bodies = [chord([member.clone((number,)) for number in range(size)], total.clone()).delay() for size in sizes]
    jobs = sum(sizes) + CHORDS
    for number in range(1, CHILD_KILLS + 1):
        ended = number * jobs // (CHILD_KILLS + 2)
        eventually(lambda: len(stage.ledger.ends()) >= ended, f"{ended} jobs have ended", SECONDS)  # noqa: B023
        hunt.kill_child()
    hunt.kill_supervisor()
    wait_ended(stage, jobs, SECONDS)
    assert [body.get(timeout=SECONDS) for body in bodies] == [sum(range(size)) for size in sizes]
    for body in bodies:
        flow = eventually(lambda: over(stage, body.id), "the flow has ended")  # noqa: B023 - it is asked at once
        assert flow is not None
        assert (flow.state, flow.done, flow.total) == ("succeeded", flow.total, flow.total)
    assert {len(body.parent) for body in bodies} == set(sizes)
    assert unexplained(stage, hunt.killed) == []
    assert stage.ledger.extra_starts() <= 40 * len(hunt.killed)
