"""Flows and schedules beside claims, on each SQL database; the whole suites of both run on one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.patient import PATIENT
from umbel.claims.sql import SqlClaims, opening, verbs
from umbel.claims.sql import connect as claims_at
from umbel.claims.sql.draft import MAX_CHUNK
from umbel.contracts.broker import Beat
from umbel.contracts.claims import Pointer, Verdict
from umbel.contracts.outbox import Taking
from umbel.engines import sql_flows, sql_outbox
from umbel.model.flow import Flow, Input, Join, Node, Page
from umbel.model.job import Delivery, Job
from umbel.model.schedule import Change
from umbel.testing.clock import Clock
from umbel.testing.conformance.eventually import eventually, soon

QUEUE = "claims"
FLOW = "täsk ☃'; drop table umbel_claim_flows; --"
LEASE = 60.0
WAIT_SECONDS = 60.0
CLIENTS = 4
EACH = 8
MEMBERS = CLIENTS * EACH
UNLOCKED = sa.select(sql_flows.NODES).where(
    sql_flows.NODES.c.flow.in_(sa.bindparam("keys", expanding=True)), sql_flows.NODES.c.node == sa.bindparam("number")
)
WAITING = sa.text("select count(*) from pg_locks where not granted")


@pytest.fixture(params=["postgres", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"db+sqlite:///{tmp_path}/results.db"
    found: str = request.getfixturevalue("postgres_results_url" if request.param == "postgres" else "mariadb_url")
    return found


@pytest.fixture
async def claims(url: str) -> AsyncIterator[SqlClaims]:
    made = claims_at(url, PATIENT, Clock())
    yield made
    await made.aclose()


async def test_members_that_end_at_the_same_time_open_their_node_once(claims: SqlClaims, url: str) -> None:
    await claims.flow_store.astart(chord_of(MEMBERS), jobs_of(MEMBERS))
    assert await sent_on(claims) == [str(number) for number in range(MEMBERS)]
    clients = [claims_at(url, PATIENT, Clock()) for _ in range(CLIENTS)]
    held = [await leased(client, range(place * EACH, (place + 1) * EACH)) for place, client in enumerate(clients)]

    async def settle(client: SqlClaims, session: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            assert await client.settle(session, [ended(number)]) == [True]

    pairs = zip(clients, held, strict=True)
    await soon(asyncio.gather(*(settle(client, *mine) for client, mine in pairs)), WAIT_SECONDS)
    assert await sent_on(claims) == ["body"]
    (standing,) = await claims.flow_store.inputs([Page(FLOW, QUEUE, 1, 3, 2)])
    assert standing is not None
    assert standing.inputs == [Input(4, b"4", False), Input(5, b"5", False)]
    session, _ = await leased(claims, ["body"])
    assert await claims.settle(session, [verdict("body", Join(FLOW, QUEUE, 2, 0, b"", failed=True))]) == [True]
    found = await claims.flow_store.aflow(FLOW, QUEUE)
    assert found is not None
    assert (found.state, [node.joined for node in found.nodes]) == ("failed", [0, MEMBERS, 1])
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize("locked", [True, False])
async def test_who_joins_waits_for_whoever_joins_the_same_node_and_without_that_it_never_opens(
    locked: bool, claims: SqlClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claims.flow_store.astart(chord_of(2), jobs_of(2))
    assert await sent_on(claims) == ["0", "1"]
    if not locked:
        monkeypatch.setattr(sql_flows, "_LOCKED", UNLOCKED)
    with claims._engine._engine.begin() as slow:
        opening.join(slow, 0, [ended(0)])
        other = asyncio.create_task(
            asyncio.to_thread(claims._engine.run, lambda line: opening.join(line, 0, [ended(1)]))
        )
        await eventually(lambda: bool(slow.scalar(WAITING)))
    await soon(other, WAIT_SECONDS)
    assert await sent_on(claims) == (["body"] if locked else [])


async def test_what_is_carried_out_again_changes_nothing(claims: SqlClaims) -> None:
    start = claims.flow_store._started(chord_of(1), jobs_of(1), ())
    step = next(start)
    for _ in range(2):
        claims._engine.run(step)
    session, _ = await leased(claims, [0])
    assert await sent_on(claims) == ["0"]
    answers = [claims._engine.run(lambda line: verbs.settle(line, 0, session, [ended(0)])) for _ in range(2)]
    assert [each.ours for each in answers] == [[True], [False]]
    assert await sent_on(claims) == ["body"]
    assert await sent_on(claims) == []


async def test_a_start_in_parts_is_seen_by_nobody_before_its_last_one(
    claims: SqlClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.claims.sql.draft.MAX_JOBS", 10)
    flow = chord_of(25)
    start = claims.flow_store._started(flow, jobs_of(25), [Join(FLOW, QUEUE, 1, 24, b"before")])
    first = next(start)
    assert claims._engine.run(first)
    assert await claims.flow_store.aflow(FLOW, None) is None
    assert await sent_on(claims) == []
    for _ in range(2):
        await claims.flow_store.astart(flow, jobs_of(25), [Join(FLOW, QUEUE, 1, 24, b"before")])
    assert not claims._engine.run(first)  # who goes on with the one that broke off finds it started
    assert len(await sent_on(claims)) == 25
    found = await claims.flow_store.aflow(FLOW, None)
    assert found is not None
    assert [node.joined for node in found.nodes] == [0, 1, 0]


async def test_an_outbox_answers_as_many_jobs_as_are_asked_for_and_forgets_those_that_were_sent(
    claims: SqlClaims,
) -> None:
    count = 2 * MAX_CHUNK + 5
    await claims.flow_store.astart(chord_of(count), jobs_of(count))
    taken: list[str] = []
    taking = Taking(QUEUE, "me", limit=MAX_CHUNK - 3)
    while jobs := (await claims.outbox.atake(taking)).jobs:
        assert len(jobs) <= MAX_CHUNK - 3
        taken += [job.id for job in jobs]
        taking = Taking(QUEUE, "me", tuple(job.id for job in jobs), MAX_CHUNK - 3)
    assert taken == [str(number) for number in range(count)]
    assert claims._engine.run(lambda line: sql_outbox.is_idle(line, QUEUE))


async def test_flows_that_are_over_and_starts_that_broke_off_are_forgotten_piece_by_piece(claims: SqlClaims) -> None:
    clock = claims._clock
    assert isinstance(clock, Clock)
    nodes = (Node(0, 0), Node(1, 40))
    joins = [Join(FLOW, QUEUE, 1, number, b"", failed=True) for number in range(40)]
    await claims.flow_store.astart(Flow(FLOW, QUEUE, nodes, ttl=1.0), [], joins)
    broken = claims.flow_store._started(Flow("broken", QUEUE, (Node(0, 0), Node(1, 9))), many_jobs(), ())
    assert claims._engine.run(next(broken))
    assert rows(claims) == (1, 40, 1)
    clock.advance(2 * 3600.0)
    steps = 0
    while rows(claims) != (0, 0, 0):
        claims._engine.run(lambda line: sql_flows.forget(line, QUEUE, round(clock() * 1000), 20))
        steps += 1
    assert 2 <= steps <= 10


async def test_of_many_writers_of_one_schedule_one_wins_and_sends(claims: SqlClaims, url: str) -> None:
    clients = [claims_at(url, PATIENT, Clock()) for _ in range(CLIENTS)]
    ticks = [Change("täsk/☃", 0, b"\x00value", (Job(f"tick {place}", QUEUE, b""),)) for place in range(CLIENTS)]
    writes = (client.schedule_store.awrite([tick]) for client, tick in zip(clients, ticks, strict=True))
    answers = await soon(asyncio.gather(*writes), WAIT_SECONDS)
    assert sorted(answers) == [[False]] * (CLIENTS - 1) + [[True]]
    winner = f"tick {answers.index([True])}"
    assert await sent_on(claims, "~schedules") == [winner]
    assert await claims.watched(winner, QUEUE)
    table = await claims.schedule_store.aread(0)
    assert [(row.name, row.value) for row in table.rows] == [("täsk/☃", b"\x00value")]
    session, _ = await leased(claims, [winner])
    assert await claims.settle(session, [verdict(winner)]) == [True]
    assert not await claims.watched(winner, QUEUE)
    for client in clients:
        await client.aclose()


def chord_of(members: int) -> Flow:
    """A flow whose body, node 1, waits for so many members."""
    return Flow(FLOW, QUEUE, (Node(0, 0), Node(1, members), Node(2, 1)))


def jobs_of(members: int) -> list[tuple[int, Job]]:
    """Its jobs."""
    return [*((0, Job(str(number), QUEUE, b"envelope")) for number in range(members)), (1, Job("body", QUEUE, b""))]


def many_jobs() -> Any:
    """More jobs than one part of a start has."""
    return ((0, Job(str(number), QUEUE, b"")) for number in range(5_000))


def verdict(job_id: str, *joins: Join) -> Verdict:
    """The end of a job that was claimed first by its session."""
    return Verdict(Delivery(job_id, QUEUE, 9, 1, b""), "end", ttl=60.0, joins=joins)


def ended(number: int) -> Verdict:
    """The end of a member."""
    return verdict(str(number), Join(FLOW, QUEUE, 1, number, b"%d" % number))


async def leased(claims: SqlClaims, names: Sequence[object]) -> tuple[str, Any]:
    """A new session, which has the jobs *names*; and these."""
    session = f"session of {names[0]} {id(claims)}"
    assert await claims.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True) == [True]
    answers = await claims.claim(session, 1, QUEUE, [Pointer(str(name)) for name in names])
    assert answers is not None
    assert {each.verdict for each in answers} == {"ours"}
    return session, names


async def sent_on(claims: SqlClaims, home: str = QUEUE) -> list[str]:
    """Take all that lies in an outbox; answers the ids."""
    found: list[str] = []
    taking = Taking(home, "me", limit=100, pump=100)
    while jobs := (await claims.outbox.atake(taking)).jobs:
        found += [job.id for job in jobs]
        taking = Taking(home, "me", tuple(job.id for job in jobs), 100, 100)
    return found


def rows(claims: SqlClaims) -> tuple[int, int, int]:
    """How many flows, inputs and drafts there are."""
    tables = (sql_flows.FLOWS, sql_flows.INPUTS, sql_flows.DRAFTS)
    with claims._engine._engine.begin() as connection:
        first, second, third = (connection.scalar(sa.select(sa.func.count()).select_from(each)) or 0 for each in tables)
    return first, second, third
