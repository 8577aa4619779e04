"""A check-up of broker and result store: what is told, and when they are not well."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from umbel.brokers.memory import MemoryBroker
from umbel.cli.checkup import Report, as_text, report
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import MEMORY, Power
from umbel.contracts.powers import Record, ResultStore
from umbel.engines.memory import Space
from umbel.exceptions import BackendError, BrokerUnavailable
from umbel.model.finding import Finding
from umbel.settings import Settings
from umbel.stores.memory import MemoryStore


class Shared(MemoryBroker):
    """A broker that says that other processes can reach it, and tells *found* of itself."""

    def __init__(self, *found: Finding) -> None:
        super().__init__(Space())
        vars(self)["powers"] = MEMORY | {Power.PROCESSES}
        self._found = found
        self.closed = False

    async def examine(self, *, thorough: bool = False) -> Sequence[Finding]:
        assert thorough
        return self._found

    async def aclose(self) -> None:
        self.closed = True


class Telling(MemoryStore):
    """A store that tells of itself."""

    async def examine(self, *, thorough: bool = False) -> Sequence[Finding]:
        return [Finding("version", "1")]


class Refusing(Telling):
    """A store that tells of itself, and then refuses to write."""

    async def put(self, records: Sequence[Record]) -> list[bool]:
        raise BackendError("no right to write")


async def reported(
    broker: Broker | None = None, store: ResultStore | None = None, backend: str = "redis://results"
) -> Report:
    settings = Settings(broker_url="redis://user:secret@jobs", result_backend=backend)
    return await report(settings, lambda: broker or Shared(), lambda: store or MemoryStore(Space()))


async def test_engines_that_are_well_are_told_with_what_they_lack() -> None:
    broker = Shared(Finding("version", "7.0"))
    found = await reported(broker)
    jobs, results = found.engines
    assert found.sound
    assert [each.name for each in jobs.findings] == ["version", "queues"]
    assert [each.name for each in results.findings] == ["trial"]
    assert {"processes", "front"} <= set(jobs.powers)
    assert {"hosts", "transactions"} <= set(jobs.missing)
    assert broker.closed
    text = as_text(found)
    assert "version         7.0" in text
    assert text.endswith("Ready.")


async def test_passwords_are_masked() -> None:
    found = await reported()
    assert "secret" not in as_text(found) + msgspec.json.encode(found).decode()
    assert found.engines[0].url == "redis://user:***@jobs"


async def test_advice_is_told_and_is_no_reason_to_fail() -> None:
    found = await reported(Shared(Finding("durability", "memory", "set appendonly to yes")))
    assert found.sound
    assert " ! set appendonly to yes" in as_text(found)


async def test_what_is_broken_is_a_reason_to_fail() -> None:
    found = await reported(Shared(Finding("version", "5", "too old: use 6.2", broken=True)))
    assert not found.sound
    assert " !! too old: use 6.2" in as_text(found)
    assert as_text(found).endswith("Not ready: see the lines with !!")


async def test_an_engine_that_cannot_be_used_is_told_and_the_other_is_looked_at() -> None:
    def connect() -> Broker:
        raise BrokerUnavailable("redis://jobs is away")

    settings = Settings(broker_url="redis://jobs", result_backend="redis://results")
    found = await report(settings, connect, lambda: MemoryStore(Space()))
    jobs, results = found.engines
    assert (jobs.error, jobs.sound, results.sound, found.sound) == ("redis://jobs is away", False, True, False)


async def test_a_store_that_refuses_is_told_with_what_it_said_before() -> None:
    jobs, results = (await reported(store=Refusing(Space()))).engines
    assert jobs.sound
    assert results.error == "no right to write"
    assert [each.name for each in results.findings] == ["version"]


async def test_a_broker_inside_another_process_is_refused() -> None:
    found = await reported(MemoryBroker(Space()))
    assert "needs a broker that is shared by several processes" in found.engines[0].error


async def test_a_store_that_is_the_brokers_own_is_tried_and_not_examined_twice() -> None:
    found = await reported(backend="redis://user:secret@jobs/0")
    assert [each.name for each in found.engines[1].findings] == ["place", "trial"]


async def test_results_that_are_turned_off_are_not_looked_at() -> None:
    assert [each.role for each in (await reported(backend="disabled://")).engines] == ["broker"]


async def test_settings_that_tune_nothing_are_listed() -> None:
    settings = Settings(broker_url="redis://jobs", result_backend="disabled://")
    settings.update({"worker_timer": "x"})
    found = await report(settings, Shared, lambda: MemoryStore(Space()))
    assert "worker_timer" in as_text(found)


async def test_results_beside_rabbitmq_are_examined_although_it_settles_there() -> None:
    settings = Settings(broker_url="amqp://jobs", result_backend="redis://results")
    found = await report(settings, Shared, lambda: Telling(Space()))
    assert [each.name for each in found.engines[1].findings] == ["version", "trial"]
