"""Jobs of flows in a child: what they are given, what ends without being run, and what that is to the flow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.worker.child.stage import QUEUE, Stage, until
from umbel import Task
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.memory.flows import MemoryFlows
from umbel.contracts.broker import Settlement
from umbel.contracts.powers import Record
from umbel.engines.memory import Space
from umbel.exceptions import BrokerUnavailable, Ignore
from umbel.execution.executor import Executor, Run
from umbel.model import chance
from umbel.model.flow import ALL, NOTHING, ONE, Flow, Join, Node, Page, Part, Standing
from umbel.model.job import Delivery, Job
from umbel.model.outcome import Result
from umbel.settings import Settings
from umbel.stores.large import LargeRecords, is_reference
from umbel.stores.memory import MemoryStore
from umbel.wire import record, values
from umbel.wire.envelope import Envelope, encode
from umbel.worker.child.gatherer import Gatherer
from umbel.worker.child.ledger import OtherStore, OwnEngine

FLOW = "flow"


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "random", lambda: 0.005)


class Chosen:
    """A flow as the tests write it down: *place* each job, then `start`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.jobs: list[tuple[int, Job]] = []
        self.members: dict[int, int] = {}

    def place(
        self, task: Task[..., Any], job_id: str, needs: int, feeds: int, takes: int = NOTHING, **options: Any
    ) -> None:
        """A job that *needs* one node and *feeds* another."""
        number = self.members.get(feeds, 0)
        self.members[feeds] = number + 1
        part = Part(FLOW, QUEUE, needs, takes, ((feeds, number),), options.pop("chord", False))
        args = msgspec.Raw(values.encode(options.pop("args", [])))
        body = encode(Envelope(task.name, args=args, part=part, **options))
        self.jobs.append((needs, Job(job_id, QUEUE, body)))

    def start(self, **options: Any) -> None:
        """Start it."""
        nodes = (Node(0, 0), *(Node(key, count) for key, count in sorted(self.members.items())))
        self.stage.broker.flow_store.start(Flow(FLOW, QUEUE, nodes, **options), self.jobs)

    def state(self) -> str:
        """The state of the flow."""
        found = self.stage.broker.flow_store.flow(FLOW, QUEUE)
        assert found is not None
        return found.state


@pytest.fixture
def flow(stage: Stage) -> Chosen:
    return Chosen(stage)


def result(stage: Stage, job_id: str) -> Result:
    stored = stage.store.fetch(job_id, None)
    assert stored is not None
    return record.decode(stored)


def failing(stage: Stage, error: Callable[[], Exception]) -> Task[..., Any]:
    def fail(*_: Any) -> None:
        raise error()

    return stage.task(fail)


def summing(stage: Stage) -> Task[..., Any]:
    def add(given: Any, more: int = 0) -> int:
        return (sum(given) if isinstance(given, list) else given) + more

    return stage.task(add)


def long_text() -> str:
    return "x" * 5000


async def test_each_step_of_a_chain_gets_the_value_of_the_one_before_it(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    flow.place(add, "1", 0, 1, args=[1])
    for step in range(2, 6):
        flow.place(add, str(step), step - 1, step, ONE, args=[step])
    flow.start()
    async with stage.child():
        await stage.ended("5")
    assert values.decode(result(stage, "5").value) == 15
    assert flow.state() == "succeeded"


async def test_the_body_of_a_chord_gets_all_values_in_order_whatever_order_they_ended_in(
    stage: Stage, flow: Chosen
) -> None:
    def number(value: int) -> int:
        return value

    def body_of(given: list[int]) -> list[int]:
        return given

    task, body = stage.task(number), stage.task(body_of)
    for member in range(2500):
        flow.place(task, f"m{member}", 0, 1, args=[member])
    flow.place(body, "body", 1, 2, ALL, chord=True)
    random.Random(7).shuffle(flow.jobs)
    flow.start()
    async with stage.child(jobs_are_short=True):
        await stage.ended("body")
    assert values.decode(result(stage, "body").value) == list(range(2500))


async def test_a_failure_goes_through_the_whole_flow_and_every_job_gets_a_record(stage: Stage, flow: Chosen) -> None:
    bad, add = failing(stage, lambda: ValueError("no")), summing(stage)
    flow.place(bad, "bad", 0, 1)
    flow.place(add, "good", 0, 2, args=[1])
    flow.place(add, "step", 1, 2, ONE)
    flow.place(add, "body", 2, 3, ALL, chord=True)
    flow.place(add, "after", 3, 4)
    flow.start()
    async with stage.child():
        await stage.ended("after")
    kinds = {job: result(stage, job).failure for job in ("bad", "step", "body", "after")}
    assert {job: failure.type for job, failure in kinds.items() if failure} == {
        "bad": "ValueError",
        "step": "ValueError",
        "body": "ChordError",
        "after": "ChordError",
    }
    assert result(stage, "body").failure == result(stage, "after").failure
    assert result(stage, "good").state == "SUCCESS"
    assert flow.state() == "failed"


async def test_an_ignored_step_revokes_what_follows(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    flow.place(failing(stage, Ignore), "ignored", 0, 1)
    flow.place(add, "step", 1, 2, ONE)
    flow.place(add, "last", 2, 3, ONE)
    flow.start()
    async with stage.child():
        await stage.ended("last")
    assert (stage.state("ignored"), stage.state("step"), stage.state("last")) == ("no record", "REVOKED", "REVOKED")


async def test_no_job_of_a_revoked_flow_runs_and_each_gets_a_record(stage: Stage, flow: Chosen) -> None:
    ran: list[int] = []

    def noting(member: int) -> None:
        ran.append(member)

    note = stage.task(noting)
    for member in range(3):
        flow.place(note, f"m{member}", 0, 1, args=[member])
    flow.place(note, "body", 1, 2, ALL, chord=True)
    flow.start()
    assert stage.broker.flow_store.revoke_flow(FLOW, None)
    async with stage.child():
        await stage.ended("m0", "m1", "m2", "body")
    assert ran == []
    assert [stage.state(f"m{member}") for member in range(3)] == ["REVOKED"] * 3
    assert flow.state() == "revoked"


async def test_no_job_of_a_flow_that_has_expired_runs(stage: Stage, flow: Chosen) -> None:
    flow.place(summing(stage), "late", 0, 1, args=[1])
    flow.start(expires=1.0)
    async with stage.child():
        await stage.ended("late")
    assert stage.state("late") == "REVOKED"


async def test_a_job_that_kills_its_process_again_and_again_ends_its_flow(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    flow.place(add, "killer", 0, 1, args=[1])
    flow.place(add, "body", 1, 2, ALL, chord=True)
    flow.start()
    await stage.charge("killer", crashes=3)
    async with stage.child():
        await stage.ended("body")
    failure = result(stage, "body").failure
    assert failure is not None
    assert failure.message.startswith("Dependency killer raised WorkerLostError(")


async def test_a_step_that_runs_alone_after_a_crash_gets_its_value(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    flow.place(add, "1", 0, 1, args=[1])
    flow.place(add, "2", 1, 2, ONE, args=[10])
    flow.start()
    session = await stage.open()
    deliveries = await stage.broker.receive(session, [QUEUE], 1, wait=0)
    end = Settlement(deliveries[0], "end", joins=(Join(FLOW, QUEUE, 1, 0, values.encode(1)),))
    assert await stage.broker.settle(session, [end]) == [True]
    await stage.charge("2", crashes=1)
    async with stage.child():
        await stage.ended("2")
    assert values.decode(result(stage, "2").value) == 11


async def test_a_step_whose_record_was_stored_before_a_crash_is_not_run_again_and_the_chain_goes_on(
    stage: Stage, flow: Chosen
) -> None:
    ran: list[int] = []

    def noting(value: int) -> int:
        ran.append(value)
        return value

    task = stage.task(noting)
    flow.place(task, "1", 0, 1, args=[1])
    flow.place(task, "2", 1, 2, ONE)
    flow.start()
    await stage.charge("1", losses=1)
    elsewhere = MemoryStore(Space())
    await elsewhere.put([Record("1", QUEUE, record.encode(Result("SUCCESS", msgspec.Raw(b"\x07"))), 60.0)])
    async with stage.child(ledger=OtherStore(elsewhere, "session", 60.0)):
        await until(lambda: elsewhere.fetch("2", None) is not None, "the chain has ended")
        await until(lambda: flow.state() == "succeeded", "the flow has ended")
    assert ran == [7]


class Faltering(MemoryFlows):
    """Does not answer at first."""

    left = 3
    asked = 0

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """`FlowStore.inputs`, sometimes."""
        self.asked += 1
        if self.left > 0:
            self.left -= 1
            raise BrokerUnavailable("away")
        return await super().inputs(pages)


def faltering(stage: Stage) -> tuple[MemoryBroker, Faltering]:
    broker = MemoryBroker(stage.space)
    flows = broker._flows = Faltering(stage.space, broker._clock, broker._put)
    return broker, flows


async def test_a_job_waits_until_the_broker_tells_what_it_is_given(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    flow.place(add, "1", 0, 1, args=[1])
    flow.place(add, "2", 1, 2, ONE, args=[10])
    flow.start()
    broker, flows = faltering(stage)
    async with stage.child(broker):
        await stage.ended("2")
    assert flows.left == 0
    assert values.decode(result(stage, "2").value) == 11


async def test_a_stop_gives_back_the_jobs_that_wait_for_their_inputs(stage: Stage, flow: Chosen) -> None:
    flow.place(summing(stage), "1", 0, 1, args=[1])
    flow.start()
    broker, flows = faltering(stage)
    flows.left = 10**9
    async with stage.child(broker) as child:
        await until(lambda: flows.asked > 1, "it asks")
        await child.stop()
    assert (await stage.counts()).ready == 1


async def test_jobs_without_a_flow_ask_nothing_and_wait_for_nobody(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    broker, flows = faltering(stage)
    async with stage.child(broker):
        await stage.ended(*stage.send(add, (1,), (2,)))
        assert flows.asked == 0
        flows.left = 10**9
        flow.place(add, "1", 0, 1, args=[1])
        flow.start()
        plain = stage.send(add, (3,))
        await until(lambda: flows.asked > 1, "it asks")
        flows.left = 0
        await stage.ended("1", *plain)


async def test_members_of_one_group_are_asked_about_once_a_receive(stage: Stage, flow: Chosen) -> None:
    add = summing(stage)
    broker, flows = faltering(stage)
    flows.left = 0
    for member in range(200):
        flow.place(add, f"m{member}", 0, 1, args=[member])
    flow.start()
    received, receive = list[int](), broker.receive

    async def counted(session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        found = await receive(session, queues, limit, wait=wait)
        received.append(len(found))
        return found

    broker.receive = counted  # type: ignore[method-assign]
    async with stage.child(broker, jobs_are_short=True):
        await stage.ended(*(f"m{member}" for member in range(200)))
    assert flows.asked <= sum(map(bool, received)) < 200


async def test_large_values_reach_the_body_by_reference(stage: Stage, flow: Chosen, tmp_path: Path) -> None:
    settings = Settings()
    settings.result_object_store = f"file://{tmp_path}/large"
    settings.result_inline_max_bytes = 100
    large = LargeRecords(settings)
    seen: list[list[Settlement]] = []

    class Watching(OwnEngine):
        async def record(self, settlements: list[Settlement]) -> list[Settlement]:
            left = await super().record(settlements)
            seen.append(left)
            return left

    def lengths(given: list[str]) -> list[int]:
        return [len(each) for each in given]

    long = stage.task(long_text)
    for member in range(2):
        flow.place(long, f"m{member}", 0, 1)
    flow.place(stage.task(lengths), "body", 1, 2, ALL)
    flow.start()
    async with stage.child(ledger=Watching(large)):
        await stage.ended("body")
    assert values.decode(result(stage, "body").value) == [5000, 5000]
    joins = [join for batch in seen for one in batch for join in one.joins if join.node == 1]
    assert [is_reference(join.value) for join in joins] == [True, True]


async def test_a_large_value_that_is_gone_fails_the_job(stage: Stage, flow: Chosen, tmp_path: Path) -> None:
    settings = Settings()
    settings.result_object_store = f"file://{tmp_path}/large"
    settings.result_inline_max_bytes = 4000
    flow.place(stage.task(long_text), "1", 0, 1)
    flow.place(summing(stage), "2", 1, 2, ONE)
    flow.start()
    large = LargeRecords(settings)
    original = large.aread

    async def gone(found: bytes | None) -> bytes | None:
        for each in (tmp_path / "large").rglob("*"):
            if each.is_file():
                each.unlink()
        return await original(found)

    large.aread = gone  # type: ignore[method-assign]
    async with stage.child(ledger=OwnEngine(large)):
        await stage.ended("2")
    failure = result(stage, "2").failure
    assert failure is not None
    assert failure.type == "BackendError"


async def test_a_job_of_a_flow_is_due_when_its_node_opens_on_this_host_whatever_the_clock_of_the_engine() -> None:
    stage = Stage()
    stage.broker = MemoryBroker(stage.space, clock=lambda: time.time() + 3_600.0)
    task, flow = stage.task(_nothing), Chosen(stage)
    flow.place(task, "first", 0, 2)
    flow.place(task, "second", 2, 3)
    before = time.time()
    flow.place(task, "later", 2, 3, eta=before + 99.0)
    flow.place(task, "passed", 2, 3, eta=before - 99.0)
    flow.place(task, "counted", 2, 3, eta=before + 9.0, delay=9.0)
    flow.start()
    session = await stage.open()
    (first,) = await stage.broker.receive(session, [QUEUE], 9, wait=0)
    join = Join(FLOW, QUEUE, 2, 0, b"\xc0")
    await stage.broker.settle(session, [Settlement(first, "end", record=b"record", ttl=60.0, joins=(join,))])
    executor = Executor(stage.app.tasks, "child@test")
    runs = [executor.prepare(each, time.time()) for each in await stage.broker.receive(session, [QUEUE], 9, wait=0)]
    gatherer = Gatherer(stage.broker, OwnEngine(), executor)
    found = await gatherer.gather([run for run in runs if isinstance(run, Run)])
    due = {run.delivery.id: run.due for run in found if isinstance(run, Run)}
    opened = due["second"]
    assert before - 1.0 <= opened <= time.time()
    assert due["later"] == before + 99.0
    assert [due["passed"], due["counted"] - 9.0] == [pytest.approx(opened, abs=5.0)] * 2


def _nothing(*args: object) -> None:
    del args
