"""Single jobs and boxes in PostgreSQL: what happens at the same time, that each protection is needed, what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from typing import NamedTuple

import psycopg
import pytest

from tests.conformance.test_postgres_engine import QUEUE as GAUGED
from tests.conformance.test_postgres_engine import Gauge, jobs
from tests.conformance.test_postgres_races import LEASE, QUEUE, Stage, command
from umbel.brokers.postgres import job_operations, mailbox, operations
from umbel.brokers.postgres.floors import Floors
from umbel.brokers.postgres.operations import Verbs
from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.jobs import Revoked
from umbel.engines.postgres_command import Statements
from umbel.engines.postgres_values import plain, texts
from umbel.model.ids import new_id, new_session
from umbel.model.job import Job
from umbel.states import Place

BOX = "box"
TTL = 60.0


class JobStage(Stage):
    """A stage with a job that is revoked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.revoked: list[Revoked] = []

    async def revoke(self, *job_ids: str) -> None:
        keys = [(each, None) for each in job_ids]
        self.revoked += await self.broker.job_store.arevoke(new_session(), keys, LEASE)

    def told(self) -> list[tuple[str, bool]]:
        """Where each job was, and whether it was handed to whoever revoked it."""
        return [(each.place, each.delivery is not None) for each in self.revoked]

    def state(self) -> tuple[object, ...] | None:
        """The state and the doom of the only job, if there is one."""
        return self._watch.execute("select state, doom, run_at <= now() from umbel.job").fetchone()


@pytest.fixture
async def stage(postgres_url: str) -> AsyncIterator[JobStage]:
    made = JobStage(postgres_url)
    yield made
    await made.close()


# --- who revokes while somebody else has the job in hand


async def a_job_that_is_being_received_is_doomed(stage: JobStage) -> bool:
    session = await stage.open()
    job_id = new_id()
    await stage.broker.asend([Job(job_id, QUEUE, b"")])
    receiving = command(Verbs().receive(session, 1, [QUEUE], 1, Floors()))
    await stage.meanwhile(receiving, lambda: stage.revoke(job_id))
    return stage.told() == [("running", False)] and stage.state() == (1, "revoked", True)


async def a_job_that_is_ending_has_ended(stage: JobStage) -> bool:
    session, (delivery,) = await stage.started()
    settling = command(Verbs().settle(session, [Settlement(delivery, "end", record=b"record")], ()))
    await stage.meanwhile(settling, lambda: stage.revoke(delivery.id))
    return stage.told() == [("ended", False)] and stage.state() is None


async def a_job_that_is_being_retried_is_handed_over(stage: JobStage) -> bool:
    session, (delivery,) = await stage.started()
    settling = command(Verbs().settle(session, [Settlement(delivery, "retry", delay=60.0)], ()))
    await stage.meanwhile(settling, lambda: stage.revoke(delivery.id))
    return stage.told() == [("delayed", True)] and stage.state() == (1, "revoked", True)


async def a_retry_that_comes_while_its_job_is_revoked_does_not_wait(stage: JobStage) -> bool:
    session, (delivery,) = await stage.started()
    dooming = command(job_operations.revoke(new_session(), [(delivery.id, None)], LEASE, None))
    retry = Settlement(delivery, "retry", delay=60.0)
    await stage.meanwhile(dooming, lambda: stage.broker.settle(session, [retry]))
    return stage.state() == (0, "revoked", True)


async def a_job_that_is_being_revoked_is_received_by_nobody_else(stage: JobStage) -> bool:
    session = await stage.open()
    job_id = new_id()
    await stage.broker.asend([Job(job_id, QUEUE, b"")])
    revoking = command(job_operations.revoke(new_session(), [(job_id, None)], LEASE, None))
    received: list[object] = []

    async def receive() -> None:
        received.extend(await stage.broker.receive(session, [QUEUE], 1, wait=0))

    await stage.meanwhile(revoking, receive)
    return not received and stage.state() == (1, "revoked", True)


async def who_revokes_many_waits_for_nobody_while_he_holds_some(stage: JobStage) -> bool:
    """Else whoever settles them in another order would wait for him: a deadlock."""
    session, (first, second) = await stage.started(2)
    settling = command(Verbs().settle(session, [Settlement(first, "end")], ()))

    there: list[int] = []

    async def revoke() -> None:
        asked = {first.id: "", second.id: ""}
        found = await stage.broker._do(job_operations._leased(new_session(), asked, LEASE, None))
        assert list(found) == [second.id]
        there.append(stage.value(b"select count(*) from umbel.job"))

    await stage.meanwhile(settling, revoke)
    return there == [2]


async def what_is_leased_while_its_session_is_closed_goes_back(stage: JobStage) -> bool:
    """A first try of a revoke that was thought to be lost, and is carried out at last."""
    session = new_session()
    one, two = new_id(), new_id()
    await stage.broker.asend([Job(one, QUEUE, b""), Job(two, QUEUE, b"")])
    await stage.broker.job_store.arevoke(session, [(one, None)], LEASE)
    late = command(job_operations.revoke(session, [(two, None)], LEASE, None))
    await stage.meanwhile(late, lambda: stage.broker.job_store.aend(session, []))
    return bool(stage.value(b"select count(*) = 2 from umbel.job where state = 0"))


async def a_queue_that_is_paused_gives_nothing(stage: JobStage) -> bool:
    session = await stage.open()
    await stage.broker.asend([Job(new_id(), QUEUE, b"")])
    await stage.broker.job_store.apause(QUEUE, paused=True)
    return not await stage.broker.receive(session, [QUEUE], 1, wait=0)


# --- boxes


async def messages_are_seen_in_the_order_of_their_numbers(stage: JobStage) -> bool:
    box = stage.broker.mailbox
    await stage.broker.asend([])  # the tables are there
    heard: list[bytes] = []

    async def tell() -> None:
        await box.atell(BOX, [b"second"], TTL)
        letters = await box.ahear(BOX, 0, 0.0)
        heard.extend(each.message for each in letters)
        last.append(letters[-1].number)

    last: list[int] = []
    await stage.meanwhile(command(mailbox._tell(BOX, [b"first"], TTL, None)), tell)
    heard.extend(each.message for each in await box.ahear(BOX, last[0], 0.0))
    return heard == [b"first", b"second"]


async def what_is_told_again_is_told_once(stage: JobStage) -> bool:
    await stage.broker.asend([])
    telling = command(mailbox._tell(BOX, [b"one", b"two"], TTL, None))
    for _ in range(2):
        await stage.broker._engine.acall(telling)
    return [each.message for each in await stage.broker.mailbox.ahear(BOX, 0, 0.0)] == [b"one", b"two"]


class Twin(NamedTuple):
    """A promise, and the text of a statement without which it is broken."""

    promise: Callable[[JobStage], Awaitable[bool]]
    statements: Statements
    name: str
    sound: str
    broken: str


JOBS, VERBS, BOXES = job_operations.SQL, operations.SQL, mailbox.SQL
_WAIT, _LOOKED = "select from umbel.job where id = $1::uuid for no key update", "select $1::uuid"
TWINS = [
    Twin(a_job_that_is_being_received_is_doomed, JOBS, "jobs.wait", _WAIT, _LOOKED),
    Twin(a_job_that_is_ending_has_ended, JOBS, "jobs.wait", _WAIT, _LOOKED),
    Twin(a_job_that_is_being_retried_is_handed_over, JOBS, "jobs.wait", _WAIT, _LOOKED),
    Twin(
        a_retry_that_comes_while_its_job_is_revoked_does_not_wait,
        VERBS,
        "settle.settle",
        "job.doom is not null as doomed",
        "false as doomed",
    ),
    Twin(
        a_job_that_is_being_revoked_is_received_by_nobody_else,
        JOBS,
        "jobs.lease",
        "state = 1, session = $1::uuid, number = 1",
        "state = 0",
    ),
    Twin(who_revokes_many_waits_for_nobody_while_he_holds_some, JOBS, "jobs.lease", "skip locked", ""),
    Twin(
        a_queue_that_is_paused_gives_nothing,
        VERBS,
        "receive.receive",
        "from umbel.pause",
        "from umbel.pause where false",
    ),
    Twin(messages_are_seen_in_the_order_of_their_numbers, BOXES, "mailbox.lock", ", pg_advisory_xact_lock($1", ", ($1"),
    Twin(what_is_told_again_is_told_once, BOXES, "mailbox.tell", "$4::uuid", "(array[gen_random_uuid(), $4::uuid])[1]"),
]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.promise.__name__)
async def test_a_promise_is_kept_and_broken_without_its_protection(
    twin: Twin, stage: JobStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await twin.promise(stage)
    stage._watch.execute("truncate umbel.job, umbel.result, umbel.session, umbel.letter, umbel.pause")
    stage.revoked.clear()
    stage.broker._numbers.clear()
    text = twin.statements.texts[twin.name].decode()
    assert twin.sound in text
    monkeypatch.setitem(twin.statements.texts, twin.name, text.replace(twin.sound, twin.broken).encode())
    assert not await twin.promise(stage)


async def test_what_is_leased_while_its_session_is_closed_goes_back(stage: JobStage) -> None:
    assert await what_is_leased_while_its_session_is_closed_goes_back(stage)


async def test_as_one_statement_the_close_would_strand_it(stage: JobStage, monkeypatch: pytest.MonkeyPatch) -> None:
    close, back = (JOBS.texts[f"jobs.{name}"].decode() for name in ("close", "back"))
    monkeypatch.setitem(JOBS.texts, "jobs.close", b"select $1::uuid")
    monkeypatch.setitem(JOBS.texts, "jobs.back", f"with closed as ({close} returning 1)\n{back}".encode())
    assert not await what_is_leased_while_its_session_is_closed_goes_back(stage)


async def test_a_revoke_whose_answer_was_lost_finds_what_it_was_handed(stage: JobStage) -> None:
    session = new_session()
    job_ids = [new_id() for _ in range(2)]
    await stage.broker.asend([Job(each, QUEUE, b"body") for each in job_ids])
    store = stage.broker.job_store
    first, second = [await store.arevoke(session, [(each, None) for each in job_ids], LEASE) for _ in range(2)]
    assert [each.delivery for each in first] == [each.delivery for each in second] != [None, None]
    purged = {each.id: each for each in await store.apurge(session, QUEUE, 10, LEASE)}  # in any order
    assert purged == {each.id: each.delivery for each in first}


async def test_sessions_that_are_closed_are_not_looked_at_again_and_forgotten_soon(stage: JobStage) -> None:
    closed, dead, open_session = new_session(), await stage.open(), await stage.open()
    await stage.broker.asend([Job("job", QUEUE, b"")])
    await stage.broker.job_store.arevoke(closed, [("job", None)], LEASE)
    await stage.broker.job_store.aend(closed, [])
    await stage.broker.reclaim([QUEUE], LEASE, [Ended(dead)])
    stage._watch.execute("update umbel.session set until = now() - interval '11 minutes'")
    await stage.broker._do(Verbs().tidy([QUEUE]))
    left = {row[0].hex for row in stage._watch.execute("select id from umbel.session")}
    assert left == {dead, open_session}


# --- a database of an earlier version


async def test_a_database_of_the_version_before_is_changed_with_its_jobs(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("drop schema if exists umbel cascade; create schema umbel")
        admin.execute("create table umbel.migration(number integer primary key, at timestamptz not null default now())")
        for number, name in enumerate(("first", "schedules", "flows"), 1):
            change = files("umbel.engines").joinpath("postgres_schema", f"{number:04}_{name}.sql")
            admin.execute(change.read_text(encoding="utf-8").encode())
            admin.execute("insert into umbel.migration(number) values (%s)", (number,))
        admin.execute("insert into umbel.queue(name) values ('races')")
        admin.execute(
            "insert into umbel.job(id, queue, level, run_at, envelope)"
            " select gen_random_uuid(), 'races', 9, now(), 'old' from generate_series(1, 3)"
        )
    stage = JobStage(postgres_url)
    try:
        session = await stage.open()
        held = await stage.broker.receive(session, [QUEUE], 2, wait=0)
        assert [(each.envelope, each.counts.doom) for each in held] == [(b"old", "")] * 2
        assert await stage.broker.job_store.note(session, [(held[0], b"note")]) == [True]
        await stage.revoke(held[1].id)
        assert len(stage.broker.job_store.purge(new_session(), QUEUE, 10, LEASE)) == 1
        await stage.broker.mailbox.atell(BOX, [b"hello"], TTL)
        assert len(stage.broker.mailbox.hear(BOX, 0, 0.0)) == 1
    finally:
        await stage.close()


# --- what it costs


def test_no_statement_reads_more_pages_before_a_long_backlog(postgres_url: str) -> None:
    gauge = Gauge(postgres_url)
    try:
        few = spent(gauge)
        gauge.fill(10_000)
        gauge.line.execute(
            b"insert into umbel.letter(number, expires, mark, place, box, message)"
            b" select number, now() + interval '1 day', gen_random_uuid(), 1, 'other', 'x'"
            b" from generate_series(1, 10000) as number"
        )
        many = spent(gauge)
    finally:
        gauge.line.close()
    # An index of some ten thousand rows is deeper: a page or two more for each row that is looked up.
    dearer = {verb: (few[verb], many[verb]) for verb in few if many[verb] > few[verb] * 2 + 100}
    assert dearer == {}


def spent(gauge: Gauge) -> dict[str, int]:
    """Pages that each statement reads, of twenty jobs each."""
    session, held = gauge.held(20)
    gauge.line.run(next(Verbs().send(made := jobs(20), ())))
    some = [(each.id, None) for each in made]
    revoker = new_session()
    queries = {
        "lease": command(job_operations.revoke(revoker, some, LEASE, None)),
        "look": [JOBS("jobs.look", plain(each.id for each in made), texts([""] * 20), None)],
        "note": command(job_operations.note(session, [(each, b"note") for each in held])),
        "doom": [VERBS("reclaim.doom", plain([session]), plain([held[0].id]), "{timeout}")],
        "close": [JOBS("jobs.close", revoker), JOBS("jobs.back", revoker)],
        "purge": command(job_operations.purge(new_session(), GAUGED, 20, LEASE, None)),
        "revive": command(job_operations.revive(GAUGED, [each.id for each in made], None)),
        "discard": command(job_operations.discard(GAUGED, [each.id for each in made])),
        "hear": command(mailbox._hear(BOX, 0, None)),
        "tell": command(mailbox._tell(BOX, [b"one"], TTL, None)),
    }
    places: tuple[Place, ...] = ("ready", "delayed", "running", "parked", "dead")
    for place in places:
        queries[place] = command(job_operations.listed(GAUGED, place, "", 20, None))
    return {verb: sum(map(gauge.pages, found)) for verb, found in queries.items()}
