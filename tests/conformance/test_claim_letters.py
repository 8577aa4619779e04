"""Boxes and the log of events beside claims, on each SQL database; the whole suites of both run on one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from tests.patient import PATIENT
from umbel.claims.sql import SqlClaims
from umbel.claims.sql import connect as claims_at
from umbel.contracts.event_log import NOW, OLDEST
from umbel.engines import sql_letters
from umbel.testing.clock import Clock
from umbel.testing.conformance.eventually import soon

TTL = 60.0
WAIT_SECONDS = 30.0
WRITERS = 4
HOSTILE = ("'; drop table umbel_claim_letters; --", "täsk ☃", "Box", "box", "x" * 255)


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


async def test_a_box_keeps_its_messages_in_order_until_their_time_is_over(claims: SqlClaims) -> None:
    clock = claims._clock
    assert isinstance(clock, Clock)
    box = claims.mailbox
    before = await box.aposition("box")
    for name in HOSTILE:
        await box.atell(name, [name.encode(), b"", b"\x00\xff"], TTL)
    for name in HOSTILE:
        heard = await box.ahear(name, before, 0.0)
        assert [each.message for each in heard] == [name.encode(), b"", b"\x00\xff"]
        assert box.hear(name, heard[0].number, 0.0) == heard[1:]
    last = box.position("box")
    clock.advance(2 * TTL)
    assert await box.ahear("box", 0, 0.0) == []
    await asyncio.to_thread(box.tell, "other", [b"new"], TTL)  # whoever tells sweeps
    (new,) = await box.ahear("other", 0, 0.0)
    assert new.number > last
    assert claims._engine.run(_count(sql_letters.LETTERS)) == 1


async def test_who_waits_for_letters_and_for_events_is_answered(claims: SqlClaims) -> None:
    hearing = asyncio.create_task(claims.mailbox.ahear("box", 0, WAIT_SECONDS))
    reading = asyncio.create_task(claims.event_log.read(OLDEST, 10, WAIT_SECONDS))
    await asyncio.sleep(0)
    await claims.mailbox.atell("box", [b"hello"], TTL)
    await claims.event_log.aappend([b"batch"], 100)
    assert [each.message for each in await soon(hearing, WAIT_SECONDS)] == [b"hello"]
    (kept,) = await soon(reading, WAIT_SECONDS)
    assert (kept.batch, kept.cursor) == (b"batch", await claims.event_log.end())
    assert await claims.event_log.read(NOW, 10, 0.0) == []


async def test_a_reader_that_follows_writers_misses_nothing_and_the_oldest_batches_go_first(
    claims: SqlClaims, url: str
) -> None:
    writers = [claims_at(url, PATIENT) for _ in range(WRITERS)]
    bound, each_writes = 20, sql_letters.TRIM_EVERY // WRITERS

    async def write(writer: SqlClaims, name: int) -> None:
        for number in range(0, each_writes, 4):
            await writer.event_log.aappend([b"%d %d" % (name, number + more) for more in range(4)], 10_000)

    async def read() -> list[bytes]:
        seen: list[bytes] = []
        after = OLDEST
        while len(seen) < WRITERS * each_writes:
            found = await claims.event_log.read(after, 100, WAIT_SECONDS)
            after, seen = found[-1].cursor if found else after, [*seen, *(each.batch for each in found)]
        return seen

    reading = asyncio.create_task(read())
    await soon(asyncio.gather(*(write(writer, name) for name, writer in enumerate(writers))), 2 * WAIT_SECONDS)
    seen = await soon(reading, WAIT_SECONDS)
    for name in range(WRITERS):
        assert [each for each in seen if each.startswith(b"%d " % name)] == [
            b"%d %d" % (name, number) for number in range(each_writes)
        ]
    await claims.event_log.aappend([b"%d" % number for number in range(sql_letters.TRIM_EVERY)], bound)
    kept = [each.batch for each in await claims.event_log.read("1", 1000, 0.0)]
    assert kept == [b"%d" % number for number in range(sql_letters.TRIM_EVERY)][-bound:]
    for writer in writers:
        writer.close()


async def test_a_call_that_is_carried_out_again_is_told_once(claims: SqlClaims) -> None:
    once = claims.mailbox._telling("box", [b"one", b"two"], TTL)
    for step in (once, once, claims.mailbox._telling("box", [b"three"], TTL)):
        claims._engine.run(step)
    assert [each.message for each in claims.mailbox.hear("box", 0, 0.0)] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_who_appends_waits_until_the_numbers_before_his_are_to_be_seen(claims: SqlClaims) -> None:
    claims.event_log.append([b"first"], 100)
    database = claims._engine._engine
    with database.begin() as slow, database.begin() as other:
        sql_letters.append(slow, [b"slow"], 100)
        other.execute(sa.text("set local lock_timeout = '50ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            sql_letters.append(other, [b"overtaking"], 100)


def _count(table: sa.Table) -> Callable[[sa.Connection], int | None]:
    return lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(table))
