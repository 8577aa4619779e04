"""Engines that show and stop single jobs against the model, through any sequence of verbs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from tests.conformance.control_machine import ControlMachine
from tests.conformance.test_model import ENOUGH, SIZE, OnMemory, OnSqlite
from tests.conformance.test_postgres_model import OnPostgres
from tests.conformance.test_redis_model import OnRedis
from tests.servers import Server
from tests.servers.postgres import Admin
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.memory.jobs import MemoryJobs
from umbel.contracts.broker import Ended, Reclaimed, Settlement
from umbel.contracts.jobs import Revoked
from umbel.model.job import Delivery

FEW = settings(SIZE, max_examples=10)


class ControlOnMemory(ControlMachine, OnMemory):
    """The model against a copy of itself that was damaged on purpose."""


class ControlOnSqlite(ControlMachine, OnSqlite):
    pass


class ControlOnRedis(ControlMachine, OnRedis):
    pass


class ControlOnPostgres(ControlMachine, OnPostgres):
    pass


def test_sqlite_stops_and_shows_jobs_as_the_model_does() -> None:
    run_state_machine_as_test(ControlOnSqlite, settings=FEW)


def test_redis_stops_and_shows_jobs_as_the_model_does(redis_server: Server) -> None:
    redis_server.ensure_running()
    machine = type("Machine", (ControlOnRedis,), {"server": redis_server})
    run_state_machine_as_test(machine, settings=FEW)


def test_postgresql_stops_and_shows_jobs_as_the_model_does(postgres_url: str, postgres_admin: Admin) -> None:
    machine = type("Machine", (ControlOnPostgres,), {"url": postgres_url, "admin": postgres_admin})
    run_state_machine_as_test(machine, settings=FEW)


# --- each protection, taken away: the machine must notice


class WithoutDoom(MemoryBroker):
    """Forgets the doom of a job that is retried."""

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        for each in settlements:
            entry = self._space.queue(each.delivery.queue).jobs.get(each.delivery.id)
            if entry is not None:
                entry.counts = replace(entry.counts, doom="")
        return await super().settle(session, settlements)


class WithoutDoomed(MemoryBroker):
    """Charges a crash for the job for whose sake its session was ended."""

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        return await super().reclaim(queues, lease, [Ended(each.session, each.started) for each in ended])


class WithoutPause(MemoryBroker):
    """Hands out jobs of paused queues."""

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        for name in queues:
            self._space.queue(name).paused = False
        return await super().receive(session, queues, limit, wait=wait)


class GenerousJobs(MemoryJobs):
    """Leaves a job that is revoked to whoever receives it, too."""

    async def arevoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        found = await super().arevoke(session, keys, lease)
        for each in found:
            if each.delivery is not None:
                self._space.queue(each.queue).ready[each.delivery.level].append(each.id)
        return found


class WithoutTaking(MemoryBroker):
    @property
    def job_store(self) -> MemoryJobs:
        return GenerousJobs(self._space, self._clock, self._settle_all)


@pytest.mark.parametrize("damaged", [WithoutDoom, WithoutDoomed, WithoutPause, WithoutTaking])
def test_the_machine_notices_a_protection_that_is_missing(damaged: type[MemoryBroker]) -> None:
    machine = type("Damaged", (ControlOnMemory,), {"damaged": damaged})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(SIZE, max_examples=ENOUGH, phases=[Phase.generate]))
