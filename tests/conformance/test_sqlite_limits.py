"""Limits in a SQLite file: older files, what is left in the tables, and numbers that agree with the rows."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from umbel.brokers.sqlite import SqliteBroker
from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.contracts.limits import Admission, Entry
from umbel.engines.sqlite_file import APPLICATION_ID, File
from umbel.model.job import Counts, Delivery, Job
from umbel.model.limit import Limit, Pace, Unique
from umbel.testing import Clock

ONE = Limit("task", "one", "turn", Pace(concurrency=1))
SLOW = Limit("task", "slow", None, Pace(interval=60.0, burst=2))
LEASE = 1e6
VERSION_BEFORE = 6
WRONG_GATES = """
select key from limit_gate
where outside <> (select count(*) from limit_place where gate = key and turn is not null)
    or entered <> (select count(*) from limit_place where gate = key and turn is null)
"""
WRONG_TURNS = "select key from limit_turn where outside <> (select count(*) from limit_place where turn = key)"
LEFT = "select 'gate' from limit_gate union all select 'turn' from limit_turn union all select id from limit_place"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "umbel.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(path: Path, clock: Clock) -> Iterator[SqliteBroker]:
    found = SqliteBroker(File(f"sqlite:///{path}", "broker_url", 30.0), clock)
    yield found
    found.close()


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return list(connection.execute(statement))
    finally:
        connection.close()


async def start(broker: SqliteBroker, limit: Limit, number: int = 10) -> list[Delivery]:
    """Receive in the session, and ask of each whether it may start; answers those that may."""
    deliveries = await broker.receive("session", ["q"], number, wait=0)
    answers = await broker.limit_store.enter("session", [Entry(each, limit, Unique("key")) for each in deliveries])
    return [each for each, answer in zip(deliveries, answers, strict=True) if answer == "run"]


async def test_a_file_of_the_version_before_keeps_its_jobs_and_learns_limits(path: Path, clock: Clock) -> None:
    schema = sorted(files("umbel.engines").joinpath("sqlite_schema").iterdir(), key=lambda change: change.name)
    older = apsw.Connection(str(path))
    for change in schema[:VERSION_BEFORE]:
        older.execute(change.read_text())
    older.execute("insert into queue(name) values ('q')")
    older.execute(
        "insert into job(id, queue, level, state, position, due, envelope) values ('old', 'q', 9, 0, 1, 0, x'61')"
    )
    older.pragma("application_id", APPLICATION_ID)
    older.pragma("user_version", VERSION_BEFORE)
    older.close()
    broker = SqliteBroker(File(f"sqlite:///{path}", "broker_url", 30.0), clock)
    broker.limit_store.admit([Admission(Job(each, "q", b""), ONE) for each in ("a", "b")])
    await broker.heartbeat([Beat("session")], ["q"], LEASE, opening=True)
    found = await broker.receive("session", ["q"], 10, wait=0)
    assert [(each.id, each.envelope) for each in found] == [("old", b"a"), ("a", b"")]
    assert await broker.limit_store.enter("session", [Entry(each, ONE) for each in found]) == ["held", "run"]
    assert (await broker.counts(["q"]))[0].held == 2
    broker.close()


async def test_what_limits_count_agrees_with_their_rows(broker: SqliteBroker, path: Path) -> None:
    await broker.heartbeat([Beat("session")], ["q"], LEASE, opening=True)
    for kind, limit in (("one", ONE), ("slow", SLOW)):
        broker.limit_store.admit([Admission(Job(f"{kind}{number}", "q", b""), limit) for number in range(5)])
    for settled in ("retry", "release", "park", "end", "dead"):
        for limit in (ONE, SLOW):
            for each in await start(broker, limit):
                counts = Counts(retries=1) if settled == "retry" else None
                await broker.settle("session", [Settlement(each, settled, counts=counts, task="t")])
                await broker.limit_store.leave([("q", limit, each.id)])
        assert rows(path, WRONG_GATES) == rows(path, WRONG_TURNS) == []
    await broker.reclaim(["q"], LEASE, [Ended("session")])


async def test_limits_and_keys_that_mean_nothing_any_more_are_swept(
    broker: SqliteBroker, path: Path, clock: Clock
) -> None:
    await broker.heartbeat([Beat("session")], ["q"], LEASE, opening=True)
    broker.limit_store.admit([Admission(Job("a", "q", b""), ONE, Unique("key")), Admission(Job("b", "q", b""), SLOW)])
    held = [Admission(Job("c", "q", b""), SLOW), Admission(Job("d", "q", b""), SLOW, Unique("for", seconds=30.0))]
    broker.limit_store.admit(held)
    for delivery in await broker.receive("session", ["q"], 10, wait=0):
        await broker.settle("session", [Settlement(delivery, "end", b"record", 1e6)])
    await broker.reclaim(["q"], LEASE)
    assert rows(path, "select name from limit_gate") == [("slow",)]  # its next start is still to come
    assert rows(path, "select name from unique_key") == [("for",)]
    clock.advance(200)
    [last] = await start(broker, SLOW)
    await broker.settle("session", [Settlement(last, "end", b"record", 1e6)])
    clock.advance(200)
    broker._cleaned = 0.0
    await broker.reclaim(["q"], LEASE)
    assert rows(path, LEFT) == []


async def test_more_limits_than_one_sweep_looks_at_are_swept_in_the_end(broker: SqliteBroker, path: Path) -> None:
    limits = [Limit("task", str(number), None, Pace(1)) for number in range(1_200)]
    broker.limit_store.admit([Admission(Job(each.key, "q", b""), each, Unique(each.key)) for each in limits])
    session = broker.job_store
    for number in range(3):
        taken = session.purge(f"purger-{number}", "q", 1_000, LEASE)
        session.end(f"purger-{number}", [Settlement(each, "end", b"revoked", 1e6) for each in taken])
    for _ in range(4):
        broker._cleaned = 0.0
        await broker.reclaim(["q"], LEASE)
    assert rows(path, "select count(*) from limit_gate union all select count(*) from unique_key") == [(0,), (0,)]
