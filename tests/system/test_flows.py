"""A flow whose workers are killed under it: every value arrives, and what follows runs once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.system.harness import eventually, kill
from tests.system.stage import Stage
from tests.system.test_chaos import unexplained
from umbel.contracts.flows import FlowHolder, FlowStore
from umbel.model.flow import ALL, NOTHING, ONE, Flow, Node, Part
from umbel.model.job import DEFAULT_QUEUE, Job
from umbel.wire.envelope import Envelope, encode

MEMBERS = 200
KILLS = 4
SECONDS = 100.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(f"sqlite:///{tmp_path}/jobs.db", tmp_path)
    yield made
    made.end()


def test_a_body_gets_every_value_and_runs_once_although_children_are_killed(stage: Stage) -> None:
    flow = Flow("flow", DEFAULT_QUEUE, (Node(0, 0), Node(1, MEMBERS), Node(2, 1), Node(3, 1)))
    jobs = [(0, a_job("member", f"member-{number}", 0, NOTHING, (1, number), [number])) for number in range(MEMBERS)]
    jobs += [(1, a_job("total", "body", 1, ALL, (2, 0), []))]
    jobs += [(2, a_job("member", "after", 2, ONE, (3, 0), []))]
    flows_of(stage).start(flow, jobs)
    worker = stage.start().wait_ready()
    killed: dict[int, float] = {}
    for number in range(KILLS):
        ended = (number + 1) * MEMBERS // (2 * KILLS)
        eventually(lambda: len(stage.ledger.ends()) >= ended, f"{ended} members have ended", SECONDS)  # noqa: B023
        victim = eventually(worker.children, "a child")[-1]
        killed[victim.pid] = time.time()
        kill(victim)
    last = stage.app.AsyncResult("after")
    eventually(last.ready, "the flow has ended", SECONDS)
    assert last.get(timeout=SECONDS) == sum(range(MEMBERS))
    assert unexplained(stage, killed) == []  # so the body and what follows it ran once, too
    assert {stage.app.AsyncResult(job.id).state for _, job in jobs} == {"SUCCESS"}
    found = flows_of(stage).flow("flow", None)
    assert found is not None
    assert found.state == "succeeded"
    assert [node.joined for node in found.nodes] == [0, MEMBERS, 1, 1]
    counts = stage.counts()
    assert counts.ready + counts.running + counts.delayed + counts.dead == 0


def flows_of(stage: Stage) -> FlowStore:
    assert isinstance(stage.app.broker, FlowHolder)
    return stage.app.broker.flow_store


def a_job(task: str, job_id: str, needs: int, takes: int, feeds: tuple[int, int], args: list[int]) -> Job:
    """A job of ``ledger_tasks`` in the flow."""
    part = Part("flow", DEFAULT_QUEUE, needs, takes, (feeds,), chord=takes == ALL)
    given = msgspec.Raw(msgspec.msgpack.encode(args))
    return Job(job_id, DEFAULT_QUEUE, encode(Envelope(f"ledger_tasks.{task}", args=given, part=part)))
