"""Every engine against the model, through any sequence of verbs that Hypothesis can think of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from tests.conformance.machine import BrokerMachine
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.sqlite import SqliteBroker
from umbel.contracts.broker import Beat, Broker, Ended, Reclaimed, Settlement
from umbel.contracts.powers import Inspector, ResultStore
from umbel.engines.memory import Space
from umbel.engines.sqlite_file import File
from umbel.model.job import Delivery, Job
from umbel.stores.memory import MemoryStore
from umbel.stores.sqlite import SqliteStore
from umbel.testing import LoseReplies, every_other
from umbel.testing.patience import Patient

SIZE = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
SMALL = settings(SIZE, max_examples=15)
ENOUGH = 5_000
"""A damage is found after 10 to 200 examples, as it happens, and the search ends there."""


class MemoryThatLosesAnswers(BrokerMachine):
    """The model against itself, with answers lost on the way and calls repeated."""

    def __init__(self) -> None:
        self.other = Space()
        super().__init__()

    def make(self, clock: Callable[[], float]) -> Broker:
        faults = every_other("send", "open", "heartbeat", "settle", "mark", "unpark")
        return Patient(LoseReplies(MemoryBroker(self.other, clock), faults))

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        return MemoryStore(self.other, clock)

    def inspector(self) -> Inspector:
        return MemoryBroker(self.other, self.clock)


class OnMemory(BrokerMachine):
    """The model against a copy of itself that was damaged on purpose."""

    damaged: ClassVar[type[MemoryBroker]]

    def __init__(self) -> None:
        self.other = Space()
        super().__init__()

    def make(self, clock: Callable[[], float]) -> Broker:
        return self.damaged(self.other, clock)

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        return MemoryStore(self.other, clock)


class OnSqlite(BrokerMachine):
    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        super().__init__()

    def make(self, clock: Callable[[], float]) -> Broker:
        return SqliteBroker(self.file(), clock)

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        return SqliteStore(self.file(), clock)

    def file(self) -> File:
        return File(f"sqlite:///{self.folder.name}/model.db", "broker_url", 30.0)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


def test_memory_that_loses_answers_answers_as_the_model_does() -> None:
    run_state_machine_as_test(MemoryThatLosesAnswers, settings=SIZE)


def test_sqlite_answers_as_the_model_does() -> None:
    run_state_machine_as_test(OnSqlite, settings=SMALL)


# --- each protection, taken away: the machine must notice


class WithoutNumbers(MemoryBroker):
    """Settles whatever the session holds under that id, as if the fence were the session alone."""

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        return await super().settle(session, [self.renumbered(session, each) for each in settlements])

    def renumbered(self, session: str, settlement: Settlement) -> Settlement:
        delivery = settlement.delivery
        holder = self._space.queue(delivery.queue).sessions.get(session)
        number = holder.held.get(delivery.id, delivery.number) if holder else delivery.number
        return replace(settlement, delivery=replace(delivery, number=number))


class WithoutDeath(MemoryBroker):
    """Opens a session again that was declared dead."""

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        for name in queues:
            self._space.queue(name)._gone.clear()
        return await super().heartbeat(beats, queues, lease, opening=opening)


class WithoutReconcile(MemoryBroker):
    """Leaves a job whose delivery was lost where it is."""

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        everything = [
            Delivery(job_id, name, 0, number, b"")
            for name in queues
            if (holder := self._space.queue(name).sessions.get(session))
            for job_id, number in holder.held.items()
        ]
        return await super().reconcile(session, queues, everything)


class WithoutMarks(MemoryBroker):
    """Forgets that a quarantined job was about to start."""

    async def mark(self, session: str, delivery: Delivery) -> bool:
        queue = self._space.queue(delivery.queue)
        return queue.holds(session, delivery.id, delivery.number)


class WithoutCrashes(MemoryBroker):
    """Charges nobody for a process that died."""

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        return await super().reclaim(queues, lease, [Ended(each.session) for each in ended])


class WithoutMemory(MemoryBroker):
    """Accepts an id again that has ended."""

    def send(self, jobs: Sequence[Job]) -> None:
        self._space.records.clear()
        super().send(jobs)


@pytest.mark.parametrize(
    "damaged", [WithoutNumbers, WithoutDeath, WithoutReconcile, WithoutMarks, WithoutCrashes, WithoutMemory]
)
def test_the_machine_notices_a_protection_that_is_missing(damaged: type[MemoryBroker]) -> None:
    machine = type("Damaged", (OnMemory,), {"damaged": damaged})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(SIZE, max_examples=ENOUGH, phases=[Phase.generate]))
