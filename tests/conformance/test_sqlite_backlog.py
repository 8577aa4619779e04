"""What a verb costs does not grow with what is waiting: counted in steps of SQLite's machine, not in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import apsw
import pytest

from umbel.brokers.sqlite import SqliteBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.engines.sqlite_file import File
from umbel.model.ids import new_session
from umbel.model.job import Job

LEASE = 60.0
FEW = 100
MANY = 10_000
UNIT = 10
"""Steps of the machine that are counted as one."""


class Meter:
    """Counts steps of the machine on the connection that writes."""

    def __init__(self, broker: SqliteBroker) -> None:
        self.units = 0
        broker.send([])
        connection = broker._engine._ours()[0]._connection
        assert isinstance(connection, apsw.Connection)
        connection.set_progress_handler(self._count, UNIT)

    def _count(self) -> bool:
        self.units += 1
        return False

    async def spent(self, awaitable: Awaitable[object]) -> int:
        """How much *awaitable* takes."""
        before = self.units
        await awaitable
        return self.units - before


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], SqliteBroker]]:
    made: list[SqliteBroker] = []

    def new(name: str) -> SqliteBroker:
        made.append(SqliteBroker(File(f"sqlite:///{tmp_path}/{name}.db", "broker_url", 30.0)))
        return made[-1]

    yield new
    for broker in made:
        broker.close()


async def costs(broker: SqliteBroker, backlog: int) -> dict[str, int]:
    """Steps a verb, with *backlog* jobs ready in one level and as many delayed in two, one of them more urgent."""
    broker.send([Job(f"ready-{number}", "q", b"body") for number in range(backlog)])
    broker.send([Job(f"later-{number}", "q", b"body", delay=1e6 + number) for number in range(backlog)])
    broker.send([Job(f"urgent-{number}", "q", b"body", delay=1e6, priority=9) for number in range(backlog)])
    session = new_session()
    await broker.heartbeat([Beat(session)], ["q"], LEASE, opening=True)
    meter, spent = Meter(broker), dict[str, int]()
    spent["send"] = await meter.spent(broker.asend([Job("one", "q", b"body")]))
    spent["send later"] = await meter.spent(broker.asend([Job("two", "q", b"body", delay=5.0)]))
    spent["receive"] = await meter.spent(broker.receive(session, ["q"], 10, wait=0))
    deliveries = await broker.receive(session, ["q"], 30, wait=0)
    for kind, part in (("end", deliveries[:10]), ("retry", deliveries[10:20]), ("release", deliveries[20:])):
        settlements = [Settlement(each, kind) for each in part]  # type: ignore[arg-type]
        spent[kind] = await meter.spent(broker.settle(session, settlements))
    spent["heartbeat"] = await meter.spent(broker.heartbeat([Beat(session)], ["q"], LEASE))
    spent["reconcile"] = await meter.spent(broker.reconcile(session, ["q"], []))
    spent["revoke"] = await meter.spent(broker.job_store.arevoke(new_session(), [("urgent-7", None)], LEASE))
    spent["purge"] = await meter.spent(broker.job_store.apurge(new_session(), "q", 10, LEASE))
    spent["reclaim"] = await meter.spent(broker.reclaim(["q"], LEASE))
    return spent


async def test_no_verb_costs_more_with_a_hundred_times_the_backlog(make: Callable[[str], SqliteBroker]) -> None:
    few, many = await costs(make("few"), FEW), await costs(make("many"), MANY)
    dearer = {verb: (few[verb], many[verb]) for verb in few if many[verb] > few[verb] * 1.2 + 2}
    assert dearer == {}


async def test_the_meter_sees_a_statement_that_looks_at_everything(make: Callable[[str], SqliteBroker]) -> None:
    broker = make("meter")
    broker.send([Job(str(number), "q", b"") for number in range(MANY // 10)])
    meter = Meter(broker)
    scan = broker._engine.submit(
        lambda connection: connection.execute("select sum(length(envelope)) from job").fetchall()
    )
    assert await meter.spent(scan) > MANY // 10 / UNIT
