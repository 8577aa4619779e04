"""The tables of claims in a SQL database: made once, brought up to date, refused when they are newer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.patient import PATIENT
from umbel.claims.sql import SqlClaims
from umbel.claims.sql import connect as claims_at
from umbel.contracts.broker import Beat
from umbel.contracts.claims import Answer, Pointer
from umbel.engines import sql_claims, sql_flows, sql_migrating, sql_table
from umbel.engines.sql_migrating import STEPS, VERSIONS
from umbel.engines.unfit import Unfit
from umbel.model.flow import Flow, Node
from umbel.model.job import Delivery
from umbel.testing.conformance.eventually import soon

QUEUE = "claims"
WAIT_SECONDS = 60.0


@pytest.fixture(params=["postgres", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"db+sqlite:///{tmp_path}/results.db"
    found: str = request.getfixturevalue("postgres_results_url" if request.param == "postgres" else "mariadb_url")
    return found


def database(claims: SqlClaims) -> sa.Engine:
    """What the connections of *claims* come from."""
    return claims._engine._engine


def version(claims: SqlClaims) -> int:
    """To which version the tables were brought."""
    with database(claims).begin() as connection:
        return connection.scalar(sa.select(sa.func.max(VERSIONS.c.version))) or 0


async def test_tables_from_before_there_were_versions_are_brought_up_to_date_with_what_is_in_them(url: str) -> None:
    claims = claims_at(url, PATIENT)
    with database(claims).begin() as connection:
        _make_as_before(connection)
    assert await claims.heartbeat([Beat("session")], [QUEUE], 60.0, opening=True) == [True]
    assert version(claims) == len(STEPS)
    answers = await claims.claim("session", 1, QUEUE, [Pointer("old", 3), Pointer("stale")])
    assert answers is not None
    assert [each.verdict for each in answers] == ["ours", "ours"]
    assert await claims.claim("session", 2, QUEUE, [Pointer("old", 2)]) == [Answer("over")]
    assert await claims.amend("session", [(Delivery("old", QUEUE, 9, 1, b""), b"amended")]) == [True]
    await claims.flow_store.astart(Flow("flow", QUEUE, (Node(0, 0),)), [])
    await claims.aclose()


async def test_tables_of_a_newer_version_are_refused_in_words_and_left_alone(url: str) -> None:
    claims = claims_at(url, PATIENT)
    await claims.queues()
    with database(claims).begin() as connection:
        connection.execute(sa.insert(VERSIONS), {"version": len(STEPS) + 1})
    other = claims_at(url, PATIENT)
    with pytest.raises(Unfit, match=f"have version {len(STEPS) + 1}, this one knows {len(STEPS)}.: install"):
        await other.queues()
    assert await claims.queues() == []
    await claims.aclose()
    await other.aclose()


async def test_a_step_that_broke_off_runs_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sa.Connection) -> None:
        sql_flows.METADATA.create_all(connection)
        raise ConnectionResetError

    claims = claims_at(url, PATIENT)
    with monkeypatch.context() as patch:
        patch.setattr(sql_migrating, "STEPS", (STEPS[0], broken))
        with pytest.raises(ConnectionResetError):
            await claims.queues()
    assert await claims.queues() == []
    assert version(claims) == len(STEPS)
    await claims.aclose()


async def test_of_many_that_come_first_at_once_none_is_refused(url: str) -> None:
    clients = [claims_at(url, PATIENT) for _ in range(6)]
    answers = await soon(asyncio.gather(*(client.queues() for client in clients for _ in range(2))), WAIT_SECONDS)
    assert answers == [[]] * 12
    assert version(clients[0]) == len(STEPS)
    for client in clients:
        await client.aclose()


def _make_as_before(connection: sa.Connection) -> None:
    """The tables as a version made them that wrote none down, with a job in them."""
    sql_table.ensure(connection)
    columns = [column for column in sql_claims.JOBS.c if column.name not in ("note", "envelope")]
    old = sa.Table("umbel_claim_jobs", sa.MetaData(), *(column._copy() for column in columns))
    old.create(connection)
    row = {**sql_claims.NEW_JOB, "queue": QUEUE, "id": "old", "expires": 2**50, "generation": 3, "place": "ready"}
    connection.execute(sa.insert(old), {name: value for name, value in row.items() if name in old.c})
