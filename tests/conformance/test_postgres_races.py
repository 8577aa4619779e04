"""Races of two transactions, the first held open: each protection works, and without it the promise breaks.

The rule: a step that waits for another transaction's row, and then looks at what that one wrote, is two statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from tests.patient import PATIENT
from umbel.brokers.postgres import PostgresBroker
from umbel.brokers.postgres.floors import Floors
from umbel.brokers.postgres.operations import SQL, Verbs
from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.engines.postgres_command import Command
from umbel.engines.postgres_connection import connect
from umbel.model.ids import new_id, new_session
from umbel.model.job import Delivery, Job
from umbel.testing.conformance.eventually import eventually

QUEUE = "races"
LEASE = 60.0


class Stage:
    """A broker, and a transaction beside it that stays open until the broker is seen to wait for it."""

    def __init__(self, url: str) -> None:
        self.broker = PostgresBroker(url, PATIENT)
        self._held = connect(url, 30.0, 60.0)
        self._watch = psycopg.connect(url, autocommit=True)

    async def close(self) -> None:
        await self.broker.aclose()
        self.broker.close()
        self._held.close()
        self._watch.close()

    def value(self, query: bytes) -> Any:
        """One value, as everybody can see it."""
        row = self._watch.execute(query).fetchone()
        assert row is not None
        return row[0]

    async def open(self) -> str:
        session = new_session()
        assert await self.broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True) == [True]
        return session

    async def started(self, number: int = 1) -> tuple[str, list[Delivery]]:
        """A session that holds *number* new jobs."""
        session = await self.open()
        await self.broker.asend([Job(new_id(), QUEUE, b"") for _ in range(number)])
        return session, await self.broker.receive(session, [QUEUE], number, wait=0)

    async def meanwhile(self, first: Command, then: Callable[[], Awaitable[object]]) -> None:
        """Carry out *first*, and before its commit begin *then*, which has to wait for it or be done by itself."""
        self._held.execute(b"begin")
        for query in first:
            self._held.execute(query.statement, query.values, binary=True)
        second = asyncio.ensure_future(then())
        await eventually(lambda: second.done() or self.value(waiting_for(self._held)))
        self._held.execute(b"commit")
        await second


def waiting_for(holder: psycopg.Connection[Any]) -> bytes:
    """How many wait for *holder*: others of the server, such as those that clean up, may wait for somebody else."""
    return b"select count(*) from pg_stat_activity where %d = any(pg_blocking_pids(pid))" % holder.info.backend_pid


@pytest.fixture
async def stage(postgres_url: str) -> AsyncIterator[Stage]:
    made = Stage(postgres_url)
    yield made
    await made.close()


def command(steps: Any) -> Command:
    """The first transaction of an operation."""
    found: Command = next(steps)
    return found


@contextmanager
def as_one_statement(monkeypatch: pytest.MonkeyPatch, merged: dict[str, str]) -> Generator[None]:
    """Let one of two statements do the work of both, in one WITH and so in one snapshot; the other does nothing."""
    with monkeypatch.context() as patch:
        for name, text in merged.items():
            patch.setitem(SQL.texts, name, text.encode())
        yield


# --- a job that is sent again while it ends


async def resend_while_ending(stage: Stage, beside: Sequence[Job] = ()) -> int:
    session, (delivery,) = await stage.started()
    ending = command(Verbs().settle(session, [Settlement(delivery, "end", record=b"record")], ()))
    await stage.meanwhile(ending, lambda: stage.broker.asend([Job(delivery.id, QUEUE, b"again"), *beside]))
    return int(stage.value(b"select count(*) from umbel.job")) - len(beside)


async def test_a_job_that_is_sent_again_while_it_ends_is_not_made_again(stage: Stage) -> None:
    assert await resend_while_ending(stage) == 0
    assert await resend_while_ending(stage, [Job(new_id(), QUEUE, b"")]) == 0


async def test_without_the_look_before_the_insert_the_ended_job_would_run_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.broker.asend([])  # the tables are there
    with as_one_statement(monkeypatch, {"send.lock": "select $1::uuid[]"}):
        assert await resend_while_ending(stage, [Job(new_id(), QUEUE, b"")]) == 1


async def test_with_the_look_before_the_insert_alone_it_would_run_again(stage: Stage) -> None:
    await stage.broker.asend([])
    made = files("umbel.engines").joinpath("postgres_schema/0009_send.sql").read_text(encoding="utf-8")
    made = made.replace("create procedure", "create or replace procedure")
    head, insert, rest = made.partition("    insert into")
    look = rest[rest.index("    if exists") : rest.index("    commit;")]
    stage._watch.execute((head + look + insert + rest.replace(look, "")).encode())
    try:
        assert await resend_while_ending(stage) == 1
    finally:
        stage._watch.execute(made.encode())


async def follow_up_while_it_ends(stage: Stage) -> int:
    session, (parent, child) = await stage.started(2)
    ending = command(Verbs().settle(session, [Settlement(child, "end", record=b"record")], ()))
    verdict = Settlement(parent, "end", follow_ups=(Job(child.id, QUEUE, b"again"),))
    await stage.meanwhile(ending, lambda: stage.broker.settle(session, [verdict]))
    return int(stage.value(b"select count(*) from umbel.job"))


async def test_a_follow_up_that_ends_meanwhile_is_not_made_again(stage: Stage) -> None:
    assert await follow_up_while_it_ends(stage) == 0


# --- a session that dies while it receives


async def reclaim_while_receiving(stage: Stage) -> int:
    session = await stage.open()
    await stage.broker.asend([Job(new_id(), QUEUE, b"") for _ in range(3)])
    receiving = command(Verbs().receive(session, 1, [QUEUE], 3, Floors()))
    await stage.meanwhile(receiving, lambda: stage.broker.reclaim([QUEUE], LEASE, [Ended(session)]))
    return int(stage.value(b"select count(*) from umbel.job where state = 1"))


async def test_jobs_that_a_dying_session_is_receiving_return(stage: Stage) -> None:
    assert await reclaim_while_receiving(stage) == 0


async def test_as_one_statement_the_reclaim_would_strand_them(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # bury's parameters are $1 queues, $2 sessions, $3 now; move's $6 is now as well.
    bury = SQL.texts["reclaim.bury"].decode().replace("$3", "$6")
    move = SQL.texts["reclaim.move"].decode()
    merged = move.replace(
        "with dead as materialized (", f"with buried as ({bury} returning id, queue),\ndead as materialized (", 1
    )
    merged = merged.replace(
        "from umbel.session\n    where queue = any($1::text[]) and ended < 'infinity'", "from buried"
    )
    with as_one_statement(
        monkeypatch, {"reclaim.bury": "select $1::text[], $2::uuid[], $3::timestamptz", "reclaim.move": merged}
    ):
        assert await reclaim_while_receiving(stage) == 3


# --- a session that dies while it settles


async def settle_while_dying(stage: Stage) -> tuple[int, int]:
    session, deliveries = await stage.started(3)
    ending = command(Verbs().settle(session, [Settlement(each, "end", record=b"r") for each in deliveries[:2]], ()))
    returned = 0

    async def reclaim() -> None:
        nonlocal returned
        returned = (await stage.broker.reclaim([QUEUE], LEASE, [Ended(session)])).returned

    await stage.meanwhile(ending, reclaim)
    return returned, int(stage.value(b"select count(*) from umbel.job where state = 1"))


async def test_what_a_dying_session_is_settling_ends_and_the_rest_returns(stage: Stage) -> None:
    assert await settle_while_dying(stage) == (1, 0)


async def test_a_session_that_was_declared_dead_first_settles_nothing(stage: Stage) -> None:
    session, deliveries = await stage.started(3)
    answers: list[bool] = []

    async def settle() -> None:
        answers.extend(await stage.broker.settle(session, [Settlement(each, "end") for each in deliveries]))

    dying = command(Verbs().reclaim([QUEUE], LEASE, [Ended(session)]))
    await stage.meanwhile(dying, settle)
    assert answers == [False] * 3
    assert stage.value(b"select count(*) from umbel.job where state = 0") == 3


async def test_without_the_key_over_the_end_a_settle_would_cross_a_death(stage: Stage) -> None:
    session, (delivery,) = await stage.started()
    stage._watch.execute(b"alter table umbel.session drop constraint session_death")
    try:
        bury = SQL("reclaim.bury", f'{{"{QUEUE}"}}', f"{{{session}}}", None)
        settled: list[bool] = []

        async def settle() -> None:
            settled.extend(await stage.broker.settle(session, [Settlement(delivery, "end")]))

        await stage.meanwhile([bury], settle)
        assert settled == [True], "it did not wait for the death, so it is settled by a dead session"
    finally:
        stage._watch.execute(b"alter table umbel.session add constraint session_death unique (id, queue, ended)")


# --- a child that says what it holds while a receive of it is still open


async def reconcile_while_receiving(stage: Stage) -> int:
    session = await stage.open()
    await stage.broker.asend([Job(new_id(), QUEUE, b"") for _ in range(3)])
    receiving = command(Verbs().receive(session, 1, [QUEUE], 3, Floors()))
    stage.broker._number(session)  # the receive whose answer is lost had number 1
    await stage.meanwhile(receiving, lambda: stage.broker.reconcile(session, [QUEUE], []))
    return int(stage.value(b"select count(*) from umbel.job where state = 1"))


async def test_a_reconcile_returns_what_an_open_receive_hands_out(stage: Stage) -> None:
    assert await reconcile_while_receiving(stage) == 0


async def test_as_one_statement_the_reconcile_would_leave_it_with_a_child_that_does_not_know_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = SQL.texts["reclaim.number"].decode()
    reconcile = SQL.texts["reclaim.reconcile"].decode().replace("received = $2::int4", "$2::int4 > 0")
    merged = f"with numbered as ({number} returning 1)\n{reconcile}"
    nothing = "select $1::uuid, $2::int4, $3::text[]"
    with as_one_statement(monkeypatch, {"reclaim.number": nothing, "reclaim.reconcile": merged}):
        assert await reconcile_while_receiving(stage) == 3


async def test_a_receive_that_was_overtaken_by_a_reconcile_takes_nothing(stage: Stage) -> None:
    session = await stage.open()
    await stage.broker.asend([Job(new_id(), QUEUE, b"")])
    late = command(Verbs().receive(session, 1, [QUEUE], 1, Floors()))
    stage.broker._number(session)
    assert await stage.broker.reconcile(session, [QUEUE], []) == 0
    await stage.meanwhile(late, lambda: asyncio.sleep(0))
    assert stage.value(b"select count(*) from umbel.job where state = 1") == 0
