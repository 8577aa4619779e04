"""Sessions on SQLite are forgotten when nobody can name them any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from umbel.brokers.sqlite import SqliteBroker
from umbel.brokers.sqlite.sessions import RECLAIM, REMEMBERED_MS, STOPPERS_REMEMBERED_MS, tidy
from umbel.contracts.broker import Beat
from umbel.engines.sqlite_file import File
from umbel.model.ids import new_session
from umbel.model.job import Job

LEASE = 60.0


class Hand:
    """A clock that is moved."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def broker(tmp_path: Path, clock: Hand) -> Iterator[SqliteBroker]:
    made = SqliteBroker(File(f"sqlite:///{tmp_path}/jobs.db", "broker_url", 30.0), clock)
    yield made
    made.close()


def known(broker: SqliteBroker) -> set[str]:
    """The sessions that have not been forgotten, after tidying up."""
    broker._engine.call(lambda connection: tidy(connection, broker._clock, ["q"]))
    rows = broker._engine.call(lambda connection: connection.execute("select id from session").fetchall())
    return {str(row[0]) for row in rows}


async def test_a_session_that_stopped_a_job_is_soon_forgotten_and_a_worker_is_not(
    broker: SqliteBroker, clock: Hand
) -> None:
    broker.send([Job("a", "q", b"body"), Job("b", "q", b"body")])
    worker, dying, stopper = new_session(), new_session(), new_session()
    await broker.heartbeat([Beat(worker, b"live"), Beat(dying, b"dying")], ["q"], LEASE, opening=True)
    broker.job_store.revoke(stopper, [("a", None)], LEASE)
    assert known(broker) == {worker, dying, stopper}
    broker.job_store.end(stopper, [])
    await broker.reconcile(worker, ["q"], [])
    broker.job_store.end(dying, [])
    assert known(broker) == {worker, dying, stopper}
    clock.now += STOPPERS_REMEMBERED_MS / 1000 + 1
    assert known(broker) == {worker, dying}
    clock.now += REMEMBERED_MS / 1000
    assert known(broker) == {worker}


@pytest.mark.parametrize(
    ("query", "values"), [("sessions", ("q",)), ("lifelines", ()), ("forget", (1, 2)), ("cut", ("q", 1))]
)
def test_nobody_reads_all_the_sessions_that_have_ended(
    broker: SqliteBroker, query: str, values: tuple[object, ...]
) -> None:
    plan = broker._engine.call(
        lambda connection: connection.execute(f"explain query plan {RECLAIM[query]}", values).fetchall()
    )
    steps = [str(row[3]) for row in plan]
    assert any("session" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN session") and "session_open" not in step] == []
